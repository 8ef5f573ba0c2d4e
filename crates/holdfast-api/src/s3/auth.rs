//! Who signed: the cluster's access keys as `s3s` asks for them, and the refusal of requests nobody signed.

use std::sync::Arc;

use holdfast_core::bucket::KeyState;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Result, s3_error};

use super::{errors, gate};
use crate::objects::Objects;
use crate::serve::RequestNote;

/// The cluster's access keys.
pub(super) struct Keys(pub(super) Arc<dyn Objects>);

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match self.0.access_key(access_key).await {
            Ok(Some(key)) if key.state == KeyState::Enabled => Ok(SecretKey::from(key.secret.as_str())),
            // Disabled and deleted keys look like unknown ones: nobody learns which ids once existed.
            Ok(_) => Err(s3_error!(
                InvalidAccessKeyId,
                "The AWS Access Key Id you provided does not exist in our records."
            )),
            Err(fault) => Err(errors::read_fault(&fault)),
        }
    }
}

/// Lets every signed request pass and none other; also notes who asked for what, for log and metrics.
pub(super) struct SignedOnly;

#[async_trait::async_trait]
impl S3Access for SignedOnly {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let operation = cx.s3_op().name().to_owned();
        let principal = cx.credentials().map(|credentials| credentials.access_key.clone());
        let signed = principal.is_some();
        if let Some(note) = cx.extensions_mut().get::<RequestNote>() {
            note.identify(&operation, principal);
        }
        if !signed {
            return Err(s3_error!(AccessDenied, "Access Denied."));
        }
        gate::check_operation(&operation, cx.uri().query())
    }
}
