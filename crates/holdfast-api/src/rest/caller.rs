//! Who asks: the bearer of the admin token, the owner of an access key that signed, or who signed in to the console.

use holdfast_core::bucket::KeyState;
use http::StatusCode;
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::problem::Problem;
use super::{RestApp, Wanted};
use crate::signature::{Payload, Signed, Unverified};

/// A caller whose claim was verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Caller {
    /// An access key id, or `admin`.
    pub(crate) principal: String,
    /// Whether keys may be managed.
    pub(crate) manages_keys: bool,
}

/// Verifies a request's claim. What was signed of the body is left for later, when the body is there.
pub(super) async fn verify(app: &RestApp, request: &Parts) -> Result<(Caller, Payload), Problem> {
    let Some(value) = request.headers.get(AUTHORIZATION) else {
        if let Some(admitted) = app.gate.of_console(request).await {
            return admitted.map(|caller| (caller, Payload::Unsigned));
        }
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "the request carries no Authorization",
            "send `Authorization: Bearer <admin token>`, or sign with an access key (SigV4, service s3)",
        ));
    };
    let value = value
        .to_str()
        .map_err(|_| denied("the Authorization header is not text"))?;
    if let Some(token) = value.strip_prefix("Bearer ") {
        return if app.gate.is_admin_token(token.trim()) {
            let caller = Caller {
                principal: "admin".to_owned(),
                manages_keys: true,
            };
            Ok((caller, Payload::Unsigned))
        } else {
            Err(Problem::new(
                StatusCode::FORBIDDEN,
                "denied",
                "this is not the admin token of the cluster",
                "check the token",
            ))
        };
    }
    let signed = Signed::parse(value).ok_or_else(|| denied("the Authorization header is neither Bearer nor SigV4"))?;
    let key = app.objects.access_key(signed.key_id).await;
    let key = key.map_err(|fault| Problem::read(&fault))?;
    let Some(key) = key.filter(|key| key.state == KeyState::Enabled) else {
        return Err(denied("there is no such access key"));
    };
    let payload = match signed.verify(request, &key.secret) {
        Ok(Payload::Chunked) => return Err(Problem::not_implemented("a body signed in chunks")),
        Ok(payload) => payload,
        Err(Unverified::Skewed) => {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "clock_skew",
                Unverified::Skewed.to_string(),
                "set the clock of the client, or of the node",
            ));
        }
        Err(unverified) => return Err(denied(&unverified.to_string())),
    };
    let manages_keys = app.gate.manages_keys(&key.id);
    let caller = Caller {
        principal: key.id,
        manages_keys,
    };
    Ok((caller, payload))
}

impl Caller {
    /// Refuses whoever may not look after the cluster.
    pub(crate) fn must_operate(&self) -> Wanted<()> {
        self.must_be_admin("only the admin token and the root key may do this")
    }

    /// Refuses whoever may not manage keys.
    pub(crate) fn must_manage_keys(&self) -> Wanted<()> {
        self.must_be_admin("only the admin token and the root key may manage access keys")
    }

    fn must_be_admin(&self, refusal: &'static str) -> Wanted<()> {
        if self.manages_keys {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "denied",
            refusal,
            "use the admin token",
        ))
    }
}

fn denied(why: &str) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "denied",
        format!("the request is not signed as it must be: {why}"),
        "check key id and secret, and sign for the service s3",
    )
}
