//! S3, as `s3s` types it, over [`crate::objects::Objects`].
//!
//! `s3s` parses requests, checks SigV4 and writes XML; this module decides. Before it stands [`gate`], which refuses
//! what `s3s` would take (SigV2, presigned URLs beyond seven days, sub-resources that nobody implements) and re-frames
//! aws-chunked bodies so that memory stays flat; after it stands [`envelope`], which completes every answer. One file
//! per verb; [`verbs`] only sends each operation to its file.
//!
//! Invariants: nothing is committed before its body has been verified whole; nothing that was asked for is silently
//! ignored: it is done, or answered `NotImplemented`.

mod app;
mod attributes;
mod auth;
mod buckets;
mod checksums;
mod copy;
mod delete;
mod documents;
mod envelope;
mod errors;
mod gate;
mod get_object;
mod host;
mod list;
mod list_versions;
mod listing_xml;
mod multipart;
mod put_object;
mod reframe;
mod refused;
mod unconfigured;
mod verbs;

use std::sync::Arc;
use std::time::Duration;

use holdfast_core::ids::RequestId;
use http::HeaderMap;

pub use app::S3App;
pub(crate) use multipart::complete::etag_of as etag_of_parts;

use s3s::S3Result;
use s3s::auth::Credentials;
use s3s::service::{S3Service, S3ServiceBuilder};

use crate::objects::{BucketRef, Objects};
use crate::request_id;

/// What the S3 front end needs to know beside the cluster.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// The region this cluster calls itself.
    pub region: String,
    /// Domains under which `bucket.domain` addresses a bucket; empty for path style only.
    pub base_domains: Vec<String>,
    /// How long a client may send no byte of a body.
    pub body_patience: Duration,
}

/// The handlers of S3.
pub(crate) struct Front {
    pub(crate) objects: Arc<dyn Objects>,
    pub(crate) settings: Arc<S3Settings>,
    /// The canonical user id of the one account there is: keys share all buckets.
    pub(crate) owner_id: String,
}

/// Largest XML document taken: a completion of 10,000 parts with checksums is about 3 MB.
const XML_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Largest file of a browser form; `s3s` holds it in memory.
const FORM_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Builds the service that speaks S3.
#[must_use]
pub fn service(objects: Arc<dyn Objects>, settings: Arc<S3Settings>) -> S3Service {
    let owner_id = blake3::hash(objects.cluster().cluster.as_bytes()).to_hex().to_string();
    let mut builder = S3ServiceBuilder::new(Front {
        objects: Arc::clone(&objects),
        settings: Arc::clone(&settings),
        owner_id,
    });
    let mut config = s3s::config::S3Config::default();
    config.xml_max_body_size = XML_BYTES_MAX;
    config.post_object_max_file_size = FORM_FILE_BYTES_MAX;
    config.form_max_field_size = 64 * 1024;
    config.form_max_fields_size = 1024 * 1024;
    builder.set_config(Arc::new(s3s::config::StaticConfigProvider::new(Arc::new(config))));
    builder.set_auth(auth::Keys(objects));
    builder.set_access(auth::SignedOnly);
    builder.set_host(host::Hosts::new(&settings.base_domains));
    builder.build()
}

impl Front {
    /// The live bucket of this name.
    pub(crate) async fn bucket(&self, name: &str) -> S3Result<BucketRef> {
        match self.objects.bucket(name).await {
            Ok(Some(bucket)) => Ok(bucket),
            Ok(None) => Err(errors::no_such_bucket()),
            Err(fault) => Err(errors::read_fault(&fault)),
        }
    }

    /// The owner shown of every bucket and object.
    pub(crate) fn owner(&self) -> s3s::dto::Owner {
        s3s::dto::Owner {
            display_name: Some("holdfast".to_owned()),
            id: Some(self.owner_id.clone()),
        }
    }
}

/// The header by which SDKs name one call, the same on every try of it.
pub(crate) const INVOCATION_ID: &str = "amz-sdk-invocation-id";

/// The access key id that signed a request; requests without one do not reach the handlers.
pub(crate) fn principal(credentials: Option<&Credentials>) -> &str {
    credentials.map_or("", |credentials| credentials.access_key.as_str())
}

/// The identity of a write (rule D7): the client's if its SDK sent one, else drawn.
pub(crate) fn write_id(
    headers: &HeaderMap,
    principal: &str,
    operation: &str,
    bucket: &BucketRef,
    key: &str,
) -> RequestId {
    match headers.get(INVOCATION_ID) {
        Some(id) => request_id::of_invocation(principal, operation, bucket.settings.id, key, id.as_bytes()),
        None => request_id::drawn(),
    }
}

/// Unix milliseconds as HTTP writes dates.
pub(crate) fn http_date(unix_ms: u64) -> String {
    let time = std::time::UNIX_EPOCH.checked_add(Duration::from_millis(unix_ms));
    httpdate::fmt_http_date(time.unwrap_or(std::time::UNIX_EPOCH))
}

/// Unix milliseconds as `s3s` wants times.
pub(crate) fn timestamp(unix_ms: u64) -> s3s::dto::Timestamp {
    let time = std::time::UNIX_EPOCH.checked_add(Duration::from_millis(unix_ms));
    time.unwrap_or(std::time::UNIX_EPOCH).into()
}
