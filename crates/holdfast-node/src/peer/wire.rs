//! The bytes of one connection after its TLS handshake: frames out, frames in.
//!
//! A writer gathers small frames into full records and many records into one write. A reader takes large reads,
//! decrypts a record where it lies, and copies it once, to the message's own buffer, while it is still in the cache.
//!
//! Invariants: a reader holds at most one read buffer and one message within the bounds of [`frame`](super::frame);
//! [`Reader::next`] may be cancelled at any time and loses nothing.

use super::frame::{FrameError, HEADER_BYTES, Header, Hello, Kind, MESSAGE_BYTES_MAX, REFUSAL_BYTES_MAX};
use super::handshake::HandshakeError;
use super::record::{
    self, CONTENT_BYTES_MAX, Opened, Opener, RECORD_BYTES_MAX, RECORD_HEADER_BYTES, RecordError, Sealer,
};
use crate::buffers;
use bytes::Bytes;
use std::io;
use std::ops::Range;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// What is encrypted before it is handed to the kernel: large enough that the system call costs little, small enough
/// to be still in the cache when the kernel copies it.
const WRITE_BYTES: usize = 128 << 10;
/// What one read takes from a connection that carries messages.
pub const READ_BYTES: usize = 256 << 10;

/// Room that a buffer asks for which stays as long as its connection: so much that the allocator gives it pages of its own. Of
/// a smaller one's neighbours, buffers of bodies in transit, it keeps what they have written to: 4 MiB with mimalloc, of
/// which two connections' buffers were an eighth. What is not written to costs nothing.
const ROOM_BYTES: usize = (512 << 10) + 1;

/// Why a connection ended.
#[derive(Debug)]
pub enum WireError {
    /// The other side closed it.
    Closed,
    /// The network failed.
    Io(io::Error),
    /// TLS did not come about.
    Handshake(HandshakeError),
    /// TLS failed.
    Record(RecordError),
    /// The other side sent what no peer sends.
    Frame(FrameError),
    /// A frame of a kind that has no place here.
    Unexpected(Kind),
    /// The other side refused the connection, and says why.
    Refused(String),
}

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => write!(f, "closed by the other side"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Handshake(error) => write!(f, "{error}"),
            Self::Record(error) => write!(f, "{error}"),
            Self::Frame(error) => write!(f, "received {error}"),
            Self::Unexpected(kind) => write!(f, "received a frame out of place ({kind:?})"),
            Self::Refused(why) => write!(f, "refused by the other side: {why}"),
        }
    }
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<HandshakeError> for WireError {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

impl From<RecordError> for WireError {
    fn from(error: RecordError) -> Self {
        if error == RecordError::Alert(0) {
            Self::Closed
        } else {
            Self::Record(error)
        }
    }
}

impl From<FrameError> for WireError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

/// One frame as received.
#[derive(Debug)]
pub struct Incoming {
    pub kind: Kind,
    pub head: Bytes,
    pub payload: Bytes,
}

/// The sending half.
pub struct Writer {
    stream: OwnedWriteHalf,
    sealer: Sealer,
    /// Less than a record of plain bytes, waiting for more.
    plain: Vec<u8>,
    /// Records, waiting for a write.
    sealed: Vec<u8>,
}

impl Writer {
    pub fn new(stream: OwnedWriteHalf, sealer: Sealer) -> Self {
        Self {
            stream,
            sealer,
            plain: Vec::new(),
            sealed: Vec::with_capacity(ROOM_BYTES),
        }
    }

    #[cfg(test)]
    pub fn update_keys_every(&mut self, records: u64) {
        self.sealer.update_keys_every(records);
    }

    /// Adds a frame. What is more than a write may be sent at once, the rest waits for [`flush`](Self::flush). A frame
    /// begun must be finished: dropping this future leaves a connection that can only be closed.
    pub async fn put(&mut self, kind: Kind, head: &[u8], payload: &[u8]) -> Result<(), WireError> {
        self.gather(&Header::new(kind, head.len(), payload.len()).encode())
            .await?;
        self.gather(head).await?;
        self.gather(payload).await
    }

    async fn gather(&mut self, mut bytes: &[u8]) -> Result<(), WireError> {
        if bytes.len() >= CONTENT_BYTES_MAX {
            // Straight into the records, not by way of `plain`.
            self.seal_plain()?;
            while !bytes.is_empty() {
                let (content, rest) = bytes.split_at(bytes.len().min(CONTENT_BYTES_MAX));
                self.sealer.seal(content, &mut self.sealed)?;
                bytes = rest;
                self.write_if_full().await?;
            }
            return Ok(());
        }
        if self.plain.len() + bytes.len() > CONTENT_BYTES_MAX {
            let (fits, rest) = bytes.split_at(CONTENT_BYTES_MAX - self.plain.len());
            self.plain.extend_from_slice(fits);
            bytes = rest;
            self.seal_plain()?;
            self.write_if_full().await?;
        }
        self.plain.extend_from_slice(bytes);
        Ok(())
    }

    fn seal_plain(&mut self) -> Result<(), WireError> {
        if !self.plain.is_empty() {
            self.sealer.seal(&self.plain, &mut self.sealed)?;
            self.plain.clear();
        }
        Ok(())
    }

    async fn write_if_full(&mut self) -> Result<(), WireError> {
        if self.sealed.len() >= WRITE_BYTES {
            self.write().await
        } else {
            Ok(())
        }
    }

    async fn write(&mut self) -> Result<(), WireError> {
        self.stream.write_all(&self.sealed).await?;
        self.sealed.clear();
        Ok(())
    }

    /// Sends what waits.
    pub async fn flush(&mut self) -> Result<(), WireError> {
        self.seal_plain()?;
        self.write().await
    }

    /// Says why the connection is refused. Failure to say so is of no interest.
    pub async fn refuse(&mut self, why: &str) {
        let mut end = why.len().min(REFUSAL_BYTES_MAX);
        while !why.is_char_boundary(end) {
            end -= 1;
        }
        if self.put(Kind::Refusal, &why.as_bytes()[..end], &[]).await.is_ok() && self.flush().await.is_ok() {
            let _ = self.stream.shutdown().await;
        }
    }
}

/// A frame that is not yet complete.
enum Partial {
    Header {
        bytes: [u8; HEADER_BYTES],
        filled: usize,
    },
    Head {
        header: Header,
        head: Vec<u8>,
    },
    Payload {
        header: Header,
        head: Bytes,
        payload: Vec<u8>,
    },
}

const NO_HEADER: Partial = Partial::Header {
    bytes: [0; HEADER_BYTES],
    filled: 0,
};

/// The receiving half.
pub struct Reader {
    stream: OwnedReadHalf,
    opener: Opener,
    /// As read: `plain` of it decrypted, `unread` of it not yet.
    buffer: Vec<u8>,
    plain: Range<usize>,
    unread: Range<usize>,
    partial: Partial,
    message_bytes_max: usize,
}

impl Reader {
    /// A reader with a small buffer, enough for greetings and pongs.
    pub fn new(stream: OwnedReadHalf, opener: Opener) -> Self {
        Self {
            stream,
            opener,
            buffer: vec![0; RECORD_BYTES_MAX],
            plain: 0..0,
            unread: 0..0,
            partial: NO_HEADER,
            message_bytes_max: MESSAGE_BYTES_MAX,
        }
    }

    /// Takes more with each read from now on.
    pub fn widen(&mut self) {
        self.buffer.reserve_exact(ROOM_BYTES);
        self.buffer.resize(READ_BYTES, 0);
    }

    /// Accepts no longer messages than this, for those who have proved nothing yet.
    pub fn limit(&mut self, message_bytes_max: usize) {
        self.message_bytes_max = message_bytes_max;
    }

    /// The next frame.
    pub async fn next(&mut self) -> Result<Incoming, WireError> {
        loop {
            if let Some(frame) = self.advance()? {
                return Ok(frame);
            }
            self.read().await?;
        }
    }

    /// Reads what the kernel has; called only when there is no whole record left.
    async fn read(&mut self) -> Result<(), WireError> {
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        // The buffer holds more than the longest record, so there is room.
        match self.stream.read(&mut self.buffer[self.unread.end..]).await? {
            0 => Err(WireError::Closed),
            bytes => {
                self.unread.end += bytes;
                Ok(())
            }
        }
    }

    /// Decrypts and cuts what is there until a frame is complete or nothing is left to work on.
    fn advance(&mut self) -> Result<Option<Incoming>, WireError> {
        loop {
            if let Some(frame) = self.cut()? {
                return Ok(Some(frame));
            }
            let Some(found) = record::record(&self.buffer[self.unread.clone()])? else {
                return Ok(None);
            };
            let record = self.unread.start..self.unread.start + found.end;
            self.unread.start = record.end;
            if let Opened::Data(bytes) = self.opener.open(&mut self.buffer[record.clone()])? {
                let start = record.start + RECORD_HEADER_BYTES;
                self.plain = start..start + bytes;
            }
        }
    }

    /// Cuts a frame from decrypted bytes.
    fn cut(&mut self) -> Result<Option<Incoming>, WireError> {
        loop {
            let plain = &self.buffer[self.plain.clone()];
            match &mut self.partial {
                Partial::Header { bytes, filled } => {
                    let take = plain.len().min(HEADER_BYTES - *filled);
                    bytes[*filled..*filled + take].copy_from_slice(&plain[..take]);
                    *filled += take;
                    self.plain.start += take;
                    if *filled < HEADER_BYTES {
                        return Ok(None);
                    }
                    let header = Header::decode(bytes)?;
                    let (head_bytes, payload_bytes) = (header.head_bytes, header.payload_bytes);
                    if head_bytes + payload_bytes > self.message_bytes_max {
                        return Err(FrameError::TooLong {
                            head_bytes,
                            payload_bytes,
                        }
                        .into());
                    }
                    self.partial = Partial::Head {
                        header,
                        head: Vec::with_capacity(head_bytes),
                    };
                }
                Partial::Head { header, head } => {
                    let take = plain.len().min(header.head_bytes - head.len());
                    head.extend_from_slice(&plain[..take]);
                    self.plain.start += take;
                    if head.len() < header.head_bytes {
                        return Ok(None);
                    }
                    let payload = buffers::with_room(header.payload_bytes);
                    self.partial = Partial::Payload {
                        header: *header,
                        head: std::mem::take(head).into(),
                        payload,
                    };
                }
                Partial::Payload { header, head, payload } => {
                    let take = plain.len().min(header.payload_bytes - payload.len());
                    payload.extend_from_slice(&plain[..take]);
                    self.plain.start += take;
                    if payload.len() < header.payload_bytes {
                        return Ok(None);
                    }
                    let (kind, head, payload) = (header.kind, std::mem::take(head), std::mem::take(payload));
                    self.partial = NO_HEADER;
                    return Ok(Some(Incoming {
                        kind,
                        head,
                        payload: buffers::into_bytes(payload),
                    }));
                }
            }
        }
    }

    /// The other side's greeting.
    pub async fn hello(&mut self) -> Result<Hello, WireError> {
        let frame = self.expect(Kind::Hello).await?;
        Ok(Hello::decode(&frame.head)?)
    }

    /// The next frame, which must be of this kind; a refusal becomes an error in the other side's words.
    pub async fn expect(&mut self, kind: Kind) -> Result<Incoming, WireError> {
        let frame = self.next().await?;
        match frame.kind {
            got if got == kind => Ok(frame),
            Kind::Refusal => Err(WireError::Refused(
                String::from_utf8_lossy(&frame.head)
                    .chars()
                    .map(|c| if c.is_control() { ' ' } else { c })
                    .collect(),
            )),
            got => Err(WireError::Unexpected(got)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Reader, WireError, Writer};
    use crate::peer::frame::{FrameError, HEAD_BYTES_MAX, Kind, MESSAGE_BYTES_MAX};
    use crate::peer::record::tests::pair;
    use proptest::prelude::{ProptestConfig, any, proptest};
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    /// Both ends of a connection, with keys but without a handshake.
    async fn connected() -> (Writer, Reader) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let dialled = TcpStream::connect(listener.local_addr().expect("address"))
            .await
            .expect("connect");
        let (accepted, _) = listener.accept().await.expect("accept");
        let (sealer, opener) = pair();
        (
            Writer::new(dialled.into_split().1, sealer),
            Reader::new(accepted.into_split().0, opener),
        )
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime")
            .block_on(test)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn frames_of_any_sizes_arrive_whole_however_they_are_flushed(
            frames in proptest::collection::vec((0_usize..300, 0_usize..70_000, any::<u8>(), any::<bool>()), 1..30),
            wide in any::<bool>(),
        ) {
            run(async {
                let (mut writer, mut reader) = connected().await;
                if wide {
                    reader.widen();
                }
                let sending = frames.clone();
                let sent = tokio::spawn(async move {
                    for (head, payload, byte, flush) in sending {
                        writer.put(Kind::Message, &vec![byte; head], &vec![!byte; payload]).await.expect("put");
                        if flush {
                            writer.flush().await.expect("flush");
                        }
                    }
                    writer.flush().await.expect("flush");
                });
                for (head, payload, byte, _) in frames {
                    let frame = reader.next().await.expect("frame");
                    assert_eq!((frame.kind, frame.head.len(), frame.payload.len()), (Kind::Message, head, payload));
                    assert!(frame.head.iter().all(|got| *got == byte) && frame.payload.iter().all(|got| *got == !byte));
                }
                sent.await.expect("sent");
                assert!(matches!(reader.next().await, Err(WireError::Closed)));
            });
        }

        #[test]
        fn arbitrary_plaintext_of_a_peer_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..3000), kind in 0_u8..9) {
            run(async {
                let (mut writer, mut reader) = connected().await;
                let mut plain = vec![kind, 0, 0, 0];
                plain.extend_from_slice(&bytes);
                writer.gather(&plain).await.expect("gather");
                writer.flush().await.expect("flush");
                drop(writer);
                while let Ok(frame) = reader.next().await {
                    assert!(frame.head.len() + frame.payload.len() <= plain.len());
                }
            });
        }
    }

    #[test]
    fn a_limit_holds_before_anything_is_reserved() {
        run(async {
            let (mut writer, mut reader) = connected().await;
            reader.limit(4096);
            writer.put(Kind::Message, &[1; 96], &[2; 4000]).await.expect("put");
            writer.put(Kind::Message, &[1; 97], &[2; 4000]).await.expect("put");
            writer.flush().await.expect("flush");
            assert_eq!(reader.next().await.expect("fits").payload.len(), 4000);
            assert!(matches!(
                reader.next().await,
                Err(WireError::Frame(FrameError::TooLong { .. }))
            ));
        });
    }

    #[test]
    fn the_longest_message_and_no_longer_one_passes() {
        run(async {
            let (mut writer, mut reader) = connected().await;
            let sent = tokio::spawn(async move {
                let (head, payload) = (vec![1; HEAD_BYTES_MAX], vec![2; MESSAGE_BYTES_MAX - HEAD_BYTES_MAX]);
                writer.put(Kind::Message, &head, &payload).await.expect("put");
                writer
                    .put(Kind::Message, &head, &[payload, vec![3]].concat()[..])
                    .await
                    .is_ok()
            });
            assert_eq!(reader.next().await.expect("fits").head.len(), HEAD_BYTES_MAX);
            assert!(matches!(
                reader.next().await,
                Err(WireError::Frame(FrameError::TooLong { .. }))
            ));
            drop(reader);
            assert!(!sent.await.expect("task"), "nobody reads any more");
        });
    }

    #[test]
    fn being_cut_within_a_record_is_being_closed() {
        run(async {
            let (mut writer, mut reader) = connected().await;
            writer.put(Kind::Message, &[1; 100], &[2; 1000]).await.expect("put");
            writer.seal_plain().expect("seal");
            let half = writer.sealed.len() / 2;
            writer.stream.write_all(&writer.sealed[..half]).await.expect("write");
            drop(writer);
            assert!(matches!(reader.next().await, Err(WireError::Closed)));
        });
    }
}
