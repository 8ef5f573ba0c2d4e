//! How a cluster begins, once (rule L7): one node founds it, the others register, and all get the same members.
//!
//! `--found N` makes the authority and a join token and waits until N nodes, itself included, are on record; then the
//! caller computes what to hand out (the first layout, opaque here) and everybody gets it. A node looks for the founder among
//! its seeds and registers with the token, or with a secret that all nodes were given; each side proves that it knows it before
//! it believes the other. The node is known by its public key from then on, so that either side may be killed at any moment and
//! the same exchange, repeated, gives the same ids.
//!
//! Invariants: what is answered was durable before; no node gets two ids, no id goes to two nodes; a data directory has
//! a whole identity or none; a node that joins never founds. Whoever cannot prove the secret learns nothing and leaves
//! nothing behind, and whoever has no registered key learns nothing once the cluster stands.
//!
//! Weak: only the founder can repeat a lost answer. Joining a cluster that stands already is a change of its layout and
//! does not go this way.

mod admission;
mod challenge;
pub(crate) mod encoding;
mod found;
#[cfg(test)]
mod in_between;
mod join;
mod message;
pub(crate) mod pin;
mod proof;
mod register;
mod registered_with;
mod registrar;
mod registration;
mod seeds;
mod state;
mod token;

pub use admission::Admission;
pub use found::{FoundConfig, Founder, found_alone, found_together, late_answers};
pub use join::{JoinConfig, join};
pub use proof::SharedSecret;
pub use registered_with::RegisteredWith;
pub use registration::{About, Registration};
pub use seeds::{SeedAddress, Seeds, same_address};
pub use token::{JoinToken, TokenError, TokenSecret};

use crate::identity::authority::AuthorityError;
use crate::identity::{Identity, IdentityError};
use crate::peer::{CredentialsError, Member};

/// A cluster that stands, as one of its founding members sees it.
#[derive(Clone, Debug)]
pub struct Founding {
    /// This node. Its layout is the payload.
    pub identity: Identity,
    /// All members, the founder first, in the order in which they registered.
    pub members: Vec<Registration>,
}

impl Founding {
    /// The members as `Peers` wants them.
    #[must_use]
    pub fn peers(&self) -> Vec<Member> {
        let member = |node: &Registration| Member {
            id: node.id,
            address: node.about.node_address.clone(),
        };
        self.members.iter().map(member).collect()
    }
}

/// Founding or joining failed. Nothing was founded; what was registered stays so, and the same call may be repeated.
#[derive(Debug)]
pub enum FoundingError {
    /// Files could not be read or written.
    Identity(IdentityError),
    /// Keys or certificates could not be made.
    Authority(AuthorityError),
    /// Keys or certificates could not be used.
    Credentials(CredentialsError),
    /// The operating system gave no randomness.
    Randomness(String),
    /// The operator's settings make no sense.
    Settings(String),
    /// The founder said no.
    Refused(String),
    /// The other side is not who the token says, or answers nonsense.
    Founder(String),
}

impl std::fmt::Display for FoundingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Identity(error) => write!(f, "{error}"),
            Self::Authority(error) => write!(f, "{error}"),
            Self::Credentials(error) => write!(f, "{error}"),
            Self::Randomness(error) => write!(f, "the operating system gives no randomness: {error}"),
            Self::Settings(problem) => write!(f, "{problem}"),
            Self::Refused(reason) => write!(f, "the founder refuses this node: {reason}"),
            Self::Founder(problem) => write!(f, "{problem}"),
        }
    }
}

impl std::error::Error for FoundingError {}

impl From<IdentityError> for FoundingError {
    fn from(error: IdentityError) -> Self {
        Self::Identity(error)
    }
}

impl From<AuthorityError> for FoundingError {
    fn from(error: AuthorityError) -> Self {
        Self::Authority(error)
    }
}

impl From<CredentialsError> for FoundingError {
    fn from(error: CredentialsError) -> Self {
        Self::Credentials(error)
    }
}
