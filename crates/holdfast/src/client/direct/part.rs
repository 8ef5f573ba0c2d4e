//! One request with a grant: a piece read from a node, or a part sent to one.
//!
//! A node that stands still is found out by its bytes, not by a long timeout: when none have come, or gone, for some seconds,
//! it is given up and the next one asked. What had come of a piece is kept; the next node is asked for the rest.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, Client, Response};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::time::timeout;

use crate::client::connection::chain;
use crate::client::direct::peers::Peer;
use crate::client::rest::{read, text};
use crate::failure::Failure;

/// A home has what is asked for on its disk; if nothing comes for this long, another one is asked.
const STILL_READING: Duration = Duration::from_secs(5);
/// A node takes bytes as fast as it can store them; if it takes none for this long, another one is sent them.
const STILL_SENDING: Duration = Duration::from_secs(12);
/// After the last byte was sent, disks must be synced and the part named; a node gives up by itself after 30 s.
const STILL_STORING: Duration = Duration::from_secs(40);
/// Bytes of a file read at once while sending.
const READ_BYTES: usize = 256 << 10;

/// Why a node did not do it.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// Another node may.
    Here(String),
    /// The grant has expired.
    Expired,
    /// What arrived is not what was sent.
    Damaged(String),
    /// The upload, or what was to be read, is not there.
    Gone(String),
    /// No node will.
    Everywhere(String),
}

/// Where a range of a part goes to while it comes.
pub struct Gathered {
    /// What has come.
    pub bytes: Vec<u8>,
    /// How much is wanted.
    pub wanted: usize,
}

/// Reads what is missing of a piece that begins at `at` within its part.
pub async fn get(http: &Client, peer: &Peer, grant: &str, at: u64, to: &mut Gathered) -> Result<(), Refused> {
    let (from, until) = (at + to.bytes.len() as u64, at + to.wanted as u64);
    let request = http
        .get(format!("{}/v1/transfers/part", peer.rest))
        .header("authorization", format!("Grant {grant}"))
        .header("range", format!("bytes={from}-{}", until - 1));
    let mut response = match timeout(STILL_READING, request.send()).await {
        Ok(Ok(response)) if response.status().is_success() => response,
        Ok(Ok(response)) => return Err(explain(response).await),
        Ok(Err(error)) => return Err(Refused::Here(chain(&error.without_url()))),
        Err(_) => return Err(Refused::Here("it did not answer".to_owned())),
    };
    // A whole answer to a question for a range would be put in the wrong place.
    if response.status().as_u16() != 206 {
        return Err(Refused::Here("it answered something else than the range".to_owned()));
    }
    while to.bytes.len() < to.wanted {
        match timeout(STILL_READING, response.chunk()).await {
            Ok(Ok(Some(bytes))) if to.bytes.len() + bytes.len() <= to.wanted => to.bytes.extend_from_slice(&bytes),
            Ok(Ok(Some(_))) => return Err(Refused::Here("it sent more than the range".to_owned())),
            Ok(Ok(None)) => return Err(Refused::Here("it ended early".to_owned())),
            Ok(Err(error)) => return Err(Refused::Here(chain(&error.without_url()))),
            Err(_) => return Err(Refused::Here("it stands still".to_owned())),
        }
    }
    Ok(())
}

/// A part of a file.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// Where the part begins.
    pub offset: u64,
    /// Its length.
    pub length: u64,
    /// Its CRC64-NVME as the header wants it.
    pub crc: String,
}

/// What a node says of a part it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The part's ETag.
    pub etag: String,
    /// Who took it.
    pub node: String,
}

/// Sends a part; the node compares its checksum before it keeps it.
pub async fn put(http: &Client, peer: &Peer, grant: &str, source: &Source) -> Result<Taken, Refused> {
    let sent = Arc::new(AtomicU64::new(0));
    let body = body_of(&source.path, source.offset, source.length, Arc::clone(&sent))
        .await
        .map_err(|error| Refused::Everywhere(format!("{} cannot be read: {error}", source.path.display())))?;
    let request = http
        .put(format!("{}/v1/transfers/part", peer.rest))
        .header("authorization", format!("Grant {grant}"))
        .header("content-length", source.length)
        .header("x-amz-checksum-crc64nvme", &source.crc)
        .body(body);
    let mut answer = Box::pin(request.send());
    let mut seen = 0;
    let response = loop {
        let now = sent.load(Ordering::Relaxed);
        let patience = if now >= source.length {
            STILL_STORING
        } else {
            STILL_SENDING
        };
        match timeout(patience, &mut answer).await {
            Ok(Ok(response)) => break response,
            Ok(Err(error)) => return Err(Refused::Here(chain(&error.without_url()))),
            Err(_) if sent.load(Ordering::Relaxed) > seen => seen = sent.load(Ordering::Relaxed),
            Err(_) => return Err(Refused::Here("it takes no more".to_owned())),
        }
    };
    if !response.status().is_success() {
        return Err(explain(response).await);
    }
    let answer = read(response).await.map_err(|failure| Refused::Here(failure.what))?;
    let etag = text(&answer, "etag").ok_or_else(|| Refused::Here("it named no ETag".to_owned()))?;
    let node = answer.get("node").and_then(|node| text(node, "name"));
    Ok(Taken {
        etag: etag.to_owned(),
        node: node.unwrap_or(&peer.name).to_owned(),
    })
}

/// A range of a file as a body: memory does not grow with it.
async fn body_of(path: &Path, offset: u64, length: u64, sent: Arc<AtomicU64>) -> std::io::Result<Body> {
    let mut file = tokio::fs::File::open(path).await?;
    file.set_max_buf_size(READ_BYTES);
    file.seek(std::io::SeekFrom::Start(offset)).await?;
    let pieces = stream::try_unfold((file, length, sent), |(mut file, left, sent)| async move {
        if left == 0 {
            return Ok::<_, std::io::Error>(None);
        }
        let mut piece = vec![0; READ_BYTES.min(usize::try_from(left).unwrap_or(READ_BYTES))];
        file.read_exact(&mut piece).await?;
        let left = left - piece.len() as u64;
        sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
        Ok(Some((Bytes::from(piece), (file, left, sent))))
    });
    Ok(Body::wrap_stream(pieces))
}

async fn explain(response: Response) -> Refused {
    let status = response.status().as_u16();
    let answer = match timeout(STILL_READING, read(response)).await {
        Ok(Ok(answer)) => answer,
        _ => Value::Null,
    };
    let error = text(&answer, "error").unwrap_or_default();
    let message = text(&answer, "message").map_or_else(|| format!("status {status}"), str::to_owned);
    match (status, error) {
        (_, "grant_expired") => Refused::Expired,
        (_, "no_such_upload" | "no_such_bucket") => Refused::Gone(message),
        (_, "bad_digest") => Refused::Damaged(message),
        (_, "grant_refused" | "unauthorized") => Refused::Everywhere(message),
        _ => Refused::Here(message),
    }
}

impl Refused {
    /// In words, for when nobody else is left.
    pub fn failure(self, what: &str) -> Failure {
        let advice = "see which nodes are down with `holdfast cluster status`; run it again, it goes on where it was";
        match self {
            Self::Here(why) => Failure::new(format!("{what}: no node could do it; the last one: {why}"), advice)
                .exit(crate::failure::Exit::Unavailable),
            Self::Expired => Failure::new(
                format!("{what}: grants expire before they are used"),
                "check the clocks of the nodes, or copy with --via-one-node",
            ),
            Self::Damaged(why) => Failure::new(
                format!("{what}: the file changed while it was sent, or it is damaged on the way each time: {why}"),
                "copy it again once nobody writes to it",
            ),
            Self::Gone(why) | Self::Everywhere(why) => Failure::new(format!("{what}: {why}"), "copy it again"),
        }
    }
}
