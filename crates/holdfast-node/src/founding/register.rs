//! One connection of a joining node to what may be the founder: from dialling to being on record.
//!
//! Until the other side has proved itself it hears a proof and nothing more, and nothing that it says is believed: what it
//! refuses may be somebody else's refusal.

use super::FoundingError;
use super::admission::Pass;
use super::message::{ANSWER_BYTES_MAX, Message, REGISTER_BYTES_MAX, ReceiveError, receive, send};
use super::pin::{Trusted, WrongAuthority};
use super::proof::{Means, Side, Transcript};
use super::registration::About;
use super::seeds::SeedAddress;
use super::state::random;
use crate::identity::authority::fingerprint;
use crate::peer::frame::Kind;
use crate::peer::{
    ALPN_JOIN, HandshakeError, Reader, Secured, WireError, Writer, any_member, dial_tls, stranger, tune,
};
use holdfast_core::ids::{ClusterId, NodeId};
use rustls::pki_types::CertificateDer;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;

/// What a founder is called in a handshake with somebody who does not know its cluster yet.
const NAMELESS: ClusterId = ClusterId(0);

/// What a node registers with.
pub struct Joining {
    pub about: About,
    pub pass: Pass,
    pub key: Vec<u8>,
    pub public_key: Vec<u8>,
}

/// Why an attempt ended.
pub enum Attempt {
    /// Worth another try.
    Again(String),
    /// The other side is not who is looked for, or does not take the pass.
    Denied(FoundingError),
    /// The founder, proved, says no: the operator must act.
    Fatal(FoundingError),
}

impl std::fmt::Display for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Again(why) => f.write_str(why),
            Self::Denied(error) | Self::Fatal(error) => write!(f, "{error}"),
        }
    }
}

impl From<io::Error> for Attempt {
    fn from(error: io::Error) -> Self {
        Self::Again(error.to_string())
    }
}

impl From<WireError> for Attempt {
    fn from(error: WireError) -> Self {
        Self::Again(error.to_string())
    }
}

impl From<ReceiveError> for Attempt {
    fn from(error: ReceiveError) -> Self {
        Self::Again(error.to_string())
    }
}

impl From<HandshakeError> for Attempt {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::Tls(rustls::Error::InvalidCertificate(_)) => {
                Self::Denied(FoundingError::Founder(WrongAuthority.to_string()))
            }
            other => Self::Again(other.to_string()),
        }
    }
}

/// On record with a founder that has proved itself.
pub struct Registered {
    pub reader: Reader,
    /// The founder takes its end for the end of the connection.
    pub writer: Writer,
    pub at: SeedAddress,
    pub node: NodeId,
    pub founder: NodeId,
    pub founder_name: String,
    pub registered: u32,
    pub expected: u32,
    pub cluster: ClusterId,
    /// Fingerprint of the authority that was proved.
    pub authority: [u8; 32],
}

/// Registers with whoever answers at this address, if it is the founder.
pub async fn register(joining: &Joining, at: SeedAddress) -> Result<Registered, Attempt> {
    let stream = TcpStream::connect(at.address).await?;
    if is_itself(&stream, &joining.about.node_address) {
        let itself = "that is this node itself, which does not found (a founder is named by --found, or by the first of --join \
                      being its own advertised node address)";
        return Err(Attempt::Again(itself.into()));
    }
    tune(&stream)?;
    let (trusted, asked_for) = match &joining.pass {
        Pass::Token(token) => (Trusted::Pinned(token.fingerprint), token.cluster),
        Pass::Secret(_) => (Trusted::Any, NAMELESS),
    };
    let tls = stranger(Arc::new(trusted), ALPN_JOIN).map_err(|error| Attempt::Fatal(error.into()))?;
    let name = any_member(asked_for).ok_or_else(|| Attempt::Again("the cluster has no name".into()))?;
    let Secured {
        mut reader,
        mut writer,
        sent_along,
        ..
    } = dial_tls(stream, tls, name).await?;
    // Said before that, something could arrive together with the end of the handshake, where nothing may follow.
    reader.expect(Kind::Welcome).await?;
    let seen = prove(joining, trusted, &sent_along, &mut reader, &mut writer).await?;
    let register = Message::Register {
        public_key: joining.public_key.clone(),
        signature: seen.sign(&joining.key).map_err(Attempt::Fatal)?,
        about: joining.about.clone(),
    };
    send(&mut writer, &register).await?;
    match receive(&mut reader, ANSWER_BYTES_MAX).await? {
        Message::Registered {
            node,
            founder,
            founder_name,
            registered,
            expected,
        } => Ok(Registered {
            reader,
            writer,
            at,
            node,
            founder,
            founder_name,
            registered,
            expected,
            cluster: seen.cluster,
            authority: seen.authority,
        }),
        other => Err(unexpected(other)),
    }
}

/// Each side shows that it knows the secret. Answers what both have seen.
async fn prove(
    joining: &Joining,
    trusted: Trusted,
    sent_along: &[CertificateDer<'static>],
    reader: &mut Reader,
    writer: &mut Writer,
) -> Result<Transcript, Attempt> {
    let (cluster, founder_nonce) = match receive(reader, REGISTER_BYTES_MAX).await? {
        Message::Challenge { cluster, nonce } => (cluster, nonce),
        other => return Err(denied(other)),
    };
    if let Pass::Token(token) = &joining.pass
        && token.cluster != cluster
    {
        return Err(Attempt::Denied(FoundingError::Founder(WrongAuthority.to_string())));
    }
    let shown = trusted.authority(sent_along).map(|authority| fingerprint(authority));
    let authority = shown.ok_or_else(|| Attempt::Denied(FoundingError::Founder(WrongAuthority.to_string())))?;
    let seen = Transcript {
        cluster,
        authority,
        founder_nonce,
        joiner_nonce: random().map_err(Attempt::Fatal)?,
    };
    let (means, key) = (joining.pass.means(), joining.pass.key());
    let proof = Message::Prove {
        means,
        nonce: seen.joiner_nonce,
        proof: seen.prove(&key, Side::Joiner),
    };
    send(writer, &proof).await?;
    match receive(reader, REGISTER_BYTES_MAX).await? {
        Message::Proof { proof } if seen.is_proved(&key, Side::Founder, &proof) => Ok(seen),
        Message::Proof { .. } => {
            let what = match means {
                Means::Token => "join token",
                Means::Secret => "cluster secret",
            };
            Err(Attempt::Denied(FoundingError::Founder(format!(
                "the node at this address does not know the {what}"
            ))))
        }
        other => Err(denied(other)),
    }
}

/// Whether a node dialled its own port. Many nodes of one machine have one address, but ports of their own.
fn is_itself(stream: &TcpStream, node_address: &str) -> bool {
    let own_port = node_address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    match (stream.local_addr(), stream.peer_addr()) {
        (Ok(local), Ok(peer)) => local.ip() == peer.ip() && Some(peer.port()) == own_port,
        _ => false,
    }
}

/// What somebody says who has not proved himself.
fn denied(message: Message) -> Attempt {
    match unexpected(message) {
        Attempt::Fatal(error) => Attempt::Denied(error),
        other => other,
    }
}

pub fn unexpected(message: Message) -> Attempt {
    Attempt::Fatal(match message {
        Message::Refused { reason } => FoundingError::Refused(reason),
        _ => FoundingError::Founder("the founder answers out of turn; is it of the same version?".into()),
    })
}
