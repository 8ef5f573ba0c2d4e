//! What foca says, as bytes: its header, and its claims about members. All of fixed length, so that claims can be taken
//! out of a message and put into another ([`screen`]) without understanding the rest.
//!
//! `docs/format.md` draws them. foca itself writes the count of claims between header and claims (`u16`, big endian).

use alloc::vec::Vec;
use bytes::{Buf, BufMut};
use core::fmt;
use foca::{Codec, Header, Member, Message, State};

use crate::codec::{DecodeError, Reader, Writer};
use crate::gossip::identity::{Generation, Identity};
use crate::ids::NodeId;

/// A claim: identity, incarnation, state.
const CLAIM_BYTES: usize = 8 + 8 + 2 + 1;

/// Why something could not be written or read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SwimError {
    /// The datagram is full: foca sends the claim with a later one.
    NoRoom,
    /// The bytes mean nothing.
    Malformed(DecodeError),
}

impl fmt::Display for SwimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom => f.write_str("the datagram is full"),
            Self::Malformed(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for SwimError {}

/// Writes and reads for foca.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SwimCodec;

impl Codec<Identity> for SwimCodec {
    type Error = SwimError;

    fn encode_header(&mut self, header: &Header<Identity>, buf: impl BufMut) -> Result<(), SwimError> {
        let mut writer = Writer::with_capacity(56);
        write_header(&mut writer, header);
        put(&writer, buf)
    }

    fn decode_header(&mut self, buf: impl Buf) -> Result<Header<Identity>, SwimError> {
        take(buf, read_header)
    }

    fn encode_member(&mut self, member: &Member<Identity>, buf: impl BufMut) -> Result<(), SwimError> {
        let mut writer = Writer::with_capacity(CLAIM_BYTES);
        write_claim(&mut writer, member);
        put(&writer, buf)
    }

    fn decode_member(&mut self, buf: impl Buf) -> Result<Member<Identity>, SwimError> {
        take(buf, read_claim)
    }
}

fn put(writer: &Writer, mut buf: impl BufMut) -> Result<(), SwimError> {
    if buf.remaining_mut() < writer.as_slice().len() {
        return Err(SwimError::NoRoom);
    }
    buf.put_slice(writer.as_slice());
    Ok(())
}

fn take<T>(mut buf: impl Buf, read: fn(&mut Reader<'_>) -> Result<T, DecodeError>) -> Result<T, SwimError> {
    let mut reader = Reader::over_slice(buf.chunk());
    let before = reader.remaining();
    let value = read(&mut reader).map_err(SwimError::Malformed)?;
    let taken = before - reader.remaining();
    buf.advance(taken);
    Ok(value)
}

fn write_identity(writer: &mut Writer, identity: Identity) {
    writer.u64(identity.node.0);
    writer.u64(identity.generation.0);
}

fn read_identity(reader: &mut Reader<'_>) -> Result<Identity, DecodeError> {
    Ok(Identity {
        node: NodeId(reader.u64()?),
        generation: Generation(reader.u64()?),
    })
}

/// The number of a state on the wire.
pub(crate) const fn state_tag(state: State) -> u8 {
    match state {
        State::Alive => 1,
        State::Suspect => 2,
        State::Down => 3,
    }
}

pub(crate) const fn read_state(tag: u8) -> Result<State, DecodeError> {
    match tag {
        1 => Ok(State::Alive),
        2 => Ok(State::Suspect),
        3 => Ok(State::Down),
        tag => Err(DecodeError::BadTag {
            what: "member state",
            tag,
        }),
    }
}

fn write_claim(writer: &mut Writer, claim: &Member<Identity>) {
    write_identity(writer, *claim.id());
    writer.u16(claim.incarnation());
    writer.u8(state_tag(claim.state()));
}

fn read_claim(reader: &mut Reader<'_>) -> Result<Member<Identity>, DecodeError> {
    let identity = read_identity(reader)?;
    let incarnation = reader.u16()?;
    let state = read_state(reader.u8()?)?;
    Ok(Member::new(identity, incarnation, state))
}

fn write_header(writer: &mut Writer, header: &Header<Identity>) {
    write_identity(writer, header.src);
    writer.u16(header.src_incarnation);
    write_identity(writer, header.dst);
    let (tag, probe, third) = match &header.message {
        Message::Ping(probe) => (0, Some(*probe), None),
        Message::Ack(probe) => (1, Some(*probe), None),
        Message::PingReq { target, probe_number } => (2, Some(*probe_number), Some(*target)),
        Message::IndirectPing { origin, probe_number } => (3, Some(*probe_number), Some(*origin)),
        Message::IndirectAck { target, probe_number } => (4, Some(*probe_number), Some(*target)),
        Message::ForwardedAck { origin, probe_number } => (5, Some(*probe_number), Some(*origin)),
        Message::Announce => (6, None, None),
        Message::Feed => (7, None, None),
        Message::Gossip => (8, None, None),
        Message::Broadcast => (9, None, None),
        Message::TurnUndead => (10, None, None),
    };
    writer.u8(tag);
    if let Some(probe) = probe {
        writer.u8(probe);
    }
    if let Some(third) = third {
        write_identity(writer, third);
    }
}

fn read_header(reader: &mut Reader<'_>) -> Result<Header<Identity>, DecodeError> {
    let src = read_identity(reader)?;
    let src_incarnation = reader.u16()?;
    let dst = read_identity(reader)?;
    let tag = reader.u8()?;
    let probe_number = if tag < 6 { reader.u8()? } else { 0 };
    let message = match tag {
        0 => Message::Ping(probe_number),
        1 => Message::Ack(probe_number),
        2 => Message::PingReq {
            target: read_identity(reader)?,
            probe_number,
        },
        3 => Message::IndirectPing {
            origin: read_identity(reader)?,
            probe_number,
        },
        4 => Message::IndirectAck {
            target: read_identity(reader)?,
            probe_number,
        },
        5 => Message::ForwardedAck {
            origin: read_identity(reader)?,
            probe_number,
        },
        6 => Message::Announce,
        7 => Message::Feed,
        8 => Message::Gossip,
        10 => Message::TurnUndead,
        // 9 is foca's broadcast, which we do not use: facts travel beside its messages.
        tag => {
            return Err(DecodeError::BadTag {
                what: "gossip message",
                tag,
            });
        }
    };
    Ok(Header {
        src,
        src_incarnation,
        dst,
        message,
    })
}

/// Whom a message is about beside its sender and its addressee.
pub(crate) const fn third(message: &Message<Identity>) -> Option<Identity> {
    match message {
        Message::PingReq { target: third, .. }
        | Message::IndirectPing { origin: third, .. }
        | Message::IndirectAck { target: third, .. }
        | Message::ForwardedAck { origin: third, .. } => Some(*third),
        _ => None,
    }
}

/// The header of a message.
pub(crate) fn header_of(message: &[u8]) -> Result<Header<Identity>, DecodeError> {
    read_header(&mut Reader::over_slice(message))
}

/// The message with each of its claims replaced by what `judge` makes of it, or left out.
pub(crate) fn screen(
    message: &[u8],
    mut judge: impl FnMut(Member<Identity>) -> Option<Member<Identity>>,
) -> Result<Vec<u8>, DecodeError> {
    let mut reader = Reader::over_slice(message);
    let header = read_header(&mut reader)?;
    let mut screened = Writer::with_capacity(message.len());
    write_header(&mut screened, &header);
    if reader.remaining() > 0 {
        let count = usize::from(reader.u16()?);
        if reader.remaining() != count * CLAIM_BYTES {
            return Err(DecodeError::Truncated);
        }
        let mut kept = Vec::with_capacity(count);
        for _ in 0..count {
            kept.extend(judge(read_claim(&mut reader)?));
        }
        screened.u16(kept.len() as u16);
        for claim in &kept {
            write_claim(&mut screened, claim);
        }
    }
    Ok(screened.into_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn identity(node: u64, generation: u64) -> Identity {
        Identity {
            node: NodeId(node),
            generation: Generation(generation),
        }
    }

    fn message(message: Message<Identity>, claims: &[Member<Identity>]) -> Vec<u8> {
        let mut writer = Writer::default();
        let header = Header {
            src: identity(1, 2),
            src_incarnation: 3,
            dst: identity(4, 5),
            message,
        };
        write_header(&mut writer, &header);
        writer.u16(claims.len() as u16);
        for claim in claims {
            write_claim(&mut writer, claim);
        }
        writer.into_vec()
    }

    #[test]
    fn headers_can_be_read_back() {
        for kind in [
            Message::Ping(7),
            Message::Ack(8),
            Message::PingReq {
                target: identity(9, 1),
                probe_number: 1,
            },
            Message::IndirectPing {
                origin: identity(9, 1),
                probe_number: 2,
            },
            Message::IndirectAck {
                target: identity(9, 1),
                probe_number: 3,
            },
            Message::ForwardedAck {
                origin: identity(9, 1),
                probe_number: 4,
            },
            Message::Announce,
            Message::Feed,
            Message::Gossip,
            Message::TurnUndead,
        ] {
            let bytes = message(kind.clone(), &[]);
            assert_eq!(header_of(&bytes).map(|header| header.message), Ok(kind));
        }
        assert!(header_of(&message(Message::Broadcast, &[])).is_err());
    }

    /// The format, byte by byte. Once released, this only ever gets a sibling.
    #[test]
    fn the_bytes_are_what_they_were() {
        let claim = Member::new(identity(9, 0x102), 0x304, State::Suspect);
        let target = identity(6, 7);
        let bytes = message(
            Message::PingReq {
                target,
                probe_number: 8,
            },
            &[claim],
        );
        let expected = [
            &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 3][..],
            &[0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 5],
            &[2, 8, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 7],
            &[0, 1],
            &[0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 2],
        ];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn claims_are_changed_and_left_out() {
        let claims: Vec<Member<Identity>> = (1..=3)
            .map(|node| Member::new(identity(node, 1), 0, State::Down))
            .collect();
        let screened = screen(&message(Message::Gossip, &claims), |claim| {
            (claim.id().node != NodeId(2)).then(|| Member::new(*claim.id(), claim.incarnation(), State::Suspect))
        });
        let expected = [1, 3].map(|node| Member::new(identity(node, 1), 0, State::Suspect));
        assert_eq!(screened, Ok(message(Message::Gossip, &expected)));
    }

    #[test]
    fn a_count_that_is_wrong_is_refused() {
        let mut bytes = message(Message::Gossip, &[Member::new(identity(1, 1), 0, State::Alive)]);
        bytes.pop();
        assert!(screen(&bytes, Some).is_err());
        bytes.extend([1, 1]);
        assert!(screen(&bytes, Some).is_err());
    }
}
