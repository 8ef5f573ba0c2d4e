//! *Nothing that anybody names is forgotten* (D10, G1): when chunks go, no version, hint or open upload on any disk names
//! them. Looked at from outside, over all disks at once, which no collector can do.

use std::collections::BTreeSet;

use holdfast_core::content::BodyForm;
use holdfast_core::ids::{ChunkId, PartId, Partition};
use holdfast_core::place::Place;
use holdfast_core::record::Record;
use holdfast_core::request::UploadState;
use holdfast_core::storage::{Space, Storage};
use holdfast_core::wire::hint::decode_hint;
use holdfast_core::wire::record::{decode_manifest, decode_part, decode_row, decode_upload};
use holdfast_store::MemoryStore;

/// Judges a removal.
#[must_use]
pub fn check(disks: &[&MemoryStore], removed: &[(Partition, ChunkId)]) -> Option<String> {
    let removed: BTreeSet<PartId> = removed.iter().map(|(_, id)| id.part).collect();
    for (member, disk) in disks.iter().enumerate() {
        let copies = disk
            .rows(Space::Rows)
            .filter_map(|(key, row)| Some((Space::Bodies, key, decode_row(row).ok()?.1)));
        let hints = disk
            .rows(Space::Hints)
            .filter_map(|(key, row)| Some((Space::HintBodies, key, decode_hint(row).ok()?.record)));
        for (space, key, record) in copies.chain(hints) {
            let Some((place, _)) = Place::parse(key) else { continue };
            for part in parts_of(disk, space, &place, &record) {
                if removed.contains(&part) {
                    return Some(format!(
                        "{part:?} goes, but n{member} names it for {:?} ({space:?})",
                        place.key
                    ));
                }
            }
        }
        for (key, row) in disk.rows(Space::Parts) {
            let upload = &key[..key.len().saturating_sub(2)];
            let is_open = disk.get(Space::Uploads, upload).is_ok_and(|row| {
                row.is_some_and(|row| decode_upload(row).is_ok_and(|row| row.info.state == UploadState::Open))
            });
            if let Ok(row) = decode_part(row)
                && is_open
                && removed.contains(&row.part.part)
            {
                return Some(format!(
                    "{:?} goes, but n{member} has it in an open upload",
                    row.part.part
                ));
            }
        }
    }
    None
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
