//! The gateway token: what an operator carries to a gateway so that nodes admit it. Every member knows it, for it follows from the
//! cluster's secret; it pins the authority as a join token does, and admits gateways only.

use crate::founding::{JoinToken, TokenError};
use crate::identity::Identity;
use crate::identity::authority::fingerprint;

const PREFIX: &str = "hfg1-";
const JOIN_PREFIX: &str = "hf1-";

/// A gateway token. Displayed in full: whoever prints it means to.
#[derive(Clone, Copy, Debug)]
pub struct GatewayToken(pub JoinToken);

impl GatewayToken {
    /// The token of the cluster that a node belongs to.
    #[must_use]
    pub fn of(identity: &Identity) -> Self {
        let derived = identity.secret.derive("gateway token");
        let secret = derived.first_chunk().copied().unwrap_or_default();
        Self(JoinToken::new(
            identity.cluster,
            fingerprint(&identity.authority),
            secret,
        ))
    }
}

impl std::fmt::Display for GatewayToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = self.0.to_string();
        write!(f, "{PREFIX}{}", token.strip_prefix(JOIN_PREFIX).unwrap_or(&token))
    }
}

impl std::str::FromStr for GatewayToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let digits = text.trim().strip_prefix(PREFIX).ok_or(TokenError::NotAToken)?;
        format!("{JOIN_PREFIX}{digits}").parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::ids::ClusterId;

    use super::*;

    #[test]
    fn a_token_can_be_read_back_and_is_no_join_token() {
        let token = GatewayToken(JoinToken::new(ClusterId(7), [3; 32], [9; 16]));
        let text = token.to_string();
        let read: GatewayToken = format!(" {text}\n").parse().expect("a token");
        assert_eq!(
            (read.0.cluster, read.0.fingerprint, read.0.secret.0),
            (ClusterId(7), [3; 32], [9; 16])
        );
        assert!(text.parse::<JoinToken>().is_err());
        assert!(token.0.to_string().parse::<GatewayToken>().is_err());
        assert!(text[..text.len() - 1].parse::<GatewayToken>().is_err());
    }
}
