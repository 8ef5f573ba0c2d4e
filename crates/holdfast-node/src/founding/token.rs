//! The join token: what an operator carries from the founder to a node that shall register (rule L7).
//!
//! It names the cluster, pins the authority by the SHA-256 of its certificate (so that the joining node trusts nobody
//! else, without having seen the cluster before), and holds a secret that proves to the founder that the operator sent
//! the node. Printed as one word, in hexadecimal, with a checksum, so that a token cut short in a terminal is told
//! apart from a wrong one.

use crate::identity::{from_hex, to_hex};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use holdfast_core::ids::ClusterId;

const PREFIX: &str = "hf1-";
const TOKEN_BYTES: usize = 16 + 32 + 16 + 4;

/// The part of a token that must stay secret. Guessing 128 bits over the network is hopeless.
#[derive(Clone, Copy)]
pub struct TokenSecret(pub [u8; 16]);

impl std::fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenSecret(…)")
    }
}

impl TokenSecret {
    /// Compares in constant time: how far a guess was right must not show in the time it takes to refuse it.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

/// A join token. Displayed in full: whoever prints it means to.
#[derive(Clone, Copy, Debug)]
pub struct JoinToken {
    /// The cluster to join.
    pub cluster: ClusterId,
    /// SHA-256 of its authority's certificate.
    pub fingerprint: [u8; 32],
    /// What proves that the operator sent us.
    pub secret: TokenSecret,
}

impl JoinToken {
    /// A token of its parts.
    #[must_use]
    pub const fn new(cluster: ClusterId, fingerprint: [u8; 32], secret: [u8; 16]) -> Self {
        Self {
            cluster,
            fingerprint,
            secret: TokenSecret(secret),
        }
    }
}

/// A string that is not a join token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenError {
    /// It does not begin as a token does.
    NotAToken,
    /// Some of it is missing or mistyped.
    Damaged,
}

impl std::fmt::Display for TokenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAToken => write!(f, "this is not a join token; it begins with \"{PREFIX}\""),
            Self::Damaged => write!(
                f,
                "the join token is incomplete or mistyped; copy it again from the founder"
            ),
        }
    }
}

impl std::error::Error for TokenError {}

impl std::fmt::Display for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        bytes.extend_from_slice(&self.cluster.0.to_be_bytes());
        bytes.extend_from_slice(&self.fingerprint);
        bytes.extend_from_slice(&self.secret.0);
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        write!(f, "{PREFIX}{}", to_hex(&bytes))
    }
}

impl std::str::FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let digits = text.trim().strip_prefix(PREFIX).ok_or(TokenError::NotAToken)?;
        let bytes: [u8; TOKEN_BYTES] = from_hex(digits).ok_or(TokenError::Damaged)?;
        let (content, sum) = bytes.split_at(TOKEN_BYTES - 4);
        if checksum(content) != sum {
            return Err(TokenError::Damaged);
        }
        let mut fields = super::encoding::Fields(content);
        let mut read = || -> Result<Self, super::encoding::Malformed> {
            Ok(Self {
                cluster: ClusterId(u128::from_be_bytes(fields.array()?)),
                fingerprint: fields.array()?,
                secret: TokenSecret(fields.array()?),
            })
        };
        read().map_err(|_| TokenError::Damaged)
    }
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let hash = blake3::hash(bytes);
    let [a, b, c, d, ..] = *hash.as_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::{JoinToken, TokenError, TokenSecret};
    use holdfast_core::ids::ClusterId;
    use proptest::prelude::{any, proptest};

    fn token() -> JoinToken {
        JoinToken {
            cluster: ClusterId(0xabc),
            fingerprint: [7; 32],
            secret: TokenSecret([9; 16]),
        }
    }

    #[test]
    fn a_token_survives_being_printed() {
        let printed = token().to_string();
        let read: JoinToken = format!("  {printed}\n").parse().expect("token");
        assert_eq!((read.cluster, read.fingerprint), (token().cluster, token().fingerprint));
        assert!(read.secret.matches(&token().secret));
        assert!(!read.secret.matches(&TokenSecret([8; 16])));
    }

    #[test]
    fn a_token_cut_short_or_mistyped_is_told_apart_from_something_else() {
        let printed = token().to_string();
        assert_eq!(printed[..60].parse::<JoinToken>().err(), Some(TokenError::Damaged));
        assert_eq!(
            printed.replace("abc", "abd").parse::<JoinToken>().err(),
            Some(TokenError::Damaged)
        );
        assert_eq!("hunter2".parse::<JoinToken>().err(), Some(TokenError::NotAToken));
    }

    proptest! {
        #[test]
        fn arbitrary_strings_never_panic(text in any::<String>(), digits in "[0-9a-fé]{130,140}") {
            let _ = text.parse::<JoinToken>();
            let _ = format!("hf1-{digits}").parse::<JoinToken>();
        }
    }
}
