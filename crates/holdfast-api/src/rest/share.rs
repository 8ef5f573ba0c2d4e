//! A link that reads one object for a while: an S3 URL, signed here with the caller's own key, whose secret the cluster knows.
//!
//! Whoever has the secret could make the same; who signed in to the console does not hold it in the browser any more. A caller
//! with the admin token gets one signed with the root key.

use axum::extract::State;
use holdfast_core::bucket::KeyState;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::faults::{AnyConflict, BadRequest, NoSuchBucket, ReadFaults};
use super::query::Query;
use super::shape::{Success, Told, time};
use super::upload::Target;
use crate::caller::Caller;
use crate::problem::{Answer, Problem};
use crate::signature::{Presigned, presigned};

/// As in S3: seven days.
const EXPIRES_S_MAX: u64 = 7 * 24 * 3600;
const EXPIRES_S: u64 = 3600;

/// How long the link is good.
#[derive(Deserialize, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Expiry {
    /// For how many seconds; an hour when left out, seven days at most
    #[param(minimum = 1, maximum = 604800)]
    expires_s: Option<u64>,
}

/// A link that reads an object
#[derive(Serialize, ToSchema)]
#[schema(as = SharedLink)]
pub(super) struct LinkTold {
    status: Success,
    #[schema(example = "photos")]
    bucket: String,
    #[schema(example = "cat.jpg")]
    key: String,
    /// An S3 URL: whoever has it may read the object, until it is over
    url: String,
    #[schema(format = DateTime)]
    until: String,
    /// Access key id of the signature; disabling the key ends the link
    signed_by: String,
}

/// Share an object
///
/// Makes a link that reads the object through S3 for a while, signed with the caller's key; with the root key for the admin
/// token. Whether there is an object is seen when the link is used.
#[utoipa::path(
    post, path = "/v1/buckets/{bucket}/share/{*key}", operation_id = "share_object", tag = "objects",
    params(Target, Expiry),
    responses((status = 200, description = "The link", body = LinkTold), BadRequest, NoSuchBucket, AnyConflict, ReadFaults)
)]
pub(super) async fn share(
    State(app): App,
    axum::Extension(caller): axum::Extension<Caller>,
    Target { bucket, key }: Target,
    Query(asked): Query<Expiry>,
) -> Answer<Told<LinkTold>> {
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
    Ok(Told(LinkTold {
        status: Success::Success,
        bucket: bucket.name.clone(),
        key,
        url,
        until: time(until_ms),
        signed_by: signer.id,
    }))
}
