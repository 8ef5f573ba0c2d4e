//! With whom a node registered when its cluster was founded: a line for people, kept beside its identity.

use crate::identity::{IdentityError, directory, files};
use holdfast_core::ids::NodeId;
use std::path::Path;

const HEADER: &str = "holdfast registered 1";

/// The founder, as the registering node came to it. The founder itself is on its own record first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegisteredWith {
    /// The seed that led there.
    pub address: String,
    /// The founder.
    pub founder: NodeId,
    /// What people call it.
    pub name: String,
}

impl std::fmt::Display for RegisteredWith {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}) at {}", self.name, self.founder, self.address)
    }
}

impl RegisteredWith {
    pub(super) const FILE: &'static str = "registered-with";

    pub(super) fn encode(&self) -> Vec<u8> {
        format!(
            "{HEADER}\nfounder {}\nname {}\naddress {}\n",
            self.founder, self.name, self.address
        )
        .into_bytes()
    }

    /// Reads it; `None` if it is not known. Nothing depends on it, so neither does a start on its being readable.
    pub fn load(data: &Path) -> Result<Option<Self>, IdentityError> {
        let path = directory(data).join(Self::FILE);
        let bytes = files::read_file(&path).map_err(|error| IdentityError::io(&path, &error))?;
        Ok(bytes.as_deref().and_then(Self::parse))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(bytes).ok()?.lines();
        (lines.next()? == HEADER).then_some(())?;
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        Some(Self {
            founder: NodeId(u64::from_str_radix(field("founder")?, 16).ok()?),
            name: field("name")?.to_owned(),
            address: field("address")?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::RegisteredWith;
    use holdfast_core::ids::NodeId;

    #[test]
    fn it_is_read_back_and_never_in_the_way() {
        let with = RegisteredWith {
            address: "a.example:9002".into(),
            founder: NodeId(0xabc),
            name: "a".into(),
        };
        assert_eq!(RegisteredWith::parse(&with.encode()), Some(with));
        for damaged in [
            "",
            "holdfast registered 1\n",
            "holdfast registered 1\nfounder x\nname a\naddress b\n",
        ] {
            assert_eq!(RegisteredWith::parse(damaged.as_bytes()), None);
        }
    }
}
