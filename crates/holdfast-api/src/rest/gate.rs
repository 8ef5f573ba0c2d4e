//! Whom this port knows: the admin token, the root key, and the sessions of the console.

use std::sync::Arc;

use holdfast_core::bucket::KeyState;
use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::caller::{ADMIN, Caller, Verifier};
use crate::console::{Claim, Session, Sessions, sign_in};
use crate::objects::Objects;
use crate::problem::Problem;
use crate::serve::ApiConfig;
use crate::signature::Payload;

/// Who may ask.
pub(crate) struct Gate {
    verifier: Verifier,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) is_tls: bool,
    pub(crate) region: String,
}

impl Gate {
    pub(super) fn new(config: &ApiConfig, objects: Arc<dyn Objects>) -> Self {
        Self {
            verifier: Verifier::new(config, objects),
            sessions: Arc::new(Sessions::new(config.session_key)),
            is_tls: config.tls.is_some(),
            region: config.region.clone(),
        }
    }

    /// The cluster.
    pub(crate) fn objects(&self) -> &dyn Objects {
        self.verifier.objects()
    }

    /// Whether this is the admin token.
    pub(crate) fn is_admin_token(&self, token: &str) -> bool {
        self.verifier.is_admin_token(token)
    }

    /// Whether a principal may manage keys.
    pub(crate) fn manages_keys(&self, principal: &str) -> bool {
        self.verifier.manages_keys(principal)
    }

    /// Who asks: by what the request carries, or by a session of the console.
    pub(super) async fn verify(&self, request: &Parts) -> Result<(Caller, Payload), Problem> {
        if !request.headers.contains_key(AUTHORIZATION)
            && let Some(admitted) = self.of_console(request).await
        {
            return admitted.map(|caller| (caller, Payload::Unsigned));
        }
        self.verifier.verify(request).await
    }

    /// Who asks with a session that stands: its key must still be good, too.
    pub(crate) async fn caller(&self, session: &Session) -> Result<Caller, Problem> {
        let caller = Caller {
            principal: session.principal.clone(),
            manages_keys: self.manages_keys(&session.principal),
        };
        if session.principal == ADMIN {
            return Ok(caller);
        }
        let key = self.objects().access_key(&session.principal).await;
        let key = key.map_err(|fault| Problem::read(&fault))?;
        match key.is_some_and(|key| key.state == KeyState::Enabled) {
            true => Ok(caller),
            false => Err(sign_in::over()),
        }
    }

    /// Who asks with what a session claims; `None` when it claims nothing.
    pub(super) async fn admit(&self, claim: Claim) -> Option<Result<Caller, Problem>> {
        match claim {
            Claim::None => None,
            Claim::Over => Some(Err(sign_in::over())),
            Claim::Foreign => Some(Err(sign_in::foreign())),
            Claim::Session(session) => Some(self.caller(&session).await),
        }
    }

    /// Who asks with a session of the console.
    async fn of_console(&self, request: &Parts) -> Option<Result<Caller, Problem>> {
        let claim = crate::console::of_script(&self.sessions, request, sign_in::now_ms());
        self.admit(claim).await
    }

    /// For whom an element of a page of the console reads.
    pub(super) async fn of_element(&self, request: &Parts) -> Result<Caller, Problem> {
        let claim = crate::console::of_element(&self.sessions, request, sign_in::now_ms());
        match self.admit(claim).await {
            Some(admitted) => admitted,
            None => Err(sign_in::over()),
        }
    }
}
