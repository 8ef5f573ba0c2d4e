//! By what a joining node shows that it belongs to the cluster to be: a token, or a secret that all were given; at hand, or
//! in a file that may appear later or be replaced.

use super::proof::{JoinKey, Means, SharedSecret, read_small};
use super::token::JoinToken;
use std::path::PathBuf;

/// Where a joining node finds what admits it.
#[derive(Clone, Debug)]
pub enum Admission {
    /// The founder's token.
    Token(JoinToken),
    /// A file into which the founder writes its token, or somebody else does. Waited for, and read again at each try.
    TokenFile(PathBuf),
    /// A file with the secret that all nodes share. Waited for, and read again at each try.
    SecretFile(PathBuf),
}

/// What admits a node, at hand.
#[derive(Clone, Debug)]
pub enum Pass {
    Token(JoinToken),
    Secret(SharedSecret),
}

impl Admission {
    /// What is there now; the reason if there is nothing yet.
    pub(super) fn read(&self) -> Result<Pass, String> {
        match self {
            Self::Token(token) => Ok(Pass::Token(*token)),
            Self::TokenFile(path) => {
                let bytes = read_small(path)?;
                let text = String::from_utf8_lossy(&bytes);
                let token = text.parse::<JoinToken>();
                token
                    .map(Pass::Token)
                    .map_err(|error| format!("{}: {error}", path.display()))
            }
            Self::SecretFile(path) => SharedSecret::read(path).map(Pass::Secret),
        }
    }

    /// Whether it may be another one at the next try.
    pub(super) fn may_change(&self) -> bool {
        !matches!(self, Self::Token(_))
    }
}

impl Pass {
    pub fn means(&self) -> Means {
        match self {
            Self::Token(_) => Means::Token,
            Self::Secret(_) => Means::Secret,
        }
    }

    pub fn key(&self) -> JoinKey {
        match self {
            Self::Token(token) => JoinKey::of_token(&token.secret),
            Self::Secret(secret) => JoinKey::of_secret(secret),
        }
    }
}
