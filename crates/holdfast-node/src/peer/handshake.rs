//! The TLS handshake on a socket, up to the point where records are ours.
//!
//! rustls' unbuffered interface says what to do (send this, read more), and at the end hands over the traffic keys
//! (`rustls::kernel`). The side that accepts speaks first afterwards; the side that dialled waits for that. So nothing
//! but the handshake can be in the buffer when it ends, on either side, and if something is, the other side is no peer.

use super::record::{Opener, RecordError, Rekey, Sealer, SharedKeys};
use super::wire::{Reader, Writer};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, ExtractedSecrets, ServerConfig};
use std::io;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// rustls itself accepts no handshake message longer than this.
const FLIGHT_BYTES_MAX: usize = 64 << 10;
const READ_BYTES: usize = 4 << 10;

/// Why no connection came about.
#[derive(Debug)]
pub enum HandshakeError {
    /// The network failed or the other side hung up.
    Io(io::Error),
    /// TLS did not agree.
    Tls(rustls::Error),
    /// The agreed keys cannot be used.
    Record(RecordError),
    /// The other side did not keep to the order of things.
    OutOfTurn,
}

impl std::fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                write!(f, "the other side hung up during the handshake")
            }
            Self::Io(error) => write!(f, "{error}"),
            Self::Tls(rustls::Error::InvalidMessage(_)) => {
                write!(
                    f,
                    "the other side does not speak TLS (does something else use this port?)"
                )
            }
            Self::Tls(rustls::Error::InvalidCertificate(why)) => {
                write!(
                    f,
                    "the other side's certificate is not of this cluster's authority, or of another node ({why:?})"
                )
            }
            Self::Tls(error) => write!(f, "TLS: {error}"),
            Self::Record(error) => write!(f, "{error}"),
            Self::OutOfTurn => write!(f, "the other side spoke out of turn"),
        }
    }
}

impl std::error::Error for HandshakeError {}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rustls::Error> for HandshakeError {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(error)
    }
}

impl From<RecordError> for HandshakeError {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

/// A connection with agreed keys.
pub struct Secured {
    pub reader: Reader,
    pub writer: Writer,
    /// What the other side showed, verified; none if it showed nothing.
    pub certificate: Option<CertificateDer<'static>>,
    /// What it sent along with that: its authority's certificate, if it is a node.
    pub sent_along: Vec<CertificateDer<'static>>,
    /// What the other side wants here.
    pub alpn: Option<Vec<u8>>,
}

/// Accepts: the other side begins.
pub async fn accept(stream: TcpStream, config: Arc<ServerConfig>) -> Result<Secured, HandshakeError> {
    shake(stream, UnbufferedServerConnection::new(config)?).await
}

/// Dials: we begin, and make sure that the other side bears this name.
pub async fn dial(
    stream: TcpStream,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<Secured, HandshakeError> {
    shake(stream, UnbufferedClientConnection::new(config, name)?).await
}

/// What the handshake wants next.
enum Step {
    /// Send what was put into the outgoing buffer.
    Send,
    /// Go on at once.
    Continue,
    /// Nothing happens before more arrives.
    Read,
    /// The keys are agreed.
    Done,
}

/// What client and server have in common; rustls has no name for it.
trait Handshaking: Send {
    /// One step over what arrived; also says how many of the bytes are done with.
    fn step(&mut self, incoming: &mut [u8], outgoing: &mut Vec<u8>) -> (usize, Result<Step, HandshakeError>);
    fn common(&self) -> &CommonState;
    fn finish(self) -> Result<(ExtractedSecrets, Box<dyn Rekey + Send>), rustls::Error>;
}

impl Handshaking for UnbufferedClientConnection {
    fn step(&mut self, incoming: &mut [u8], outgoing: &mut Vec<u8>) -> (usize, Result<Step, HandshakeError>) {
        step(self.process_tls_records(incoming), outgoing)
    }

    fn common(&self) -> &CommonState {
        self
    }

    fn finish(self) -> Result<(ExtractedSecrets, Box<dyn Rekey + Send>), rustls::Error> {
        let (secrets, keys) = self.dangerous_into_kernel_connection()?;
        Ok((secrets, Box::new(keys)))
    }
}

impl Handshaking for UnbufferedServerConnection {
    fn step(&mut self, incoming: &mut [u8], outgoing: &mut Vec<u8>) -> (usize, Result<Step, HandshakeError>) {
        step(self.process_tls_records(incoming), outgoing)
    }

    fn common(&self) -> &CommonState {
        self
    }

    fn finish(self) -> Result<(ExtractedSecrets, Box<dyn Rekey + Send>), rustls::Error> {
        let (secrets, keys) = self.dangerous_into_kernel_connection()?;
        Ok((secrets, Box::new(keys)))
    }
}

fn step<Data>(status: UnbufferedStatus<'_, '_, Data>, outgoing: &mut Vec<u8>) -> (usize, Result<Step, HandshakeError>) {
    let state = match status.state {
        Ok(state) => state,
        Err(error) => return (status.discard, Err(error.into())),
    };
    let step = match state {
        ConnectionState::EncodeTlsData(mut data) => encode(|out| data.encode(out), outgoing).map(|()| Step::Continue),
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Ok(Step::Send)
        }
        ConnectionState::BlockedHandshake => Ok(Step::Read),
        ConnectionState::WriteTraffic(_) => Ok(Step::Done),
        _ => Err(HandshakeError::OutOfTurn),
    };
    (status.discard, step)
}

/// Appends what `encode` writes, giving it the room it asks for.
fn encode(
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
    outgoing: &mut Vec<u8>,
) -> Result<(), HandshakeError> {
    let start = outgoing.len();
    let written = match encode(&mut []) {
        Err(EncodeError::InsufficientSize(error)) => {
            outgoing.resize(start + error.required_size, 0);
            encode(&mut outgoing[start..])
        }
        other => other,
    };
    let written = written.map_err(|error| rustls::Error::General(error.to_string()))?;
    outgoing.truncate(start + written);
    Ok(())
}

async fn shake(mut stream: TcpStream, mut tls: impl Handshaking) -> Result<Secured, HandshakeError> {
    let (mut incoming, mut outgoing) = (Vec::new(), Vec::new());
    loop {
        let (discard, step) = tls.step(&mut incoming, &mut outgoing);
        incoming.drain(..discard.min(incoming.len()));
        match step {
            Ok(Step::Continue) => {}
            Ok(Step::Send) => {
                stream.write_all(&outgoing).await?;
                outgoing.clear();
            }
            Ok(Step::Read) => {
                if incoming.len() >= FLIGHT_BYTES_MAX {
                    return Err(HandshakeError::OutOfTurn);
                }
                incoming.reserve(READ_BYTES);
                if stream.read_buf(&mut incoming).await? == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
            }
            Ok(Step::Done) => break,
            Err(error) => {
                say_why(&mut stream, tls, outgoing).await;
                return Err(error);
            }
        }
    }
    if !incoming.is_empty() || tls.common().is_handshaking() {
        return Err(HandshakeError::OutOfTurn);
    }
    let mut shown = tls.common().peer_certificates().unwrap_or_default().iter();
    let certificate = shown.next().map(|own| own.clone().into_owned());
    let sent_along = shown.map(|further| further.clone().into_owned()).collect();
    let alpn = tls.common().alpn_protocol().map(<[u8]>::to_vec);
    let (ExtractedSecrets { tx, rx }, keys) = tls.finish()?;
    let keys: SharedKeys = Arc::new(Mutex::new(keys));
    let sealer = Sealer::new(tx.0, &tx.1, keys.clone())?;
    let opener = Opener::new(rx.0, &rx.1, keys)?;
    let (read, write) = stream.into_split();
    Ok(Secured {
        reader: Reader::new(read, opener),
        writer: Writer::new(write, sealer),
        certificate,
        sent_along,
        alpn,
    })
}

/// After an error rustls may have an alert to send. Whether it arrives is of no interest.
async fn say_why(stream: &mut TcpStream, mut tls: impl Handshaking, mut outgoing: Vec<u8>) {
    // The next step after an error encodes the alert, if there is one.
    if let (_, Ok(Step::Continue)) = tls.step(&mut [], &mut outgoing)
        && !outgoing.is_empty()
        && stream.write_all(&outgoing).await.is_ok()
    {
        let _ = stream.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::{Secured, accept, dial};
    use crate::identity::authority::{Authority, generate_key, public_key};
    use crate::peer::frame::{HEADER_BYTES, Header, Kind};
    use crate::peer::tls::{Credentials, server_name};
    use holdfast_core::ids::{ClusterId, NodeId};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    const CLUSTER: ClusterId = ClusterId(7);

    fn members(count: u64) -> Vec<Credentials> {
        let authority = Authority::generate(CLUSTER).expect("authority");
        let member = |node| {
            let key = generate_key().expect("key");
            let certificate = authority
                .admit(node, &public_key(&key).expect("public key"))
                .expect("certificate");
            Credentials {
                cluster: CLUSTER,
                node,
                authority: authority.certificate().to_vec(),
                certificate,
                key,
            }
        };
        (1..=count).map(|node| member(NodeId(node))).collect()
    }

    async fn sockets() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let dialled = TcpStream::connect(listener.local_addr().expect("address"))
            .await
            .expect("connect");
        (dialled, listener.accept().await.expect("accept").0)
    }

    #[tokio::test]
    async fn keys_are_updated_on_both_sides_alike() {
        let members = members(2);
        let (near, far) = sockets().await;
        let name = server_name(NodeId(2), CLUSTER).expect("name");
        let (near, far) = tokio::join!(
            dial(near, members[0].client().expect("client"), name),
            accept(far, members[1].server().expect("server")),
        );
        let (Secured { mut writer, .. }, Secured { mut reader, .. }) = (near.expect("dial"), far.expect("accept"));
        writer.update_keys_every(2);
        for number in 0..50_u8 {
            writer.put(Kind::Message, &[number], &[]).await.expect("put");
            writer.flush().await.expect("flush");
            assert_eq!(reader.next().await.expect("frame").head[..], [number]);
        }
    }

    #[tokio::test]
    async fn what_is_spoken_is_plain_tls() {
        let members = members(2);
        let (near, far) = sockets().await;
        let theirs = tokio_rustls::TlsConnector::from(members[0].client().expect("client"));
        let name = server_name(NodeId(2), CLUSTER).expect("name");
        let (near, far) = tokio::join!(
            theirs.connect(name, near),
            accept(far, members[1].server().expect("server"))
        );
        let (
            mut near,
            Secured {
                mut reader,
                mut writer,
                certificate,
                ..
            },
        ) = (near.expect("dial"), far.expect("accept"));
        assert_eq!(certificate.expect("certificate")[..], members[0].certificate[..]);
        let payload: Vec<u8> = (0..100_000_u32)
            .map(|i| u8::try_from(i % 251).expect("a byte"))
            .collect();
        writer.put(Kind::Message, b"head", &payload).await.expect("put");
        writer.flush().await.expect("flush");
        let mut frame = vec![0; HEADER_BYTES + 4 + payload.len()];
        near.read_exact(&mut frame).await.expect("read");
        assert_eq!(
            frame[..HEADER_BYTES],
            Header::new(Kind::Message, 4, payload.len()).encode()
        );
        assert!(frame[HEADER_BYTES + 4..] == payload);
        near.write_all(&frame).await.expect("write");
        near.flush().await.expect("flush");
        assert!(reader.next().await.expect("frame").payload[..] == payload);
        near.shutdown().await.expect("close");
        assert!(
            matches!(reader.next().await, Err(crate::peer::WireError::Closed)),
            "told by an alert"
        );
    }
}
