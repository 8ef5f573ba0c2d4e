//! From what a client puts to what a version says: where the body is, and its digest (rule D9).

use bytes::Bytes;

use crate::content::{BodyForm, Content, Kind, StoredBody};
use crate::node::local::body_digest;
use crate::request::PutValue;
use crate::wire::side::encode_manifest;

/// Content and body row of a put.
pub(super) fn content_of(value: &PutValue) -> (Content, Bytes) {
    match value {
        PutValue::Deletion => (Content::deletion(), Bytes::new()),
        PutValue::Object { etag, headers, body } => {
            let (form, row) = match body {
                StoredBody::Inline(bytes) if bytes.is_empty() => (BodyForm::Empty, Bytes::new()),
                StoredBody::Inline(bytes) => {
                    let form = BodyForm::Inline {
                        length: bytes.len() as u32,
                        digest: body_digest(bytes),
                    };
                    (form, bytes.clone())
                }
                StoredBody::Chunked {
                    manifest,
                    commit_deadline_ms,
                } => {
                    let row = Bytes::from(encode_manifest(manifest));
                    let form = BodyForm::Manifest {
                        length: row.len() as u32,
                        digest: body_digest(&row),
                        parts: manifest.parts.len() as u32,
                        commit_deadline_ms: *commit_deadline_ms,
                    };
                    (form, row)
                }
            };
            let (etag, headers) = (etag.clone(), headers.clone());
            (
                Content {
                    kind: Kind::Value,
                    size: body.size(),
                    etag,
                    headers,
                    body: form,
                },
                row,
            )
        }
    }
}
