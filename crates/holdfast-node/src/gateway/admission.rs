//! How a gateway comes to its certificate: it dials any node, which the token pins, and shows the token's secret; the node signs a
//! certificate that says *gateway* and nothing else, and tells what a gateway needs to know.
//!
//! A gateway keeps nothing: it is admitted anew at each start. What it is given lets it read and write whatever clients may, so it must
//! be trusted like a node; but it cannot speak as one, and learns neither the cluster's secret nor the authority's key.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::ids::{ClusterId, NodeId};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{info, warn};

use super::token::GatewayToken;
use crate::desk::context_key;
use crate::founding::encoding::{Fields, Malformed, put_bytes};
use crate::founding::pin::Trusted;
use crate::identity::Identity;
use crate::identity::authority::{Authority, fingerprint, generate_key, public_key};
use crate::peer::frame::Kind;
use crate::peer::{ALPN_GATEWAY, Reader, Secured, Strangers, Writer, any_member, dial_tls, stranger, tune};
use crate::shell::{RootKey, random_u64};

/// Each message fits a few packets; whoever needs longer does not mean it.
const WITHIN: Duration = Duration::from_secs(5);
/// Gateways that are being admitted at a time.
const ADMITTED_MAX: usize = 32;
/// Nodes that a gateway is told at first.
const CONTACTS_MAX: usize = 16;
const ASK_BYTES_MAX: usize = 512;
const ANSWER_BYTES_MAX: usize = 32 << 10;
const DER_BYTES_MAX: usize = 4096;
const TEXT_BYTES_MAX: usize = 1024;
const VERSION: u8 = 1;
const ADMITTED: u8 = 1;
const REFUSED: u8 = 2;

/// All that a gateway needs to begin.
#[derive(Clone)]
pub struct Admitted {
    /// The cluster.
    pub cluster: ClusterId,
    /// The gateway's id, drawn for this start.
    pub gateway: NodeId,
    /// Its certificate.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
    /// The authority's certificate.
    pub authority: Vec<u8>,
    /// With which context tokens are sealed.
    pub context_key: [u8; 32],
    /// The key that founding made.
    pub root: RootKey,
    /// Some nodes, and where they are.
    pub contacts: Vec<(NodeId, String)>,
}

/// Why a gateway was not admitted. Nothing was changed anywhere.
#[derive(Debug)]
pub enum AdmissionError {
    /// Worth another try.
    Again(String),
    /// The operator must act.
    Refused(String),
}

impl std::fmt::Display for AdmissionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Again(why) | Self::Refused(why)) = self;
        f.write_str(why)
    }
}

impl std::error::Error for AdmissionError {}

fn again(error: impl std::fmt::Display) -> AdmissionError {
    AdmissionError::Again(error.to_string())
}

/// Asks the node at an address for admission.
///
/// # Errors
/// With the reason, and whether it is worth another try.
pub async fn join(address: SocketAddr, token: &GatewayToken) -> Result<Admitted, AdmissionError> {
    match timeout(2 * WITHIN, ask(address, token)).await {
        Ok(result) => result,
        Err(_) => Err(again("no answer in time")),
    }
}

async fn ask(address: SocketAddr, token: &GatewayToken) -> Result<Admitted, AdmissionError> {
    let token = token.0;
    let stream = TcpStream::connect(address).await.map_err(again)?;
    tune(&stream).map_err(again)?;
    let tls = stranger(Arc::new(Trusted::Pinned(token.fingerprint)), ALPN_GATEWAY).map_err(again)?;
    let name = any_member(token.cluster).ok_or_else(|| again("the cluster has no name"))?;
    let Secured {
        mut reader, mut writer, ..
    } = dial_tls(stream, tls, name).await.map_err(again)?;
    // Said before that, the question could arrive together with the end of the handshake, where nothing may follow.
    reader.expect(Kind::Welcome).await.map_err(again)?;
    let key = generate_key().map_err(again)?;
    let mut question = vec![VERSION];
    question.extend_from_slice(&token.secret.0);
    put_bytes(&mut question, &public_key(&key).map_err(again)?);
    writer.put(Kind::Join, &[], &question).await.map_err(again)?;
    writer.flush().await.map_err(again)?;
    reader.limit(ANSWER_BYTES_MAX);
    let answer = reader.expect(Kind::Join).await.map_err(again)?;
    let malformed =
        |_: Malformed| AdmissionError::Refused("the node answers out of turn; is it of the same version?".into());
    match read_answer(&answer.payload, token.cluster, key).map_err(malformed)? {
        Ok(admitted) if fingerprint(&admitted.authority) == token.fingerprint => Ok(admitted),
        Ok(_) => Err(AdmissionError::Refused(
            "the node answers for another cluster than the token is for".into(),
        )),
        Err(reason) => Err(AdmissionError::Refused(format!(
            "the node refuses this gateway: {reason}"
        ))),
    }
}

fn read_answer(bytes: &[u8], cluster: ClusterId, key: Vec<u8>) -> Result<Result<Admitted, String>, Malformed> {
    let mut fields = Fields(bytes);
    if fields.u8()? != VERSION {
        return Err(Malformed);
    }
    if fields.u8()? == REFUSED {
        return Ok(Err(fields.text(TEXT_BYTES_MAX)?));
    }
    let admitted = Admitted {
        cluster,
        key,
        gateway: NodeId(fields.u64()?),
        certificate: fields.bytes(DER_BYTES_MAX)?.to_vec(),
        authority: fields.bytes(DER_BYTES_MAX)?.to_vec(),
        context_key: fields.array()?,
        root: RootKey {
            id: fields.text(TEXT_BYTES_MAX)?,
            secret: fields.text(TEXT_BYTES_MAX)?,
        },
        contacts: (0..fields.u32()?.min(CONTACTS_MAX as u32))
            .map(|_| Ok((NodeId(fields.u64()?), fields.text(TEXT_BYTES_MAX)?)))
            .collect::<Result<_, Malformed>>()?,
    };
    fields.end()?;
    Ok(Ok(admitted))
}

fn write_answer(admitted: &Admitted) -> Vec<u8> {
    let mut out = vec![VERSION, ADMITTED];
    out.extend_from_slice(&admitted.gateway.0.to_le_bytes());
    put_bytes(&mut out, &admitted.certificate);
    put_bytes(&mut out, &admitted.authority);
    out.extend_from_slice(&admitted.context_key);
    put_bytes(&mut out, admitted.root.id.as_bytes());
    put_bytes(&mut out, admitted.root.secret.as_bytes());
    let contacts = &admitted.contacts[..admitted.contacts.len().min(CONTACTS_MAX)];
    out.extend_from_slice(&(contacts.len() as u32).to_le_bytes());
    for (node, address) in contacts {
        out.extend_from_slice(&node.0.to_le_bytes());
        put_bytes(&mut out, address.as_bytes());
    }
    out
}

/// A node's side: admits whoever knows the token.
pub struct Admission {
    identity: Identity,
    root: RootKey,
    /// Every member, this node included.
    contacts: Vec<(NodeId, String)>,
    slots: Arc<Semaphore>,
}

impl Admission {
    /// At a node of this identity.
    #[must_use]
    pub fn new(identity: Identity, root: RootKey, contacts: Vec<(NodeId, String)>) -> Arc<Self> {
        Arc::new(Self {
            identity,
            root,
            contacts,
            slots: Arc::new(Semaphore::new(ADMITTED_MAX)),
        })
    }

    /// What is answered to a question; the reason if it is a refusal.
    fn decide(&self, question: &[u8]) -> Result<Admitted, String> {
        let mut fields = Fields(question);
        let mut read = || {
            let (version, secret) = (fields.u8()?, fields.array()?);
            let public_key = fields.bytes(DER_BYTES_MAX)?;
            fields.end()?;
            Ok((version, secret, public_key))
        };
        let (version, secret, public_key) =
            read().map_err(|_: Malformed| "this is not a gateway's question".to_owned())?;
        if version != VERSION {
            return Err("the gateway is of another version".into());
        }
        let token = GatewayToken::of(&self.identity).0;
        if !token.secret.matches(&crate::founding::TokenSecret(secret)) {
            return Err(
                "the gateway token is not valid; copy it again from a node's data directory (gateway-token)".into(),
            );
        }
        let Some(authority_key) = &self.identity.authority_key else {
            return Err("this node cannot sign certificates; ask one that founded the cluster".into());
        };
        let cluster = self.identity.cluster;
        let gateway = NodeId(random_u64());
        let authority = Authority::load(cluster, self.identity.authority.clone(), authority_key);
        let certificate = authority.and_then(|authority| authority.admit_gateway(gateway, public_key));
        Ok(Admitted {
            cluster,
            gateway,
            certificate: certificate.map_err(|error| error.to_string())?,
            key: Vec::new(),
            authority: self.identity.authority.clone(),
            context_key: context_key(&self.identity.secret),
            root: self.root.clone(),
            contacts: self.contacts_from(gateway),
        })
    }

    /// Some members, each gateway others first: this node among them in any case, for it can be reached.
    fn contacts_from(&self, gateway: NodeId) -> Vec<(NodeId, String)> {
        let mut contacts = self.contacts.clone();
        let first = gateway.0.checked_rem(contacts.len() as u64).unwrap_or(0);
        contacts.rotate_left(first as usize);
        let me = self.identity.node;
        contacts.sort_by_key(|(node, _)| *node != me);
        contacts.truncate(CONTACTS_MAX);
        contacts
    }

    async fn attend(&self, mut reader: Reader, mut writer: Writer, address: SocketAddr) {
        reader.limit(ASK_BYTES_MAX);
        let question = match timeout(WITHIN, reader.expect(Kind::Join)).await {
            Ok(Ok(question)) => question,
            Ok(Err(error)) => return warn!(%address, "a gateway was not admitted: {error}"),
            Err(_) => return warn!(%address, "a gateway was not admitted: nothing came in time"),
        };
        let answer = match self.decide(&question.payload) {
            Ok(admitted) => {
                info!(%address, gateway = %admitted.gateway, "gateway admitted");
                write_answer(&admitted)
            }
            Err(reason) => {
                warn!(%address, "a gateway was not admitted: {reason}");
                let mut out = vec![VERSION, REFUSED];
                put_bytes(&mut out, reason.as_bytes());
                out
            }
        };
        let said = async {
            writer.put(Kind::Join, &[], &answer).await?;
            writer.flush().await
        };
        let _ = timeout(WITHIN, said).await;
    }
}

/// Shared, so that whoever serves a stranger can outlive the call.
pub struct AtTheDoor(pub Arc<Admission>);

impl Strangers for AtTheDoor {
    fn serve(&self, reader: Reader, writer: Writer, address: SocketAddr) {
        let admission = self.0.clone();
        let Ok(slot) = admission.slots.clone().try_acquire_owned() else {
            warn!(%address, "too many gateways want to be admitted at a time; one refused");
            return;
        };
        tokio::spawn(async move {
            admission.attend(reader, writer, address).await;
            drop(slot);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ClusterSecret;

    fn admission() -> Arc<Admission> {
        let cluster = ClusterId(7);
        let authority = Authority::generate(cluster).expect("authority");
        let key = generate_key().expect("key");
        let node = NodeId(2);
        let identity = Identity {
            cluster,
            node,
            name: "two".into(),
            authority: authority.certificate().to_vec(),
            authority_key: Some(authority.key()),
            certificate: authority
                .admit(node, &public_key(&key).expect("public"))
                .expect("certificate"),
            key,
            secret: ClusterSecret([5; 32]),
            layout: Vec::new(),
        };
        let root = RootKey {
            id: "ROOT".into(),
            secret: "secret".into(),
        };
        let contacts = (1..=40).map(|node| (NodeId(node), format!("n{node}:9002"))).collect();
        Admission::new(identity, root, contacts)
    }

    fn question(secret: [u8; 16]) -> Vec<u8> {
        let mut question = vec![VERSION];
        question.extend_from_slice(&secret);
        let key = generate_key().expect("key");
        put_bytes(&mut question, &public_key(&key).expect("public"));
        question
    }

    #[test]
    fn who_knows_the_token_is_told_what_a_gateway_needs_and_nothing_more() {
        let admission = admission();
        let token = GatewayToken::of(&admission.identity);
        let admitted = admission.decide(&question(token.0.secret.0)).expect("admitted");
        assert_eq!(admitted.contacts.len(), CONTACTS_MAX);
        assert_eq!(admitted.contacts[0], (NodeId(2), "n2:9002".into()));
        let read = read_answer(&write_answer(&admitted), admitted.cluster, vec![1]);
        let read = read.expect("well formed").expect("no refusal");
        assert_eq!(
            (read.gateway, read.key, &read.contacts),
            (admitted.gateway, vec![1], &admitted.contacts)
        );
        assert_ne!(read.context_key, admission.identity.secret.0);
        let bytes = write_answer(&admitted);
        for length in 0..bytes.len() {
            assert!(
                read_answer(&bytes[..length], admitted.cluster, Vec::new()).is_err(),
                "cut to {length}"
            );
        }
    }

    #[test]
    fn who_does_not_is_refused() {
        let admission = admission();
        let refused = admission.decide(&question([0; 16])).err().expect("refused");
        assert!(refused.contains("gateway-token"), "{refused}");
        for nonsense in [&[][..], &[VERSION], &question([0; 16])[..20]] {
            assert!(admission.decide(nonsense).is_err());
        }
        let mut without = Arc::into_inner(admission).expect("alone");
        let token = GatewayToken::of(&without.identity);
        without.identity.authority_key = None;
        let refused = without.decide(&question(token.0.secret.0)).err().expect("refused");
        assert!(refused.contains("founded"), "{refused}");
    }
}
