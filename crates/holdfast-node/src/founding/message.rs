//! What a registering node and the founder say to each other, inside TLS.
//!
//! The founder welcomes whoever comes, with a Challenge; then Prove → Proof (each side knows the secret, see `proof.rs`) → Register →
//! Registered (the id is durable) → Founded, on one connection that the joining node keeps open; or Refused
//! at any point, with the reason for the operator. Each is a frame of kind `Join`: a version, a kind and fields. Nobody has
//! proved anything before Registered, so frames up to there may be [`REGISTER_BYTES_MAX`] long and no longer; a founder that has
//! may send up to [`ANSWER_BYTES_MAX`].

use super::encoding::{Fields, Malformed, put_bytes};
use super::proof::Means;
use super::registration::{About, PUBLIC_KEY_BYTES_MAX, Registration, TEXT_BYTES_MAX, decode_all, encode_all};
use crate::identity::ClusterSecret;
use crate::peer::frame::Kind;
use crate::peer::{Reader, WireError, Writer};
use holdfast_core::ids::{ClusterId, NodeId};

/// Six texts, a key and a signature.
pub const REGISTER_BYTES_MAX: usize = 4096;
/// A thousand members with their addresses, certificates, and a first layout.
pub const ANSWER_BYTES_MAX: usize = 16 << 20;
const DER_BYTES_MAX: usize = 4096;
const PAYLOAD_BYTES_MAX: usize = 8 << 20;
const REASON_BYTES_MAX: usize = 1024;
/// An ECDSA signature in DER has 72 bytes at most.
const SIGNATURE_BYTES_MAX: usize = 128;
const VERSION: u8 = 2;

/// One message.
#[derive(Debug)]
pub enum Message {
    /// Whose founder this is, and what is to be proved over.
    Challenge { cluster: ClusterId, nonce: [u8; 32] },
    /// The joining node knows the secret.
    Prove {
        means: Means,
        nonce: [u8; 32],
        proof: [u8; 32],
    },
    /// So does the founder.
    Proof { proof: [u8; 32] },
    /// A node wants to be a member, and has this key.
    Register {
        public_key: Vec<u8>,
        signature: Vec<u8>,
        about: About,
    },
    /// It is on record, with this founder; so many of so many are.
    Registered {
        node: NodeId,
        founder: NodeId,
        founder_name: String,
        registered: u32,
        expected: u32,
    },
    /// The cluster stands.
    Founded(Box<Founded>),
    /// No, and why.
    Refused { reason: String },
}

/// All that a member needs to begin.
#[derive(Clone, Debug)]
pub struct Founded {
    /// The cluster.
    pub cluster: ClusterId,
    /// The id of the node addressed.
    pub node: NodeId,
    /// Its certificate.
    pub certificate: Vec<u8>,
    /// The authority's certificate.
    pub authority: Vec<u8>,
    /// The authority's key: every founding member may admit nodes later.
    pub authority_key: Vec<u8>,
    /// What all members share.
    pub secret: ClusterSecret,
    /// Every member, the addressed one included.
    pub members: Vec<Registration>,
    /// What the founder's caller wanted to hand out; opaque here.
    pub payload: Vec<u8>,
}

impl Message {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match self {
            Self::Challenge { cluster, nonce } => {
                out.push(5);
                out.extend_from_slice(&cluster.0.to_le_bytes());
                out.extend_from_slice(nonce);
            }
            Self::Prove { means, nonce, proof } => {
                out.push(6);
                out.push(match means {
                    Means::Token => 0,
                    Means::Secret => 1,
                });
                out.extend_from_slice(nonce);
                out.extend_from_slice(proof);
            }
            Self::Proof { proof } => {
                out.push(7);
                out.extend_from_slice(proof);
            }
            Self::Register {
                public_key,
                signature,
                about,
            } => {
                out.push(1);
                put_bytes(&mut out, public_key);
                put_bytes(&mut out, signature);
                about.encode(&mut out);
            }
            Self::Registered {
                node,
                founder,
                founder_name,
                registered,
                expected,
            } => {
                out.push(2);
                out.extend_from_slice(&node.0.to_le_bytes());
                out.extend_from_slice(&founder.0.to_le_bytes());
                put_bytes(&mut out, founder_name.as_bytes());
                out.extend_from_slice(&registered.to_le_bytes());
                out.extend_from_slice(&expected.to_le_bytes());
            }
            Self::Founded(founded) => {
                out.push(3);
                out.extend_from_slice(&founded.cluster.0.to_le_bytes());
                out.extend_from_slice(&founded.node.0.to_le_bytes());
                put_bytes(&mut out, &founded.certificate);
                put_bytes(&mut out, &founded.authority);
                put_bytes(&mut out, &founded.authority_key);
                out.extend_from_slice(&founded.secret.0);
                encode_all(&founded.members, &mut out);
                put_bytes(&mut out, &founded.payload);
            }
            Self::Refused { reason } => {
                out.push(4);
                let mut end = reason.len().min(REASON_BYTES_MAX);
                while !reason.is_char_boundary(end) {
                    end -= 1;
                }
                put_bytes(&mut out, &reason.as_bytes()[..end]);
            }
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields(bytes);
        if fields.u8()? != VERSION {
            return Err(Malformed);
        }
        let message = match fields.u8()? {
            1 => Self::Register {
                public_key: fields.bytes(PUBLIC_KEY_BYTES_MAX)?.to_vec(),
                signature: fields.bytes(SIGNATURE_BYTES_MAX)?.to_vec(),
                about: About::decode(&mut fields)?,
            },
            2 => Self::Registered {
                node: NodeId(fields.u64()?),
                founder: NodeId(fields.u64()?),
                founder_name: printable(&fields.text(TEXT_BYTES_MAX)?),
                registered: fields.u32()?,
                expected: fields.u32()?,
            },
            3 => Self::Founded(Box::new(Founded {
                cluster: ClusterId(fields.u128()?),
                node: NodeId(fields.u64()?),
                certificate: fields.bytes(DER_BYTES_MAX)?.to_vec(),
                authority: fields.bytes(DER_BYTES_MAX)?.to_vec(),
                authority_key: fields.bytes(DER_BYTES_MAX)?.to_vec(),
                secret: ClusterSecret(fields.array()?),
                members: decode_all(&mut fields)?,
                payload: fields.bytes(PAYLOAD_BYTES_MAX)?.to_vec(),
            })),
            4 => Self::Refused {
                reason: printable(&fields.text(REASON_BYTES_MAX)?),
            },
            5 => Self::Challenge {
                cluster: ClusterId(fields.u128()?),
                nonce: fields.array()?,
            },
            6 => Self::Prove {
                means: match fields.u8()? {
                    0 => Means::Token,
                    1 => Means::Secret,
                    _ => return Err(Malformed),
                },
                nonce: fields.array()?,
                proof: fields.array()?,
            },
            7 => Self::Proof { proof: fields.array()? },
            _ => return Err(Malformed),
        };
        fields.end()?;
        Ok(message)
    }
}

/// What goes into a log must not begin a line of it.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Sends one message.
pub async fn send(writer: &mut Writer, message: &Message) -> Result<(), WireError> {
    writer.put(Kind::Join, &[], &message.encode()).await?;
    writer.flush().await
}

/// Why no message came.
#[derive(Debug)]
pub enum ReceiveError {
    Wire(WireError),
    Malformed(Malformed),
}

impl std::fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Wire(error) => write!(f, "{error}"),
            Self::Malformed(error) => write!(f, "received {error}"),
        }
    }
}

/// Receives one message of at most `bytes_max`.
pub async fn receive(reader: &mut Reader, bytes_max: usize) -> Result<Message, ReceiveError> {
    reader.limit(bytes_max);
    let frame = reader.expect(Kind::Join).await.map_err(ReceiveError::Wire)?;
    Message::decode(&frame.payload).map_err(ReceiveError::Malformed)
}

const _: () =
    assert!(REGISTER_BYTES_MAX > 2 + 4 + PUBLIC_KEY_BYTES_MAX + 4 + SIGNATURE_BYTES_MAX + 6 * (4 + TEXT_BYTES_MAX) + 8);

#[cfg(test)]
mod tests {
    use super::{About, Founded, Means, Message, Registration};
    use crate::identity::ClusterSecret;
    use holdfast_core::ids::{ClusterId, NodeId};
    use proptest::prelude::{any, proptest};

    fn examples() -> Vec<Message> {
        let about = About {
            name: "a".into(),
            node_address: "h:1".into(),
            capacity_bytes: 5,
            ..About::default()
        };
        vec![
            Message::Challenge {
                cluster: ClusterId(1),
                nonce: [2; 32],
            },
            Message::Prove {
                means: Means::Secret,
                nonce: [3; 32],
                proof: [4; 32],
            },
            Message::Proof { proof: [5; 32] },
            Message::Register {
                public_key: vec![4; 65],
                signature: vec![5; 72],
                about: about.clone(),
            },
            Message::Registered {
                node: NodeId(3),
                founder: NodeId(4),
                founder_name: "f".into(),
                registered: 1,
                expected: 3,
            },
            Message::Founded(Box::new(Founded {
                cluster: ClusterId(1),
                node: NodeId(3),
                certificate: vec![1],
                authority: vec![2],
                authority_key: vec![3],
                secret: ClusterSecret([4; 32]),
                members: vec![Registration {
                    id: NodeId(3),
                    public_key: vec![4; 65],
                    about,
                }],
                payload: vec![9; 1000],
            })),
            Message::Refused { reason: "no".into() },
        ]
    }

    #[test]
    fn messages_survive_the_wire_and_no_part_of_one_is_one() {
        for message in examples() {
            let bytes = message.encode();
            assert_eq!(Message::decode(&bytes).expect("decodes").encode(), bytes);
            for short in 0..bytes.len() {
                assert!(Message::decode(&bytes[..short]).is_err());
            }
            let mut longer = bytes.clone();
            longer.push(0);
            assert!(Message::decode(&longer).is_err());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(kind in 0_u8..9, bytes in any::<Vec<u8>>()) {
            let _ = Message::decode(&bytes);
            let mut framed = vec![super::VERSION, kind];
            framed.extend_from_slice(&bytes);
            let _ = Message::decode(&framed);
        }

        #[test]
        fn damaged_messages_never_panic(which in 0_usize..7, at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = examples().swap_remove(which).encode();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = Message::decode(&bytes);
        }
    }
}
