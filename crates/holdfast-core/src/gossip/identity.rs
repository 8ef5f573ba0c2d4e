//! Who is talked about: a member in one generation of it.
//!
//! SWIM cannot refute a death, so a member that was declared dead comes back as a later generation of itself. The boot
//! number stands above the count of such renewals, so every start is a later generation than all of the run before it.
//! A disk that was wiped starts counting boots anew; the others then tell the node which generation they know, and it
//! goes on above that ([`Generation::above`]).

use crate::ids::NodeId;

/// Renewals that one boot has room for before it reads as the next boot, which would do no harm either.
const RENEWAL_BITS: u32 = 20;

/// Which run of a member, and how often it has come back within it. Zero: nothing was heard of it yet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Generation(pub u64);

impl Generation {
    /// What a member is called before it was heard of: below every real generation.
    pub const UNKNOWN: Self = Self(0);

    /// The first generation of a boot.
    #[must_use]
    pub const fn of_boot(boot: u64) -> Self {
        // Saturating by hand: a boot number that large was never counted, but came from a damaged disk.
        if boot >= 1 << (63 - RENEWAL_BITS) {
            Self(1 << 62)
        } else {
            Self(boot << RENEWAL_BITS)
        }
    }

    /// The next one.
    #[must_use]
    pub const fn above(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A member in one of its generations: what foca calls an identity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The member.
    pub node: NodeId,
    /// Its generation.
    pub generation: Generation,
}

impl foca::Identity for Identity {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        Some(Self {
            node: self.node,
            generation: self.generation.above(),
        })
    }

    fn addr(&self) -> NodeId {
        self.node
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.generation > adversary.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_boot_is_a_later_generation_than_all_renewals_of_an_earlier_one() {
        let mut renewed = Generation::of_boot(7);
        for _ in 0..1_000 {
            renewed = renewed.above();
        }
        assert!(Generation::UNKNOWN < Generation::of_boot(1));
        assert!(renewed < Generation::of_boot(8));
        assert!(Generation::of_boot(u64::MAX) >= Generation::of_boot(1 << 40));
    }
}
