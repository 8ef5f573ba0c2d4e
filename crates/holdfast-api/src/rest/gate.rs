//! Whom this port knows: the admin token, the root key, and the sessions of the console.

use std::sync::Arc;

use holdfast_core::bucket::KeyState;
use http::request::Parts;

use super::caller::Caller;
use super::problem::Problem;
use crate::console::{Claim, Session, Sessions, sign_in};
use crate::objects::Objects;
use crate::serve::ApiConfig;

/// What a principal of a session is called that signed in with the admin token.
const ADMIN: &str = "admin";

/// Who may ask.
pub(crate) struct Gate {
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) sessions: Arc<Sessions>,
    admin_token: Option<blake3::Hash>,
    pub(crate) root_key_id: Option<String>,
    pub(crate) is_tls: bool,
    pub(crate) region: String,
}

impl Gate {
    pub(super) fn new(config: &ApiConfig, objects: Arc<dyn Objects>) -> Self {
        Self {
            objects,
            sessions: Arc::new(Sessions::new(config.session_key)),
            admin_token: config.admin_token.as_ref().map(|token| blake3::hash(token.as_bytes())),
            root_key_id: config.root_key_id.clone(),
            is_tls: config.tls.is_some(),
            region: config.region.clone(),
        }
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

    /// Who asks with a session that stands: its key must still be good, too.
    pub(crate) async fn caller(&self, session: &Session) -> Result<Caller, Problem> {
        let caller = Caller {
            principal: session.principal.clone(),
            manages_keys: self.manages_keys(&session.principal),
        };
        if session.principal == ADMIN {
            return Ok(caller);
        }
        let key = self.objects.access_key(&session.principal).await;
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
    pub(super) async fn of_console(&self, request: &Parts) -> Option<Result<Caller, Problem>> {
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
