//! A request's body as it comes off the connection: counted, and read to its end even when nobody wants it.
//!
//! When a handler answers early, for instance because the signature is wrong, the client is often still sending. Were
//! the body dropped, hyper would close, the kernel would reset the connection, and the client would report a broken
//! pipe in place of the error. So the rest is read and thrown away, within bounds, while the answer goes out.
//!
//! A client that waits for `100 Continue` and gets its answer first may never send the body, and its next request would
//! be taken for one: that connection is closed behind the answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::RequestNote;

/// Bytes thrown away at most.
const DRAIN_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long that may take.
const DRAIN: Duration = Duration::from_secs(5);

pub(crate) struct RequestBody {
    inner: Option<Incoming>,
    note: RequestNote,
    /// The client sends nothing before it has heard `100 Continue`, which hyper says when the body is first read.
    held_back: bool,
}

impl RequestBody {
    pub(crate) const fn new(inner: Incoming, note: RequestNote, held_back: bool) -> Self {
        Self {
            inner: Some(inner),
            note,
            held_back,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        this.held_back = false;
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        let frame = std::task::ready!(Pin::new(inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => this.note.count_in(frame.data_ref().map_or(0, Buf::remaining)),
            Some(Err(_)) | None => this.inner = None,
        }
        Poll::Ready(frame)
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
