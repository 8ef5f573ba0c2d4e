//! Deadlines that clients set (`grpc-timeout`): the time covers the request, the work and the whole answer.
//!
//! What a write had begun when its deadline passes may still take effect; the status says that nobody knows.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;

use crate::problem::{Answer, Problem};

const HEADER: &str = "grpc-timeout";

/// By when a call must be over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Deadline {
    pub(super) at: Instant,
}

impl Deadline {
    /// The deadline that a call has set. One beyond what clocks can hold is none.
    pub(super) fn of(headers: &HeaderMap) -> Answer<Option<Self>> {
        let Some(value) = headers.get(HEADER) else {
            return Ok(None);
        };
        let time = value.to_str().ok().and_then(parse).ok_or_else(|| {
            Problem::bad_request(
                "grpc-timeout is malformed",
                "send up to eight digits and one of H, M, S, m, u, n",
            )
        })?;
        Ok(Instant::now().checked_add(time).map(|at| Self { at }))
    }
}

/// `TimeoutValue TimeoutUnit` of the protocol "gRPC over HTTP2".
fn parse(text: &str) -> Option<Duration> {
    let unit_at = text.len().checked_sub(1)?;
    let (digits, unit) = text.split_at_checked(unit_at)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

/// What is said of a call that was not over in time.
pub(super) fn passed(writes: bool) -> Status {
    let advice = if writes {
        "try again; with the same request id a retry carries the same write on"
    } else {
        "try again with more time"
    };
    let problem = Problem::new(
        StatusCode::GATEWAY_TIMEOUT,
        "deadline_passed",
        "the deadline of the call has passed",
        advice,
    );
    Status::from(if writes { problem.with_unknown_state() } else { problem })
}

/// An answer that breaks off at its deadline.
pub(super) struct Deadlined<B> {
    /// Gone once the deadline has passed.
    body: Option<B>,
    timer: Pin<Box<Sleep>>,
}

impl<B> Deadlined<B> {
    pub(super) fn new(body: B, deadline: Deadline) -> Self {
        Self {
            body: Some(body),
            timer: Box::pin(sleep_until(deadline.at)),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Deadlined<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        std::task::ready!(this.timer.as_mut().poll(cx));
        this.body = None;
        let mut trailers = HeaderMap::new();
        // Answers that stream only read; one that wrote has its single message by now. These words fit into headers.
        let _ = passed(false).add_header(&mut trailers);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use futures_util::stream;
    use http::HeaderMap;
    use http_body::Frame;
    use http_body_util::{BodyExt, StreamBody};
    use tokio::time::Instant;

    use super::{Deadline, Deadlined, parse};

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        assert_eq!(parse("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(parse("2M"), Some(Duration::from_secs(120)));
        assert_eq!(parse("00000003S"), Some(Duration::from_secs(3)));
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse("7u"), Some(Duration::from_micros(7)));
        assert_eq!(parse("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for text in ["", "S", "123456789S", "1", "1s", "-1S", "+1S", "1 S", "1ü"] {
            assert_eq!(parse(text), None, "{text}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(Deadline::of(&headers).unwrap(), None);
        headers.insert("grpc-timeout", "soon".parse().unwrap());
        assert!(Deadline::of(&headers).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_breaks_off_at_its_deadline_and_says_so() {
        let pieces = stream::unfold(0_u64, |number| async move {
            tokio::time::sleep(Duration::from_millis(400)).await;
            Some((
                Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"x"))),
                number + 1,
            ))
        });
        let at = Instant::now() + Duration::from_secs(1);
        let mut body = Deadlined::new(StreamBody::new(Box::pin(pieces)), Deadline { at });
        for _ in 0..2 {
            assert!(body.frame().await.unwrap().unwrap().is_data());
        }
        let last = body.frame().await.unwrap().unwrap();
        assert_eq!(last.trailers_ref().unwrap()["grpc-status"], "4");
        assert_eq!(Instant::now(), at);
        assert!(body.frame().await.is_none());
    }
}
