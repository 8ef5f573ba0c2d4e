//! The nodes that a gateway keeps connections to: those it was told at first, and those it met on its ways. A few, however large the
//! cluster is.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use crate::chord::Peer;
use crate::ids::NodeId;
use crate::time::Now;

/// Connections at most: the homes of what is in use at a time, and some on the way to others.
const CONTACTS_MAX: usize = 64;
/// How long a node that owed an answer is asked after the others.
const SILENT_US: u64 = 5_000_000;

/// A node that is known.
#[derive(Debug)]
struct Contact {
    address: String,
    used_us: u64,
    /// Until when it is asked last.
    silent_until_us: u64,
}

/// The nodes that are known, and which of them messages can be sent to.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    known: BTreeMap<NodeId, Contact>,
    up: BTreeSet<NodeId>,
    changed: bool,
}

impl Contacts {
    /// Takes note of where a node can be reached.
    pub(super) fn learn(&mut self, now: Now, node: NodeId, address: &str) {
        if address.is_empty() {
            return;
        }
        if let Some(contact) = self.known.get_mut(&node) {
            if contact.address != address {
                contact.address = address.into();
                self.changed = true;
            }
            return;
        }
        if self.known.len() >= CONTACTS_MAX {
            let oldest = self.known.iter().min_by_key(|(_, contact)| contact.used_us);
            if let Some(oldest) = oldest.map(|(node, _)| *node) {
                self.known.remove(&oldest);
            }
        }
        let contact = Contact {
            address: address.into(),
            used_us: now.mono_us,
            silent_until_us: 0,
        };
        self.known.insert(node, contact);
        self.changed = true;
    }

    /// All of them with their addresses, if there are others than when this was last asked.
    pub(super) fn take_changed(&mut self) -> Option<Vec<(NodeId, String)>> {
        let list = || {
            self.known
                .iter()
                .map(|(node, contact)| (*node, contact.address.clone()))
        };
        core::mem::take(&mut self.changed).then(|| list().collect())
    }

    pub(super) fn set_up(&mut self, node: NodeId, is_up: bool) {
        if is_up {
            self.up.insert(node);
        } else {
            self.up.remove(&node);
        }
    }

    /// Whether messages to a node may be possible soon.
    pub(super) fn knows(&self, node: NodeId) -> bool {
        self.known.contains_key(&node)
    }

    pub(super) fn is_up(&self, node: NodeId) -> bool {
        self.up.contains(&node)
    }

    /// Whether a node owes an answer.
    pub(super) fn is_silent(&self, now: Now, node: NodeId) -> bool {
        self.known
            .get(&node)
            .is_some_and(|contact| contact.silent_until_us > now.mono_us)
    }

    /// It does.
    pub(super) fn unanswered(&mut self, now: Now, node: NodeId) {
        if let Some(contact) = self.known.get_mut(&node) {
            contact.silent_until_us = now.after_us(SILENT_US);
        }
    }

    /// It has spoken.
    pub(super) fn heard(&mut self, now: Now, node: NodeId) {
        if let Some(contact) = self.known.get_mut(&node) {
            (contact.silent_until_us, contact.used_us) = (0, now.mono_us);
        }
    }

    /// Those that can be asked, beginning with another one each time; all of them when none can.
    pub(super) fn from(&self, turn: u64) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = self.up.iter().copied().collect();
        if nodes.is_empty() {
            nodes = self.known.keys().copied().collect();
        }
        let first = turn.checked_rem(nodes.len() as u64).unwrap_or(0);
        nodes.rotate_left(first as usize);
        nodes
    }

    /// The same as nodes of the ring.
    pub(super) fn peers(&self) -> impl Iterator<Item = Peer> {
        self.from(0).into_iter().map(Peer::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(mono_us: u64) -> Now {
        Now { wall_ms: 0, mono_us }
    }

    #[test]
    fn the_one_that_was_of_no_use_longest_makes_room() {
        let mut contacts = Contacts::default();
        for node in 0..CONTACTS_MAX as u64 {
            contacts.learn(at(node), NodeId(node), "host:1");
        }
        contacts.heard(at(1_000), NodeId(0));
        assert_eq!(contacts.take_changed().map(|list| list.len()), Some(CONTACTS_MAX));
        assert_eq!(contacts.take_changed(), None);
        contacts.learn(at(2_000), NodeId(999), "host:1");
        let list = contacts.take_changed().expect("changed");
        assert_eq!(list.len(), CONTACTS_MAX);
        assert!(!list.iter().any(|(node, _)| *node == NodeId(1)) && list.iter().any(|(node, _)| *node == NodeId(0)));
        contacts.learn(at(2_000), NodeId(5), "");
        contacts.learn(at(2_000), NodeId(5), "host:1");
        assert_eq!(contacts.take_changed(), None, "nothing new");
        contacts.learn(at(2_000), NodeId(5), "other:1");
        assert!(
            contacts
                .take_changed()
                .is_some_and(|list| list.contains(&(NodeId(5), "other:1".into())))
        );
    }

    #[test]
    fn each_has_its_turn_and_who_owes_an_answer_is_known() {
        let mut contacts = Contacts::default();
        for node in 1..=3 {
            contacts.learn(at(0), NodeId(node), "host:1");
        }
        assert_eq!(
            contacts.from(1),
            [NodeId(2), NodeId(3), NodeId(1)],
            "none is up: any may be soon"
        );
        contacts.set_up(NodeId(1), true);
        contacts.set_up(NodeId(3), true);
        assert_eq!(
            (contacts.from(0), contacts.from(3)),
            ([1, 3].map(NodeId).to_vec(), [3, 1].map(NodeId).to_vec())
        );
        contacts.unanswered(at(0), NodeId(3));
        assert!(contacts.is_silent(at(1), NodeId(3)) && !contacts.is_silent(at(1), NodeId(1)));
        contacts.heard(at(2), NodeId(3));
        assert!(!contacts.is_silent(at(3), NodeId(3)));
    }
}
