//! Completes every answer: request id, whole error documents, 206 for a HEAD with a range.
//!
//! `s3s` writes errors with a code and perhaps a message; SDKs print message, resource and request id, and people
//! search logs by the last.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, Response, StatusCode};
use http_body::Body as _;
use s3s::{Body, S3Error};

use super::listing_xml::{ReadyXml, escape};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");

/// Messages for codes that `s3s` sends without one.
const MESSAGES: [(&str, &str); 9] = [
    (
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your key and signing \
         method.",
    ),
    ("AccessDenied", "Access Denied."),
    ("InvalidURI", "Couldn't parse the specified URI."),
    ("InvalidBucketName", "The specified bucket is not valid."),
    ("KeyTooLongError", "Your key is too long."),
    (
        "MethodNotAllowed",
        "The specified method is not allowed against this resource.",
    ),
    (
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema.",
    ),
    (
        "NotImplemented",
        "A header or operation you provided implies functionality that is not implemented.",
    ),
    (
        "IncompleteBody",
        "You did not provide the number of bytes specified by the Content-Length HTTP header.",
    ),
];

/// The answer to a request refused before `s3s` saw it.
pub(super) fn refusal(error: S3Error) -> Response<Body> {
    match error.to_http_response() {
        Ok(answer) => answer,
        Err(_) => internal(),
    }
}

/// The answer when nothing better can be said.
pub(super) fn internal() -> Response<Body> {
    let mut answer = Response::new(Body::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>InternalError</Code><Message>We encountered an \
         internal error. Please try again.</Message></Error>"
            .to_owned(),
    ));
    *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    answer
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    answer
}

/// Completes an answer.
pub(super) fn complete(mut answer: Response<Body>, method: &Method, path: &str, request_id: &str) -> Response<Body> {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        answer.headers_mut().insert(REQUEST_ID, id);
    }
    if let Some(ReadyXml(document)) = answer.extensions_mut().remove::<ReadyXml>() {
        answer.headers_mut().remove(CONTENT_LENGTH);
        *answer.body_mut() = Body::from(document);
    }
    let status = answer.status();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if *method == Method::HEAD {
        if status == StatusCode::OK && answer.headers().contains_key(CONTENT_RANGE) {
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        if !status.is_success() {
            *answer.body_mut() = Body::empty();
        }
        return answer;
    }
    if status.is_client_error() || status.is_server_error() {
        if let Some(document) = answer.body().bytes().and_then(|body| whole(&body, path, request_id)) {
            *answer.body_mut() = Body::from(document);
            answer.headers_mut().remove(CONTENT_LENGTH);
        }
    } else if status != StatusCode::NO_CONTENT
        && status != StatusCode::NOT_MODIFIED
        && answer.body().is_end_stream()
        && !answer.headers().contains_key(CONTENT_LENGTH)
    {
        answer
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    answer
}

/// An error document with message, resource and request id; `None` when it is not one.
fn whole(body: &Bytes, path: &str, request_id: &str) -> Option<Bytes> {
    let text = std::str::from_utf8(body).ok()?;
    let end = text.rfind("</Error>")?;
    let mut document = String::with_capacity(text.len() + path.len() + 160);
    document.push_str(&text[..end]);
    if !text.contains("<Message>") {
        let code = text.split_once("<Code>")?.1.split_once("</Code>")?.0;
        let message = MESSAGES.iter().find(|(known, _)| *known == code);
        document.push_str("<Message>");
        document.push_str(message.map_or(code, |(_, message)| message));
        document.push_str("</Message>");
    }
    document.push_str("<Resource>");
    escape(path, &mut document);
    document.push_str("</Resource><RequestId>");
    document.push_str(request_id);
    document.push_str("</RequestId>");
    document.push_str(&text[end..]);
    Some(Bytes::from(document))
}

#[cfg(test)]
mod tests {
    use http::{Method, Response, StatusCode};
    use s3s::{Body, s3_error};

    use super::{complete, refusal};

    fn text(answer: &Response<Body>) -> String {
        String::from_utf8(answer.body().bytes().unwrap_or_default().to_vec()).unwrap()
    }

    #[test]
    fn errors_tell_message_resource_and_id() {
        let answer = refusal(s3_error!(SignatureDoesNotMatch));
        let answer = complete(answer, &Method::GET, "/b/<k>&", "ID7");
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        assert_eq!(answer.headers()["x-amz-request-id"], "ID7");
        let text = text(&answer);
        assert!(
            text.contains("<Code>SignatureDoesNotMatch</Code><Message>The request signature we"),
            "{text}"
        );
        assert!(
            text.ends_with("<Resource>/b/&lt;k&gt;&amp;</Resource><RequestId>ID7</RequestId></Error>"),
            "{text}"
        );
        assert_eq!(text.matches("<Message>").count(), 1);
    }

    /// Also where there is no body to say so.
    #[test]
    fn whoever_is_to_come_back_is_told_when() {
        for method in [Method::GET, Method::HEAD, Method::PUT] {
            let answer = complete(refusal(s3_error!(SlowDown)), &method, "/b/k", "ID");
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(answer.headers()["retry-after"], "1");
        }
    }

    #[test]
    fn a_head_has_no_body_and_may_be_partial() {
        let answer = complete(refusal(s3_error!(NoSuchKey)), &Method::HEAD, "/b/k", "ID");
        assert_eq!((answer.status(), text(&answer).as_str()), (StatusCode::NOT_FOUND, ""));
        let mut answer = Response::new(Body::empty());
        answer
            .headers_mut()
            .insert("content-range", "bytes 0-1/9".parse().unwrap());
        let answer = complete(answer, &Method::HEAD, "/b/k", "ID");
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
    }
}
