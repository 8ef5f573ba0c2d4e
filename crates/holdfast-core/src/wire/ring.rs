//! A datagram about the ring of Chord: what one node says to another of it, told from gossip by its first byte.

use alloc::vec::Vec;

use super::datagram::DATAGRAM_BYTES_MAX;
use crate::chord::{DEAD_MAX, Hop, Neighbours, Peer, SUCCESSORS, Word};
use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::{NodeId, Position};

/// First byte of every such datagram; gossip begins with a low number.
pub const RING_DATAGRAM: u8 = 0x81;

/// Nodes named in one list.
const NAMED_MAX: usize = if SUCCESSORS > DEAD_MAX { SUCCESSORS } else { DEAD_MAX } + 1;
const ID_BYTES: usize = 8;
/// First byte, tag, token, position or predecessor, the list and its length.
const _: () = assert!(1 + 1 + 10 + 1 + ID_BYTES + 2 + NAMED_MAX * ID_BYTES <= DATAGRAM_BYTES_MAX);

const ASK: u8 = 1;
const SAY: u8 = 2;
const NOTIFY: u8 = 3;
const FIND: u8 = 4;
const OWNERS: u8 = 5;
const CLOSER: u8 = 6;

/// A word as bytes.
#[must_use]
pub fn encode(word: &Word) -> Vec<u8> {
    let mut to = Writer::with_capacity(128);
    to.u8(RING_DATAGRAM);
    match word {
        Word::Ask { token } => {
            to.u8(ASK);
            to.varint(*token);
        }
        Word::Say { token, neighbours } => {
            to.u8(SAY);
            to.varint(*token);
            to.flag(neighbours.predecessor.is_some());
            if let Some(before) = neighbours.predecessor {
                to.u64(before.node.0);
            }
            write_nodes(&mut to, neighbours.successors.iter().map(|peer| peer.node));
        }
        Word::Notify => to.u8(NOTIFY),
        Word::Find {
            token,
            to: position,
            dead,
        } => {
            to.u8(FIND);
            to.varint(*token);
            to.u64(position.0);
            write_nodes(&mut to, dead.iter().copied());
        }
        Word::Way { token, hop } => {
            let (tag, peers) = match hop {
                Hop::Owners(peers) => (OWNERS, peers),
                Hop::Closer(peers) => (CLOSER, peers),
            };
            to.u8(tag);
            to.varint(*token);
            write_nodes(&mut to, peers.iter().map(|peer| peer.node));
        }
    }
    to.into_vec()
}

/// Reads what a node said.
///
/// # Errors
/// When it is none, or longer than any.
pub fn decode(by: NodeId, bytes: &[u8]) -> Result<Word, DecodeError> {
    if bytes.len() > DATAGRAM_BYTES_MAX {
        return Err(DecodeError::TooLong { what: "datagram" });
    }
    let mut from = Reader::over_slice(bytes);
    let first = from.u8()?;
    if first != RING_DATAGRAM {
        return Err(DecodeError::BadTag {
            what: "datagram",
            tag: first,
        });
    }
    let tag = from.u8()?;
    let word = match tag {
        ASK => Word::Ask { token: from.varint()? },
        SAY => Word::Say {
            token: from.varint()?,
            neighbours: Neighbours {
                of: Peer::of(by),
                predecessor: match from.flag("predecessor")? {
                    true => Some(Peer::of(NodeId(from.u64()?))),
                    false => None,
                },
                successors: read_peers(&mut from)?,
            },
        },
        NOTIFY => Word::Notify,
        FIND => Word::Find {
            token: from.varint()?,
            to: Position(from.u64()?),
            dead: read_nodes(&mut from)?,
        },
        OWNERS | CLOSER => {
            let (token, peers) = (from.varint()?, read_peers(&mut from)?);
            let hop = if tag == OWNERS {
                Hop::Owners(peers)
            } else {
                Hop::Closer(peers)
            };
            Word::Way { token, hop }
        }
        tag => {
            return Err(DecodeError::BadTag {
                what: "word about the ring",
                tag,
            });
        }
    };
    from.finish()?;
    Ok(word)
}

fn write_nodes(to: &mut Writer, nodes: impl ExactSizeIterator<Item = NodeId>) {
    to.count(nodes.len());
    for node in nodes {
        to.u64(node.0);
    }
}

fn read_nodes(from: &mut Reader<'_>) -> Result<Vec<NodeId>, DecodeError> {
    let count = from.count(ID_BYTES)?;
    if count > NAMED_MAX {
        return Err(DecodeError::TooLong { what: "list of nodes" });
    }
    (0..count).map(|_| Ok(NodeId(from.u64()?))).collect()
}

fn read_peers(from: &mut Reader<'_>) -> Result<Vec<Peer>, DecodeError> {
    Ok(read_nodes(from)?.into_iter().map(Peer::of).collect())
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::{any, prop_assert, proptest};

    use super::*;

    const BY: NodeId = NodeId(7);

    fn words() -> Vec<Word> {
        let peers = |count: usize| (1..=count as u64).map(|node| Peer::of(NodeId(node << 40))).collect();
        let say = |predecessor| Word::Say {
            token: 300,
            neighbours: Neighbours {
                of: Peer::of(BY),
                predecessor,
                successors: peers(SUCCESSORS),
            },
        };
        vec![
            Word::Ask { token: u64::MAX },
            say(None),
            say(Some(Peer::of(NodeId(3)))),
            Word::Notify,
            Word::Find {
                token: 1,
                to: Position(u64::MAX),
                dead: (0..DEAD_MAX as u64).map(NodeId).collect(),
            },
            Word::Way {
                token: 2,
                hop: Hop::Owners(peers(SUCCESSORS + 1)),
            },
            Word::Way {
                token: 3,
                hop: Hop::Closer(Vec::new()),
            },
        ]
    }

    #[test]
    fn words_can_be_read_back_and_not_when_cut_short() {
        for word in words() {
            let bytes = encode(&word);
            assert!(bytes.len() <= DATAGRAM_BYTES_MAX);
            assert_eq!(decode(BY, &bytes), Ok(word));
            for length in 0..bytes.len() {
                assert!(decode(BY, &bytes[..length]).is_err(), "cut to {length}");
            }
            assert!(decode(BY, &[&bytes[..], &[0]].concat()).is_err());
        }
    }

    /// The format, byte by byte. Once released, this only ever gets a sibling with another first byte.
    #[test]
    fn the_bytes_are_what_they_were() {
        let find = Word::Find {
            token: 300,
            to: Position(0x0102),
            dead: vec![NodeId(9)],
        };
        let expected = [
            &[0x81, 4, 0xac, 2][..],
            &[0, 0, 0, 0, 0, 0, 1, 2, 1],
            &[0, 0, 0, 0, 0, 0, 0, 9],
        ];
        assert_eq!(encode(&find), expected.concat());
        assert_eq!(encode(&Word::Notify), [0x81, 3]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in any::<Vec<u8>>()) {
            let _ = decode(BY, &bytes);
            bytes.insert(0, RING_DATAGRAM);
            if let Ok(word) = decode(BY, &bytes) {
                prop_assert!(encode(&word).len() <= DATAGRAM_BYTES_MAX);
            }
        }
    }
}
