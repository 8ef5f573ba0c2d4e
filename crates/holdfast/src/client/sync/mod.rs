//! `sync`: makes a directory like a prefix, or a prefix like a directory, by moving what differs.
//!
//! Both sides are listed whole first, then compared, then what differs is copied, and only when all of that has gone well is
//! anything deleted, and only with `--delete`. What will be deleted is said before. An empty source deletes nothing: it is
//! more often a mistake in a name than what somebody wants.

pub mod compare;
pub mod pattern;
pub mod side;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use crate::client::connection::S3Args;
use crate::client::direct::download::Wanted;
use crate::client::direct::{DirectArgs, Moved};
use crate::client::mover::{self, Mover};
use crate::client::mtime;
use crate::client::place::{Place, Remote};
use crate::client::print::Printer;
use crate::client::progress::Bars;
use crate::client::remove::remove_page;
use crate::client::sync::compare::{By, are_same};
use crate::client::sync::pattern::Patterns;
use crate::client::sync::side::{Entries, Entry};
use crate::client::tree::join_key;
use crate::failure::{Failure, State, local};
use crate::quantity::show_bytes;

/// Make a directory like a prefix, or a prefix like a directory, by copying what differs
#[derive(Args, Debug)]
pub struct Sync {
    /// A directory, or hf://BUCKET/PREFIX
    pub from: Place,
    /// A directory, or hf://BUCKET/PREFIX
    pub to: Place,
    /// Delete what is in the target and not in the source, once everything was copied
    #[arg(long)]
    pub delete: bool,
    /// Only say what would be done
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Compare contents where lengths are the same, instead of the time of the last change
    #[arg(long)]
    pub checksum: bool,
    /// Leave out paths that match, for copying and for deleting; `*` and `?` stand for any characters; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// Do not leave these out
    #[arg(long, value_name = "PATTERN")]
    pub include: Vec<String>,
    /// Requests at a time; each holds one part or piece (4 to 8 MiB) in memory
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub parallel: u32,
    /// No progress bar, and nothing said of each file
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    pub direct: DirectArgs,
    #[command(flatten)]
    pub s3: S3Args,
}

/// The two sides.
#[derive(Clone)]
enum Way {
    Up { from: PathBuf, to: Remote },
    Down { from: Remote, to: PathBuf },
}

/// What has to be done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Work {
    copy: Vec<(String, Entry)>,
    delete: Vec<String>,
    unchanged: u64,
}

struct Syncer {
    mover: Mover,
    way: Way,
    by: By,
    quiet: bool,
    out: Printer,
}

/// Runs `sync`.
pub async fn run(sync: Sync, json: bool) -> Result<(), Failure> {
    let way = match (sync.from, sync.to) {
        (Place::Local(from), Place::Remote(to)) => Way::Up { from, to },
        (Place::Remote(from), Place::Local(to)) => Way::Down { from, to },
        _ => {
            return Err(Failure::usage(
                "one side must be a directory, and the other in the cluster",
                "write one as a path and the other as hf://BUCKET/PREFIX",
            ));
        }
    };
    let patterns = Patterns {
        exclude: sync.exclude,
        include: sync.include,
    };
    let mut syncer = Syncer {
        mover: Mover::open(&sync.s3, &sync.direct, sync.parallel, None)?,
        way,
        by: if sync.checksum { By::Content } else { By::Time },
        quiet: sync.quiet,
        out: Printer::new(json),
    };
    let (source, target) = syncer.list(&patterns).await?;
    if source.is_empty() && sync.delete && !target.is_empty() {
        return Err(Failure::usage(
            format!(
                "the source is empty, and everything in the target ({} files) would be deleted",
                target.len()
            ),
            "check the name of the source; `holdfast rm -r` deletes a prefix",
        ));
    }
    let mut work = syncer.compare(source, &target).await?;
    if !sync.delete {
        work.delete.clear();
    }
    if sync.dry_run {
        syncer.tell_plan(&work)?;
        return syncer.out.finish();
    }
    let sum = syncer.copy(&work).await?;
    let deleted = syncer.delete(&work.delete).await?;
    syncer.sum_up(&work, deleted, &sum)?;
    syncer.out.finish()
}

impl Syncer {
    /// Source and target.
    async fn list(&self, patterns: &Patterns) -> Result<(Entries, Entries), Failure> {
        let directory = |path: &Path, patterns: &Patterns| side::of_directory(path, patterns);
        match &self.way {
            Way::Up { from, to } => {
                let source = directory(from, patterns)?;
                side::check_keys(&source, to)?;
                Ok((source, side::of_prefix(&self.mover.s3, to, patterns).await?))
            }
            Way::Down { from, to } => {
                let source = side::of_prefix(&self.mover.s3, from, patterns).await?;
                let target = match std::fs::symlink_metadata(to) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Entries::new(),
                    _ => directory(to, patterns)?,
                };
                Ok((source, target))
            }
        }
    }

    /// What differs. Those of the same length are looked at, some at a time.
    async fn compare(&mut self, source: Entries, target: &Entries) -> Result<Work, Failure> {
        let mut work = Work {
            delete: target
                .keys()
                .filter(|path| !source.contains_key(*path))
                .cloned()
                .collect(),
            ..Work::default()
        };
        let mut alike = Vec::new();
        for (path, entry) in &source {
            match target.get(path) {
                Some(other) if other.size == entry.size => alike.push((path.clone(), entry.clone(), other.clone())),
                _ => work.copy.push((path.clone(), entry.clone())),
            }
        }
        let (way, by, s3) = (self.way.clone(), self.by, Arc::clone(&self.mover.s3));
        let look = move |(path, source, target): (String, Entry, Entry)| {
            let (way, s3) = (way.clone(), Arc::clone(&s3));
            async move {
                let (file, object) = way.ends(&path);
                let (of_file, of_object) = match way {
                    Way::Up { .. } => (&source, &target),
                    Way::Down { .. } => (&target, &source),
                };
                let same = are_same(&s3, &file, of_file, &object, of_object, by).await?;
                Ok((path, source, same))
            }
        };
        let mut differ = Vec::new();
        let mut unchanged = 0;
        let tell = |(path, entry, same)| {
            if same {
                unchanged += 1;
            } else {
                differ.push((path, entry));
            }
            Ok(())
        };
        mover::each(alike, self.mover.parallel, look, tell)
            .await
            .map_err(|failure| failure.state(State::Unchanged))?;
        work.unchanged = unchanged;
        work.copy.extend(differ);
        work.copy.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(work)
    }

    async fn copy(&mut self, work: &Work) -> Result<Moved, Failure> {
        let total = work.copy.iter().map(|(_, entry)| entry.size).sum();
        let hidden = self.quiet || self.out.is_json();
        let bars = Bars::new(&format!("{} files", work.copy.len()), total, hidden);
        let (mover, way, shown) = (self.mover.clone(), self.way.clone(), bars.clone());
        let copy = move |(path, entry): (String, Entry)| {
            let (mover, way) = (mover.clone(), way.clone());
            let progress = shown.file(&path, entry.size);
            async move {
                let moved = way.copy(&mover, &path, &entry, &progress).await;
                progress.finish();
                moved.map(|moved| (path, moved))
            }
        };
        let mut sum = Moved::default();
        let (out, quiet) = (&mut self.out, self.quiet);
        let tell = |(path, moved): (String, Moved)| {
            sum.add(&moved);
            if quiet {
                return Ok(());
            }
            let text = format!("copied   {path}  {}", show_bytes(moved.bytes));
            let told = || {
                let mut told = moved.told();
                told["action"] = "copied".into();
                told["path"] = path.as_str().into();
                told
            };
            bars.aside(|| out.line(text, told))
        };
        let done = mover::each(work.copy.clone(), self.mover.parallel, copy, tell).await;
        bars.finish();
        done?;
        Ok(sum)
    }

    /// Deletes what the source does not have, and says so before.
    async fn delete(&mut self, paths: &[String]) -> Result<u64, Failure> {
        for path in paths {
            self.out.line(
                format!("deleting {path}"),
                || json!({ "action": "deleting", "path": path }),
            )?;
        }
        self.out.flush()?;
        let mut deleted = 0;
        let partly = |failure: Failure, deleted: u64| {
            failure.state(State::Partly(format!(
                "everything was copied, and {deleted} of {} files were deleted",
                paths.len()
            )))
        };
        match &self.way {
            Way::Up { to, .. } => {
                // S3 takes so many keys at once.
                for page in paths.chunks(1_000) {
                    let keys: Vec<String> = page.iter().map(|path| join_key(&to.key, path)).collect();
                    let removed = remove_page(&self.mover.s3, to, &keys).await;
                    removed.map_err(|failure| partly(failure, deleted))?;
                    deleted += page.len() as u64;
                }
            }
            Way::Down { to, .. } => {
                for path in paths {
                    let file = to.join(path);
                    std::fs::remove_file(&file).map_err(|error| {
                        partly(local(format!("{} cannot be deleted", file.display()), &error), deleted)
                    })?;
                    deleted += 1;
                }
            }
        }
        Ok(deleted)
    }

    fn tell_plan(&mut self, work: &Work) -> Result<(), Failure> {
        for (path, entry) in &work.copy {
            let text = format!("would copy    {path}  {}", show_bytes(entry.size));
            self.out.line(
                text,
                || json!({ "action": "would copy", "path": path, "bytes": entry.size }),
            )?;
        }
        for path in &work.delete {
            let text = format!("would delete  {path}");
            self.out
                .line(text, || json!({ "action": "would delete", "path": path }))?;
        }
        let bytes: u64 = work.copy.iter().map(|(_, entry)| entry.size).sum();
        let text = format!(
            "would copy {} files, {}; would delete {}; {} are the same",
            work.copy.len(),
            show_bytes(bytes),
            work.delete.len(),
            work.unchanged
        );
        self.out.line(text, || {
            let (copy, delete) = (work.copy.len(), work.delete.len());
            json!({ "summary": { "copied": 0, "deleted": 0, "would_copy": copy, "would_delete": delete,
                                 "unchanged": work.unchanged, "bytes": bytes, "moved": 0 } })
        })
    }

    fn sum_up(&mut self, work: &Work, deleted: u64, sum: &Moved) -> Result<(), Failure> {
        let copied = work.copy.len();
        let text = format!(
            "{copied} files copied, {}; {deleted} deleted; {} were the same",
            show_bytes(sum.bytes),
            work.unchanged
        );
        if self.quiet && !self.out.is_json() {
            return Ok(());
        }
        self.out.line(text, || {
            let mut told = sum.told();
            told["copied"] = copied.into();
            told["deleted"] = deleted.into();
            told["unchanged"] = work.unchanged.into();
            json!({ "summary": told })
        })
    }
}

impl Way {
    /// The file and the object of a path.
    fn ends(&self, path: &str) -> (PathBuf, Remote) {
        let (directory, place) = match self {
            Self::Up { from, to } => (from, to),
            Self::Down { from, to } => (to, from),
        };
        (directory.join(path), place.with_key(join_key(&place.key, path)))
    }

    async fn copy(
        &self,
        mover: &Mover,
        path: &str,
        entry: &Entry,
        progress: &crate::client::progress::Progress,
    ) -> Result<Moved, Failure> {
        let (file, object) = self.ends(path);
        match self {
            Self::Up { .. } => mover.put(&file, &object, progress).await,
            Self::Down { .. } => {
                let wanted = Wanted {
                    size: entry.size,
                    etag: entry.etag.clone(),
                };
                let moved = mover.get(&object, &file, Some(wanted), progress).await?;
                let kept = moved.mtime.as_deref().and_then(mtime::parse).or(entry.changed);
                if let Some(changed) = kept {
                    let set = std::fs::File::options().write(true).open(&file);
                    set.and_then(|file| file.set_modified(changed))
                        .map_err(|error| local(format!("the time of {} cannot be set", file.display()), &error))?;
                }
                Ok(moved)
            }
        }
    }
}
