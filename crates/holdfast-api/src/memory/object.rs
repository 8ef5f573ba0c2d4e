//! Records in memory: put, get, contexts.

use bytes::Bytes;
use holdfast_core::content::{BodyForm, Content, Kind, StoredBody};
use holdfast_core::context::Context;
use holdfast_core::ids::{ActorId, BucketId, Dot, Partition, Position, Tick};
use holdfast_core::record::{Record, Version};
use holdfast_core::request::{Got, Location, PutOutcome, PutValue, ReadFault, WantedBodies, WriteError, WriteFault};

use super::{ACTOR, NODE, State, Stored, body, now_ms, unchanged};
use crate::objects::{GetObject, PutObject};

/// More siblings than this are refused (rule D4).
const SIBLINGS_MAX: usize = 100;

impl State {
    pub(super) fn put(&mut self, bucket: BucketId, key: &str, put: PutObject) -> Result<PutOutcome, WriteError> {
        self.may_write()?;
        let stored = self.objects.get(&(bucket, key.to_owned())).cloned().unwrap_or_default();
        if let Some(earlier) = stored.record.find_request(put.request) {
            let same = match &put.value {
                PutValue::Deletion => earlier.content.is_deletion(),
                PutValue::Object { body, .. } => earlier.content.size == body.size(),
            };
            return if same {
                Ok(outcome(&stored.record, earlier.dot))
            } else {
                Err(unchanged(WriteFault::RequestIdReused))
            };
        }
        if let PutValue::Object {
            body: StoredBody::Chunked { commit_deadline_ms, .. },
            ..
        } = &put.value
            && *commit_deadline_ms < now_ms()
        {
            return Err(unchanged(WriteFault::CommitDeadlinePassed));
        }
        let context = put.context.unwrap_or_else(|| stored.record.context().clone());
        let tick = self.next_tick(stored.record.tick_max().max(context.tick_max()));
        let life = first_life(&stored.record).unwrap_or(tick);
        let dot = Dot {
            actor: ACTOR,
            life,
            tick,
        };
        let (content, row) = content_of(put.value);
        let Stored { mut record, mut rows } = stored;
        record.put(
            &context,
            Version {
                dot,
                request: put.request,
                content,
            },
        );
        if record.sibling_count() > SIBLINGS_MAX {
            return Err(unchanged(WriteFault::TooManySiblings));
        }
        rows.retain(|(dot, _)| record.find(*dot).is_some());
        if let Some(row) = row {
            rows.push((dot, row));
        }
        let outcome = outcome(&record, dot);
        self.objects.insert((bucket, key.to_owned()), Stored { record, rows });
        Ok(outcome)
    }

    pub(super) fn get(&self, bucket: BucketId, key: &str, get: GetObject) -> Result<Got, ReadFault> {
        self.may_read()?;
        let stored = self.objects.get(&(bucket, key.to_owned())).cloned().unwrap_or_default();
        let newest = stored.record.visible().map(|version| version.dot);
        let bodies = match get.bodies {
            WantedBodies::None => Vec::new(),
            WantedBodies::All => stored.rows,
            WantedBodies::Newest => {
                let wanted = |dot: &Dot| Some(*dot) == newest;
                stored.rows.into_iter().filter(|(dot, _)| wanted(dot)).collect()
            }
        };
        Ok(Got {
            clocks: vec![(NODE, stored.record.context().clone())],
            record: stored.record,
            bodies,
            coordinator: NODE,
            preference_list: vec![NODE],
            down: Vec::new(),
            stand_ins: Vec::new(),
            holders_unheard: Vec::new(),
        })
    }
}

fn first_life(record: &Record) -> Option<Tick> {
    record.context().entries().next().map(|(_, life, _)| life)
}

/// The content of a version, and its body row.
fn content_of(value: PutValue) -> (Content, Option<Bytes>) {
    let PutValue::Object { etag, headers, body } = value else {
        return (Content::deletion(), None);
    };
    let size = body.size();
    let (form, row) = match body {
        StoredBody::Inline(bytes) if bytes.is_empty() => (BodyForm::Empty, None),
        StoredBody::Inline(bytes) => {
            let form = BodyForm::Inline {
                length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
                digest: body::digest(&bytes),
            };
            (form, Some(bytes))
        }
        StoredBody::Chunked {
            manifest,
            commit_deadline_ms,
        } => {
            let row = body::encode_manifest(&manifest);
            let form = BodyForm::Manifest {
                length: u32::try_from(row.len()).unwrap_or(u32::MAX),
                digest: body::digest(&row),
                parts: u32::try_from(manifest.parts.len()).unwrap_or(u32::MAX),
                commit_deadline_ms,
            };
            (form, Some(row))
        }
    };
    let content = Content {
        kind: Kind::Value,
        size,
        etag,
        headers,
        body: form,
    };
    (content, row)
}

fn outcome(record: &Record, dot: Dot) -> PutOutcome {
    let etag = record.find(dot).map(|version| version.content.etag.clone());
    PutOutcome {
        dot,
        context: record.context().clone(),
        etag: etag.unwrap_or_default(),
        siblings: u32::try_from(record.sibling_count()).unwrap_or(u32::MAX),
        coordinator: NODE,
        preference_list: vec![NODE],
        written: vec![NODE],
        pending: Vec::new(),
        down: Vec::new(),
        hinted: Vec::new(),
        clocks: vec![(NODE, record.context().clone())],
    }
}

/// A token: entries in hex, then a hash that binds them to bucket and key. A secret of this process stands in for the
/// cluster's.
pub(super) fn seal(bucket: BucketId, key: &str, context: &Context) -> String {
    let entries: Vec<String> = context
        .entries()
        .map(|(actor, life, tick)| format!("{actor}{life}{tick}"))
        .collect();
    let entries = entries.concat();
    format!("{entries}.{}", seal_of(bucket, key, &entries))
}

pub(super) fn open(bucket: BucketId, key: &str, token: &str) -> Option<Context> {
    let (entries, seal) = token.split_once('.')?;
    if !entries.is_ascii() || entries.len() % 48 != 0 || seal != seal_of(bucket, key, entries) {
        return None;
    }
    let mut context = Context::new();
    for entry in entries.as_bytes().chunks(48) {
        let number = |range: std::ops::Range<usize>| {
            let text = std::str::from_utf8(&entry[range]).ok()?;
            u64::from_str_radix(text, 16).ok()
        };
        context.raise(ActorId(number(0..16)?), Tick(number(16..32)?), Tick(number(32..48)?));
    }
    Some(context)
}

fn seal_of(bucket: BucketId, key: &str, entries: &str) -> String {
    let hash = blake3::keyed_hash(&[7; 32], format!("{bucket}/{key}\0{entries}").as_bytes());
    hash.to_hex()[..32].to_owned()
}

pub(super) fn locate(key: &str) -> Location {
    let mut first = [0_u8; 8];
    first.copy_from_slice(&blake3::hash(key.as_bytes()).as_bytes()[..8]);
    let position = u64::from_be_bytes(first);
    Location {
        position: Position(position),
        partition: Partition(u16::try_from(position >> 54).unwrap_or(0)),
        preference_list: vec![NODE],
        homes: 1,
    }
}
