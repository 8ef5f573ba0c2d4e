//! The names of things: nodes, lives of disks, buckets, keys' places, writes.
//!
//! Every name is a newtype, because two bare `u64` side by side will one day be swapped. Random ones are made by the
//! shell and handed in; nothing here draws randomness or reads a clock.

use alloc::string::String;
use core::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty), $format:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $format, self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "(", $format, ")"), self.0)
            }
        }
    };
}

id!(
    /// A member's identity: it stands in the node's certificate and survives a wiped disk.
    NodeId(u64), "{:016x}"
);
id!(
    /// One life of a node's disk: new whenever the data directory is new, restored or found damaged (rule S1).
    ActorId(u64), "{:016x}"
);
id!(
    /// Identity of a cluster, drawn once at founding; a message from another cluster is refused.
    ClusterId(u128), "{:032x}"
);
id!(
    /// A bucket: hash of its name and of how often that name was deleted before, so racing creations agree (rule B1).
    BucketId(u64), "{:016x}"
);
id!(
    /// Identity of one client write, kept in the version so that a retry recognises itself (rule D7).
    RequestId(u128), "{:032x}"
);
id!(
    /// One attempt to upload one part, or one plain body. Its chunks belong to nothing else (rule D9).
    PartId(u128), "{:032x}"
);
id!(
    /// A multipart upload in progress.
    UploadId(u128), "{:032x}"
);
id!(
    /// A place on the ring of 2⁶⁴ positions.
    Position(u64), "{:016x}"
);
id!(
    /// One of the Q equal arcs of the ring: the top bits of a position.
    Partition(u16), "{}"
);
id!(
    /// A hybrid logical clock value: 48 bits of Unix milliseconds, 16 of counter (rule D1). It orders the writes of a
    /// key, and breaks ties for `newest`.
    Tick(u64), "{:016x}"
);

/// The system bucket: the registry of buckets and access keys (rule B3). Known without asking anyone.
pub const SYSTEM_BUCKET: BucketId = BucketId(0);

impl Tick {
    /// The first tick of a millisecond.
    #[must_use]
    pub const fn from_millis(unix_ms: u64) -> Self {
        Self(unix_ms << 16)
    }

    /// The Unix milliseconds in this tick; what users see as "last modified".
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0 >> 16
    }

    /// The next tick; saturates, since a counter that wrapped would reissue ticks.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A life of one copy of one key: the tick at which it began (rule D2).
pub type Life = Tick;

/// The name of one write of one key, for ever (rule D1).
///
/// Ordered by (tick, actor, life): the order in which `newest` chooses between siblings.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Dot {
    /// Which disk issued it.
    pub actor: ActorId,
    /// In which life of that disk's copy of the key.
    pub life: Life,
    /// When, as a tick above every one its coordinator had seen for the key.
    pub tick: Tick,
}

impl Ord for Dot {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.tick, self.actor, self.life).cmp(&(other.tick, other.actor, other.life))
    }
}

impl PartialOrd for Dot {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// One chunk of a body: immutable, never shared, with a position of its own (rule D9).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChunkId {
    /// The attempt it belongs to.
    pub part: PartId,
    /// Its number within the part, from 0.
    pub index: u32,
}

/// Object keys are UTF-8 up to this many bytes, as in S3.
pub const KEY_BYTES_MAX: usize = 1024;

/// A key within a bucket.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectKey {
    /// The bucket's id, never its name: a name can be deleted and created again.
    pub bucket: BucketId,
    /// UTF-8, 1 to [`KEY_BYTES_MAX`] bytes.
    pub key: String,
}
