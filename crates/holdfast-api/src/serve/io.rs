//! A client's socket, between TCP or TLS and hyper.
//!
//! It does what hyper leaves out: it says `100 Continue` when a request without a body waits for it (the aws cli waits
//! otherwise); it puts words into the bare 431 that hyper answers when headers are beyond its buffer; and it closes so
//! that an answer given early still arrives: closing a socket with unread bytes makes the kernel reset the connection,
//! and the client never sees the error it was sent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::server::TlsStream;

/// Bytes read and thrown away from a client that goes on sending after its answer.
const LINGER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long that may take.
const LINGER: Duration = Duration::from_secs(2);

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How hyper begins its own answer to headers it cannot hold, and what marks it as hyper's: ours have a body.
const BARE_TOO_LARGE: (&[u8], &[u8]) = (b"HTTP/1.1 431 ", b"content-length: 0\r\n");

/// What is said in its place.
const TOO_LARGE: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\n\
    content-type: application/xml\r\nconnection: close\r\ncontent-length: 197\r\n\r\n\
    <?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>RequestHeaderSectionTooLarge</Code>\
    <Message>Your request header section exceeds the maximum allowed request header section size.</Message></Error>";

/// Sets what every client socket needs: no delay for small answers, and an end to peers that vanished.
pub(super) fn tune(stream: &TcpStream) {
    // Both only improve matters; a socket that refuses them still works.
    let _ = stream.set_nodelay(true);
    let socket = socket2::SockRef::from(stream);
    let _ = socket.set_tcp_user_timeout(Some(Duration::from_secs(60)));
}

/// Ends the sending side, then reads until the client has ended too.
pub(super) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.shutdown().await?;
    let mut sink = vec![0_u8; 16 * 1024];
    let mut bytes = 0;
    while bytes < LINGER_BYTES_MAX {
        match stream.read(&mut sink).await? {
            0 => break,
            read => bytes += read,
        }
    }
    Ok(())
}

/// Plain or encrypted.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Asks a connection to say `100 Continue` before its next bytes.
#[derive(Clone, Default)]
pub(crate) struct ContinueFirst(Arc<AtomicBool>);

impl ContinueFirst {
    pub(crate) fn ask(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn taken(&self) -> bool {
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::AcqRel)
    }
}

pub(super) struct ClientIo {
    stream: Option<Stream>,
    peer_ended: bool,
    continue_first: ContinueFirst,
    pending: &'static [u8],
    /// Its place among the connections. It holds a file until its very end, lingering included.
    place: Option<OwnedSemaphorePermit>,
}

impl ClientIo {
    pub(super) fn new(stream: Stream, continue_first: ContinueFirst, place: OwnedSemaphorePermit) -> Self {
        Self {
            stream: Some(stream),
            peer_ended: false,
            continue_first,
            pending: &[],
            place: Some(place),
        }
    }

    fn inner(&mut self) -> io::Result<Pin<&mut Stream>> {
        match &mut self.stream {
            Some(stream) => Ok(Pin::new(stream)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Whether these are hyper's own words about headers that it cannot hold; ours are then sent in their place.
    fn replaces(&mut self, bytes: &[u8]) -> bool {
        let (beginning, mark) = BARE_TOO_LARGE;
        let bare = bytes.starts_with(beginning) && bytes.windows(mark.len()).any(|window| window == mark);
        if bare {
            self.pending = TOO_LARGE;
        }
        bare
    }

    /// Writes what must go before hyper's own bytes.
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.continue_first.taken() {
            self.pending = CONTINUE;
        }
        while !self.pending.is_empty() {
            let pending = self.pending;
            let written = std::task::ready!(self.inner()?.poll_write(cx, pending))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending = &pending[written..];
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for ClientIo {
    fn drop(&mut self) {
        let (Some(mut stream), false) = (self.stream.take(), self.peer_ended) else {
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let place = self.place.take();
        runtime.spawn(async move {
            let _place = place;
            // The client may be gone already; there is nobody to tell.
            let _ = tokio::time::timeout(LINGER, linger(&mut stream)).await;
        });
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = std::task::ready!(self.inner()?.poll_read(cx, buf));
        if read.is_err() || buf.filled().len() == before {
            self.peer_ended = true;
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_pending(cx))?;
        if self.replaces(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        self.inner()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_pending(cx))?;
        if bufs.first().is_some_and(|first| self.replaces(first)) {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        self.inner()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_pending(cx))?;
        self.inner()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_pending(cx))?;
        self.inner()?.poll_shutdown(cx)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TOO_LARGE;

    #[test]
    fn the_length_told_is_the_length_sent() {
        let text = std::str::from_utf8(TOO_LARGE).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())));
    }
}
