//! What this node heard of other members' disks (rule S1), so that a disk which is put back from an old copy is known for
//! one: its own rows cannot tell.
//!
//! Each start of a node announces itself to every member: which actor, which boot, which tick bound its disk had. Whoever
//! has heard of a later boot of that actor, or of a higher bound from an earlier run, says so. Boots are noted on disk before
//! they are answered; bounds come with gossip while a node writes, and are noted now and then: a copy put back within one
//! boot shows only in them.

use alloc::collections::BTreeMap;

use crate::codec::{DecodeError, Reader, Writer};
use crate::gossip::NodeFacts;
use crate::ids::{ActorId, NodeId, Tick};
use crate::storage::{Batch, ReadError, Space, Storage};

/// Key of the row in [`Space::Meta`].
const HEARD_KEY: &[u8] = b"heard";
/// First byte of the row.
const HEARD_VERSION: u8 = 1;
/// A bound is noted on disk again when it has grown by so much, in milliseconds.
const NOTE_EVERY_MS: u64 = 60_000;

/// What a node says of its disk when it has started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Announcement {
    /// Whose data it is.
    pub actor: ActorId,
    /// When that data began, in Unix milliseconds of the node's clock.
    pub born_ms: u64,
    /// Drawn anew by every start: tells a start from another one of the same number.
    pub run: u64,
    /// The number of the start.
    pub boot: u64,
    /// The tick bound that the disk had at the start: every tick of earlier runs lies below it.
    pub bound: Tick,
}

/// What a member knows of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known {
    /// Nothing later.
    Nothing,
    /// This node had other data before: those are lost, or put aside. Said of these data for ever.
    OtherData,
    /// Later starts, or later writes, of the same data: what the node has is an old copy.
    Later,
}

/// What was heard of one member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Past {
    actor: ActorId,
    born_ms: u64,
    /// The last run heard of, and its boot.
    run: u64,
    boot: u64,
    /// The highest tick bound heard from that run.
    bound: Tick,
    /// The highest of earlier runs.
    boot_before: u64,
    bound_before: Tick,
    /// The member had other data before.
    is_replacement: bool,
}

/// What was heard of all other members.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    members: BTreeMap<NodeId, Past>,
    /// Each bound when it was last noted, in milliseconds.
    noted_ms: BTreeMap<NodeId, u64>,
}

impl Heard {
    /// What the disk remembers; nothing if that cannot be read, since it is told again.
    pub(crate) fn read(storage: &dyn Storage) -> Result<Self, ReadError> {
        let row = match storage.get(Space::Meta, HEARD_KEY) {
            Ok(Some(row)) => row,
            Ok(None) | Err(ReadError::Corrupt) => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let members = decode(&row).unwrap_or_default();
        Ok(Self {
            members,
            noted_ms: BTreeMap::new(),
        })
    }

    /// A member announces itself. Says what is known of it, and whether there is something new to be written.
    pub(crate) fn announced(&mut self, node: NodeId, said: &Announcement) -> (Known, bool) {
        let fresh = Past::beginning_with(said);
        let Some(past) = self.members.get_mut(&node) else {
            self.members.insert(node, fresh);
            return (Known::Nothing, true);
        };
        if past.actor != said.actor {
            // New data say so in their first run; later on, whichever were born later are the newer ones.
            let is_newer = said.boot == 1 || said.born_ms >= past.born_ms;
            if is_newer {
                *past = Past {
                    is_replacement: true,
                    ..fresh
                };
            }
            let known = if is_newer { Known::OtherData } else { Known::Later };
            return (known, is_newer);
        }
        if past.run == said.run {
            return (past.judge(said), false);
        }
        let next = Past {
            boot_before: past.boot_before.max(past.boot),
            bound_before: past.bound_before.max(past.bound),
            is_replacement: past.is_replacement,
            ..fresh
        };
        let known = next.judge(said);
        let is_news = known != Known::Later;
        if is_news {
            *past = next;
        }
        (known, is_news)
    }

    /// A member tells in gossip how high its bound is. Whether that should be written.
    pub(crate) fn told(&mut self, node: NodeId, facts: &NodeFacts) -> bool {
        let NodeFacts {
            actor,
            boot,
            run,
            tick_bound: bound,
            ..
        } = *facts;
        let Some(past) = self.members.get_mut(&node) else {
            // This node has forgotten what it heard, or was not told yet.
            let first = Past::beginning_with(&Announcement {
                actor,
                born_ms: 0,
                run,
                boot,
                bound,
            });
            self.members.insert(node, first);
            return true;
        };
        if past.actor != actor {
            return false;
        }
        if past.run != run && boot > past.boot {
            // It has announced itself to others, not to this node yet. What comes of an earlier run comes late.
            past.boot_before = past.boot_before.max(past.boot);
            past.bound_before = past.bound_before.max(past.bound);
            (past.run, past.boot, past.bound) = (run, boot, bound);
            return true;
        } else if past.run != run || past.bound >= bound {
            return false;
        }
        past.bound = bound;
        let noted_ms = self.noted_ms.entry(node).or_default();
        let is_due = bound.millis() >= noted_ms.saturating_add(NOTE_EVERY_MS);
        if is_due {
            *noted_ms = bound.millis();
        }
        is_due
    }

    /// Writes all of it.
    pub(crate) fn write(&self, batch: &mut Batch) {
        let mut row = Writer::with_capacity(2 + self.members.len() * 64);
        row.u8(HEARD_VERSION);
        row.count(self.members.len());
        for (node, past) in &self.members {
            row.u64(node.0);
            row.u64(past.actor.0);
            row.u64(past.born_ms);
            row.u64(past.run);
            row.u64(past.boot);
            row.u64(past.bound.0);
            row.u64(past.boot_before);
            row.u64(past.bound_before.0);
            row.flag(past.is_replacement);
        }
        batch.put(Space::Meta, HEARD_KEY.to_vec(), row.into_vec());
    }
}

impl Past {
    /// Nothing was heard of this member before.
    const fn beginning_with(said: &Announcement) -> Self {
        Self {
            actor: said.actor,
            born_ms: said.born_ms,
            run: said.run,
            boot: said.boot,
            bound: said.bound,
            boot_before: 0,
            bound_before: Tick(0),
            is_replacement: false,
        }
    }

    const fn judge(&self, said: &Announcement) -> Known {
        if self.boot_before >= said.boot || self.bound_before.0 > said.bound.0 {
            Known::Later
        } else if self.is_replacement {
            Known::OtherData
        } else {
            Known::Nothing
        }
    }
}

fn decode(row: &[u8]) -> Result<BTreeMap<NodeId, Past>, DecodeError> {
    let mut reader = Reader::over_slice(row);
    match reader.u8()? {
        HEARD_VERSION => {}
        version => return Err(DecodeError::UnknownVersion { what: "heard", version }),
    }
    let mut members = BTreeMap::new();
    for _ in 0..reader.count(65)? {
        let node = NodeId(reader.u64()?);
        let past = Past {
            actor: ActorId(reader.u64()?),
            born_ms: reader.u64()?,
            run: reader.u64()?,
            boot: reader.u64()?,
            bound: Tick(reader.u64()?),
            boot_before: reader.u64()?,
            bound_before: Tick(reader.u64()?),
            is_replacement: reader.flag("replacement")?,
        };
        members.insert(node, past);
    }
    reader.finish()?;
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::{Hinted, Soundness};
    use alloc::vec::Vec;

    const NODE: NodeId = NodeId(4);

    fn start(run: u64, boot: u64, bound: u64) -> Announcement {
        Announcement {
            actor: ActorId(9),
            born_ms: 1_000,
            run,
            boot,
            bound: Tick(bound),
        }
    }

    /// What a run of that many boots tells.
    fn facts(run: u64, bound: u64) -> NodeFacts {
        NodeFacts {
            actor: ActorId(9),
            boot: run + 3,
            epoch: 1,
            format_level: 1,
            disk_used_bytes: 0,
            disk_total_bytes: 0,
            hinted: Hinted::Only(Vec::new()),
            run,
            tick_bound: Tick(bound),
            soundness: Soundness::Sound,
            is_ending: false,
        }
    }

    #[test]
    fn starts_that_follow_one_another_are_told_of_nothing() {
        let mut heard = Heard::default();
        assert_eq!(heard.announced(NODE, &start(1, 1, 0)), (Known::Nothing, true));
        heard.told(NODE, &facts(1, 50));
        assert_eq!(
            heard.announced(NODE, &start(1, 1, 0)),
            (Known::Nothing, false),
            "said twice"
        );
        assert_eq!(heard.announced(NODE, &start(2, 2, 50)), (Known::Nothing, true));
        heard.told(NODE, &facts(2, 90));
        assert_eq!(heard.announced(NODE, &start(2, 2, 50)), (Known::Nothing, false));
    }

    #[test]
    fn a_copy_from_an_earlier_boot_is_known_for_one() {
        let mut heard = Heard::default();
        heard.announced(NODE, &start(1, 4, 10));
        heard.announced(NODE, &start(2, 5, 10));
        for run in [3, 3] {
            assert_eq!(heard.announced(NODE, &start(run, 5, 10)), (Known::Later, false));
        }
        assert_eq!(
            heard.announced(NODE, &start(4, 6, 10)),
            (Known::Nothing, true),
            "the disk itself"
        );
    }

    #[test]
    fn a_copy_from_within_a_boot_is_known_by_its_bound() {
        let mut heard = Heard::default();
        heard.announced(NODE, &start(1, 4, 10));
        heard.told(NODE, &facts(1, 80));
        assert_eq!(heard.announced(NODE, &start(2, 5, 60)), (Known::Later, false));
        assert_eq!(
            heard.announced(NODE, &start(3, 5, 80)),
            (Known::Nothing, true),
            "the disk itself"
        );
    }

    #[test]
    fn a_run_that_announced_itself_to_others_is_known_from_gossip() {
        let mut heard = Heard::default();
        heard.announced(NODE, &start(1, 4, 10));
        heard.told(NODE, &facts(2, 70));
        assert_eq!(
            heard.announced(NODE, &start(2, 5, 40)),
            (Known::Nothing, false),
            "itself"
        );
        heard.told(NODE, &facts(1, 90));
        assert_eq!(
            heard.announced(NODE, &start(2, 5, 40)),
            (Known::Nothing, false),
            "news of an earlier run are late"
        );
        assert_eq!(heard.announced(NODE, &start(3, 6, 60)), (Known::Later, false));
    }

    #[test]
    fn other_data_are_newer_or_older_by_their_birth() {
        let mut heard = Heard::default();
        heard.announced(NODE, &start(1, 4, 10));
        let new = |run, boot| Announcement {
            actor: ActorId(10),
            born_ms: 2_000,
            ..start(run, boot, 0)
        };
        assert_eq!(heard.announced(NODE, &new(2, 2)), (Known::OtherData, true));
        assert_eq!(
            heard.announced(NODE, &start(3, 9, 99)),
            (Known::Later, false),
            "an old copy of the old data"
        );
        let first = Announcement {
            born_ms: 5,
            ..new(4, 1)
        };
        let first = Announcement {
            actor: ActorId(11),
            ..first
        };
        assert_eq!(
            heard.announced(NODE, &first),
            (Known::OtherData, true),
            "however its clock stands"
        );
    }

    #[test]
    fn what_is_written_is_read_again_and_what_is_damaged_is_forgotten() {
        let mut heard = Heard::default();
        heard.announced(NODE, &start(1, 4, 10));
        heard.told(NODE, &facts(1, 80));
        let mut batch = Batch::default();
        heard.write(&mut batch);
        let (_, _, Some(row)) = &batch.changes[0] else {
            panic!("a row");
        };
        assert_eq!(decode(row), Ok(heard.members));
        for cut in 0..row.len() {
            assert!(decode(&row[..cut]).is_err());
        }
    }
}
