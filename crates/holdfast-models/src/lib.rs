//! Rules of the protocol as models small enough that every state can be looked at.
//!
//! The simulator runs the real core through long lives, a few of which it can see; a model runs rules alone through every life of
//! a few steps. What the two have in common are the rules' names. Each planted fault of a model is one line away from a
//! plausible implementation, and its test says in how few steps it does harm.
//!
//! [`lives`]: who may claim to have what (rules D2, H1, H3, Q1): two homes, two stand-ins, two puts by anybody, blind writes
//! written once more, one node that starts uncleanly. 106,000 states without unclean starts, 407,000 with; 2.3 million with two messages
//! under way.
//!
//! [`gate`]: how a tombstone leaves (rule G1 for tombstones): two or three homes, a member that may hold a hint and be away, a put, a
//! delete and a put by any home, collectors that stop anywhere and whose orders arrive arbitrarily late. 17,000 states for the smallest
//! scope, 815,000 with the later put, 354,000 with three homes, 307,000 with a member away and an unclean start. It is ahead of the code:
//! tombstones are not collected yet. What it says:
//!
//! - Asking all homes whether they hold exactly this tombstone, synced; a stretch of at least one message life in which no member held a hint;
//!   then removing what is still exactly that tombstone, in any order and however late: that is enough. What the tombstone
//!   replaced is nowhere any more once the stretch is over, so nobody needs it.
//! - A home that removes it late, or was down meanwhile, gives it back to the others; the next round collects it again.
//! - So that a tombstone that comes back hides no later put, whoever removes one goes on above its ticks.
//! - Marks on disk between stretch and removal (settled: left out of digests; condemned: left out of everything) add no safety, and
//!   get stuck: after a collector stopped half-way, one home has nothing, another a tombstone that is sent to nobody.
//!
//! The tests look at all of that in half a minute. `main.rs` has scopes of up to 4.2 million states that take some minutes: the later put
//! with three homes, with two collectors, with the guest away, with one put through the guest; every variation of the marks; three puts.
//!
//! Weak: one key; at most three writes; homes are fixed. Of clocks only their order is told.

pub mod gate;
pub mod lives;
pub mod record;
pub mod search;
pub mod under_way;
