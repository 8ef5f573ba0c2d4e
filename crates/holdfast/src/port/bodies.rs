//! Bodies through the port: the shell's writer and reader in the front ends' shape.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use holdfast_api::objects::{BodyPurpose, BodyStream, BodyWriter};
use holdfast_core::bucket::Bucket;
use holdfast_core::content::{BodyForm, ManifestPart, StoredBody};
use holdfast_core::request::WriteError;
use holdfast_node::desk::{BodyReader, ChunkedWriter, Desk};

use super::requests::object_key;

struct Writer(ChunkedWriter);

#[async_trait]
impl BodyWriter for Writer {
    fn hold_here(&mut self, length: u64) {
        self.0.hold_here(length);
    }

    async fn begin(&mut self, length: Option<u64>) -> Result<(), WriteError> {
        self.0.begin(length).await
    }

    fn waiting(&self) -> Option<Arc<AtomicUsize>> {
        Some(self.0.waiting())
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), WriteError> {
        self.0.write(bytes).await
    }

    async fn finish(self: Box<Self>) -> Result<StoredBody, WriteError> {
        self.0.finish().await
    }
}

pub(super) fn writer(desk: &Desk, bucket: &Bucket, key: &str, purpose: BodyPurpose) -> Box<dyn BodyWriter> {
    let (settings, owner) = (bucket.settings, object_key(bucket, key));
    Box::new(Writer(match purpose {
        BodyPurpose::Object => ChunkedWriter::object(desk, settings, owner),
        BodyPurpose::Part { .. } => ChunkedWriter::part(desk, settings, owner),
    }))
}

pub(super) fn reader(desk: &Desk, bucket: &Bucket, form: BodyForm, row: &Bytes, range: Range<u64>) -> BodyStream {
    stream_of(BodyReader::new(desk, bucket.settings, form, row, range))
}

pub(super) fn part_reader(desk: &Desk, bucket: &Bucket, part: ManifestPart, range: Range<u64>) -> BodyStream {
    stream_of(BodyReader::part(desk, bucket.settings, part, range))
}

fn stream_of(reader: BodyReader) -> BodyStream {
    Box::pin(stream::unfold(reader, |mut reader| async move {
        let next = reader.next().await?;
        Some((next, reader))
    }))
}
