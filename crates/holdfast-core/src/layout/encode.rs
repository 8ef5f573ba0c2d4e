//! A layout as bytes (rules L1, L7): its members, and proof that the reader derives the same lists from them.
//!
//! Lists are not written: they are a function of the members. A program whose function is another one would disagree
//! with its peers about who owns what, and would store and acknowledge in the wrong places; so the bytes name the
//! optimiser and carry a digest of the lists, and a reader that arrives at other lists refuses the layout.
//!
//! The bytes, all numbers big endian except counts and lengths, which are varints:
//!
//! | field | bytes |
//! |---|---|
//! | format version, 1 | 1 |
//! | optimiser version, 1 | 1 |
//! | era | 4 |
//! | epoch | 8 |
//! | log₂ of the number of partitions, at most 16 | 1 |
//! | number of members | varint |
//! | for each member, by ascending id: id | 8 |
//! | … name, zone, host: length, then UTF-8 | varint, n |
//! | … capacity in bytes | 8 |
//! | BLAKE3 of the lists: every list's indexes in turn, 2 bytes each | 32 |
//!
//! Invariants: one layout has one encoding; reading never panics, and takes bounded time and memory whatever it reads
//! ([`MEMBERS_MAX`], [`PLACES_MAX`]). Weak spot: whoever founds a cluster beyond these bounds writes bytes that nobody
//! will read; [`Layout::is_storable`] tells before.

use alloc::vec::Vec;
use core::fmt;

use super::optimise::{self, preference_lists};
use super::{Layout, Member};
use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::NodeId;

/// Version of the bytes.
const FORMAT_VERSION: u8 = 1;

/// Partitions are numbered by 16 bits.
pub const PARTITION_BITS_MAX: u8 = 16;

/// Members of a layout: every node holds all of it, which suits thousands.
pub const MEMBERS_MAX: usize = 4_096;

/// Members times partitions: the lists of a layout take two bytes for each, so at most 64 MiB.
pub const PLACES_MAX: usize = 1 << 25;

/// Length of a member's name, zone or host, in bytes.
pub const PLACE_NAME_BYTES_MAX: usize = 255;

/// Why bytes are not a layout that this program can follow. Nothing was changed by trying.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LayoutDecodeError {
    /// They are no layout at all, or one in a newer format.
    Malformed(DecodeError),
    /// The lists were computed by another optimiser.
    OtherOptimiser {
        /// Version of the one that computed them.
        written_by: u8,
        /// Version of the one in this program.
        known: u8,
    },
    /// The optimiser claims to be the same but computes other lists: these nodes must not serve one cluster.
    OtherLists,
    /// Too many members or partitions, or none.
    OutOfBounds {
        /// What is.
        what: &'static str,
    },
}

impl From<DecodeError> for LayoutDecodeError {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl fmt::Display for LayoutDecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "the layout cannot be read: {error}"),
            Self::OtherOptimiser { written_by, known } => write!(
                f,
                "the layout was computed by version {written_by} of the optimiser, this program has version {known}: \
                 run the version of Holdfast that the other nodes run"
            ),
            Self::OtherLists => f.write_str(
                "this program computes other preference lists from the layout's members than the founder did: \
                 run the version of Holdfast that the other nodes run",
            ),
            Self::OutOfBounds { what } => write!(f, "the layout's number of {what} is out of bounds"),
        }
    }
}

impl core::error::Error for LayoutDecodeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Malformed(error) => Some(error),
            _ => None,
        }
    }
}

impl Layout {
    /// The layout as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Writer::with_capacity(64 * (self.members.len() + 1));
        to.u8(FORMAT_VERSION);
        to.u8(optimise::VERSION);
        to.u32(self.era);
        to.u64(self.epoch);
        to.u8(self.partition_bits);
        to.count(self.members.len());
        for member in &self.members {
            to.u64(member.id.0);
            to.str(&member.name);
            to.str(&member.zone);
            to.str(&member.host);
            to.u64(member.capacity_bytes);
        }
        to.raw(&self.lists_digest());
        to.into_vec()
    }

    /// Reads what [`Layout::encode`] wrote, and computes the lists again.
    ///
    /// # Errors
    /// When the bytes are no layout, or one whose lists this program would compute otherwise.
    pub fn decode(bytes: &[u8]) -> Result<Self, LayoutDecodeError> {
        let mut from = Reader::over_slice(bytes);
        let version = from.u8()?;
        if version != FORMAT_VERSION {
            return Err(DecodeError::UnknownVersion {
                what: "layout",
                version,
            }
            .into());
        }
        let written_by = from.u8()?;
        if written_by != optimise::VERSION {
            return Err(LayoutDecodeError::OtherOptimiser {
                written_by,
                known: optimise::VERSION,
            });
        }
        let (era, epoch, partition_bits) = (from.u32()?, from.u64()?, from.u8()?);
        let members = read_members(&mut from)?;
        let digest: [u8; 32] = from.array()?;
        from.finish()?;
        check_bounds(members.len(), partition_bits)?;
        let layout = Self {
            era,
            epoch,
            partition_bits,
            lists: preference_lists(&members, partition_bits),
            members,
        };
        if layout.lists_digest() != digest {
            return Err(LayoutDecodeError::OtherLists);
        }
        Ok(layout)
    }

    /// Whether [`Layout::decode`] would accept a layout of these members: the founder asks before it founds.
    #[must_use]
    pub fn is_storable(members: &[Member], partition_bits: u8) -> bool {
        let short = |member: &Member| {
            [&member.name, &member.zone, &member.host]
                .iter()
                .all(|name| name.len() <= PLACE_NAME_BYTES_MAX)
        };
        check_bounds(members.len(), partition_bits).is_ok() && members.iter().all(short)
    }

    /// Digest of all preference lists: nodes for which it differs disagree about who owns what.
    #[must_use]
    pub fn lists_digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let mut bytes = Vec::with_capacity(2 * self.members.len());
        for list in &self.lists {
            bytes.clear();
            bytes.extend(list.iter().flat_map(|index| index.to_be_bytes()));
            hasher.update(&bytes);
        }
        *hasher.finalize().as_bytes()
    }
}

/// The members, which must ascend by id.
fn read_members(from: &mut Reader<'_>) -> Result<Vec<Member>, LayoutDecodeError> {
    // An id, three lengths, a capacity.
    let count = from.count(8 + 3 + 8)?;
    if count > MEMBERS_MAX {
        return Err(LayoutDecodeError::OutOfBounds { what: "members" });
    }
    let mut members: Vec<Member> = Vec::with_capacity(count);
    for _ in 0..count {
        let member = Member {
            id: NodeId(from.u64()?),
            name: from.str("name of a member", PLACE_NAME_BYTES_MAX)?,
            zone: from.str("zone of a member", PLACE_NAME_BYTES_MAX)?,
            host: from.str("host of a member", PLACE_NAME_BYTES_MAX)?,
            capacity_bytes: from.u64()?,
        };
        if members.last().is_some_and(|last| last.id >= member.id) {
            return Err(DecodeError::NotCanonical {
                what: "list of members",
            }
            .into());
        }
        members.push(member);
    }
    Ok(members)
}

/// Whether lists of so many members and partitions may be computed.
const fn check_bounds(members_count: usize, partition_bits: u8) -> Result<(), LayoutDecodeError> {
    if members_count == 0 || members_count > MEMBERS_MAX {
        return Err(LayoutDecodeError::OutOfBounds { what: "members" });
    }
    if partition_bits > PARTITION_BITS_MAX || members_count << partition_bits > PLACES_MAX {
        return Err(LayoutDecodeError::OutOfBounds { what: "partitions" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;
    use alloc::{format, vec};

    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{Layout, LayoutDecodeError, MEMBERS_MAX, Member};
    use crate::codec::DecodeError;
    use crate::ids::NodeId;

    fn members(count: u64) -> Vec<Member> {
        let member = |id: u64| Member {
            id: NodeId(id),
            name: format!("n{id}"),
            zone: ["a", "b"][id as usize % 2].to_string(),
            host: format!("h{id}"),
            capacity_bytes: 1_000 + id,
        };
        (1..=count).map(member).collect()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn what_was_written_is_read() {
        for (count, bits) in [(1, 0), (1, 10), (3, 10), (5, 4), (30, 6)] {
            let layout = Layout::found(members(count), bits);
            assert_eq!(Layout::decode(&layout.encode()), Ok(layout));
        }
        let late = Layout {
            era: 7,
            epoch: u64::MAX - 1,
            ..Layout::found(members(3), 2)
        };
        assert_eq!(Layout::decode(&late.encode()), Ok(late));
    }

    /// These bytes stand in data directories: every later version must read them.
    #[test]
    fn golden_bytes() {
        let golden = concat!(
            // Format, optimiser, era, epoch, partition bits, number of members.
            "010100000001000000000000000103",
            "03",
            "0000000000000001026e31016202683100000000000003e9",
            "0000000000000002026e32016102683200000000000003ea",
            "0000000000000003026e33016202683300000000000003eb",
            "9cbb5c94d5ab4fd6fb1fd4a2797b610a8c9fe3740c125034e8d5708b9aaa89bd",
        );
        assert_eq!(hex(&Layout::found(members(3), 3).encode()), golden);
    }

    #[test]
    fn every_other_optimiser_and_format_is_refused_by_name() {
        let bytes = Layout::found(members(3), 3).encode();
        let mut other = bytes.clone();
        other[1] = 2;
        let error = LayoutDecodeError::OtherOptimiser {
            written_by: 2,
            known: 1,
        };
        assert_eq!(Layout::decode(&other), Err(error));
        let mut other = bytes;
        other[0] = 9;
        let error = DecodeError::UnknownVersion {
            what: "layout",
            version: 9,
        };
        assert_eq!(Layout::decode(&other), Err(LayoutDecodeError::Malformed(error)));
    }

    #[test]
    fn a_program_that_computes_other_lists_refuses() {
        // What a program would write whose optimiser differs in one list.
        let mut other = Layout::found(members(3), 3);
        other.lists[5].swap(1, 2);
        assert_eq!(Layout::decode(&other.encode()), Err(LayoutDecodeError::OtherLists));
    }

    #[test]
    fn bytes_that_would_cost_too_much_are_refused_before_they_do() {
        let with = |members: Vec<Member>, partition_bits: u8| {
            let mut layout = Layout::found(members, 0);
            layout.partition_bits = partition_bits;
            Layout::decode(&layout.encode())
        };
        let partitions = Err(LayoutDecodeError::OutOfBounds { what: "partitions" });
        assert_eq!(with(members(1), 17), partitions);
        assert_eq!(with(members(1), 255), partitions);
        assert_eq!(with(members(600), 16), partitions);
        assert!(!Layout::is_storable(&members(600), 16));
        assert!(!Layout::is_storable(&[], 10));
        assert!(Layout::is_storable(&members(MEMBERS_MAX as u64), 10));
        assert!(!Layout::is_storable(&members(MEMBERS_MAX as u64 + 1), 10));
        let mut long = members(2);
        long[1].zone = vec!["z"; 256].concat();
        assert!(!Layout::is_storable(&long, 10));
        assert!(Layout::decode(&Layout::found(long, 3).encode()).is_err());
    }

    #[test]
    fn members_out_of_order_or_twice_are_refused() {
        let not_canonical = DecodeError::NotCanonical {
            what: "list of members",
        };
        let mangles: [fn(&mut Vec<Member>); 2] =
            [|members| members.swap(0, 1), |members| members[1] = members[0].clone()];
        for mangle in mangles {
            let mut layout = Layout::found(members(3), 3);
            mangle(&mut layout.members);
            assert_eq!(
                Layout::decode(&layout.encode()),
                Err(LayoutDecodeError::Malformed(not_canonical))
            );
        }
    }

    #[test]
    fn every_truncation_is_refused_and_so_is_more() {
        let mut bytes = Layout::found(members(3), 3).encode();
        for length in 0..bytes.len() {
            assert_eq!(
                Layout::decode(&bytes[..length]),
                Err(LayoutDecodeError::Malformed(DecodeError::Truncated))
            );
        }
        bytes.push(0);
        assert_eq!(
            Layout::decode(&bytes),
            Err(LayoutDecodeError::Malformed(DecodeError::TrailingBytes))
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Layout::decode(&bytes);
        }

        #[test]
        fn damage_is_refused_or_read_as_what_it_says(at in 0_usize..140, flip in 1_u8..=255) {
            let mut bytes = Layout::found(members(3), 3).encode();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            if let Ok(layout) = Layout::decode(&bytes) {
                prop_assert_eq!(layout.encode(), bytes);
            }
        }
    }
}
