//! ListObjects, old and new.
//!
//! One page of the port is one page of S3. A continuation token is the key to go on after, in base64 behind a version
//! digit, so that clients do not come to rely on its inside and a later form can be told apart.

use holdfast_core::request::Page;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    ChecksumType, EncodingType, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::listing_xml::Document;
use super::{Front, errors, refused};
use crate::checksum::{base64, is_composite};
use crate::limits::PAGE_ENTRIES_MAX;
use crate::objects::{BucketRef, ListObjects};

/// What `encoding-type=url` leaves as it is.
const URL_SAFE: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/')
    .remove(b'*');

/// Begins every continuation token.
const TOKEN_VERSION: char = '1';

pub(super) async fn list_objects(
    front: &Front,
    request: S3Request<ListObjectsInput>,
) -> S3Result<S3Response<ListObjectsOutput>> {
    refused::always(&request.headers)?;
    let input = request.input;
    let bucket = front.bucket(&input.bucket).await?;
    let shape = Shape::new(
        input.encoding_type.as_ref(),
        input.delimiter,
        input.prefix,
        input.max_keys,
    )?;
    let marker = input.marker.unwrap_or_default();
    let page = shape.page(front, &bucket, marker.clone()).await?;
    let mut document = shape.begin(&input.bucket, Some(front.owner_id.clone()), page.entries.len());
    document.given("Marker", &marker);
    // Without a delimiter clients go on from the last key, as AWS has them do.
    if let (Some(next), Some(_)) = (&page.next, &shape.delimiter) {
        document.given("NextMarker", next);
    }
    shape.end(&mut document, &page);
    Ok(ready(ListObjectsOutput::default(), document))
}

pub(super) async fn list_objects_v2(
    front: &Front,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    refused::always(&request.headers)?;
    let input = request.input;
    let bucket = front.bucket(&input.bucket).await?;
    let shape = Shape::new(
        input.encoding_type.as_ref(),
        input.delimiter,
        input.prefix,
        input.max_keys,
    )?;
    let after = match &input.continuation_token {
        Some(token) => key_of_token(token)?,
        None => input.start_after.clone().unwrap_or_default(),
    };
    let page = shape.page(front, &bucket, after).await?;
    let owner = input.fetch_owner.unwrap_or(false).then(|| front.owner_id.clone());
    let mut document = shape.begin(&input.bucket, owner, page.entries.len());
    if let Some(token) = &input.continuation_token {
        document.verbatim("ContinuationToken", token);
    }
    if let Some(next) = &page.next {
        document.plain("NextContinuationToken", &token_of_key(next));
    }
    if let Some(after) = &input.start_after {
        document.given("StartAfter", after);
    }
    shape.end(&mut document, &page);
    let count = document.entries.to_string();
    document.plain("KeyCount", &count);
    Ok(ready(ListObjectsV2Output::default(), document))
}

/// An answer whose document is already written.
fn ready<T>(output: T, document: Document) -> S3Response<T> {
    let mut answer = S3Response::new(output);
    answer.extensions.insert(document.finish());
    answer
}

/// What both versions of the operation share.
struct Shape {
    encode: bool,
    delimiter: Option<String>,
    prefix: String,
    count_max: u32,
}

impl Shape {
    fn new(
        encoding: Option<&EncodingType>,
        delimiter: Option<String>,
        prefix: Option<String>,
        max_keys: Option<i32>,
    ) -> S3Result<Self> {
        let encode = match encoding.map(EncodingType::as_str) {
            None => false,
            Some("url") => true,
            Some(_) => {
                return Err(s3_error!(
                    InvalidArgument,
                    "Invalid Encoding Method specified in Request"
                ));
            }
        };
        let count_max = match max_keys.map(u32::try_from) {
            None => PAGE_ENTRIES_MAX,
            Some(Ok(count)) => count.min(PAGE_ENTRIES_MAX),
            Some(Err(_)) => {
                return Err(s3_error!(InvalidArgument, "max-keys must not be negative."));
            }
        };
        Ok(Self {
            encode,
            delimiter: delimiter.filter(|text| !text.is_empty()),
            prefix: prefix.unwrap_or_default(),
            count_max,
        })
    }

    async fn page(&self, front: &Front, bucket: &BucketRef, after: String) -> S3Result<Page> {
        if self.count_max == 0 {
            return Ok(Page::default());
        }
        let page = ListObjects {
            prefix: self.prefix.clone(),
            delimiter: self.delimiter.clone().unwrap_or_default(),
            after,
            count_max: self.count_max,
        };
        let page = front.objects.list(bucket, page).await;
        page.map_err(|fault| errors::read_fault(&fault))
    }

    /// The elements that say what was asked.
    fn begin(&self, bucket: &str, owner: Option<String>, entries: usize) -> Document {
        let mut document = Document::new(self.encode, owner, entries);
        document.plain("Name", bucket);
        document.given("Prefix", &self.prefix);
        document.plain("MaxKeys", &self.count_max.to_string());
        if let Some(delimiter) = &self.delimiter {
            document.given("Delimiter", delimiter);
        }
        if self.encode {
            document.plain("EncodingType", "url");
        }
        document
    }

    /// What was found, and whether there is more.
    fn end(&self, document: &mut Document, page: &Page) {
        document.plain("IsTruncated", if page.next.is_some() { "true" } else { "false" });
        document.page(page);
    }
}

/// Whether a checksum covers the bytes or the parts' checksums.
pub(super) fn checksum_type(value: &str) -> ChecksumType {
    ChecksumType::from_static(if is_composite(value) {
        ChecksumType::COMPOSITE
    } else {
        ChecksumType::FULL_OBJECT
    })
}

/// Text as `encoding-type=url` wants it.
pub(super) fn url_encode(text: &str) -> String {
    utf8_percent_encode(text, &URL_SAFE).to_string()
}

fn token_of_key(key: &str) -> String {
    format!("{TOKEN_VERSION}{}", base64(key.as_bytes()))
}

fn key_of_token(token: &str) -> S3Result<String> {
    let key = token
        .strip_prefix(TOKEN_VERSION)
        .and_then(|rest| base64_simd::STANDARD.decode_to_vec(rest).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    key.ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect."))
}

#[cfg(test)]
mod tests {
    use super::{key_of_token, token_of_key, url_encode};

    #[test]
    fn tokens_lead_back_and_others_are_refused() {
        for key in ["a", "photos/2026/ü €.jpg", "\u{1}"] {
            assert_eq!(key_of_token(&token_of_key(key)).unwrap(), key);
        }
        for token in ["", "1***", "2YQ==", "photos/a"] {
            assert!(key_of_token(token).is_err(), "{token}");
        }
    }

    #[test]
    fn url_encoding_keeps_slashes() {
        assert_eq!(url_encode("a/b c+d(3).png"), "a/b%20c%2Bd%283%29.png");
        assert_eq!(url_encode("ü\n"), "%C3%BC%0A");
    }
}
