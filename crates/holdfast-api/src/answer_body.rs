//! A body on its way to the client.
//!
//! The first piece is awaited before the answer's status is chosen; the rest streams as it comes. An error later ends
//! the connection before the announced length, which is the only way left to say so in HTTP/1.1.

use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use holdfast_core::request::ReadFault;
use http_body::{Body, Frame, SizeHint};
use s3s::StdError;
use s3s::stream::{ByteStream, RemainingLength};

use crate::objects::BodyStream;

/// Bytes of a version, with the length that was announced.
pub struct AnswerBody {
    first: Option<Bytes>,
    /// A mutex only because HTTP bodies must be `Sync`, which boxed streams are not. It is never locked: whoever polls
    /// owns the body.
    rest: Mutex<BodyStream>,
    remaining: u64,
}

/// A body that broke off after its answer had begun.
#[derive(Debug)]
pub struct BrokenOff(pub ReadFault);

impl std::fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the body could not be read to its end: {:?}", self.0)
    }
}

impl std::error::Error for BrokenOff {}

impl AnswerBody {
    /// Waits for the first piece of a body of `length` bytes.
    ///
    /// # Errors
    /// When the first piece cannot be read, or the body is shorter than its version says.
    pub async fn begin(mut body: BodyStream, length: u64) -> Result<Self, ReadFault> {
        let mut first = None;
        while length > 0 && first.as_ref().is_none_or(Bytes::is_empty) {
            match body.next().await {
                Some(piece) => first = Some(piece?),
                None => return Err(ReadFault::Damaged),
            }
        }
        Ok(Self {
            first,
            rest: Mutex::new(body),
            remaining: length,
        })
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        let piece = match self.first.take() {
            Some(first) => Some(Ok(first)),
            None => match self.rest.get_mut() {
                Ok(rest) => std::task::ready!(rest.as_mut().poll_next(cx)),
                // Nothing locks it, so nothing can have poisoned it.
                Err(_) => None,
            },
        };
        match piece {
            Some(Ok(bytes)) if bytes.len() as u64 <= self.remaining => {
                self.remaining -= bytes.len() as u64;
                Poll::Ready(Some(Ok(bytes)))
            }
            // Longer or shorter than its version says: damaged either way.
            Some(Ok(_)) | None => Poll::Ready(Some(Err(BrokenOff(ReadFault::Damaged)))),
            Some(Err(fault)) => Poll::Ready(Some(Err(BrokenOff(fault)))),
        }
    }
}

impl Stream for AnswerBody {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_piece(cx)
            .map(|piece| piece.map(|piece| piece.map_err(StdError::from)))
    }
}

impl ByteStream for AnswerBody {
    fn remaining_length(&self) -> RemainingLength {
        usize::try_from(self.remaining).map_or_else(|_| RemainingLength::unknown(), RemainingLength::new_exact)
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        self.poll_piece(cx)
            .map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}
