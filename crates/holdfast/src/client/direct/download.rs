//! An object, brought piece by piece from the nodes that hold it, into a file that appears when it is whole.
//!
//! Several pieces come at a time, each from the home that stands best; a home that fails or stands still is replaced by the
//! next within seconds, and the rest of the piece asked of that. Pieces are written where they belong, noted in the journal,
//! and checked: part by part where parts have checksums, so that damage on the way costs a part and not everything, and in the
//! end the whole. Memory is `parallel` pieces of 4 MiB, whatever the object's length.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client::direct::check::{Whole, crc_of, has_etag};
use crate::client::direct::journal::Journal;
use crate::client::direct::part::{self, Gathered, Refused};
use crate::client::direct::plan::{Page, Piece};
use crate::client::direct::{Direct, Moved, Outcome};
use crate::client::place::Remote;
use crate::client::progress::Progress;
use crate::client::upload::crc_base64;
use crate::failure::{Failure, State, local};

/// How often all nodes are asked for a piece before giving up.
const ROUNDS: u32 = 6;
/// Wait before the second round; doubled each time.
const BACKOFF: Duration = Duration::from_millis(500);
/// How often a part that came damaged is brought again.
const DAMAGED_MAX: u32 = 2;

/// How often grants are asked for anew without anything being brought with them.
const RENEWALS_IN_VAIN_MAX: u32 = 3;
/// Who asks again within this time uses what was just answered.
const RENEWED_LATELY: Duration = Duration::from_secs(1);

/// What the object must be, as the S3 side knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its length.
    pub size: u64,
    /// Its ETag, without quotes.
    pub etag: String,
}

/// A piece that has come and lies in the file.
struct Brought {
    piece: Piece,
    crc: u64,
    from: Vec<(String, u64)>,
}

struct Download {
    direct: Arc<Direct>,
    slots: Arc<Semaphore>,
    parallel: usize,
    from: Remote,
    progress: Progress,
    journal: Journal,
    moved: Moved,
    whole: Whole,
    /// Lengths of all parts so far.
    parts: Vec<u64>,
    turn: usize,
}

/// Copies an object into a file. [`Outcome::NotDirect`] when no node says where it lies, or what lies there is not what is
/// wanted: the REST side may be another cluster's, or the object was replaced a moment ago.
pub async fn to_file(
    direct: Arc<Direct>,
    slots: Arc<Semaphore>,
    parallel: usize,
    from: &Remote,
    wanted: &Wanted,
    path: &Path,
    progress: &Progress,
) -> Result<Outcome<Moved>, Failure> {
    let Ok(page) = Page::ask(&direct.ask, from, 0).await else {
        return Ok(Outcome::NotDirect);
    };
    if !page.is_direct || page.size != wanted.size || page.etag != wanted.etag {
        return Ok(Outcome::NotDirect);
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)
            .map_err(|error| local(format!("{} cannot be made", parent.display()), &error))?;
    }
    let (target, name, dot, size) = (path.to_owned(), from.to_string(), page.dot.clone(), page.size);
    // What is there already is read through and compared.
    let journal = tokio::task::spawn_blocking(move || Journal::open(&target, &name, &dot, size)).await;
    let mut download = Download {
        direct,
        slots,
        parallel,
        from: from.clone(),
        progress: progress.clone(),
        journal: journal.unwrap_or_else(|error| Err(lost(&error)))?,
        moved: Moved {
            bytes: page.size,
            mtime: page.mtime.clone(),
            ..Moved::default()
        },
        whole: Whole::default(),
        parts: Vec::new(),
        turn: 0,
    };
    match download.all(page).await {
        Ok(Checked::Whole(by)) => {
            let moved = Moved {
                checked: by,
                ..download.moved
            };
            download.journal.finish()?;
            Ok(Outcome::Done(moved))
        }
        Ok(Checked::Damaged(failure)) => {
            download.journal.discard();
            Err(failure)
        }
        Err(failure) if download.moved.moved + download.moved.resumed > 0 => Err(failure.state(State::Partly(
            "what has come is kept: the same copy goes on where it was".to_owned(),
        ))),
        Err(failure) => Err(failure),
    }
}

/// Grants that were asked for because others had expired.
#[derive(Default)]
struct Renewals {
    in_vain: u32,
    last: Option<Instant>,
}

enum Checked {
    /// By this checksum.
    Whole(&'static str),
    Damaged(Failure),
}

impl Download {
    /// Brings everything, page by page.
    async fn all(&mut self, first: Page) -> Result<Checked, Failure> {
        let mut page = first;
        loop {
            self.page(&mut page).await?;
            let Some(next) = page.next else { break };
            let following = Page::ask(&self.direct.ask, &self.from, next).await?;
            if following.dot != page.dot {
                return Err(replaced(&self.from));
            }
            page = following;
        }
        self.check(&page).await
    }

    /// Brings all pieces of a page.
    async fn page(&mut self, page: &mut Page) -> Result<(), Failure> {
        let pieces: Vec<Vec<Piece>> = (0..page.parts.len()).map(|part| page.pieces(part)).collect();
        let mut crcs: Vec<Vec<Option<u64>>> = pieces.iter().map(|pieces| vec![None; pieces.len()]).collect();
        let mut wanted: Vec<Piece> = Vec::new();
        for (pieces, crcs) in pieces.iter().zip(&mut crcs) {
            for (piece, crc) in pieces.iter().zip(crcs) {
                *crc = self.journal.has(piece.offset, piece.length);
                if crc.is_none() {
                    wanted.push(*piece);
                } else {
                    self.moved.resumed += piece.length;
                    self.progress.advance(piece.length);
                }
            }
        }
        let mut damaged = 0;
        while !wanted.is_empty() {
            for brought in self.bring(page, wanted).await? {
                let Brought { piece, crc, .. } = brought;
                if let Some(at) = pieces[piece.part].iter().position(|known| known.offset == piece.offset) {
                    crcs[piece.part][at] = Some(crc);
                }
            }
            wanted = Vec::new();
            for (part, crcs) in crcs.iter_mut().enumerate() {
                let whole = together(&pieces[part], crcs);
                let expected = page.parts[part].crc.as_deref();
                if expected.is_some_and(|expected| expected != crc_base64(whole.crc())) {
                    // Which of the pieces it is, nobody knows.
                    crcs.fill(None);
                    self.progress.retreat(page.parts[part].size);
                    wanted.extend(&pieces[part]);
                }
            }
            damaged += 1;
            if !wanted.is_empty() && damaged > DAMAGED_MAX {
                return Err(Failure::new(
                    format!("{} comes damaged each time", self.from),
                    "look at the nodes' logs; `holdfast repair` checks what they hold",
                ));
            }
        }
        for (part, crcs) in crcs.iter().enumerate() {
            for (piece, crc) in pieces[part].iter().zip(crcs) {
                self.whole = self.whole.then(crc.unwrap_or_default(), piece.length);
            }
            self.parts.push(page.parts[part].size);
        }
        Ok(())
    }

    /// Brings pieces, some at a time.
    async fn bring(&mut self, page: &mut Page, wanted: Vec<Piece>) -> Result<Vec<Brought>, Failure> {
        let mut left = wanted.into_iter();
        let mut again: Vec<Piece> = Vec::new();
        let mut shared = Arc::new(page.clone());
        let mut under_way = JoinSet::new();
        let mut all = Vec::new();
        let mut renewals = Renewals::default();
        loop {
            while under_way.len() < self.parallel {
                let Some(piece) = again.pop().or_else(|| left.next()) else {
                    break;
                };
                self.turn += 1;
                let one = One {
                    direct: Arc::clone(&self.direct),
                    slots: Arc::clone(&self.slots),
                    page: Arc::clone(&shared),
                    file: self.journal.file()?,
                    piece,
                    turn: self.turn,
                };
                under_way.spawn(one.bring());
            }
            let Some(done) = under_way.join_next().await else { break };
            match done.map_err(|error| lost(&error))? {
                Ok(brought) => {
                    renewals.in_vain = 0;
                    let piece = brought.piece;
                    self.journal.note(piece.offset, piece.length, brought.crc)?;
                    self.progress.advance(piece.length);
                    for (node, bytes) in &brought.from {
                        self.moved.note(node, *bytes);
                    }
                    all.push(brought);
                }
                Err((piece, Refused::Expired)) if renewals.in_vain < RENEWALS_IN_VAIN_MAX => {
                    // Others whose grants came with the same answer end here as well; one question is enough for all.
                    if renewals.last.is_none_or(|last| last.elapsed() > RENEWED_LATELY) {
                        renewals.in_vain += 1;
                        renewals.last = Some(Instant::now());
                        let at = page.parts.first().map_or(0, |part| part.offset);
                        let later = Page::ask(&self.direct.ask, &self.from, at).await?;
                        if !page.renew(later) {
                            return Err(replaced(&self.from));
                        }
                        shared = Arc::new(page.clone());
                    }
                    again.push(piece);
                }
                Err((_, refused)) => return Err(refused.failure(&self.from.to_string())),
            }
        }
        Ok(all)
    }

    /// Compares the whole with what the cluster says of it.
    async fn check(&self, page: &Page) -> Result<Checked, Failure> {
        let differs = |by: &str| {
            Checked::Damaged(Failure::new(
                format!("{} was damaged on the way: its {by} differs", self.from),
                "try again; if it stays so, look at the nodes' logs",
            ))
        };
        if let Some(expected) = &page.crc {
            let is_whole = *expected == crc_base64(self.whole.crc());
            return Ok(if is_whole {
                Checked::Whole("crc64nvme")
            } else {
                differs("CRC64-NVME")
            });
        }
        let (file, etag, parts) = (self.journal.file()?, page.etag.clone(), self.parts.clone());
        let found = tokio::task::spawn_blocking(move || has_etag(&file, &etag, &parts)).await;
        let found = found.map_err(|error| lost(&error))?;
        match found.map_err(|error| local("what was written cannot be read again", &error))? {
            Some(true) => Ok(Checked::Whole("etag")),
            Some(false) => Ok(differs("ETag")),
            None => Ok(Checked::Whole("length")),
        }
    }
}

/// One piece on its way.
struct One {
    direct: Arc<Direct>,
    slots: Arc<Semaphore>,
    page: Arc<Page>,
    file: File,
    piece: Piece,
    turn: usize,
}

impl One {
    async fn bring(self) -> Result<Brought, (Piece, Refused)> {
        let piece = self.piece;
        let _slot = self.slots.acquire().await;
        let (bytes, from) = self.fetch().await.map_err(|refused| (piece, refused))?;
        let file = self.file;
        let written = tokio::task::spawn_blocking(move || {
            let crc = crc_of(&bytes);
            file.write_all_at(&bytes, piece.offset).map(|()| crc)
        });
        match written.await {
            Ok(Ok(crc)) => Ok(Brought { piece, crc, from }),
            Ok(Err(error)) => Err((
                piece,
                Refused::Everywhere(format!("the file cannot be written: {error}")),
            )),
            Err(error) => Err((piece, Refused::Everywhere(error.to_string()))),
        }
    }

    /// The bytes, and who they came from.
    async fn fetch(&self) -> Result<(Vec<u8>, Vec<(String, u64)>), Refused> {
        let wanted = usize::try_from(self.piece.length).unwrap_or(usize::MAX);
        let mut gathered = Gathered {
            bytes: Vec::with_capacity(wanted),
            wanted,
        };
        let (grant, at) = self
            .page
            .grant(&self.piece)
            .ok_or_else(|| Refused::Everywhere("there is no grant for it".to_owned()))?;
        let mut from = Vec::new();
        let mut last = Refused::Here("none is known".to_owned());
        let mut backoff = BACKOFF;
        for round in 0..ROUNDS {
            if round > 0 {
                tokio::time::sleep(backoff).await;
                backoff *= 2;
            }
            let (homes, others) = self.page.peers(&self.piece);
            for peer in self.direct.peers.order(&homes, &others, self.turn) {
                let under_way = self.direct.peers.begin(&peer);
                let before = gathered.bytes.len();
                let got = part::get(self.direct.peers.http(), &peer, grant, at, &mut gathered).await;
                let bytes = (gathered.bytes.len() - before) as u64;
                if bytes > 0 {
                    from.push((peer.name.clone(), bytes));
                }
                match got {
                    Ok(()) => {
                        under_way.went_well(bytes);
                        return Ok((gathered.bytes, from));
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

fn together(pieces: &[Piece], crcs: &[Option<u64>]) -> Whole {
    let each = pieces.iter().zip(crcs);
    each.fold(Whole::default(), |whole, (piece, crc)| {
        whole.then(crc.unwrap_or_default(), piece.length)
    })
}

fn replaced(from: &Remote) -> Failure {
    Failure::new(format!("{from} was replaced while it was copied"), "copy it again")
}

fn lost(error: &tokio::task::JoinError) -> Failure {
    Failure::new(format!("a part of the copy was lost: {error}"), "copy it again")
}
