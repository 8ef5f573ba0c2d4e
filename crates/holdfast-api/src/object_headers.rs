//! The headers an object keeps: taken from a put, given back by a get, by S3 and REST alike.
//!
//! Kept as sent, in lower case and sorted by name, because that is how a version stores them
//! ([`holdfast_core::content::Content::headers`]). Metadata outside ASCII is kept as its UTF-8 bytes and returned so;
//! S3 would return it RFC 2047-encoded, which SDKs undo only sometimes.

use holdfast_core::content::{Content, HEADERS_BYTES_MAX};
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::checksum::Algorithm;
use crate::limits::USER_METADATA_BYTES_MAX;

/// What GET answers when nobody said what the object is; S3's choice.
pub const CONTENT_TYPE_DEFAULT: &str = "binary/octet-stream";

/// How user metadata begins.
pub const USER_METADATA_PREFIX: &str = "x-amz-meta-";

/// Standard headers that an object keeps, in the order in which they sort.
const KEPT: [&str; 7] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-website-redirect-location",
];

/// Why headers cannot be kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HeadersRefused {
    /// User metadata beyond S3's 2 KiB.
    UserMetadataTooLarge,
    /// All headers together beyond what a version may carry.
    TooLarge,
    /// A value that is not UTF-8; carries the header's name.
    NotText(String),
}

/// The headers of a put that the object keeps, sorted by name.
///
/// # Errors
/// When they are too large or not text.
pub fn kept(headers: &HeaderMap) -> Result<Vec<(String, String)>, HeadersRefused> {
    let mut kept = Vec::new();
    for name in KEPT {
        if let Some(value) = headers.get(name) {
            let value = text(name, value)?;
            let value = if name == "content-encoding" {
                without_aws_chunked(&value)
            } else {
                value
            };
            if !value.is_empty() {
                kept.push((name.to_owned(), value));
            }
        }
    }
    for name in headers.keys() {
        if name.as_str().len() > USER_METADATA_PREFIX.len() && name.as_str().starts_with(USER_METADATA_PREFIX) {
            kept.push((name.as_str().to_owned(), joined(name, headers)?));
        }
    }
    sort_and_check(kept)
}

/// Sorts headers by name and holds them to the limits.
///
/// # Errors
/// When they are too large.
pub fn sort_and_check(mut headers: Vec<(String, String)>) -> Result<Vec<(String, String)>, HeadersRefused> {
    let mut user_bytes = 0;
    let mut bytes = 0;
    for (name, value) in &headers {
        if let Some(rest) = name.strip_prefix(USER_METADATA_PREFIX) {
            user_bytes += rest.len() + value.len();
        }
        bytes += name.len() + value.len();
    }
    if user_bytes > USER_METADATA_BYTES_MAX {
        return Err(HeadersRefused::UserMetadataTooLarge);
    }
    if bytes > HEADERS_BYTES_MAX {
        return Err(HeadersRefused::TooLarge);
    }
    headers.sort_unstable();
    Ok(headers)
}

/// Whether an object keeps a header of this name, which is in lower case.
#[must_use]
pub fn is_kept(name: &str) -> bool {
    let is_metadata = name.len() > USER_METADATA_PREFIX.len() && name.starts_with(USER_METADATA_PREFIX);
    is_metadata || KEPT.contains(&name)
}

/// Adds headers in their sorted place, replacing those of the same name.
pub fn set(headers: &mut Vec<(String, String)>, name: &str, value: String) {
    match headers.binary_search_by(|(known, _)| known.as_str().cmp(name)) {
        Ok(at) => headers[at].1 = value,
        Err(at) => headers.insert(at, (name.to_owned(), value)),
    }
}

/// Writes an object's headers into an answer: all that it keeps but checksums, and a content type in any case.
pub fn answer(content: &Content, answer: &mut HeaderMap) {
    answer.reserve(content.headers.len() + 6);
    let mut typed = false;
    for (name, value) in &content.headers {
        if is_internal(name) {
            continue;
        }
        typed |= name == "content-type";
        // Both were valid when they were stored; a header that no longer is must not fail the whole answer.
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_bytes(value.as_bytes()),
        ) {
            answer.insert(name, value);
        }
    }
    if !typed {
        answer.insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static(CONTENT_TYPE_DEFAULT),
        );
    }
}

/// The checksums an object keeps.
pub fn checksums(content: &Content) -> impl Iterator<Item = (Algorithm, &str)> {
    checksums_in(&content.headers)
}

/// The checksums among headers.
pub fn checksums_in(headers: &[(String, String)]) -> impl Iterator<Item = (Algorithm, &str)> {
    headers
        .iter()
        .filter_map(|(name, value)| Some((Algorithm::from_header(name)?, value.as_str())))
}

/// Headers that a version carries for the system: shown only when asked for, or never.
#[must_use]
pub fn is_internal(name: &str) -> bool {
    name.starts_with("x-amz-checksum-")
}

fn joined(name: &HeaderName, headers: &HeaderMap) -> Result<String, HeadersRefused> {
    let mut values = headers.get_all(name).iter();
    let mut joined = match values.next() {
        Some(first) => text(name.as_str(), first)?,
        None => String::new(),
    };
    for value in values {
        joined.push(',');
        joined.push_str(&text(name.as_str(), value)?);
    }
    Ok(joined)
}

fn text(name: &str, value: &HeaderValue) -> Result<String, HeadersRefused> {
    std::str::from_utf8(value.as_bytes())
        .map(str::to_owned)
        .map_err(|_| HeadersRefused::NotText(name.to_owned()))
}

/// `aws-chunked` describes the request, not the object.
fn without_aws_chunked(value: &str) -> String {
    if !value.contains("aws-chunked") {
        return value.to_owned();
    }
    let codings: Vec<&str> = value
        .split(',')
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && *coding != "aws-chunked")
        .collect();
    codings.join(",")
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderMap, HeaderName, HeaderValue};

    use super::{HeadersRefused, kept, set};

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        map
    }

    #[test]
    fn keeps_what_describes_the_object_and_nothing_else() {
        let headers = map(&[
            ("x-amz-meta-b", "2"),
            ("x-amz-meta-a", "1"),
            ("x-amz-meta-a", "1b"),
            ("content-type", "text/plain"),
            ("content-encoding", "aws-chunked,gzip"),
            ("authorization", "secret"),
            ("content-length", "5"),
            ("x-amz-date", "now"),
        ]);
        let pairs = kept(&headers).unwrap();
        let pairs: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("content-encoding", "gzip"),
                ("content-type", "text/plain"),
                ("x-amz-meta-a", "1,1b"),
                ("x-amz-meta-b", "2"),
            ]
        );
        assert!(kept(&map(&[("content-encoding", "aws-chunked")])).unwrap().is_empty());
    }

    #[test]
    fn metadata_is_bounded_and_must_be_text() {
        let large = "x".repeat(2049);
        assert_eq!(
            kept(&map(&[("x-amz-meta-a", &large)])),
            Err(HeadersRefused::UserMetadataTooLarge)
        );
        let large = "x".repeat(17_000);
        assert_eq!(kept(&map(&[("cache-control", &large)])), Err(HeadersRefused::TooLarge));
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-meta-a", HeaderValue::from_bytes(b"\xff\xfe").unwrap());
        assert!(matches!(kept(&headers), Err(HeadersRefused::NotText(_))));
        assert_eq!(kept(&map(&[("x-amz-meta-a", "grün")])).unwrap()[0].1, "grün");
    }

    #[test]
    fn setting_keeps_the_order() {
        let mut headers = vec![("b".to_owned(), "1".to_owned())];
        set(&mut headers, "c", "3".to_owned());
        set(&mut headers, "a", "0".to_owned());
        set(&mut headers, "b", "2".to_owned());
        let names: String = headers.iter().map(|(name, value)| format!("{name}{value}")).collect();
        assert_eq!(names, "a0b2c3");
    }
}
