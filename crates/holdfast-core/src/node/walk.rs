//! Walking one index shard on this node's disk (rule Q4): every row of a range, or with a delimiter the first live row of
//! each group, found by seeking past the rest.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::ops::Range as ByteRange;

use super::state::Step;
use crate::message::{Digest, Refusal, ShardCursor, ShardRows, Walk, WalkEnd};
use crate::place::{Place, SHARD_PREFIX_BYTES, after_prefix, escaped, seek_key};
use crate::storage::{Space, Visit};
use crate::wire::DecodeError;
use crate::wire::encoded::{EncodedRecord, Seen};
use crate::wire::hint::row_in_hint;
use crate::wire::record::record_in_row;

/// Rows of one shard in one answer, in bytes at most: so that the answers of many shards fit one message.
const WALK_BYTES_MAX: usize = 256 * 1024;

/// What a walk found, and the digest of it.
pub(crate) struct Walked {
    pub(crate) rows: Vec<(String, EncodedRecord)>,
    pub(crate) end: WalkEnd,
    pub(crate) digest: Digest,
}

/// The group of a key under a prefix and delimiter: the key up to and including the first delimiter after the prefix.
pub(crate) fn group_of<'a>(key: &'a str, prefix: &str, delimiter: &str) -> Option<&'a str> {
    if delimiter.is_empty() {
        return None;
    }
    let rest = key.strip_prefix(prefix)?;
    let at = rest.find(delimiter)?;
    Some(&key[..prefix.len() + at + delimiter.len()])
}

/// The least string above every one that begins with `prefix`; `None` when there is none. UTF-8 order is code point
/// order, so the last character is raised, or dropped when it is the highest.
pub(crate) fn after_text(prefix: &str) -> Option<String> {
    let mut text = prefix.to_string();
    while let Some(last) = text.pop() {
        let next = match last {
            char::MAX => continue,
            '\u{d7ff}' => '\u{e000}',
            other => char::from_u32(u32::from(other) + 1).unwrap_or(char::MAX),
        };
        text.push(next);
        return Some(text);
    }
    None
}

/// The digest of a walk: over the escaped key and the encoded record of each row, as they lie on disk. Gathered into
/// large pieces first, since BLAKE3 hashes those several times faster than many small ones. A walk that tells its rows
/// keeps what was gathered: they are parts of it.
struct Digester {
    hasher: blake3::Hasher,
    gathered: Vec<u8>,
    hashed_bytes: usize,
    keeps: bool,
}

impl Digester {
    /// Enough for BLAKE3 to use its widest instructions.
    const PIECE_BYTES: usize = 32 * 1024;

    fn new() -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            gathered: Vec::new(),
            hashed_bytes: 0,
            keeps: false,
        }
    }

    fn keeping() -> Self {
        Self {
            keeps: true,
            ..Self::new()
        }
    }

    /// Adds a row. Answers where its record lies in what is kept.
    fn add(&mut self, escaped_key: &[u8], record: &[u8]) -> ByteRange<usize> {
        for field in [escaped_key, record] {
            self.gathered.extend_from_slice(&(field.len() as u32).to_be_bytes());
            self.gathered.extend_from_slice(field);
        }
        let end = self.gathered.len();
        if end - self.hashed_bytes >= Self::PIECE_BYTES {
            self.hash();
        }
        end - record.len()..end
    }

    fn hash(&mut self) {
        self.hasher.update(&self.gathered[self.hashed_bytes..]);
        if self.keeps {
            self.hashed_bytes = self.gathered.len();
        } else {
            self.gathered.clear();
        }
    }

    /// The digest, and what was kept.
    fn finish(mut self) -> (Digest, Bytes) {
        self.hash();
        let mut digest = Digest::default();
        digest.0.copy_from_slice(&self.hasher.finalize().as_bytes()[..16]);
        (digest, Bytes::from(self.gathered))
    }
}

/// The digest that a walk which found these rows has.
pub(crate) fn rows_digest(rows: &[(String, EncodedRecord)]) -> Digest {
    let mut digester = Digester::new();
    for (key, record) in rows {
        digester.add(&escaped(key), record.as_bytes());
    }
    digester.finish().0
}

/// A walk's limits as row keys.
struct Range {
    from: Vec<u8>,
    to: Vec<u8>,
}

impl Range {
    /// From the cursor to the end of the prefix, or up to and including where another copy's walk ended.
    fn of(walk: &Walk, cursor: &ShardCursor, until: Option<&WalkEnd>) -> Self {
        let shard_key = |text: &str| seek_key(cursor.partition, walk.bucket, cursor.shard, text);
        let first = if cursor.from > walk.prefix {
            &cursor.from
        } else {
            &walk.prefix
        };
        let whole = after_prefix(shard_key(&walk.prefix));
        let to = match until {
            Some(WalkEnd::Cut(last)) => after_prefix([shard_key(last), vec![0, 0]].concat()).min(whole),
            Some(WalkEnd::Exhausted) | None => whole,
        };
        // A listing may be asked to start beyond its prefix: an empty range then, not a reversed one.
        let from = shard_key(first).min(to.clone());
        Self { from, to }
    }
}

/// As what this node holds a shard: a home walks its rows, a stand-in its hints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Held {
    AsHome,
    AsStandIn,
}

impl Held {
    fn here(step: &Step<'_>, walk: &Walk, cursor: &ShardCursor) -> Self {
        let n = step.state.n_of(walk.bucket);
        if step.state.layout().is_home(step.state.me(), cursor.partition, n) {
            Self::AsHome
        } else {
            Self::AsStandIn
        }
    }

    const fn space(self) -> Space {
        match self {
            Self::AsHome => Space::Rows,
            Self::AsStandIn => Space::Hints,
        }
    }

    fn row(self, value: &[u8]) -> Result<&[u8], DecodeError> {
        match self {
            Self::AsHome => Ok(value),
            Self::AsStandIn => row_in_hint(value),
        }
    }
}

impl Step<'_> {
    /// Answers a member's question about one shard.
    pub(crate) fn walk(&self, walk: &Walk, cursor: &ShardCursor) -> Result<ShardRows, Refusal> {
        let Some((end, known)) = &cursor.known else {
            let walked = self.walk_rows(walk, cursor, None)?;
            return Ok(ShardRows::Rows {
                rows: walked.rows,
                end: walked.end,
            });
        };
        if walk.delimiter.is_empty() && self.walk_digest(walk, cursor, end)? == *known {
            return Ok(ShardRows::Same);
        }
        let walked = self.walk_rows(walk, cursor, Some(end))?;
        if walked.digest == *known && walked.end == *end {
            return Ok(ShardRows::Same);
        }
        Ok(ShardRows::Rows {
            rows: walked.rows,
            end: walked.end,
        })
    }

    /// The digest of a walk without a delimiter: the usual case of equal copies costs no decoding.
    fn walk_digest(&self, walk: &Walk, cursor: &ShardCursor, until: &WalkEnd) -> Result<Digest, Refusal> {
        self.state.refuse_if_abstaining(cursor.partition, walk.bucket)?;
        let Range { from, to } = Range::of(walk, cursor, Some(until));
        let held = Held::here(self, walk, cursor);
        let (mut digester, mut damaged) = (Digester::new(), false);
        self.storage.scan(held.space(), &from, &to, &mut |row_key, row| {
            let record = held.row(row).and_then(record_in_row);
            let (Some(key), Ok(record)) = (row_key.get(SHARD_PREFIX_BYTES..), record) else {
                damaged = true;
                return Visit::Stop;
            };
            digester.add(key, record);
            Visit::Next
        })?;
        if damaged {
            Err(Refusal::Damaged)
        } else {
            Ok(digester.finish().0)
        }
    }

    /// Walks a shard from its cursor: as far as the walk's limits allow, or exactly up to `until`.
    pub(crate) fn walk_rows(
        &self,
        walk: &Walk,
        cursor: &ShardCursor,
        until: Option<&WalkEnd>,
    ) -> Result<Walked, Refusal> {
        self.state.refuse_if_abstaining(cursor.partition, walk.bucket)?;
        let Range { from, to } = Range::of(walk, cursor, until);
        let mut rows: Vec<(String, ByteRange<usize>, Seen)> = Vec::new();
        let (mut live, mut bytes, mut damaged) = (0u32, 0usize, false);
        let mut end = until.cloned().unwrap_or(WalkEnd::Exhausted);
        let mut digester = Digester::keeping();
        let held = Held::here(self, walk, cursor);
        self.storage.scan(held.space(), &from, &to, &mut |row_key, row| {
            let wanted_all = until.is_some();
            let full = rows.len() >= walk.rows_max as usize || bytes >= WALK_BYTES_MAX;
            if full || (!wanted_all && live >= walk.live_max) {
                end = rows
                    .last()
                    .map_or(WalkEnd::Exhausted, |(key, ..)| WalkEnd::Cut(key.clone()));
                return Visit::Stop;
            }
            let record = held.row(row).and_then(record_in_row);
            let read = record.and_then(|record| Seen::in_record(record).map(|seen| (record, seen)));
            let (Some((place, _)), Ok((record, seen))) = (Place::parse(row_key), read) else {
                damaged = true;
                return Visit::Stop;
            };
            let record = digester.add(&row_key[SHARD_PREFIX_BYTES..], record);
            bytes += row_key.len() + row.len();
            let is_live = seen.is_visible();
            let beyond = group_of(&place.key, &walk.prefix, &walk.delimiter)
                .filter(|_| is_live)
                .and_then(after_text);
            rows.push((place.key, record, seen));
            live += u32::from(is_live);
            match beyond {
                Some(beyond) => Visit::SeekTo(seek_key(cursor.partition, walk.bucket, cursor.shard, &beyond)),
                None => Visit::Next,
            }
        })?;
        if damaged {
            return Err(Refusal::Damaged);
        }
        let (digest, kept) = digester.finish();
        let rows = rows
            .into_iter()
            .map(|(key, record, seen)| (key, EncodedRecord::seen(kept.slice(record), seen)));
        Ok(Walked {
            rows: rows.collect(),
            end,
            digest,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    #[test]
    fn groups_end_with_the_first_delimiter_after_the_prefix() {
        assert_eq!(group_of("a/b/c", "", "/"), Some("a/"));
        assert_eq!(group_of("a/b/c", "a/", "/"), Some("a/b/"));
        assert_eq!(group_of("a/b", "a/", "/"), None);
        assert_eq!(group_of("a//b", "a/", "/"), Some("a//"));
        assert_eq!(group_of("a/b", "", ""), None);
    }

    proptest! {
        #[test]
        fn after_text_is_above_all_that_begin_so(prefix in ".{0,6}", rest in ".{0,6}") {
            let extended = alloc::format!("{prefix}{rest}");
            match after_text(&prefix) {
                Some(after) => prop_assert!(extended < after && prefix < after),
                None => prop_assert!(prefix.chars().all(|c| c == char::MAX)),
            }
        }
    }
}
