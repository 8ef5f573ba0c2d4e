//! What is told of each request: one line in the log (target `access`), and the metrics.
//!
//! A [`Ticket`] is opened when a request arrives and closes when its answer has been sent, or given up: only then are
//! the bytes and the duration known. A target that nobody listens to costs one atomic load.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Buf, Bytes};
use http::{Method, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};

use crate::grpc::status_in_trailers;

/// Who asked for what, as far as the handlers have found out. Travels in the request's extensions.
#[derive(Clone, Default)]
pub struct RequestNote(Arc<Noted>);

#[derive(Default)]
struct Noted {
    operation: OnceLock<String>,
    principal: OnceLock<String>,
    bytes_in: AtomicU64,
    close: AtomicBool,
}

impl RequestNote {
    /// Notes the operation, and the access key that signed for it; the first note stays.
    pub fn identify(&self, operation: &str, principal: Option<String>) {
        let _ = self.0.operation.set(operation.to_owned());
        if let Some(principal) = principal {
            let _ = self.0.principal.set(principal);
        }
    }

    /// Asks that the connection be closed behind the answer, because what comes next on it is not known to be a request.
    pub(crate) fn close_behind_answer(&self) {
        self.0.close.store(true, Ordering::Relaxed);
    }

    pub(crate) fn closes(&self) -> bool {
        self.0.close.load(Ordering::Relaxed)
    }

    /// Counts bytes of the request's body.
    pub(crate) fn count_in(&self, bytes: usize) {
        self.0.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// A request being answered; dropping it writes the line.
pub(crate) struct Ticket {
    front_end: &'static str,
    request_id: String,
    method: Method,
    uri: Uri,
    remote: SocketAddr,
    began: Instant,
    note: RequestNote,
    status: StatusCode,
    bytes_out: u64,
    whole: bool,
}

impl Ticket {
    pub(crate) fn open(
        front_end: &'static str,
        request_id: String,
        method: Method,
        uri: Uri,
        remote: SocketAddr,
    ) -> Self {
        Self {
            front_end,
            request_id,
            method,
            uri,
            remote,
            began: Instant::now(),
            note: RequestNote::default(),
            // What is logged when the client goes away before there is an answer (nginx's custom).
            status: StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            bytes_out: 0,
            whole: false,
        }
    }

    pub(crate) fn request_id(&self) -> &str {
        &self.request_id
    }

    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }

    pub(crate) const fn note(&self) -> &RequestNote {
        &self.note
    }

    pub(crate) const fn answered(&mut self, status: StatusCode) {
        self.status = status;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        let operation = self.note.0.operation.get().map_or("-", String::as_str);
        super::meters::count(self.front_end, operation, self.status.as_u16(), took);
        super::pulse::count(super::pulse::Beat {
            operation,
            failed: self.status.is_server_error(),
            bytes_in: self.note.0.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out,
            took,
        });
        tracing::info!(
            target: "access",
            front_end = self.front_end,
            request_id = %self.request_id,
            method = %self.method,
            path = %self.uri.path(),
            operation,
            status = self.status.as_u16(),
            bytes_in = self.note.0.bytes_in.load(Ordering::Relaxed),
            bytes_out = self.bytes_out,
            ms = took.as_secs_f64() * 1e3,
            key = self.note.0.principal.get().map_or("-", String::as_str),
            remote = %self.remote,
            whole = self.whole,
        );
    }
}

/// An answer's body that counts what is sent and holds the request's ticket until then.
pub(crate) struct Metered<B> {
    body: B,
    ticket: Ticket,
}

impl<B: Body> Metered<B> {
    pub(crate) fn new(body: B, mut ticket: Ticket) -> Self {
        ticket.whole = body.is_end_stream();
        Self { body, ticket }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Metered<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                this.ticket.bytes_out += frame.data_ref().map_or(0, |data| data.remaining() as u64);
                this.ticket.whole = this.body.is_end_stream();
                // gRPC says behind the body how it went.
                if let Some(status) = frame.trailers_ref().and_then(status_in_trailers) {
                    this.ticket.answered(status);
                }
            }
            Some(Err(_)) => {}
            None => this.ticket.whole = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
