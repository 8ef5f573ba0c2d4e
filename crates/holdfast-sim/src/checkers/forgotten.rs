//! *Nothing that anybody names is forgotten, and everything else is* (D10, G1): when chunks go, no version, hint or open
//! upload on any disk names them; and in the end none is left that nobody names. Looked at from outside, over all disks at
//! once, which no collector can do.

use std::collections::BTreeSet;

use holdfast_core::content::BodyForm;
use holdfast_core::ids::{ActorId, ChunkId, Life, PartId, Partition, SYSTEM_BUCKET, Tick};
use holdfast_core::place::Place;
use holdfast_core::record::{Record, Version};
use holdfast_core::request::UploadState;
use holdfast_core::storage::{Space, Storage};
use holdfast_core::wire::hint::decode_hint;
use holdfast_core::wire::record::{decode_manifest, decode_part, decode_row, decode_upload};
use holdfast_store::MemoryStore;

use super::dots::name;
use crate::truth::{KeyIx, NodeIx, Truth};
use crate::world::RowChange;

/// Judges a removal.
#[must_use]
pub fn check(disks: &[&MemoryStore], removed: &[(Partition, ChunkId)]) -> Option<String> {
    let removed: BTreeSet<PartId> = removed.iter().map(|(_, id)| id.part).collect();
    let mut found = None;
    for (member, disk) in disks.iter().enumerate() {
        each_named(disk, &mut |part, by| {
            if removed.contains(&part) {
                found = Some(format!("{part:?} goes, but n{member} names it: {by}"));
            }
        });
    }
    found
}

/// A chunk whose commit deadline has passed and that nobody names, when enough time has passed for it to go.
#[must_use]
pub fn check_gone(disks: &[&MemoryStore], partitions: usize, now_ms: u64) -> Option<String> {
    let mut named: BTreeSet<PartId> = BTreeSet::new();
    for disk in disks {
        each_named(disk, &mut |part, _| {
            named.insert(part);
        });
    }
    for (member, disk) in disks.iter().enumerate() {
        for partition in (0..partitions).map(|number| Partition(number as u16)) {
            for header in disk.chunks(partition, None, usize::MAX).unwrap_or_default() {
                if header.commit_deadline_ms < now_ms && !named.contains(&header.id.part) {
                    return Some(format!(
                        "n{member} still has chunk {} of {:?} of {:?}, which nobody names",
                        header.id.index, header.id.part, header.owner.key
                    ));
                }
            }
        }
    }
    None
}

/// Judges a copy that a home wrote: an object that a deletion had replaced, which was forgotten since, must not be in it.
#[must_use]
pub fn check_copy(truth: &Truth, key: KeyIx, before: Option<&Record>, after: &Record) -> Option<String> {
    let of = truth.of(key);
    let is_new = |version: &&Version| before.is_none_or(|before| before.find(version.dot).is_none());
    after.versions().iter().filter(is_new).find_map(|version| {
        let index = of.by_dot.get(&version.dot)?.0;
        let is_back = !version.content.is_deletion() && of.forgotten.contains(index);
        is_back.then(|| {
            format!(
                "{:?} has {} of {} again, whose deletion was forgotten",
                of.place.key,
                name(version.dot),
                version.request
            )
        })
    })
}

/// A record of deletions that is still there, when enough time has passed for it to go. The registry's stay.
#[must_use]
pub fn check_no_tombstone(disks: &[&MemoryStore]) -> Option<String> {
    for (member, disk) in disks.iter().enumerate() {
        for (key, row) in disk.rows(Space::Rows) {
            if let (Some((place, _)), Ok((_, record))) = (Place::parse(key), decode_row(row))
                && place.bucket != SYSTEM_BUCKET
                && record.is_tombstone()
            {
                return Some(format!("n{member} still knows that {:?} was deleted", place.key));
            }
        }
    }
    None
}

/// A record that knows of more lives than it may, some of which left nothing and are not the last of their nodes, when enough
/// time has passed for them to go.
#[must_use]
pub fn check_no_old_lives(disks: &[&MemoryStore], kept: usize) -> Option<String> {
    for (member, disk) in disks.iter().enumerate() {
        for (key, row) in disk.rows(Space::Rows) {
            let (Some((place, _)), Ok((_, record))) = (Place::parse(key), decode_row(row)) else {
                continue;
            };
            if place.bucket == SYSTEM_BUCKET || record.context().len() <= kept {
                continue;
            }
            let lives: Vec<_> = record.context().lives().collect();
            let is_old = |(actor, life, _): &&(ActorId, Life, Tick)| {
                let is_last = lives.iter().all(|(other, later, _)| other != actor || later <= life);
                let mut versions = record.versions().iter();
                !is_last && versions.all(|version| (version.dot.actor, version.dot.life) != (*actor, *life))
            };
            if let Some((actor, life, _)) = lives.iter().find(is_old) {
                return Some(format!(
                    "n{member} still knows of life {life} of {actor:?} of {:?}, and of {} others",
                    place.key,
                    lives.len() - 1
                ));
            }
        }
    }
    None
}

/// The row of a closed upload, or of a part without an upload, that is still there when enough time has passed for it to go.
#[must_use]
pub fn check_no_closed_upload(disks: &[&MemoryStore]) -> Option<String> {
    for (member, disk) in disks.iter().enumerate() {
        for (key, row) in disk.rows(Space::Uploads) {
            if let (Some((place, _)), Ok(row)) = (Place::parse(key), decode_upload(row))
                && row.info.state != UploadState::Open
            {
                return Some(format!(
                    "n{member} still knows that an upload of {:?} was closed",
                    place.key
                ));
            }
        }
        let uploads: BTreeSet<&[u8]> = disk.rows(Space::Uploads).map(|(key, _)| key).collect();
        for (key, _) in disk.rows(Space::Parts) {
            if !uploads.contains(upload_key_of(key)) {
                let place = Place::parse(key).map(|(place, _)| place.key);
                return Some(format!(
                    "n{member} has a part of an upload of {place:?} that it does not know"
                ));
            }
        }
    }
    None
}

/// Judges an upload's row that a home wrote: one whose end was forgotten must not be open again.
#[must_use]
pub fn check_upload(forgotten: &mut BTreeSet<Vec<u8>>, node: NodeIx, change: &RowChange) -> Option<String> {
    let Some(after) = &change.after else {
        forgotten.insert(change.key.clone());
        return None;
    };
    let is_open = decode_upload(after).is_ok_and(|row| row.info.state == UploadState::Open);
    (is_open && forgotten.contains(&change.key)).then(|| {
        let place = Place::parse(&change.key).map(|(place, _)| place.key);
        format!(
            "n{} has an upload of {place:?} open again, whose end was forgotten",
            node.0
        )
    })
}

/// Every part that a version, a hint or an open upload on a disk names, and what names it.
fn each_named(disk: &MemoryStore, name: &mut dyn FnMut(PartId, &str)) {
    let copies = disk
        .rows(Space::Rows)
        .filter_map(|(key, row)| Some((Space::Bodies, key, decode_row(row).ok()?.1)));
    let hints = disk
        .rows(Space::Hints)
        .filter_map(|(key, row)| Some((Space::HintBodies, key, decode_hint(row).ok()?.record)));
    for (space, key, record) in copies.chain(hints) {
        let Some((place, _)) = Place::parse(key) else { continue };
        let by = if space == Space::Bodies { "a version" } else { "a hint" };
        for part in parts_of(disk, space, &place, &record) {
            name(part, by);
        }
    }
    for (key, row) in disk.rows(Space::Parts) {
        let upload = disk.get(Space::Uploads, upload_key_of(key)).ok().flatten();
        let is_open = upload
            .and_then(|row| decode_upload(row).ok())
            .is_some_and(|row| row.info.state == UploadState::Open);
        if let (Ok(row), true) = (decode_part(row), is_open) {
            name(row.part.part, "an open upload");
        }
    }
}

/// The key of the upload that a part's key is of: all but the number of two bytes.
fn upload_key_of(part: &[u8]) -> &[u8] {
    &part[..part.len().saturating_sub(2)]
}

fn parts_of(disk: &MemoryStore, bodies: Space, place: &Place, record: &Record) -> Vec<PartId> {
    let manifests = record
        .versions()
        .iter()
        .filter(|version| matches!(version.content.body, BodyForm::Manifest { .. }))
        .filter_map(|version| disk.get(bodies, &place.body_key(version.dot)).ok().flatten())
        .filter_map(|row| decode_manifest(row).ok());
    manifests
        .flat_map(|manifest| manifest.parts)
        .map(|part| part.id)
        .collect()
}
