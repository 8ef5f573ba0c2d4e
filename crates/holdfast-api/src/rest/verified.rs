//! A body whose SHA-256 was signed: it ends in an error when it is another. Since nothing is committed before a body has
//! ended well, nothing of another body is stored.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use sha2::{Digest, Sha256};

use crate::serve::{BodyError, RequestBody};

pub(super) struct VerifiedBody {
    inner: RequestBody,
    hasher: Option<Sha256>,
    expected: [u8; 32],
}

/// The body is not the one that was signed, or did not arrive.
#[derive(Debug)]
pub(super) enum Unverified {
    Other,
    Broken(BodyError),
}

impl std::fmt::Display for Unverified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Other => f.write_str("its SHA-256 is not the one in x-amz-content-sha256"),
            Self::Broken(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Unverified {}

impl VerifiedBody {
    pub(super) fn new(inner: RequestBody, expected: [u8; 32]) -> Self {
        Self {
            inner,
            hasher: Some(Sha256::new()),
            expected,
        }
    }

    fn ends_well(&mut self) -> bool {
        match self.hasher.take() {
            Some(hasher) => hasher.finalize().as_slice() == self.expected,
            None => true,
        }
    }
}

impl Body for VerifiedBody {
    type Data = Bytes;
    type Error = Unverified;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Unverified>>> {
        let this = self.get_mut();
        match std::task::ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let (Some(data), Some(hasher)) = (frame.data_ref(), &mut this.hasher) {
                    hasher.update(data);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(Unverified::Broken(error)))),
            None if this.ends_well() => Poll::Ready(None),
            None => Poll::Ready(Some(Err(Unverified::Other))),
        }
    }

    /// Never before the hash was compared: whoever asks must poll to the end.
    fn is_end_stream(&self) -> bool {
        self.hasher.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
