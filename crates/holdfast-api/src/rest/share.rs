//! A link that reads one object for a while: an S3 URL, signed here with the caller's own key, whose secret the cluster knows.
//!
//! Whoever has the secret could make the same; who signed in to the console does not hold it in the browser any more. A caller
//! with the admin token gets one signed with the root key.

use axum::Json;
use axum::extract::State;
use holdfast_core::bucket::KeyState;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::query::Query;
use super::shape::time;
use super::upload::Target;
use crate::caller::Caller;
use crate::problem::{Answer, Problem};
use crate::signature::{Presigned, presigned};

/// As in S3: seven days.
const EXPIRES_S_MAX: u64 = 7 * 24 * 3600;
const EXPIRES_S: u64 = 3600;

/// How long the link is good.
#[derive(Deserialize, Default)]
pub(super) struct Expiry {
    expires_s: Option<u64>,
}

pub(super) async fn share(
    State(app): App,
    axum::Extension(caller): axum::Extension<Caller>,
    Target { bucket, key }: Target,
    Query(asked): Query<Expiry>,
) -> Answer<Json<Value>> {
    let expires_s = asked.expires_s.unwrap_or(EXPIRES_S);
    if !(1..=EXPIRES_S_MAX).contains(&expires_s) {
        return Err(Problem::bad_request(
            "a link is good for between a second and seven days",
            "say expires_s=3600",
        ));
    }
    let bucket = app.bucket(&bucket).await?;
    let signer = match (&app.root_key_id, caller.principal.as_str()) {
        (Some(root), "admin") => root.clone(),
        (_, principal) => principal.to_owned(),
    };
    let key_found = app.objects.access_key(&signer).await;
    let key_found = key_found.map_err(|fault| Problem::read(&fault))?;
    let Some(signer) = key_found.filter(|key| key.state == KeyState::Enabled) else {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "no_key",
            "there is no access key to sign with",
            "sign in with an access key, or send one's signature",
        ));
    };
    let view = app.objects.cluster();
    let endpoint = view.members.iter().find(|member| member.id == view.node);
    let endpoint = endpoint.map(|member| member.s3.as_str()).unwrap_or_default();
    let now = std::time::SystemTime::now();
    let elapsed = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let path = format!("/{}/{key}", bucket.name);
    let url = presigned(&Presigned {
        endpoint,
        path: &path,
        region: &app.region,
        key_id: &signer.id,
        secret: &signer.secret,
        date: &crate::signature::date_text(elapsed.as_secs()),
        expires_s,
    });
    let until_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX) + expires_s * 1_000;
    Ok(Json(json!({
        "status": "success",
        "bucket": bucket.name,
        "key": key,
        "url": url,
        "until": time(until_ms),
        "signed_by": signer.id,
    })))
}
