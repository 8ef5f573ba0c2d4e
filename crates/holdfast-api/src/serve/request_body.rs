//! A request's body as it comes off the connection: counted, and read to its end even when nobody wants it.
//!
//! When a handler answers early, for instance because the signature is wrong, the client is often still sending. Were
//! the body dropped, hyper would close, the kernel would reset the connection, and the client would report a broken
//! pipe in place of the error. So the rest is read and thrown away, within bounds, while the answer goes out.
//!
//! Whoever reads a body has patience of his own, and words for it when it ends. Behind that, here, is an end for all bodies,
//! also those that a library reads: a client that stops in the middle would otherwise keep its connection, and what was read
//! of the body, for ever.
//!
//! A client that waits for `100 Continue` and gets its answer first may never send the body, and its next request would
//! be taken for one: that connection is closed behind the answer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::RequestNote;

/// Bytes thrown away at most.
const DRAIN_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long that may take.
const DRAIN: Duration = Duration::from_secs(5);

/// What the error of a body that came too slowly says; `s3s` wraps errors so that only their words are left.
pub(crate) const STALLED: &str = "the client stopped sending";

/// So many times the patience of whoever reads the body, who has better words.
const PATIENCE_FACTOR: u32 = 2;

/// Why a body did not arrive.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// The connection failed.
    Broken(hyper::Error),
    /// The client sent nothing for too long, or all of it too slowly.
    Stalled,
    /// The client broke it off.
    Cut,
}

impl std::fmt::Display for BodyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Broken(error) => error.fmt(f),
            Self::Stalled => f.write_str(STALLED),
            Self::Cut => f.write_str("the client broke it off"),
        }
    }
}

/// Without a source on purpose: tonic, once any crate switches on its feature `server`, looks for one, and takes a request that its
/// client has cancelled for one that has ended.
impl std::error::Error for BodyError {}

pub(crate) struct RequestBody {
    inner: Option<Incoming>,
    note: RequestNote,
    /// How long the client may send nothing.
    patience: Duration,
    /// Since when it has sent nothing.
    silent_since: Option<Instant>,
    /// When all of it must have come.
    due: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// The client sends nothing before it has heard `100 Continue`, which hyper says when the body is first read.
    held_back: bool,
    /// Its end is a flag of its last frame, as in HTTP/2.
    has_flagged_end: bool,
}

impl RequestBody {
    pub(crate) fn new(inner: Incoming, note: RequestNote, held_back: bool, patience: Duration) -> Self {
        Self {
            inner: Some(inner),
            note,
            patience: patience * PATIENCE_FACTOR,
            silent_since: None,
            due: None,
            timer: None,
            held_back,
            has_flagged_end: false,
        }
    }

    /// Of a request in HTTP/2. hyper takes a stream that its client has reset without giving a reason for one that has ended, and
    /// half a body would be stored as a whole one.
    pub(crate) const fn with_flagged_end(mut self) -> Self {
        self.has_flagged_end = true;
        self
    }

    /// All of it must come within this time.
    pub(crate) fn must_end_within(&mut self, time: Duration) {
        self.due = Some(Instant::now() + time);
    }

    /// Whether the client has been silent for too long. One timer for the whole body, set again when it fires: one for each
    /// piece would cost more than the piece.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = *self.silent_since.get_or_insert_with(Instant::now) + self.patience;
        let deadline = self.due.map_or(deadline, |due| due.min(deadline));
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        this.held_back = false;
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        let Poll::Ready(frame) = Pin::new(inner).poll_frame(cx) else {
            std::task::ready!(this.poll_stalled(cx));
            // What may still come is no request.
            this.inner = None;
            this.note.close_behind_answer();
            return Poll::Ready(Some(Err(BodyError::Stalled)));
        };
        this.silent_since = None;
        if frame.is_none() && this.has_flagged_end && !this.is_end_stream() {
            this.inner = None;
            return Poll::Ready(Some(Err(BodyError::Cut)));
        }
        match &frame {
            Some(Ok(frame)) => this.note.count_in(frame.data_ref().map_or(0, Buf::remaining)),
            Some(Err(_)) | None => this.inner = None,
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(mut rest) = self.inner.take().filter(|inner| !inner.is_end_stream()) else {
            return;
        };
        if self.held_back {
            self.note.close_behind_answer();
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            let drain = async {
                let mut bytes = 0;
                while let Some(Ok(frame)) = rest.frame().await {
                    bytes += frame.data_ref().map_or(0, Buf::remaining);
                    if bytes > DRAIN_BYTES_MAX {
                        break;
                    }
                }
            };
            // Whoever sends more, or slower, is cut off.
            let _ = tokio::time::timeout(DRAIN, drain).await;
        });
    }
}
