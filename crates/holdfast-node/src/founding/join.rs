//! The joining node: registers with the founder and waits until the cluster stands.
//!
//! Its key is durable before the founder first hears of it, and its identity before `join` answers; in between it may
//! be killed at any time and comes back as the same node. It waits for ever: the other nodes may be racked tomorrow.

use super::message::{ANSWER_BYTES_MAX, Founded, Message, ReceiveError, receive, send};
use super::pin::{PinnedAuthority, WrongAuthority};
use super::registration::About;
use super::token::JoinToken;
use super::{Founding, FoundingError};
use crate::identity::authority::{fingerprint, generate_key, public_key};
use crate::identity::files::{self, SECRET};
use crate::identity::{Identity, IdentityError, PRIVATE_KEY_TAG, from_pem, to_pem};
use crate::peer::frame::Kind;
use crate::peer::{
    ALPN_JOIN, HandshakeError, Reader, Secured, WireError, Writer, any_member, dial_tls, stranger, tune,
};
use rustls::ClientConfig;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

/// Connect, TLS, register and the founder's sync.
const REGISTER_WITHIN: Duration = Duration::from_secs(10);
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// An operator who starts the founder last should not have to wait for the joiners.
const BACKOFF_MAX: Duration = Duration::from_secs(3);

/// What a joining node needs to know.
#[derive(Clone, Debug)]
pub struct JoinConfig {
    /// The node's data directory; must exist.
    pub data: PathBuf,
    /// The founder's node port: `host:port`.
    pub founder: String,
    /// From the founder's output.
    pub token: JoinToken,
    /// This node. Its node port should listen already: members dial it as soon as the cluster stands.
    pub about: About,
}

/// Why an attempt ended.
enum Attempt {
    /// Worth another try.
    Again(String),
    /// The operator must act.
    Fatal(FoundingError),
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
                Self::Fatal(FoundingError::Founder(WrongAuthority.to_string()))
            }
            other => Self::Again(other.to_string()),
        }
    }
}

/// Registers and waits until the cluster is founded. The identity is durable when this answers.
pub async fn join(config: JoinConfig) -> Result<Founding, FoundingError> {
    config.about.check().map_err(FoundingError::Settings)?;
    if Identity::load(&config.data)?.is_some() {
        let problem = "this node belongs to a cluster already; start it without --join";
        return Err(FoundingError::Settings(problem.into()));
    }
    let key_path = config.data.join("identity.joining");
    let key = load_or_make_key(&key_path)?;
    let tls = stranger(Arc::new(PinnedAuthority(config.token.fingerprint)), ALPN_JOIN)?;
    let mut backoff = BACKOFF_MIN;
    let founded = loop {
        match attempt(&config, &tls, &key).await {
            Ok(founded) => break founded,
            Err(Attempt::Fatal(error)) => return Err(error),
            Err(Attempt::Again(why)) => {
                warn!(founder = config.founder, "not registered yet, trying again: {why}");
                sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
        }
    };
    check(&founded, &config, &key)?;
    let identity = Identity {
        cluster: founded.cluster,
        node: founded.node,
        name: config.about.name,
        authority: founded.authority,
        authority_key: Some(founded.authority_key),
        certificate: founded.certificate,
        key,
        secret: founded.secret,
        layout: founded.payload,
    };
    identity.create(&config.data, &[])?;
    files::remove_file(&key_path).map_err(|error| IdentityError::io(&key_path, &error))?;
    info!(cluster = %identity.cluster, node = %identity.node, "this node is a member of a founded cluster");
    Ok(Founding {
        identity,
        members: founded.members,
    })
}

fn load_or_make_key(path: &Path) -> Result<Vec<u8>, FoundingError> {
    match files::read_file(path).map_err(|error| IdentityError::io(path, &error))? {
        Some(bytes) => {
            let key = from_pem(PRIVATE_KEY_TAG, &bytes).map_err(|problem| IdentityError::damaged(path, problem))?;
            // Parsed here, where the path can be named.
            public_key(&key).map_err(|error| IdentityError::damaged(path, error.to_string()))?;
            Ok(key)
        }
        None => {
            let key = generate_key()?;
            files::write_file(path, &to_pem(PRIVATE_KEY_TAG, &key), SECRET)
                .map_err(|error| IdentityError::io(path, &error))?;
            Ok(key)
        }
    }
}

/// One connection: from registering to the founding, if it lasts that long.
async fn attempt(config: &JoinConfig, tls: &Arc<ClientConfig>, key: &[u8]) -> Result<Box<Founded>, Attempt> {
    let (mut reader, _writer, registered) = match timeout(REGISTER_WITHIN, register(config, tls, key)).await {
        Ok(result) => result?,
        Err(_) => return Err(Attempt::Again("no answer in time".into())),
    };
    match registered {
        Message::Registered {
            node,
            registered,
            expected,
        } => {
            info!(%node, registered, expected, "registered; waiting for the other nodes");
        }
        other => return Err(unexpected(other)),
    }
    match receive(&mut reader, ANSWER_BYTES_MAX).await? {
        Message::Founded(founded) => Ok(founded),
        other => Err(unexpected(other)),
    }
}

async fn register(
    config: &JoinConfig,
    tls: &Arc<ClientConfig>,
    key: &[u8],
) -> Result<(Reader, Writer, Message), Attempt> {
    let stream = TcpStream::connect(&config.founder).await?;
    tune(&stream)?;
    let name = any_member(config.token.cluster).ok_or_else(|| Attempt::Again("the cluster has no name".into()))?;
    let Secured {
        mut reader, mut writer, ..
    } = dial_tls(stream, tls.clone(), name).await?;
    // Said before that, a registration could arrive together with the end of the handshake, where nothing may follow.
    reader.expect(Kind::Welcome).await?;
    let public_key = public_key(key).map_err(|error| Attempt::Fatal(error.into()))?;
    let register = Message::Register {
        cluster: config.token.cluster,
        secret: config.token.secret,
        public_key,
        about: config.about.clone(),
    };
    send(&mut writer, &register).await?;
    let answer = receive(&mut reader, ANSWER_BYTES_MAX).await?;
    Ok((reader, writer, answer))
}

fn unexpected(message: Message) -> Attempt {
    Attempt::Fatal(match message {
        Message::Refused { reason } => FoundingError::Refused(reason),
        _ => FoundingError::Founder("the founder answers out of turn; is it of the same version?".into()),
    })
}

/// The founder is trusted, but a mistake of its must not become this node's identity.
fn check(founded: &Founded, config: &JoinConfig, key: &[u8]) -> Result<(), FoundingError> {
    let mine = public_key(key)?;
    let listed = founded
        .members
        .iter()
        .any(|member| member.id == founded.node && member.public_key == mine);
    if founded.cluster != config.token.cluster || fingerprint(&founded.authority) != config.token.fingerprint || !listed
    {
        return Err(FoundingError::Founder(
            "the founder's answer is not about this node and this cluster".into(),
        ));
    }
    Ok(())
}
