//! A file, sent part by part to nodes that will hold it, as a multipart upload whose state the cluster keeps.
//!
//! Begun, listed and completed over S3 like any other upload, so whatever happens here leaves what S3 knows how to deal with:
//! an open upload, which a later copy goes on with (`resume.rs`) and the cluster aborts after a week. The parts go with grants
//! to the nodes that were chosen for them; a node that fails or stands still is replaced by any other. Each part carries its
//! CRC64-NVME, which the node compares, and the completion that of the whole, which the cluster compares with what it has.
//! Parts are read from the file while they are sent, so memory does not grow with them.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusty_s3::Method;
use tokio::task::JoinSet;

use crate::client::answer::{element, elements};
use crate::client::direct::check::{Whole, crc_of_range};
use crate::client::direct::part::{self, Refused, Source, Taken};
use crate::client::direct::peers::Peer;
use crate::client::direct::plan::{GRANTS_AT_ONCE, Sending};
use crate::client::direct::resume::{Note, SourceState};
use crate::client::direct::{Direct, Moved, Outcome};
use crate::client::place::Remote;
use crate::client::s3::Call;
use crate::client::upload::{About, Uploader, body_text, crc_base64, part_bytes};
use crate::failure::{Exit, Failure, State, local};

/// How often all nodes are sent a part before giving up.
const ROUNDS: u32 = 6;
/// Wait before the second round; doubled each time.
const BACKOFF: Duration = Duration::from_millis(500);
/// How often a part that arrived damaged is sent again.
const DAMAGED_MAX: u32 = 2;
/// How often a grant is asked for anew for one part.
const RENEWALS_MAX: u32 = 3;

/// A part that lies in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stored {
    etag: String,
    crc: u64,
}

struct Upload<'a> {
    direct: Arc<Direct>,
    uploader: &'a Uploader,
    parallel: usize,
    to: &'a Remote,
    source: SourceState,
    id: String,
    part_bytes: u64,
    stored: Vec<Option<Stored>>,
    moved: Moved,
}

/// Why a direct upload ended early.
enum Ended {
    /// Everything has to go through one node.
    NotDirect,
    Failed(Failure),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Stores a file as `to`. [`Outcome::NotDirect`] when the cluster cannot say who should take its parts; nothing was changed then.
pub async fn from_file(
    direct: Arc<Direct>,
    uploader: &Uploader,
    parallel: usize,
    source: SourceState,
    to: &Remote,
    about: &About<'_>,
) -> Result<Outcome<Moved>, Failure> {
    let mut note = Note::open(&source, to);
    let begun = note.as_mut().and_then(|note| note.read(&source));
    let mut upload = Upload {
        direct,
        uploader,
        parallel,
        to,
        id: String::new(),
        part_bytes: part_bytes(0, Some(source.size)),
        stored: Vec::new(),
        moved: Moved {
            bytes: source.size,
            checked: "crc64nvme",
            ..Moved::default()
        },
        source,
    };
    if let Some(begun) = begun {
        if begun.is_same_source && upload.take_up(&begun.upload, begun.part_bytes).await? {
            upload.id = begun.upload;
        } else {
            upload.abort(&begun.upload).await;
        }
    }
    if upload.id.is_empty() {
        upload.id = uploader.begin(to, about).await?;
        upload.stored = vec![None; upload.part_count()];
        if let Some(note) = &mut note {
            note.write(&upload.source, &upload.id, upload.part_bytes);
        }
    }
    let ended = match upload.send().await {
        Ok(()) => upload.complete().await.map_err(Ended::Failed),
        Err(ended) => Err(ended),
    };
    match ended {
        Ok(()) => {
            if let Some(note) = note {
                note.forget();
            }
            Ok(Outcome::Done(upload.moved))
        }
        Err(Ended::NotDirect) => {
            // All of it goes another way now.
            uploader.progress.retreat(upload.moved.resumed);
            upload.abort(&upload.id).await;
            if let Some(note) = note {
                note.forget();
            }
            Ok(Outcome::NotDirect)
        }
        Err(Ended::Failed(failure)) => Err(upload.give_up(failure, note).await),
    }
}

impl Upload<'_> {
    fn part_count(&self) -> usize {
        usize::try_from(self.source.size.div_ceil(self.part_bytes)).unwrap_or(usize::MAX)
    }

    /// Offset and length of a part, from 0.
    fn range(&self, index: usize) -> (u64, u64) {
        let offset = index as u64 * self.part_bytes;
        (offset, self.part_bytes.min(self.source.size - offset))
    }

    /// What is kept for the next try, and what is not.
    async fn give_up(&self, failure: Failure, note: Option<Note>) -> Failure {
        let may_go_on = failure.exit == Exit::Unavailable || failure.state == State::Unknown;
        if may_go_on && note.is_some() {
            return match failure.state {
                State::Unknown => failure,
                _ => failure.state(State::Partly(
                    "what was sent is kept for a week: the same copy goes on where it was".to_owned(),
                )),
            };
        }
        // When completing may have worked there is nothing left to abort.
        if failure.state != State::Unknown {
            self.abort(&self.id).await;
        }
        if let Some(note) = note {
            note.forget();
        }
        failure
    }

    async fn abort(&self, id: &str) {
        let abort = Call::object(Method::Delete, &self.to.bucket, &self.to.key).query("uploadId", id);
        // An upload that stays open is aborted by the cluster itself, after a week.
        let _ = self.uploader.s3.send(abort).await;
    }

    /// Goes on with an upload: its parts are those whose checksums are those of the file. False when it is no longer open.
    async fn take_up(&mut self, id: &str, part_bytes: u64) -> Result<bool, Failure> {
        let Some(listed) = list_parts(self.uploader, self.to, id).await? else {
            return Ok(false);
        };
        let before = std::mem::replace(&mut self.part_bytes, part_bytes);
        let count = self.part_count();
        if count > crate::client::upload::PARTS_MAX as usize {
            self.part_bytes = before;
            return Ok(false);
        }
        self.stored = vec![None; count];
        for part in listed {
            let Some(index) = part.number.checked_sub(1).filter(|index| *index < count) else {
                continue;
            };
            let (offset, length) = self.range(index);
            if part.size != length {
                continue;
            }
            let path = self.source.path.clone();
            let crc = tokio::task::spawn_blocking(move || crc_of_range(&File::open(path)?, offset, length)).await;
            let Ok(Ok(crc)) = crc else { continue };
            if part.crc == crc_base64(crc) {
                self.stored[index] = Some(Stored { etag: part.etag, crc });
                self.moved.resumed += length;
                self.uploader.progress.advance(length);
            }
        }
        Ok(true)
    }

    /// Sends what is not there yet, some parts at a time.
    async fn send(&mut self) -> Result<(), Ended> {
        let missing: Vec<usize> = (0..self.stored.len())
            .filter(|index| self.stored[*index].is_none())
            .collect();
        let mut missing = missing.into_iter();
        let mut granted: Vec<Sending> = Vec::new();
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < self.parallel {
                let Some(index) = missing.next() else { break };
                let number = index as u64 + 1;
                if !granted.iter().any(|sending| sending.number == number) {
                    granted = self.grants(number).await?;
                }
                let Some(at) = granted.iter().position(|sending| sending.number == number) else {
                    return Err(Ended::NotDirect);
                };
                let (offset, length) = self.range(index);
                let one = One {
                    direct: Arc::clone(&self.direct),
                    slots: Arc::clone(&self.uploader.slots),
                    sending: granted.swap_remove(at),
                    to: self.to.clone(),
                    upload: self.id.clone(),
                    part_bytes: self.part_bytes,
                    path: self.source.path.clone(),
                    offset,
                    length,
                };
                under_way.spawn(async move { (index, one.send().await) });
            }
            let Some(done) = under_way.join_next().await else {
                return Ok(());
            };
            let (index, sent) =
                done.map_err(|error| Failure::new(format!("a part was lost: {error}"), "copy it again"))?;
            match sent {
                Ok((taken, crc)) => {
                    let (_, length) = self.range(index);
                    self.moved.note(&taken.node, length);
                    self.uploader.progress.advance(length);
                    self.stored[index] = Some(Stored { etag: taken.etag, crc });
                }
                // The nodes do not know the upload: they are another cluster's, or it was aborted.
                Err(Refused::Gone(_)) if self.moved.moved == 0 => return Err(Ended::NotDirect),
                Err(refused) => return Err(Ended::Failed(refused.failure(&self.to.to_string()))),
            }
        }
    }

    async fn grants(&self, first: u64) -> Result<Vec<Sending>, Ended> {
        let last = (first + GRANTS_AT_ONCE - 1).min(self.stored.len() as u64);
        let asked = Sending::ask(&self.direct.ask, self.to, &self.id, first..=last, self.part_bytes).await;
        // As long as nothing was sent directly, everything can go through one node.
        asked.map_err(|failure| {
            if self.moved.moved == 0 {
                Ended::NotDirect
            } else {
                Ended::Failed(failure)
            }
        })
    }

    /// Makes the object of its parts.
    async fn complete(&self) -> Result<(), Failure> {
        let now = SourceState::of(&self.source.path)?;
        if now != self.source {
            return Err(Failure::new(
                format!("{} changed while it was copied", self.source.path.display()),
                "copy it again once nobody writes to it",
            ));
        }
        let mut whole = Whole::default();
        let mut etags = Vec::with_capacity(self.stored.len());
        for (index, stored) in self.stored.iter().enumerate() {
            let Some(stored) = stored else {
                return Err(Failure::new(format!("part {} was lost", index + 1), "copy it again"));
            };
            whole = whole.then(stored.crc, self.range(index).1);
            etags.push(stored.etag.clone());
        }
        let crc = crc_base64(whole.crc());
        self.uploader.complete(self.to, &self.id, &etags, Some(&crc)).await?;
        Ok(())
    }
}

impl SourceState {
    /// A file as it is now.
    pub fn of(path: &Path) -> Result<Self, Failure> {
        let found =
            std::fs::metadata(path).map_err(|error| local(format!("{} cannot be read", path.display()), &error))?;
        Ok(Self {
            path: path.to_owned(),
            size: found.len(),
            mtime: crate::client::mtime::of(&found),
        })
    }
}

/// One part on its way.
struct One {
    direct: Arc<Direct>,
    slots: Arc<tokio::sync::Semaphore>,
    sending: Sending,
    to: Remote,
    upload: String,
    part_bytes: u64,
    path: std::path::PathBuf,
    offset: u64,
    length: u64,
}

impl One {
    async fn send(mut self) -> Result<(Taken, u64), Refused> {
        let slots = Arc::clone(&self.slots);
        let _slot = slots.acquire().await;
        let (mut renewals, mut damaged) = (0, 0);
        loop {
            let (source, crc) = self.source().await?;
            match self.try_all(&source).await {
                Err(Refused::Expired) if renewals < RENEWALS_MAX => {
                    renewals += 1;
                    self.renew().await?;
                }
                Err(Refused::Damaged(_)) if damaged < DAMAGED_MAX => damaged += 1,
                Err(refused) => return Err(refused),
                Ok(taken) => return Ok((taken, crc)),
            }
        }
    }

    /// The part as it lies in the file now, and its CRC.
    async fn source(&self) -> Result<(Source, u64), Refused> {
        let (path, offset, length) = (self.path.clone(), self.offset, self.length);
        let crc = tokio::task::spawn_blocking(move || crc_of_range(&File::open(path)?, offset, length)).await;
        let crc = match crc {
            Ok(Ok(crc)) => crc,
            Ok(Err(error)) => {
                let path = self.path.display();
                return Err(Refused::Everywhere(format!("{path} cannot be read: {error}")));
            }
            Err(error) => return Err(Refused::Everywhere(error.to_string())),
        };
        let source = Source {
            path: self.path.clone(),
            offset,
            length,
            crc: crc_base64(crc),
        };
        Ok((source, crc))
    }

    async fn renew(&mut self) -> Result<(), Refused> {
        let number = self.sending.number;
        let asked = Sending::ask(
            &self.direct.ask,
            &self.to,
            &self.upload,
            number..=number,
            self.part_bytes,
        )
        .await;
        let mut sendings = asked.map_err(|failure| Refused::Here(failure.what))?;
        self.sending = sendings.pop().ok_or(Refused::Expired)?;
        Ok(())
    }

    /// The node that was chosen, then any other: a part may be taken anywhere, only less directly.
    async fn try_all(&self, source: &Source) -> Result<Taken, Refused> {
        let mut last = Refused::Here("none is known".to_owned());
        let mut backoff = BACKOFF;
        let others: Vec<&Peer> = self.sending.others.iter().collect();
        let turn = usize::try_from(self.sending.number).unwrap_or_default();
        for round in 0..ROUNDS {
            if round > 0 {
                tokio::time::sleep(backoff).await;
                backoff *= 2;
            }
            for peer in self.direct.peers.order(&[&self.sending.chosen], &others, turn) {
                let under_way = self.direct.peers.begin(&peer);
                match part::put(self.direct.peers.http(), &peer, &self.sending.grant, source).await {
                    Ok(taken) => {
                        under_way.went_well(source.length);
                        return Ok(taken);
                    }
                    Err(refused @ Refused::Here(_)) => {
                        under_way.failed();
                        last = refused;
                    }
                    Err(refused) => return Err(refused),
                }
            }
        }
        Err(last)
    }
}

/// A part as the cluster lists it.
struct Listed {
    number: usize,
    size: u64,
    etag: String,
    crc: String,
}

/// All parts of an open upload; `None` when there is no such upload any more.
async fn list_parts(uploader: &Uploader, to: &Remote, id: &str) -> Result<Option<Vec<Listed>>, Failure> {
    let mut listed = Vec::new();
    let mut marker = String::new();
    loop {
        let mut call = Call::object(Method::Get, &to.bucket, to.object()?).query("uploadId", id);
        if !marker.is_empty() {
            call = call.query("part-number-marker", marker.clone());
        }
        let response = match uploader.s3.send(call).await {
            Ok(response) => response,
            Err(failure) if failure.exit == Exit::NotFound => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let text = body_text(response, "the list of parts").await?;
        for part in elements_raw(&text, "Part") {
            let field = |name| element(part, name);
            let number = field("PartNumber").and_then(|number| number.parse().ok());
            let size = field("Size").and_then(|size| size.parse().ok());
            let (Some(number), Some(size), Some(etag)) = (number, size, field("ETag")) else {
                continue;
            };
            listed.push(Listed {
                number,
                size,
                etag: etag.trim_matches('"').to_owned(),
                crc: field("ChecksumCRC64NVME").unwrap_or_default(),
            });
        }
        let is_truncated = elements(&text, "IsTruncated").next().is_some_and(|text| text == "true");
        match element(&text, "NextPartNumberMarker").filter(|next| is_truncated && *next != marker) {
            Some(next) => marker = next,
            None => return Ok(Some(listed)),
        }
    }
}

/// The insides of all elements of this name, as they stand.
fn elements_raw<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let inside = |piece: &'a str| piece.split_once(close.as_str()).map(|(inside, _)| inside);
    xml.split(open.as_str()).skip(1).filter_map(inside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_one_by_one() {
        let xml = "<L><Part><PartNumber>1</PartNumber><Size>5</Size></Part><PartNumberMarker>0</PartNumberMarker>\
                   <Part><PartNumber>2</PartNumber></Part></L>";
        let parts = elements_raw(xml, "Part");
        assert_eq!(
            parts,
            ["<PartNumber>1</PartNumber><Size>5</Size>", "<PartNumber>2</PartNumber>"]
        );
        assert_eq!(element(parts[1], "Size"), None);
    }
}
