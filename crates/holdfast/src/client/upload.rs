//! Bytes into the cluster: one PUT when they fit into one part, a multipart upload with parallel parts when not.
//!
//! The source is read once and in order, so a pipe works as well as a file; at most `parallel` parts are in memory. Each
//! part carries its CRC64-NVME, checked by the node that takes it. An upload that fails is aborted; a kill leaves an
//! open upload behind, which holds no name in the bucket.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rusty_s3::Method;
use rusty_s3::actions::CreateMultipartUpload;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client::answer::{element, unreadable};
use crate::client::mtime;
use crate::client::place::Remote;
use crate::client::progress::Progress;
use crate::client::s3::{Call, S3};
use crate::failure::{Failure, State, local};

/// Smallest part: two chunks of the store, and S3's own least is 5 MiB.
pub const PART_BYTES_MIN: u64 = 8 << 20;
/// S3's limit on parts of one upload.
pub const PARTS_MAX: u64 = 10_000;

/// What an upload left in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// Its length.
    pub bytes: u64,
    /// Its ETag, without quotes.
    pub etag: String,
}

/// What is said of an object beside its bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct About<'a> {
    /// Its type.
    pub content_type: Option<&'a str>,
    /// When its source was last changed, as metadata write it.
    pub mtime: Option<&'a str>,
}

impl About<'_> {
    fn on<'c>(&self, mut call: Call<'c>) -> Call<'c> {
        if let Some(content_type) = self.content_type {
            call = call.header("content-type", content_type);
        }
        if let Some(mtime) = self.mtime.filter(|mtime| !mtime.is_empty()) {
            call = call.header(mtime::HEADER, mtime);
        }
        call
    }
}

/// How to upload.
#[derive(Clone)]
pub struct Uploader {
    /// The cluster.
    pub s3: Arc<S3>,
    /// Shared by all transfers of one command: the number of requests, and so of parts in memory, at a time.
    pub slots: Arc<Semaphore>,
    /// Where progress is told.
    pub progress: Progress,
}

impl Uploader {
    /// Stores everything `source` gives as `to`. `size` is a promise about the length where it is known.
    pub async fn upload<R: AsyncRead + Unpin>(
        &self,
        source: &mut R,
        size: Option<u64>,
        to: &Remote,
        about: &About<'_>,
    ) -> Result<Uploaded, Failure> {
        let slot = self.slot().await;
        let first = read_part(source, part_bytes(0, size))
            .await
            .map_err(|error| read_failed(&error))?;
        let whole = (first.len() as u64) < part_bytes(0, size);
        let uploaded = if whole {
            self.put_whole(first, to, about).await
        } else {
            self.put_parts(first, source, size, to, about, slot).await
        }?;
        match size {
            // A file that grew or shrank while it was read is stored as read; whoever asked should know.
            Some(size) if size != uploaded.bytes => Err(Failure::new(
                format!(
                    "the file changed while it was copied: {size} bytes expected, {} read",
                    uploaded.bytes
                ),
                "copy it again once nobody writes to it",
            )
            .state(State::Partly(format!("{to} now holds what was read")))),
            _ => Ok(uploaded),
        }
    }

    async fn put_whole(&self, body: Bytes, to: &Remote, about: &About<'_>) -> Result<Uploaded, Failure> {
        let bytes = body.len() as u64;
        let call = Call::object(Method::Put, &to.bucket, to.object()?).header(CRC_HEADER, crc_text(&body));
        let response = self.s3.send(about.on(call).body(body)).await?;
        self.progress.advance(bytes);
        Ok(Uploaded {
            bytes,
            etag: etag_of(&response).unwrap_or_default(),
        })
    }

    async fn put_parts<R: AsyncRead + Unpin>(
        &self,
        first: Bytes,
        source: &mut R,
        size: Option<u64>,
        to: &Remote,
        about: &About<'_>,
        slot: tokio::sync::OwnedSemaphorePermit,
    ) -> Result<Uploaded, Failure> {
        let id = self.begin(to, about).await?;
        let done = self.send_parts(first, source, size, to, &id, slot).await;
        let failure = match done {
            Ok((etags, bytes)) => match self.complete(to, &id, &etags, None).await {
                Ok(etag) => return Ok(Uploaded { bytes, etag }),
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        // What was uploaded is given up, except when completing may have worked: then there is nothing left to abort.
        if failure.state != State::Unknown {
            let abort = Call::object(Method::Delete, &to.bucket, &to.key).query("uploadId", id.as_str());
            let _ = self.s3.send(abort).await;
        }
        Err(failure)
    }

    /// Begins an upload in parts; its id.
    pub async fn begin(&self, to: &Remote, about: &About<'_>) -> Result<String, Failure> {
        let call = Call::object(Method::Post, &to.bucket, to.object()?)
            .query("uploads", "")
            .header("x-amz-checksum-algorithm", "CRC64NVME")
            .header("x-amz-checksum-type", "FULL_OBJECT");
        let text = body_text(self.s3.send(about.on(call)).await?, "the beginning of the upload").await?;
        let created = CreateMultipartUpload::parse_response(&text)
            .map_err(|error| unreadable("the beginning of the upload", error))?;
        Ok(created.upload_id().to_owned())
    }

    async fn send_parts<R: AsyncRead + Unpin>(
        &self,
        first: Bytes,
        source: &mut R,
        size: Option<u64>,
        to: &Remote,
        id: &str,
        slot: tokio::sync::OwnedSemaphorePermit,
    ) -> Result<(Vec<String>, u64), Failure> {
        let mut under_way = JoinSet::new();
        let mut etags: Vec<Option<String>> = Vec::new();
        let mut bytes = 0;
        let mut next = Some((first, slot));
        while let Some((body, slot)) = next.take() {
            bytes += body.len() as u64;
            let number = etags.len() as u64 + 1;
            if number > PARTS_MAX {
                return Err(too_many_parts());
            }
            etags.push(None);
            let (uploader, to, id) = (self.clone(), to.clone(), id.to_owned());
            under_way.spawn(async move {
                let etag = uploader.put_part(body, &to, &id, number).await;
                drop(slot);
                etag.map(|etag| (number, etag))
            });
            while let Some(done) = under_way.try_join_next() {
                note_part(&mut etags, done)?;
            }
            let slot = self.slot().await;
            let body = read_part(source, part_bytes(number, size))
                .await
                .map_err(|error| read_failed(&error))?;
            if !body.is_empty() {
                next = Some((body, slot));
            }
        }
        while let Some(done) = under_way.join_next().await {
            note_part(&mut etags, done)?;
        }
        Ok((etags.into_iter().flatten().collect(), bytes))
    }

    async fn put_part(&self, body: Bytes, to: &Remote, id: &str, number: u64) -> Result<String, Failure> {
        let bytes = body.len() as u64;
        let call = Call::object(Method::Put, &to.bucket, &to.key)
            .query("partNumber", number.to_string())
            .query("uploadId", id)
            .header(CRC_HEADER, crc_text(&body))
            .body(body);
        let response = self.s3.send(call).await?;
        let etag = etag_of(&response).ok_or_else(|| unreadable("a part", "it has no ETag"))?;
        self.progress.advance(bytes);
        Ok(etag)
    }

    /// Makes the object of its parts; its ETag. The cluster compares the CRC64-NVME of the whole, if it is given.
    pub async fn complete(
        &self,
        to: &Remote,
        id: &str,
        etags: &[String],
        crc: Option<&str>,
    ) -> Result<String, Failure> {
        let mut call = Call::object(Method::Post, &to.bucket, &to.key)
            .query("uploadId", id)
            .header("content-type", "application/xml")
            .body(completion(etags).into());
        if let Some(crc) = crc {
            call = call.header(CRC_HEADER, crc);
        }
        let text = body_text(self.s3.send(call).await?, "the completion of the upload").await?;
        // S3 may say 200 first and the error afterwards.
        if let Some(code) = element(&text, "Code") {
            let message = element(&text, "Message").unwrap_or_default();
            return Err(Failure::new(
                format!("{to} could not be completed: {code}: {message}"),
                "copy it again",
            ));
        }
        let etag =
            element(&text, "ETag").ok_or_else(|| unreadable("the completion of the upload", "it has no ETag"))?;
        Ok(etag.trim_matches('"').to_owned())
    }

    async fn slot(&self) -> tokio::sync::OwnedSemaphorePermit {
        Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .expect("the slots are never closed")
    }
}

const CRC_HEADER: &str = "x-amz-checksum-crc64nvme";

/// CRC64-NVME as the header wants it: base64 of eight bytes, big end first.
pub fn crc_text(body: &[u8]) -> String {
    crc_base64(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, body))
}

/// Base64 of a CRC64.
pub fn crc_base64(crc: u64) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // Eight bytes are ten groups of six bits and four bits over: eleven characters and one of padding.
    let wide = u128::from(crc) << 2;
    let mut text: String = (0..11)
        .rev()
        .map(|group| char::from(ALPHABET[((wide >> (6 * group)) & 63) as usize]))
        .collect();
    text.push('=');
    text
}

/// How long part number `index` (from 0) is. With a known size all are equal and few enough; without, they grow, so that
/// a pipe may carry 5 TiB and a short one still costs little memory.
pub fn part_bytes(index: u64, size: Option<u64>) -> u64 {
    match size {
        Some(size) => size.div_ceil(PARTS_MAX).next_multiple_of(1 << 20).max(PART_BYTES_MIN),
        None => PART_BYTES_MIN << (index / 1_000).min(10),
    }
}

/// Reads up to `bytes_max`; less only at the end.
async fn read_part<R: AsyncRead + Unpin>(source: &mut R, bytes_max: u64) -> std::io::Result<Bytes> {
    let mut part = BytesMut::new();
    let mut limited = source.take(bytes_max);
    while limited.read_buf(&mut part).await? > 0 {
        if part.capacity() == part.len() {
            part.reserve((1 << 20).min(usize::try_from(bytes_max).unwrap_or(usize::MAX)));
        }
    }
    Ok(part.freeze())
}

fn note_part(
    etags: &mut [Option<String>],
    done: Result<Result<(u64, String), Failure>, tokio::task::JoinError>,
) -> Result<(), Failure> {
    let (number, etag) = done.map_err(|error| Failure::new(format!("a part was lost: {error}"), "copy it again"))??;
    let at = usize::try_from(number - 1).unwrap_or(usize::MAX);
    if let Some(slot) = etags.get_mut(at) {
        *slot = Some(etag);
    }
    Ok(())
}

/// The body that completes an upload. ETags are hex digits: nothing in them needs escaping.
fn completion(etags: &[String]) -> String {
    let part = |(at, etag): (usize, &String)| {
        format!(
            "<Part><PartNumber>{}</PartNumber><ETag>&quot;{etag}&quot;</ETag></Part>",
            at + 1
        )
    };
    let parts: String = etags.iter().enumerate().map(part).collect();
    format!(
        "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{parts}</CompleteMultipartUpload>"
    )
}

fn etag_of(response: &reqwest::Response) -> Option<String> {
    let etag = response.headers().get("etag")?.to_str().ok()?;
    Some(etag.trim_matches('"').to_owned())
}

/// The text of an answer.
pub async fn body_text(response: reqwest::Response, what: &str) -> Result<String, Failure> {
    response
        .text()
        .await
        .map_err(|error| unreadable(what, error).state(State::Unknown))
}

fn read_failed(error: &std::io::Error) -> Failure {
    local("the source could not be read", error)
}

fn too_many_parts() -> Failure {
    Failure::new("the source is longer than an object can be (5 TiB)", "split it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_text_is_what_s3_writes() {
        // The check value of CRC-64/NVME over "123456789" is ae8b14860a799888.
        assert_eq!(crc_text(b"123456789"), "rosUhgp5mIg=");
        assert_eq!(crc_base64(0), "AAAAAAAAAAA=");
        assert_eq!(crc_base64(u64::MAX), "//////////8=");
    }

    #[test]
    fn parts_are_few_enough_for_the_largest_object() {
        const TIB: u64 = 1 << 40;
        assert_eq!(part_bytes(0, Some(1)), PART_BYTES_MIN);
        assert!(part_bytes(0, Some(5 * TIB)) * PARTS_MAX >= 5 * TIB);
        let unknown: u64 = (0..PARTS_MAX).map(|index| part_bytes(index, None)).sum();
        assert!(unknown >= 5 * TIB, "{unknown}");
    }

    #[tokio::test]
    async fn parts_are_cut_at_the_limit() {
        let mut source: &[u8] = b"abcdefg";
        assert_eq!(&read_part(&mut source, 3).await.expect("reads")[..], b"abc");
        assert_eq!(&read_part(&mut source, 3).await.expect("reads")[..], b"def");
        assert_eq!(&read_part(&mut source, 3).await.expect("reads")[..], b"g");
        assert!(read_part(&mut source, 3).await.expect("reads").is_empty());
    }
}
