//! One side of a synchronisation, listed whole: paths below it, and what is known of each without opening it.
//!
//! A side is known altogether or not at all: a directory that cannot be read, or a page of keys that does not come, is a
//! failure, so that nothing is ever taken for missing that was only not seen. Memory grows with the number of names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;

use crate::client::direct::journal::is_left_over;
use crate::client::list::page;
use crate::client::place::{Remote, check_key};
use crate::client::s3::S3;
use crate::client::sync::pattern::Patterns;
use crate::client::tree::{as_folder, below, key_of, walk};
use crate::failure::{Failure, local};

/// What is known of a file or object before it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its length.
    pub size: u64,
    /// When a file was changed, or an object written.
    pub changed: Option<SystemTime>,
    /// An object's ETag; empty for a file.
    pub etag: String,
}

/// Paths below a side, with slashes.
pub type Entries = BTreeMap<String, Entry>;

/// All files below a directory that take part; none where it does not exist, which only a target may.
pub fn of_directory(directory: &Path, patterns: &Patterns) -> Result<Entries, Failure> {
    let mut files: Vec<PathBuf> = Vec::new();
    walk(directory, &mut files)?;
    let mut entries = Entries::new();
    for file in files {
        let path = key_of(file.strip_prefix(directory).unwrap_or(&file))?;
        let name = path.rsplit('/').next().unwrap_or_default();
        if !patterns.admit(&path) || is_left_over(name) {
            continue;
        }
        let cannot = |error| local(format!("{} cannot be read", file.display()), &error);
        let found = std::fs::metadata(&file).map_err(cannot)?;
        let entry = Entry {
            size: found.len(),
            changed: found.modified().ok(),
            etag: String::new(),
        };
        entries.insert(path, entry);
    }
    Ok(entries)
}

/// All objects below a prefix that take part. Keys that end in a slash are how consoles mark empty folders, and are left alone.
pub async fn of_prefix(s3: &S3, place: &Remote, patterns: &Patterns) -> Result<Entries, Failure> {
    let base = as_folder(&place.key);
    let place = place.with_key(base.clone());
    let mut entries = Entries::new();
    let mut after: Option<String> = None;
    loop {
        let page = page(s3, &place, "", after.as_deref()).await?;
        for found in page.entries.into_iter().filter(|entry| !entry.key.ends_with('/')) {
            let path = found.key.strip_prefix(&base).unwrap_or(&found.key);
            if !patterns.admit(path) {
                continue;
            }
            // What has no place in a directory would be overlooked silently on the next comparison.
            below(&base, &found.key)?;
            let entry = Entry {
                size: found.size,
                changed: found.modified.parse::<Timestamp>().ok().map(SystemTime::from),
                etag: found.etag,
            };
            entries.insert(path.to_owned(), entry);
        }
        after = page.next;
        if after.is_none() {
            return Ok(entries);
        }
    }
}

/// Whether all of them can be keys below a prefix.
pub fn check_keys(entries: &Entries, to: &Remote) -> Result<(), Failure> {
    for path in entries.keys() {
        let key = format!("{}{path}", as_folder(&to.key));
        check_key(&key)
            .map_err(|why| Failure::usage(format!("{path} cannot be stored: {why}"), "rename or exclude it"))?;
    }
    Ok(())
}
