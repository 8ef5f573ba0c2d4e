//! Where members are. The cluster's own list says so; a member that moved is found by where its datagrams come from.
//!
//! A learnt address is used as long as the member is heard from it. When it falls silent, datagrams go to the learnt and
//! the listed address in turn, and the listed name is looked up again now and then: whichever is right brings an answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdfast_core::ids::NodeId;

/// A member that was not heard for so long may have moved: several times the longest silence of one that is well.
const SILENT_AFTER: Duration = Duration::from_secs(30);
/// Names of silent members are looked up this often.
const LOOKUP_EVERY: Duration = Duration::from_secs(30);

/// Everybody's address.
pub(super) struct Book {
    entries: BTreeMap<NodeId, Entry>,
}

struct Entry {
    name: String,
    listed: Option<SocketAddr>,
    learnt: Option<SocketAddr>,
    heard: Option<Instant>,
    looked_up: Option<Instant>,
    /// Which of two addresses is next.
    turn: bool,
    /// What to send once the name is known.
    kept: Option<Bytes>,
}

/// Where to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Aim {
    pub(super) address: Option<SocketAddr>,
    pub(super) wants_lookup: bool,
}

impl Book {
    pub(super) fn new(members: impl Iterator<Item = (NodeId, String)>) -> Self {
        let entry = |name: String| Entry {
            listed: name.parse().ok(),
            name,
            learnt: None,
            heard: None,
            looked_up: None,
            turn: false,
            kept: None,
        };
        Self {
            entries: members.map(|(node, name)| (node, entry(name))).collect(),
        }
    }

    pub(super) fn knows(&self, node: NodeId) -> bool {
        self.entries.contains_key(&node)
    }

    pub(super) fn name(&self, node: NodeId) -> Option<String> {
        self.entries.get(&node).map(|entry| entry.name.clone())
    }

    /// Where a datagram to this member goes now.
    pub(super) fn aim(&mut self, node: NodeId, now: Instant) -> Aim {
        let Some(entry) = self.entries.get_mut(&node) else {
            return Aim {
                address: None,
                wants_lookup: false,
            };
        };
        let is_fresh = |at: Option<Instant>, within| at.is_some_and(|at| now.saturating_duration_since(at) < within);
        if is_fresh(entry.heard, SILENT_AFTER) {
            return Aim {
                address: entry.learnt,
                wants_lookup: false,
            };
        }
        let is_literal = entry.name.parse::<SocketAddr>().is_ok();
        let wants_lookup = !is_literal && !is_fresh(entry.looked_up, LOOKUP_EVERY);
        if wants_lookup {
            entry.looked_up = Some(now);
        }
        entry.turn = !entry.turn;
        let (first, second) = if entry.turn {
            (entry.listed, entry.learnt)
        } else {
            (entry.learnt, entry.listed)
        };
        Aim {
            address: first.or(second),
            wants_lookup,
        }
    }

    /// Keeps what is to be sent once the name is known, if no address is.
    pub(super) fn keep(&mut self, node: NodeId, bytes: Bytes) {
        if let Some(entry) = self.entries.get_mut(&node)
            && entry.listed.is_none()
            && entry.learnt.is_none()
        {
            entry.kept = Some(bytes);
        }
    }

    /// The name was looked up; returns what waited for it.
    pub(super) fn resolved(&mut self, node: NodeId, address: Option<SocketAddr>) -> Option<(SocketAddr, Bytes)> {
        let entry = self.entries.get_mut(&node)?;
        let kept = entry.kept.take();
        entry.listed = address.or(entry.listed);
        entry.listed.zip(kept)
    }

    /// A member spoke from there.
    pub(super) fn heard(&mut self, node: NodeId, source: SocketAddr, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&node) {
            entry.learnt = Some(source);
            entry.heard = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn a_member_that_moved_is_spoken_to_where_it_speaks_from() {
        let mut book = Book::new([(NodeId(1), "127.0.0.1:1".to_owned())].into_iter());
        let start = Instant::now();
        let later = start + SILENT_AFTER * 2;
        assert_eq!(book.aim(NodeId(1), start).address, Some(address(1)));
        book.heard(NodeId(1), address(2), start);
        assert_eq!(book.aim(NodeId(1), start).address, Some(address(2)));
        let aims: Vec<_> = (0..4).map(|_| book.aim(NodeId(1), later).address).collect();
        assert!(aims.contains(&Some(address(1))) && aims.contains(&Some(address(2))));
        assert!(!book.aim(NodeId(1), later).wants_lookup, "a literal needs none");
    }

    #[test]
    fn a_name_is_looked_up_when_needed_and_not_more_often() {
        let mut book = Book::new([(NodeId(1), "a.example:1".to_owned())].into_iter());
        let start = Instant::now();
        assert_eq!(
            book.aim(NodeId(1), start),
            Aim {
                address: None,
                wants_lookup: true
            }
        );
        book.keep(NodeId(1), Bytes::from_static(b"x"));
        assert!(!book.aim(NodeId(1), start).wants_lookup);
        assert_eq!(
            book.resolved(NodeId(1), Some(address(5))),
            Some((address(5), Bytes::from_static(b"x")))
        );
        assert_eq!(book.resolved(NodeId(1), None), None);
        assert_eq!(
            book.aim(NodeId(1), start).address,
            Some(address(5)),
            "a failed lookup forgets nothing"
        );
        assert!(book.aim(NodeId(1), start + LOOKUP_EVERY).wants_lookup);
        assert_eq!(book.aim(NodeId(9), start).address, None);
    }
}
