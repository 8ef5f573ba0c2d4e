//! Frames: how bytes on a connection between nodes are cut into messages.
//!
//! A frame is a fixed header (kind, lengths of head and payload) followed by the head (what the core encoded) and the
//! payload (an object's bytes, if any). Two lengths instead of one let the receiver put the payload into a buffer of
//! its own, without knowing what the head says. There is no checksum: every frame travels inside TLS, whose records are
//! authenticated, and bodies carry their own checksums to the disk.
//!
//! Invariants: a parser never panics and never allocates more than the bounds below, whatever the bytes say. Weak spot:
//! a frame's length is believed once the header is read, so a member may make us reserve up to
//! [`MESSAGE_BYTES_MAX`] for each of its connections, whose number is bounded.

use holdfast_core::ids::{ActorId, ClusterId, NodeId};

/// The core's heads are some hundred bytes; the parts of an upload reach 2.3 MiB, a hundred inline siblings 3.2 MiB, the
/// rows of sixteen shards 4 MiB.
pub const HEAD_BYTES_MAX: usize = 8 << 20;
/// Head and payload: a chunk of 4 MiB with room for larger chunks later.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Messages up to this size share one connection; at 1 GiB/s such a message delays the next by a quarter millisecond.
pub const SMALL_BYTES_MAX: usize = 256 << 10;
/// Kind, three zero bytes, head length, payload length.
pub const HEADER_BYTES: usize = 12;
/// Why a connection was refused, in words, for the other side's log.
pub const REFUSAL_BYTES_MAX: usize = 512;

/// What a frame is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Who speaks; the first frame of each side.
    Hello = 1,
    /// The accepting side is content: messages may follow, or a registration.
    Welcome = 2,
    /// The connection is refused; the head says why.
    Refusal = 3,
    /// A message of the core.
    Message = 4,
    /// Are you there?
    Ping = 5,
    /// I am here; the only frame that a member sends after its welcome on a connection that it accepted from another.
    Pong = 6,
    /// What a registering node and the founder say to each other; the payload is theirs.
    Join = 7,
}

/// The fixed part of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// What the frame is for.
    pub kind: Kind,
    /// Length of the head that follows.
    pub head_bytes: usize,
    /// Length of the payload that follows the head.
    pub payload_bytes: usize,
}

/// Why bytes are not a frame, or not one for us. The connection is of no further use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// An unknown kind or a non-zero reserved byte.
    NotAFrame,
    /// A length above the bounds of this file.
    TooLong { head_bytes: usize, payload_bytes: usize },
    /// The other side speaks another protocol.
    NotHoldfast,
    /// A hello that is too short or malformed.
    BadHello,
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAFrame => write!(f, "bytes that are not a frame"),
            Self::TooLong {
                head_bytes,
                payload_bytes,
            } => {
                write!(
                    f,
                    "a frame beyond the bounds (head {head_bytes} bytes, payload {payload_bytes} bytes)"
                )
            }
            Self::NotHoldfast => write!(f, "a greeting of another protocol"),
            Self::BadHello => write!(f, "a malformed greeting"),
        }
    }
}

impl std::error::Error for FrameError {}

impl Header {
    /// A header for a message whose lengths were checked against the bounds.
    #[must_use]
    pub const fn new(kind: Kind, head_bytes: usize, payload_bytes: usize) -> Self {
        Self {
            kind,
            head_bytes,
            payload_bytes,
        }
    }

    /// The header's bytes.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "both lengths are at most MESSAGE_BYTES_MAX"
    )]
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = self.kind as u8;
        bytes[4..8].copy_from_slice(&(self.head_bytes as u32).to_le_bytes());
        bytes[8..12].copy_from_slice(&(self.payload_bytes as u32).to_le_bytes());
        bytes
    }

    /// Reads a header and holds it against the bounds.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let kind = match bytes[0] {
            1 => Kind::Hello,
            2 => Kind::Welcome,
            3 => Kind::Refusal,
            4 => Kind::Message,
            5 => Kind::Ping,
            6 => Kind::Pong,
            7 => Kind::Join,
            _ => return Err(FrameError::NotAFrame),
        };
        if bytes[1..4] != [0, 0, 0] {
            return Err(FrameError::NotAFrame);
        }
        let [_, _, _, _, a, b, c, d, e, f, g, h] = *bytes;
        let head_bytes = u32::from_le_bytes([a, b, c, d]) as usize;
        let payload_bytes = u32::from_le_bytes([e, f, g, h]) as usize;
        let (head_bytes_max, payload_bytes_max) = match kind {
            Kind::Message => (HEAD_BYTES_MAX, MESSAGE_BYTES_MAX - head_bytes.min(MESSAGE_BYTES_MAX)),
            Kind::Join => (0, MESSAGE_BYTES_MAX),
            Kind::Hello => (HELLO_BYTES_MAX, 0),
            Kind::Refusal => (REFUSAL_BYTES_MAX, 0),
            Kind::Welcome | Kind::Ping | Kind::Pong => (0, 0),
        };
        if head_bytes > head_bytes_max || payload_bytes > payload_bytes_max {
            return Err(FrameError::TooLong {
                head_bytes,
                payload_bytes,
            });
        }
        Ok(Self {
            kind,
            head_bytes,
            payload_bytes,
        })
    }
}

/// What a connection carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// Many small messages in order; its life is the life of the session.
    Small,
    /// One large message at a time, beside the small ones.
    Bulk,
    /// Small messages of a gateway and for it; its life is the life of the session.
    GatewaySmall,
    /// Large messages of a gateway and for it, one at a time each way.
    GatewayBulk,
}

/// What a node says of itself when a connection begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hello {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// Its id; must be the one its certificate names.
    pub node: NodeId,
    /// The life of its disk (rule S1).
    pub actor: ActorId,
    /// Number of this start (rule S1).
    pub boot: u64,
    /// The oldest and the newest format level it understands (rule L8).
    pub format_levels: (u16, u16),
    /// Drawn when the process started.
    pub process: u128,
    /// Drawn by the dialling side for each small connection; the bulk connections beside it carry the same.
    pub session: u128,
    /// What the connection is for.
    pub lane: Lane,
}

const HELLO_MAGIC: [u8; 8] = *b"HOLDFAST";
const HELLO_VERSION: u16 = 1;
const HELLO_BYTES: usize = 8 + 2 + 1 + 2 + 2 + 16 + 8 + 8 + 8 + 16 + 16;
/// Room for what later versions append.
const HELLO_BYTES_MAX: usize = 1024;

impl Hello {
    /// The greeting's bytes, the head of a frame of kind `Hello`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HELLO_BYTES);
        out.extend_from_slice(&HELLO_MAGIC);
        out.extend_from_slice(&HELLO_VERSION.to_le_bytes());
        out.push(match self.lane {
            Lane::Small => 0,
            Lane::Bulk => 1,
            Lane::GatewaySmall => 2,
            Lane::GatewayBulk => 3,
        });
        out.extend_from_slice(&self.format_levels.0.to_le_bytes());
        out.extend_from_slice(&self.format_levels.1.to_le_bytes());
        out.extend_from_slice(&self.cluster.0.to_le_bytes());
        out.extend_from_slice(&self.node.0.to_le_bytes());
        out.extend_from_slice(&self.actor.0.to_le_bytes());
        out.extend_from_slice(&self.boot.to_le_bytes());
        out.extend_from_slice(&self.process.to_le_bytes());
        out.extend_from_slice(&self.session.to_le_bytes());
        out
    }

    /// Reads a greeting. A longer one is of a later version, which may append fields but not move these.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, FrameError> {
        let from = &mut bytes;
        if take::<8>(from)? != HELLO_MAGIC {
            return Err(FrameError::NotHoldfast);
        }
        if u16::from_le_bytes(take(from)?) < HELLO_VERSION {
            return Err(FrameError::BadHello);
        }
        let lane = match take::<1>(from)? {
            [0] => Lane::Small,
            [1] => Lane::Bulk,
            [2] => Lane::GatewaySmall,
            [3] => Lane::GatewayBulk,
            _ => return Err(FrameError::BadHello),
        };
        let format_levels = (u16::from_le_bytes(take(from)?), u16::from_le_bytes(take(from)?));
        if format_levels.0 > format_levels.1 {
            return Err(FrameError::BadHello);
        }
        Ok(Self {
            lane,
            format_levels,
            cluster: ClusterId(u128::from_le_bytes(take(from)?)),
            node: NodeId(u64::from_le_bytes(take(from)?)),
            actor: ActorId(u64::from_le_bytes(take(from)?)),
            boot: u64::from_le_bytes(take(from)?),
            process: u128::from_le_bytes(take(from)?),
            session: u128::from_le_bytes(take(from)?),
        })
    }
}

fn take<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], FrameError> {
    let (field, rest) = from.split_first_chunk::<N>().ok_or(FrameError::BadHello)?;
    *from = rest;
    Ok(*field)
}

#[cfg(test)]
mod tests {
    use super::{FrameError, HEAD_BYTES_MAX, HEADER_BYTES, Header, Hello, Kind, Lane, MESSAGE_BYTES_MAX};
    use holdfast_core::ids::{ActorId, ClusterId, NodeId};
    use proptest::prelude::{any, proptest};

    #[test]
    fn header_survives_the_wire() {
        for (kind, head, payload) in [
            (Kind::Message, 0, 0),
            (Kind::Message, HEAD_BYTES_MAX, MESSAGE_BYTES_MAX - HEAD_BYTES_MAX),
            (Kind::Ping, 0, 0),
        ] {
            let header = Header::new(kind, head, payload);
            assert_eq!(Header::decode(&header.encode()), Ok(header));
        }
    }

    #[test]
    fn lengths_beyond_the_bounds_are_refused() {
        for (kind, head, payload) in [
            (Kind::Message, HEAD_BYTES_MAX + 1, 0),
            (Kind::Message, 1, MESSAGE_BYTES_MAX),
            (Kind::Ping, 1, 0),
            (Kind::Hello, 8, 1),
            (Kind::Refusal, 4096, 0),
        ] {
            let header = Header::new(kind, head, payload);
            assert!(
                matches!(Header::decode(&header.encode()), Err(FrameError::TooLong { .. })),
                "{header:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn arbitrary_headers_stay_within_the_bounds(bytes in any::<[u8; HEADER_BYTES]>()) {
            if let Ok(header) = Header::decode(&bytes) {
                assert!(header.head_bytes <= HEAD_BYTES_MAX);
                assert!(header.head_bytes + header.payload_bytes <= MESSAGE_BYTES_MAX);
                assert_eq!(header.encode(), bytes);
            }
        }

        #[test]
        fn arbitrary_greetings_never_panic(bytes in any::<Vec<u8>>()) {
            let _ = Hello::decode(&bytes);
            let mut with_magic = b"HOLDFAST\x01\x00".to_vec();
            with_magic.extend_from_slice(&bytes);
            let _ = Hello::decode(&with_magic);
        }

        #[test]
        fn greeting_survives_the_wire(
            cluster in any::<u128>(), node in any::<u64>(), actor in any::<u64>(), boot in any::<u64>(),
            low in any::<u16>(), more in any::<u16>(), process in any::<u128>(), session in any::<u128>(), bulk in any::<bool>(),
        ) {
            let hello = Hello {
                cluster: ClusterId(cluster), node: NodeId(node), actor: ActorId(actor), boot, process, session,
                format_levels: (low, low.saturating_add(more)), lane: if bulk { Lane::Bulk } else { Lane::Small },
            };
            let mut bytes = hello.encode();
            assert_eq!(Hello::decode(&bytes), Ok(hello));
            for short in 0..bytes.len() {
                assert!(Hello::decode(&bytes[..short]).is_err());
            }
            bytes.extend_from_slice(b"what a later version appends");
            assert_eq!(Hello::decode(&bytes), Ok(hello));
        }
    }
}
