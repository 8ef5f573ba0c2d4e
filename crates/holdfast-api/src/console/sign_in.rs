//! Signing in and out. Secrets come once, over the same connection as everything else, and are not kept.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use holdfast_core::bucket::KeyState;
use http::header::{HeaderValue, SET_COOKIE};
use http::request::Parts;
use http::{Request, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::guard::{COOKIE_NAME, Claim, HEADER, is_same_origin, of_script};
use super::session::{LASTS_MS, Session};
use crate::problem::Problem;
use crate::rest::{Gate, document, time_shown};

/// What a wrong secret costs who guesses.
const REFUSED_AFTER: Duration = Duration::from_millis(300);

/// An access key with its secret, or the admin token.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    #[serde(default)]
    access_key_id: String,
    #[serde(default)]
    secret_access_key: String,
    #[serde(default)]
    admin_token: String,
}

/// `POST /console/session`: begins a session.
pub(crate) async fn sign_in(State(gate): State<Arc<Gate>>, request: Request<Body>) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    if !head.headers.contains_key(HEADER) || !is_same_origin(&head) {
        return Err(foreign());
    }
    let credentials: Credentials = document(body).await?;
    let Some(principal) = verified(&gate, &credentials).await? else {
        tokio::time::sleep(REFUSED_AFTER).await;
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "denied",
            "there is no such key with this secret, or it is turned off",
            "check both; `holdfast key create NAME` makes a new one",
        ));
    };
    let session = gate.sessions.begin(principal, now_ms());
    Ok(signed_in(&gate, &session))
}

/// `GET /console/session`: who is signed in, and for how long from now; renews the session.
pub(crate) async fn who(State(gate): State<Arc<Gate>>, request: Request<Body>) -> Result<Response, Problem> {
    let (head, _) = request.into_parts();
    let session = standing(&gate, &head)?;
    // Also asks whether the key is still good.
    gate.caller(&session).await?;
    let renewed = gate.sessions.renew(&session, now_ms());
    Ok(signed_in(&gate, renewed.as_ref().unwrap_or(&session)))
}

/// `DELETE /console/session`: ends it.
pub(crate) async fn sign_out(State(gate): State<Arc<Gate>>, request: Request<Body>) -> Result<Response, Problem> {
    let (head, _) = request.into_parts();
    let session = standing(&gate, &head)?;
    gate.sessions.sign_out(&session, now_ms());
    let mut answer = Json(json!({ "status": "success" })).into_response();
    set_cookie(&gate, &mut answer, "", 0);
    Ok(answer)
}

fn standing(gate: &Gate, head: &Parts) -> Result<Session, Problem> {
    match of_script(&gate.sessions, head, now_ms()) {
        Claim::Session(session) => Ok(session),
        Claim::None | Claim::Over => Err(over()),
        Claim::Foreign => Err(foreign()),
    }
}

/// Whom the credentials belong to, if they are right.
async fn verified(gate: &Gate, given: &Credentials) -> Result<Option<String>, Problem> {
    if !given.admin_token.is_empty() {
        return Ok(gate
            .is_admin_token(given.admin_token.trim())
            .then(|| "admin".to_owned()));
    }
    let key = gate.objects().access_key(given.access_key_id.trim()).await;
    let key = key.map_err(|fault| Problem::read(&fault))?;
    let secret = blake3::hash(given.secret_access_key.trim().as_bytes());
    // Hashes compare in constant time.
    let key = key.filter(|key| key.state == KeyState::Enabled && blake3::hash(key.secret.as_bytes()) == secret);
    Ok(key.map(|key| key.id))
}

fn signed_in(gate: &Gate, session: &Session) -> Response {
    let told: Value = json!({
        "status": "success",
        "principal": session.principal,
        "manages_keys": gate.manages_keys(&session.principal),
        "until": time_shown(session.until_ms),
        "region": gate.region,
    });
    let mut answer = Json(told).into_response();
    set_cookie(gate, &mut answer, &gate.sessions.seal(session), LASTS_MS / 1_000);
    answer
}

fn set_cookie(gate: &Gate, answer: &mut Response, value: &str, lasts_s: u64) {
    let secure = if gate.is_tls { "; Secure" } else { "" };
    let cookie = format!("{COOKIE_NAME}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={lasts_s}{secure}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
}

/// The refusal of a session that does not stand.
pub(crate) fn over() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "signed_out",
        "nobody is signed in, or the session is over",
        "sign in again",
    )
}

/// The refusal of a request that the console did not make.
pub(crate) fn foreign() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "foreign",
        "the request carries a session of the console, and was not made by the console",
        "send the header Holdfast-Console from the console's own origin, or use the admin token or a signature",
    )
}

pub(crate) fn now_ms() -> u64 {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(elapsed.unwrap_or_default().as_millis()).unwrap_or(0)
}
