//! Who asks REST or gRPC: the bearer of the admin token, or the owner of an access key that signed.

use std::sync::Arc;

use holdfast_core::bucket::KeyState;
use http::StatusCode;
use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::objects::Objects;
use crate::problem::{Answer, Problem};
use crate::serve::ApiConfig;
use crate::signature::{Payload, Signed, Unverified};

/// What whoever has the admin token is called.
pub(crate) const ADMIN: &str = "admin";

/// Verifies what callers claim.
pub(crate) struct Verifier {
    objects: Arc<dyn Objects>,
    admin_token: Option<blake3::Hash>,
    root_key_id: Option<String>,
}

/// A caller whose claim was verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Caller {
    /// An access key id, or `admin`.
    pub(crate) principal: String,
    /// Whether keys may be managed.
    pub(crate) manages_keys: bool,
}

impl Verifier {
    pub(crate) fn new(config: &ApiConfig, objects: Arc<dyn Objects>) -> Self {
        Self {
            objects,
            admin_token: config.admin_token.as_ref().map(|token| blake3::hash(token.as_bytes())),
            root_key_id: config.root_key_id.clone(),
        }
    }

    /// The cluster that knows the keys.
    pub(crate) fn objects(&self) -> &dyn Objects {
        &*self.objects
    }

    /// Hashes compare in constant time, and tell nothing of the token's length.
    pub(crate) fn is_admin_token(&self, token: &str) -> bool {
        self.admin_token
            .is_some_and(|hash| hash == blake3::hash(token.as_bytes()))
    }

    /// Whether a principal may manage keys.
    pub(crate) fn manages_keys(&self, principal: &str) -> bool {
        principal == ADMIN || self.root_key_id.as_deref() == Some(principal)
    }

    /// Verifies a request's claim. What was signed of the body is left for later, when the body is there.
    pub(crate) async fn verify(&self, request: &Parts) -> Answer<(Caller, Payload)> {
        let Some(value) = request.headers.get(AUTHORIZATION) else {
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
            return if self.is_admin_token(token.trim()) {
                let caller = Caller {
                    principal: ADMIN.to_owned(),
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
        let signed =
            Signed::parse(value).ok_or_else(|| denied("the Authorization header is neither Bearer nor SigV4"))?;
        let key = self.objects.access_key(signed.key_id).await;
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
        let manages_keys = self.manages_keys(&key.id);
        let caller = Caller {
            principal: key.id,
            manages_keys,
        };
        Ok((caller, payload))
    }
}

impl Caller {
    /// Refuses whoever may not look after the cluster.
    pub(crate) fn must_operate(&self) -> Answer<()> {
        self.must_be_admin("only the admin token and the root key may do this")
    }

    /// Refuses whoever may not manage keys.
    pub(crate) fn must_manage_keys(&self) -> Answer<()> {
        self.must_be_admin("only the admin token and the root key may manage access keys")
    }

    fn must_be_admin(&self, refusal: &'static str) -> Answer<()> {
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
