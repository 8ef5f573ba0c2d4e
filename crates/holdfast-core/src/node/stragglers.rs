//! Operations that have answered their client and live on for members that have not confirmed yet.
//!
//! Each holds what it would send again: the bodies of a record, a chunk of some MiB. A member that is frozen, or whose disk
//! has fallen far behind, confirms nothing, so with every write there is one more of them, until gossip holds the member down
//! or their deadlines pass: a minute of a busy node's writes, which are gigabytes. So their bytes and their number are
//! bounded, and the oldest ends first.
//!
//! What ends early loses no promise, as with the deadline that would have ended it: the write is on the disks that it was
//! answered for, and the member that missed it gets it by the next comparison (rule A1) or the next read.

use alloc::collections::BTreeMap;

use crate::message::OpId;

/// Bytes that they hold together. Some seconds of a busy disk: a member that is back by then has missed nothing. Beside it,
/// what waits in the queues to that member is small, since both hold the same bytes.
const BYTES_MAX: usize = 128 << 20;
/// How many there are: each costs a KiB or two beside its bodies.
const COUNT_MAX: usize = 16_384;

/// Operations that nobody waits for any more, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Stragglers {
    held: BTreeMap<OpId, usize>,
    bytes: usize,
    /// How many were ended early in this run.
    pub(crate) given_up: u64,
}

impl Stragglers {
    /// An operation lives on, and holds so many bytes.
    pub(crate) fn insert(&mut self, op: OpId, bytes: usize) {
        self.remove(op);
        self.bytes += bytes;
        self.held.insert(op, bytes);
    }

    /// It is over, or awake.
    pub(crate) fn remove(&mut self, op: OpId) {
        if let Some(bytes) = self.held.remove(&op) {
            self.bytes -= bytes;
        }
    }

    /// The oldest, if they are too many: it must end.
    pub(crate) fn pop_excess(&mut self) -> Option<OpId> {
        if self.bytes <= BYTES_MAX && self.held.len() <= COUNT_MAX {
            return None;
        }
        let (op, bytes) = self.held.pop_first()?;
        self.bytes -= bytes;
        self.given_up += 1;
        Some(op)
    }

    pub(crate) fn count(&self) -> usize {
        self.held.len()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_end_once_their_bytes_are_too_many() {
        let mut stragglers = Stragglers::default();
        for op in 0..32 {
            stragglers.insert(OpId(op), 4 << 20);
            assert_eq!(stragglers.pop_excess(), None, "{op}");
        }
        stragglers.insert(OpId(32), 4 << 20);
        assert_eq!(stragglers.pop_excess(), Some(OpId(0)));
        assert_eq!(stragglers.pop_excess(), None);
        assert_eq!(
            (stragglers.count(), stragglers.bytes(), stragglers.given_up),
            (32, BYTES_MAX, 1)
        );
    }

    #[test]
    fn the_oldest_end_once_they_are_too_many() {
        let mut stragglers = Stragglers::default();
        for op in 0..=COUNT_MAX as u64 {
            stragglers.insert(OpId(op), 0);
        }
        assert_eq!(stragglers.pop_excess(), Some(OpId(0)));
        assert_eq!(stragglers.pop_excess(), None);
    }

    #[test]
    fn what_wakes_and_goes_on_counts_once() {
        let mut stragglers = Stragglers::default();
        stragglers.insert(OpId(1), 10);
        stragglers.insert(OpId(1), 7);
        assert_eq!((stragglers.count(), stragglers.bytes()), (1, 7));
        stragglers.remove(OpId(1));
        stragglers.remove(OpId(1));
        assert_eq!((stragglers.count(), stragglers.bytes()), (0, 0));
    }
}
