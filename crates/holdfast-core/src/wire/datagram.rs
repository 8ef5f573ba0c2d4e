//! A datagram of gossip: how its sender regards its addressee, what its clock shows, one message of foca, facts, maintenance marks.
//!
//! It is what the core hands to the shell; the shell seals it, which adds at most [`SEAL_BYTES_MAX`]. A datagram that
//! fits no Ethernet frame would be lost whenever one of its fragments is, so the bounds below leave no way to make one.

use alloc::vec::Vec;
use foca::State;

use super::swim::{read_state, state_tag};
use crate::codec::{DecodeError, Reader, Writer};
use crate::gossip::facts::{HINTED_MAX, Hinted, NodeFacts, Soundness, Told};
use crate::gossip::identity::Generation;
use crate::gossip::maintenance::Mark;
use crate::ids::{ActorId, NodeId, Partition, Tick};

/// First byte of every datagram.
pub const DATAGRAM_VERSION: u8 = 1;
/// The largest datagram on the network.
pub const SEALED_BYTES_MAX: usize = 1_200;
/// What sealing adds at most.
pub const SEAL_BYTES_MAX: usize = 64;
/// The largest datagram before it is sealed.
pub const DATAGRAM_BYTES_MAX: usize = SEALED_BYTES_MAX - SEAL_BYTES_MAX;
/// foca's part of it.
pub(crate) const SWIM_BYTES_MAX: usize = 480;
/// Facts of so many members, the sender among them.
pub(crate) const FACTS_MAX: usize = 3;
/// So many maintenance marks.
pub(crate) const MARKS_MAX: usize = 4;
/// The facts of one member. Numbers as varints: seven bits to a byte.
const TOLD_BYTES_MAX: usize = 8 + 10 + 10 + 8 + 10 + 10 + 3 + 10 + 10 + 2 + 2 * HINTED_MAX + 8 + 8 + 1 + 1;
/// A mark.
const MARK_BYTES_MAX: usize = 8 + 1 + 10 + 8;
/// Version, regard, clock, and the three lengths.
const FRAME_BYTES_MAX: usize = 1 + 10 + 3 + 1 + 10 + 2 + 1 + 1;

const _: () = assert!(TOLD_BYTES_MAX <= 200);
const _: () = assert!(
    FRAME_BYTES_MAX + SWIM_BYTES_MAX + FACTS_MAX * TOLD_BYTES_MAX + MARKS_MAX * MARK_BYTES_MAX <= DATAGRAM_BYTES_MAX
);

/// What the sender holds of the addressee. It tells a suspect of the suspicion, without which it could not refute it, and
/// a node that starts on a wiped disk which of its generations are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Regard {
    pub(crate) generation: Generation,
    pub(crate) incarnation: u16,
    pub(crate) state: State,
}

/// A datagram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Datagram<'a> {
    pub(crate) regard: Regard,
    /// What the sender's clock shows, Unix milliseconds (rule S4).
    pub(crate) wall_ms: u64,
    pub(crate) swim: &'a [u8],
    pub(crate) facts: Vec<Told>,
    pub(crate) marks: Vec<Mark>,
}

impl<'a> Datagram<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(self.swim.len() + 256);
        writer.u8(DATAGRAM_VERSION);
        writer.varint(self.regard.generation.0);
        writer.varint(u64::from(self.regard.incarnation));
        writer.u8(state_tag(self.regard.state));
        writer.varint(self.wall_ms);
        writer.bytes(self.swim);
        writer.count(self.facts.len());
        for told in &self.facts {
            write_told(&mut writer, told);
        }
        writer.count(self.marks.len());
        for mark in &self.marks {
            write_mark(&mut writer, mark);
        }
        writer.into_vec()
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        if bytes.len() > DATAGRAM_BYTES_MAX {
            return Err(DecodeError::TooLong { what: "datagram" });
        }
        let mut reader = Reader::over_slice(bytes);
        let version = reader.u8()?;
        if version != DATAGRAM_VERSION {
            let what = "datagram";
            return Err(DecodeError::UnknownVersion { what, version });
        }
        let regard = Regard {
            generation: Generation(reader.varint()?),
            incarnation: reader.varint_u16("incarnation")?,
            state: read_state(reader.u8()?)?,
        };
        let wall_ms = reader.varint()?;
        let swim = reader.slice("gossip message", SWIM_BYTES_MAX)?;
        let facts = read_list(&mut reader, FACTS_MAX, read_told)?;
        let marks = read_list(&mut reader, MARKS_MAX, read_mark)?;
        reader.finish()?;
        Ok(Self {
            regard,
            wall_ms,
            swim,
            facts,
            marks,
        })
    }
}

fn read_list<T>(
    reader: &mut Reader<'_>,
    count_max: usize,
    read: fn(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = reader.count(1)?;
    if count > count_max {
        return Err(DecodeError::TooLong { what: "list" });
    }
    (0..count).map(|_| read(reader)).collect()
}

fn write_told(writer: &mut Writer, told: &Told) {
    let facts = &told.facts;
    writer.u64(told.node.0);
    writer.varint(told.generation.0);
    writer.varint(told.version);
    writer.u64(facts.actor.0);
    writer.varint(facts.boot);
    writer.varint(facts.epoch);
    writer.varint(u64::from(facts.format_level));
    writer.varint(facts.disk_used_bytes);
    writer.varint(facts.disk_total_bytes);
    match &facts.hinted {
        Hinted::Only(partitions) => {
            writer.u8(0);
            writer.count(partitions.len());
            for partition in partitions {
                writer.u16(partition.0);
            }
        }
        Hinted::Many => writer.u8(1),
    }
    writer.u64(facts.run);
    writer.u64(facts.tick_bound.0);
    writer.u8(match facts.soundness {
        Soundness::Sound => 0,
        Soundness::Unvouched => 1,
        Soundness::Filling => 2,
    });
    writer.flag(facts.is_ending);
}

fn read_told(reader: &mut Reader<'_>) -> Result<Told, DecodeError> {
    Ok(Told {
        node: NodeId(reader.u64()?),
        generation: Generation(reader.varint()?),
        version: reader.varint()?,
        facts: NodeFacts {
            actor: ActorId(reader.u64()?),
            boot: reader.varint()?,
            epoch: reader.varint()?,
            format_level: reader.varint_u16("format level")?,
            disk_used_bytes: reader.varint()?,
            disk_total_bytes: reader.varint()?,
            hinted: read_hinted(reader)?,
            run: reader.u64()?,
            tick_bound: Tick(reader.u64()?),
            soundness: read_soundness(reader)?,
            is_ending: reader.flag("goodbye")?,
        },
    })
}

fn read_soundness(reader: &mut Reader<'_>) -> Result<Soundness, DecodeError> {
    match reader.u8()? {
        0 => Ok(Soundness::Sound),
        1 => Ok(Soundness::Unvouched),
        2 => Ok(Soundness::Filling),
        tag => Err(DecodeError::BadTag { what: "soundness", tag }),
    }
}

fn read_hinted(reader: &mut Reader<'_>) -> Result<Hinted, DecodeError> {
    match reader.u8()? {
        0 => {
            let partitions = read_list(reader, HINTED_MAX, |reader| Ok(Partition(reader.u16()?)))?;
            if partitions.is_sorted_by(|left, right| left < right) {
                Ok(Hinted::Only(partitions))
            } else {
                Err(DecodeError::NotCanonical {
                    what: "list of partitions",
                })
            }
        }
        1 => Ok(Hinted::Many),
        tag => Err(DecodeError::BadTag {
            what: "list of hints",
            tag,
        }),
    }
}

pub(crate) fn write_mark(writer: &mut Writer, mark: &Mark) {
    writer.u64(mark.node.0);
    writer.flag(mark.on);
    writer.varint(mark.at_ms);
    writer.u64(mark.by.0);
}

pub(crate) fn read_mark(reader: &mut Reader<'_>) -> Result<Mark, DecodeError> {
    Ok(Mark {
        node: NodeId(reader.u64()?),
        on: reader.flag("maintenance")?,
        at_ms: reader.varint()?,
        by: NodeId(reader.u64()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn told(node: u64, number: u64, hinted: Hinted) -> Told {
        Told {
            node: NodeId(node),
            generation: Generation(number),
            version: number,
            facts: NodeFacts {
                actor: ActorId(0xac70),
                boot: number,
                epoch: number,
                format_level: number as u16,
                disk_used_bytes: number,
                disk_total_bytes: number,
                hinted,
                run: number,
                tick_bound: Tick(number),
                soundness: Soundness::Filling,
                is_ending: true,
            },
        }
    }

    fn datagram(number: u64, swim: &[u8]) -> Datagram<'_> {
        let partitions = (0..HINTED_MAX as u16).map(Partition).collect();
        Datagram {
            regard: Regard {
                generation: Generation(number),
                incarnation: number as u16,
                state: State::Suspect,
            },
            wall_ms: number,
            swim,
            facts: vec![
                told(1, number, Hinted::Only(partitions)),
                told(2, number, Hinted::Many),
                told(3, number, Hinted::Only(vec![])),
            ],
            marks: vec![
                Mark {
                    node: NodeId(7),
                    on: true,
                    at_ms: number,
                    by: NodeId(8)
                };
                MARKS_MAX
            ],
        }
    }

    #[test]
    fn datagrams_can_be_read_back_and_the_largest_fits() {
        for number in [0, 300, u64::MAX] {
            let swim = [5; SWIM_BYTES_MAX];
            let datagram = datagram(number, &swim);
            let bytes = datagram.encode();
            assert!(bytes.len() <= DATAGRAM_BYTES_MAX);
            assert_eq!(Datagram::decode(&bytes), Ok(datagram));
        }
    }

    /// The format, byte by byte. Once released, this only ever gets a sibling with another version.
    #[test]
    fn the_bytes_are_what_they_were() {
        let datagram = Datagram {
            regard: Regard {
                generation: Generation(1 << 20),
                incarnation: 2,
                state: State::Alive,
            },
            wall_ms: 300,
            swim: b"swim",
            facts: vec![told(1, 3, Hinted::Only(vec![Partition(0x102)]))],
            marks: vec![Mark {
                node: NodeId(7),
                on: true,
                at_ms: 5,
                by: NodeId(8),
            }],
        };
        let expected = [
            &[1, 0x80, 0x80, 0x40, 2, 1, 0xac, 2, 4][..],
            b"swim",
            &[1],
            &[0, 0, 0, 0, 0, 0, 0, 1, 3, 3],
            &[0, 0, 0, 0, 0, 0, 0xac, 0x70, 3, 3, 3, 3, 3, 0, 1, 1, 2],
            &[0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3, 2, 1],
            &[1],
            &[0, 0, 0, 0, 0, 0, 0, 7, 1, 5],
            &[0, 0, 0, 0, 0, 0, 0, 8],
        ];
        assert_eq!(datagram.encode(), expected.concat());
    }

    #[test]
    fn what_is_cut_short_too_long_or_flipped_is_refused_or_means_something_else() {
        let bytes = datagram(300, b"swim").encode();
        for length in 0..bytes.len() {
            assert!(Datagram::decode(&bytes[..length]).is_err(), "cut to {length}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = Datagram::decode(&flipped) {
                assert_eq!(read.encode(), flipped, "read from a form that is not canonical");
            }
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Datagram::decode(&longer), Err(DecodeError::TrailingBytes));
        assert!(Datagram::decode(&[1; DATAGRAM_BYTES_MAX + 1]).is_err());
    }
}
