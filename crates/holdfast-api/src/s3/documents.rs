//! Room for requests whose body is held in memory whole: XML documents and browser forms. Some are read before anything is
//! known of who sends them, so without a bound anybody could fill a node's memory with them.
//!
//! Small ones need no room: the number of connections bounds them, and nearly all are small. What waits for room waits a
//! moment, and is then told to come back later; none of it has been read by then.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method};
use s3s::{S3Result, s3_error};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{FORM_FILE_BYTES_MAX, XML_BYTES_MAX};

/// Bytes of all of them together.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// What needs no room.
const SMALL_BYTES_MAX: usize = 64 * 1024;
/// What room is counted in.
const UNIT_BYTES: usize = 1024;
/// How long one waits for room.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How long one that has room may take to arrive, so that nobody keeps it by sending a byte now and then.
pub(super) const WITHIN: Duration = Duration::from_secs(60);

/// Room for documents.
pub(super) struct Documents(Arc<Semaphore>);

/// Room that was taken; travels with the request, and is given back with it.
#[derive(Clone)]
pub(super) struct Room(#[expect(dead_code, reason = "dropping it is its use")] Arc<OwnedSemaphorePermit>);

impl Default for Documents {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BYTES_MAX / UNIT_BYTES)))
    }
}

impl Documents {
    /// Room for a request's body, if it needs any.
    pub(super) async fn room(&self, head: &Parts) -> S3Result<Option<Room>> {
        let bytes = bytes_held(head);
        if bytes <= SMALL_BYTES_MAX {
            return Ok(None);
        }
        let units = u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX);
        let taken = tokio::time::timeout(WAIT_MAX, Arc::clone(&self.0).acquire_many_owned(units)).await;
        match taken {
            Ok(Ok(permit)) => Ok(Some(Room(Arc::new(permit)))),
            Ok(Err(_)) | Err(_) => Err(s3_error!(
                SlowDown,
                "Please reduce your request rate: too many documents are being read; nothing was changed."
            )),
        }
    }
}

/// How much of a request's body may be held in memory at once.
fn bytes_held(head: &Parts) -> usize {
    let sub_resource = |query: &str| query.split('&').any(|pair| !pair.is_empty() && !has_value(pair));
    let is_document = match head.method {
        Method::POST => true,
        Method::PUT => head.uri.query().is_some_and(sub_resource),
        _ => false,
    };
    if !is_document {
        return 0;
    }
    let kind = head.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let bytes_max = if kind.starts_with(b"multipart/") {
        usize::try_from(FORM_FILE_BYTES_MAX).unwrap_or(usize::MAX)
    } else {
        XML_BYTES_MAX
    };
    let length = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let length: Option<usize> = length.and_then(|length| length.parse().ok());
    length.unwrap_or(bytes_max).min(bytes_max)
}

fn has_value(pair: &str) -> bool {
    pair.split_once('=').is_some_and(|(_, value)| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(method: Method, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn what_is_held_whole_is_told_from_what_streams() {
        let large = [("content-length", "5000000000")];
        assert_eq!(bytes_held(&head(Method::PUT, "/b/k", &large)), 0);
        assert_eq!(
            bytes_held(&head(Method::PUT, "/b/k?partNumber=1&uploadId=x", &large)),
            0
        );
        assert_eq!(bytes_held(&head(Method::PUT, "/b/k?tagging", &large)), XML_BYTES_MAX);
        assert_eq!(bytes_held(&head(Method::POST, "/b?delete", &[])), XML_BYTES_MAX);
        let small = [("content-length", "700")];
        assert_eq!(bytes_held(&head(Method::POST, "/b/k?uploadId=x", &small)), 700);
        let form = [("content-type", "multipart/form-data; boundary=x")];
        assert_eq!(
            bytes_held(&head(Method::POST, "/b", &form)),
            FORM_FILE_BYTES_MAX as usize
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_too_many_is_told_to_slow_down_and_small_ones_pass() {
        let documents = Documents::default();
        let unknown = head(Method::POST, "/b?delete", &[]);
        let mut held = Vec::new();
        for _ in 0..BYTES_MAX / XML_BYTES_MAX {
            held.push(documents.room(&unknown).await.unwrap().expect("room"));
        }
        let refused = documents.room(&unknown).await.err().expect("no room is left");
        assert_eq!(refused.code().as_str(), "SlowDown");
        let small = head(Method::POST, "/b?delete", &[("content-length", "60000")]);
        assert!(documents.room(&small).await.unwrap().is_none());
        held.pop();
        assert!(documents.room(&unknown).await.unwrap().is_some());
    }
}
