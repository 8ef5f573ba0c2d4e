//! Members that are down on purpose. An operator says so of a member, through any node, before or after it is switched
//! off; the mark is about the member and not by it, so it outlives the member's absence, and it is kept on every disk, so
//! it outlives a restart of everybody else. Alarms ask for it; nothing else does: a member in maintenance is as up or as
//! down as gossip finds it.
//!
//! The latest word wins: each is stamped above every one known for that member. Two operators who contradict each other
//! within the time of one datagram get the same answer everywhere, whichever it is.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::NodeId;
use crate::storage::{Batch, ReadError, Space, Storage};
use crate::wire::datagram::{read_mark, write_mark};

/// Key of the marks in [`Space::Meta`].
const MARKS_KEY: &[u8] = b"maintenance";
/// First byte of their row.
const MARKS_VERSION: u8 = 1;

/// The latest word on whether a member is down on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Which member.
    pub node: NodeId,
    /// Whether it is in maintenance.
    pub on: bool,
    /// When that was said, in Unix milliseconds, but above every earlier word on that member.
    pub at_ms: u64,
    /// The node that was told.
    pub by: NodeId,
}

impl Mark {
    const fn stamp(&self) -> (u64, NodeId) {
        (self.at_ms, self.by)
    }
}

/// All marks ever set: taking one back is a mark too.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    known: BTreeMap<NodeId, Mark>,
    /// The member after whose mark the next datagram goes on.
    passed_on: NodeId,
}

impl Marks {
    /// What this node's disk remembers.
    pub(crate) fn read(storage: &dyn Storage) -> Result<Self, ReadError> {
        let Some(row) = storage.get(Space::Meta, MARKS_KEY)? else {
            return Ok(Self::default());
        };
        let marks = decode(&row).map_err(|_| ReadError::Corrupt)?;
        Ok(Self {
            known: marks.into_iter().map(|mark| (mark.node, mark)).collect(),
            passed_on: NodeId(0),
        })
    }

    pub(crate) fn of(&self, node: NodeId) -> Option<Mark> {
        self.known.get(&node).filter(|mark| mark.on).copied()
    }

    /// A mark that overrules what is known of a member.
    pub(crate) fn say(&self, node: NodeId, on: bool, wall_ms: u64, by: NodeId) -> Mark {
        let known_ms = self.known.get(&node).map_or(0, |mark| mark.at_ms);
        let at_ms = wall_ms.max(known_ms.saturating_add(1));
        Mark { node, on, at_ms, by }
    }

    /// Takes note, and says whether that was news; whoever calls it then writes [`Marks::write`].
    pub(crate) fn learn(&mut self, mark: Mark) -> bool {
        let is_news = self
            .known
            .get(&mark.node)
            .is_none_or(|known| known.stamp() < mark.stamp());
        if is_news {
            self.known.insert(mark.node, mark);
        }
        is_news
    }

    /// Puts all marks into a batch.
    pub(crate) fn write(&self, batch: &mut Batch) {
        let mut row = Writer::with_capacity(16 + 32 * self.known.len());
        row.u8(MARKS_VERSION);
        row.count(self.known.len());
        for mark in self.known.values() {
            write_mark(&mut row, mark);
        }
        batch.put(Space::Meta, MARKS_KEY.to_vec(), row.into_vec());
    }

    /// The marks that the next datagram carries: a few, in turn.
    pub(crate) fn pass_on(&mut self, count_max: usize) -> Vec<Mark> {
        let after = self
            .known
            .range((core::ops::Bound::Excluded(self.passed_on), core::ops::Bound::Unbounded));
        let chosen: Vec<Mark> = after
            .chain(self.known.iter())
            .map(|(_, mark)| *mark)
            .take(count_max.min(self.known.len()))
            .collect();
        if let Some(last) = chosen.last() {
            self.passed_on = last.node;
        }
        chosen
    }
}

fn decode(row: &[u8]) -> Result<Vec<Mark>, DecodeError> {
    let mut reader = Reader::over_slice(row);
    let version = reader.u8()?;
    if version != MARKS_VERSION {
        let what = "maintenance marks";
        return Err(DecodeError::UnknownVersion { what, version });
    }
    let count = reader.count(18)?;
    let marks = (0..count).map(|_| read_mark(&mut reader)).collect::<Result<_, _>>()?;
    reader.finish()?;
    Ok(marks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_word_wins_even_against_a_clock_that_is_behind() {
        let mut marks = Marks::default();
        let on = marks.say(NodeId(3), true, 5_000, NodeId(1));
        assert!(marks.learn(on));
        assert!(!marks.learn(on), "said twice is no news");
        let off = marks.say(NodeId(3), false, 1_000, NodeId(2));
        assert!(marks.learn(off));
        assert!(!marks.learn(on), "an old word does not come back");
        assert_eq!(marks.of(NodeId(3)), None);
    }

    #[test]
    fn marks_can_be_read_back_and_are_passed_on_in_turn() {
        let mut marks = Marks::default();
        for node in 1..=5 {
            let mark = marks.say(NodeId(node), node % 2 == 1, 1_000, NodeId(9));
            marks.learn(mark);
        }
        let mut batch = Batch::default();
        marks.write(&mut batch);
        let row = batch.changes[0].2.clone().expect("a value");
        assert_eq!(decode(&row), Ok(marks.known.values().copied().collect()));
        let first: Vec<u64> = marks.pass_on(4).iter().map(|mark| mark.node.0).collect();
        let second: Vec<u64> = marks.pass_on(4).iter().map(|mark| mark.node.0).collect();
        assert_eq!((first, second), (Vec::from([1, 2, 3, 4]), Vec::from([5, 1, 2, 3])));
    }
}
