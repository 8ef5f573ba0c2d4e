//! *Once all is healed and quiet, all homes hold the same* (P5, P6): every row, body, upload, part and count, and every
//! chunk of what is alive; and what they hold satisfies every other promise.

use std::collections::BTreeMap;

use bytes::Bytes;
use holdfast_core::ids::{BucketId, ChunkId, NodeId, SYSTEM_BUCKET};
use holdfast_core::place::{Place, chunk_position, partition_of};
use holdfast_core::record::{Record, Version};
use holdfast_core::registry::N_DEFAULT;
use holdfast_core::registry::Registry;
use holdfast_core::request::Count;
use holdfast_core::storage::{ChunkToken, Space, Storage};
use holdfast_core::wire::record::{decode_counts, decode_entry, decode_part, decode_row, decode_upload};
use holdfast_store::memory::Event as StoreEvent;

use super::acked_kept::Counted;
use super::{Promise, acked_kept, bodies, replaced};
use crate::coverage::Reached;
use crate::truth::{KeyIx, KeyTruth};
use crate::watch::Watch;
use crate::world::{Process, World};

/// Judges all disks, and returns what each bucket holds.
pub fn check(world: &mut World, watch: &mut Watch) -> BTreeMap<BucketId, Count> {
    let mut counts = BTreeMap::new();
    let keys: Vec<(KeyIx, KeyTruth)> = watch.truth.all_keys().map(|(key, of)| (key, of.clone())).collect();
    for (key, of) in &keys {
        if let Some(record) = check_rows(world, watch, *key, of) {
            check_bodies(world, watch, of, &record);
            let count: &mut Count = counts.entry(of.place.bucket).or_default();
            if let Some(version) = record.visible() {
                count.objects += 1;
                count.bytes += version.content.size;
            }
        }
    }
    for space in [Space::Uploads, Space::Parts] {
        check_side_rows(world, watch, space);
    }
    for member in 0..world.members.len() {
        check_counts(world, watch, member);
        check_registry(world, watch, member);
        check_hints(world, watch, member);
        check_fingerprints(world, watch, member);
    }
    counts
}

fn violated(world: &World, watch: &mut Watch, what: String) {
    watch.violated(world.now_us, Promise::Converged, what);
}

fn number_of(world: &World, node: NodeId) -> usize {
    world.ids.iter().position(|id| *id == node).unwrap_or(0)
}

/// The record that all homes hold.
fn check_rows(world: &World, watch: &mut Watch, key: KeyIx, of: &KeyTruth) -> Option<Record> {
    let row_key = of.place.row_key();
    let mut first: Option<(usize, Record)> = None;
    for (member, id) in world.ids.iter().enumerate() {
        let row = world.members[member].disk.get(Space::Rows, &row_key).ok().flatten();
        let record = row.and_then(|row| decode_row(row).ok()).map(|(_, record)| record);
        if !of.homes.contains(id) {
            if record.is_some() {
                violated(
                    world,
                    watch,
                    format!("n{member} holds {:?}, of which it is no home", of.place.key),
                );
            }
            continue;
        }
        watch.coverage.reach(Reached::CopiesCompared);
        let record = record.unwrap_or_default();
        match &first {
            None => first = Some((member, record)),
            Some((other, known)) if *known != record => {
                let (ours, theirs) = (describe(&record), describe(known));
                let what = format!("n{member} holds {ours} of {:?}, n{other} holds {theirs}", of.place.key);
                violated(world, watch, what);
            }
            Some(_) => {}
        }
    }
    let (_, record) = first?;
    let found = acked_kept::check_record(&watch.truth, key, world.now_us, &record, Counted::All);
    watch.judge(world.now_us, Promise::AckedKept, found);
    let found = replaced::check_record(&watch.truth, key, world.now_us, &record);
    watch.judge(world.now_us, Promise::ReplacedStays, found);
    Some(record)
}

fn describe(record: &Record) -> String {
    format!(
        "{} knowing {}",
        acked_kept::show(record),
        crate::describe::context(record.context())
    )
}

fn check_bodies(world: &mut World, watch: &mut Watch, of: &KeyTruth, record: &Record) {
    for home in &of.homes {
        let member = number_of(world, *home);
        for version in record.versions() {
            let row = world.members[member]
                .disk
                .get(Space::Bodies, &of.place.body_key(version.dot))
                .ok()
                .flatten();
            if let Some(what) = bodies::check_body_row(&watch.truth, version, row.as_ref()) {
                violated(world, watch, format!("n{member}: {what}"));
            }
        }
        let prefix = of.place.row_key();
        let end = holdfast_core::place::after_prefix(prefix.clone());
        let bodies = world.members[member].disk.store.rows(Space::Bodies);
        let kept = bodies
            .filter(|(key, _)| *key >= prefix.as_slice() && *key < end.as_slice())
            .count();
        let expected = record.versions().iter().filter(|version| has_body(version)).count();
        if kept != expected {
            let what = format!(
                "n{member} keeps {kept} body rows of {:?}, {expected} are alive",
                of.place.key
            );
            violated(world, watch, what);
        }
    }
    for version in record.versions() {
        check_chunks(world, watch, of, version);
    }
}

fn has_body(version: &Version) -> bool {
    version.content.body != holdfast_core::content::BodyForm::Empty
}

fn check_chunks(world: &mut World, watch: &mut Watch, of: &KeyTruth, version: &Version) {
    let Some(write) = watch.truth.write_of(version.request) else {
        return;
    };
    let Some(manifest) = watch.truth.write(write).expected.manifest.clone() else {
        return;
    };
    for part in &manifest.parts {
        let chunks = part.size.div_ceil(u64::from(part.chunk_bytes)) as u32;
        for index in 0..chunks {
            let id = ChunkId { part: part.id, index };
            let length = (part.size - u64::from(index) * u64::from(part.chunk_bytes)).min(u64::from(part.chunk_bytes));
            let expected = bodies::bytes_of(part.id.0, index, length as usize);
            let partition = partition_of(chunk_position(id), world.layout.partition_bits());
            let homes: Vec<NodeId> = world.layout.homes(partition, of.settings.n).collect();
            for home in homes {
                let member = number_of(world, home);
                let found = read_chunk(world, member, partition, id, length as u32);
                if found.as_ref() != Some(&expected) {
                    let found = found.map(|bytes| bytes.len());
                    let what = format!("n{member} has {found:?} bytes of chunk {id:?} of {:?}", of.place.key);
                    violated(world, watch, what);
                }
            }
        }
    }
}

fn read_chunk(
    world: &mut World,
    member: usize,
    partition: holdfast_core::ids::Partition,
    id: ChunkId,
    length: u32,
) -> Option<Bytes> {
    let store = &mut world.members[member].disk.store;
    let token = ChunkToken(u64::MAX);
    store.read_chunk(token, partition, id, 0, length);
    match store.complete_chunk_op(token, holdfast_store::memory::ChunkFault::None) {
        Some(StoreEvent::ChunkRead(_, Ok(bytes))) => bytes,
        _ => None,
    }
}

fn check_side_rows(world: &World, watch: &mut Watch, space: Space) {
    let mut rows: BTreeMap<Vec<u8>, Vec<(usize, Bytes)>> = BTreeMap::new();
    for (member, of) in world.members.iter().enumerate() {
        for (key, value) in of.disk.store.rows(space) {
            rows.entry(key.to_vec()).or_default().push((member, value.clone()));
        }
    }
    for (row, holders) in rows {
        let place = Place::parse(&row).map(|(place, _)| place);
        let key = place
            .as_ref()
            .and_then(|place| watch.truth.key_of_name(place.bucket, &place.key));
        let Some(key) = key else {
            violated(
                world,
                watch,
                format!("{space:?} has a row that no client asked for: {place:?}"),
            );
            continue;
        };
        let of = watch.truth.of(key);
        let mut homes: Vec<usize> = of.homes.iter().map(|home| number_of(world, *home)).collect();
        homes.sort_unstable();
        let mut holders = holders;
        if of.settings.n < N_DEFAULT {
            // Before a node has heard of a bucket it takes it for a usual one: a row may have got to more homes than it has.
            holders.retain(|(member, _)| homes.contains(member));
        }
        let members: Vec<usize> = holders.iter().map(|(member, _)| *member).collect();
        let equal = holders.windows(2).all(|pair| pair[0].1 == pair[1].1);
        if members != homes || !equal {
            let values: Vec<String> = holders.iter().map(|(_, value)| side_row(space, value)).collect();
            let what = format!(
                "{space:?} row of {:?} is on {members:?} of {homes:?}: {values:?}",
                of.place.key
            );
            violated(world, watch, what);
        }
    }
}

fn side_row(space: Space, value: &Bytes) -> String {
    match space {
        Space::Uploads => format!("{:?}", decode_upload(value)),
        _ => format!("{:?}", decode_part(value)),
    }
}

/// Every home has confirmed what it was owed (H3).
fn check_hints(world: &World, watch: &mut Watch, member: usize) {
    for space in [Space::Hints, Space::HintBodies, Space::ChunkHints] {
        let left = world.members[member].disk.store.rows(space).count();
        if left > 0 {
            violated(world, watch, format!("n{member} still holds {left} rows of {space:?}"));
        }
    }
    if let Process::Up(node) = &world.members[member].process
        && !node.hints().is_empty()
    {
        violated(world, watch, format!("n{member} believes to owe {:?}", node.hints()));
    }
}

/// What a node tells others of its disk is what is on it (A1, A2).
fn check_fingerprints(world: &mut World, watch: &mut Watch, member: usize) {
    let of = &mut world.members[member];
    let now = of.clock.read(world.now_us);
    let Process::Up(node) = &mut of.process else { return };
    let checked = node.checked();
    let wrong = node.count_wrong_fingerprints(now, &mut of.disk);
    if !checked.is_read || wrong != Ok(0) || checked.fingerprints_wrong > 0 {
        let what = format!("n{member}: {checked:?}, fingerprints that are wrong now: {wrong:?}");
        violated(world, watch, what);
    }
}

/// Counts change in the batch of the row, so they are exact at any time.
fn check_counts(world: &World, watch: &mut Watch, member: usize) {
    let mut expected: BTreeMap<Vec<u8>, Count> = BTreeMap::new();
    let store = &world.members[member].disk.store;
    for (key, row) in store.rows(Space::Rows) {
        let Some((place, _)) = Place::parse(key) else { continue };
        let Some(size) = decode_row(row)
            .ok()
            .and_then(|(_, record)| record.visible().map(|v| v.content.size))
        else {
            continue;
        };
        let mut count_key = place.partition.0.to_be_bytes().to_vec();
        count_key.extend_from_slice(&place.bucket.0.to_be_bytes());
        let count = expected.entry(count_key).or_default();
        count.objects += 1;
        count.bytes += size;
    }
    let counted: BTreeMap<Vec<u8>, Count> = store
        .rows(Space::Counts)
        .filter_map(|(key, row)| Some((key.to_vec(), decode_counts(row).ok()?)))
        .filter(|(_, count)| *count != Count::default())
        .collect();
    if counted != expected {
        violated(
            world,
            watch,
            format!("n{member} counts {counted:?}, it holds {expected:?}"),
        );
    }
}

/// The registry in memory is what the rows of the system bucket on the same disk say.
fn check_registry(world: &World, watch: &mut Watch, member: usize) {
    let Process::Up(node) = &world.members[member].process else {
        return violated(world, watch, format!("n{member} is not up"));
    };
    let store = &world.members[member].disk.store;
    let mut expected = Registry::default();
    for (key, row) in store.rows(Space::Rows) {
        let Some((place, _)) = Place::parse(key) else { continue };
        let Some(record) = decode_row(row).ok().map(|(_, record)| record) else {
            continue;
        };
        if place.bucket == SYSTEM_BUCKET
            && let Some(version) = record.visible()
            && let Ok(Some(body)) = store.get(Space::Bodies, &place.body_key(version.dot))
            && let Ok(entry) = decode_entry(body)
        {
            expected.apply(entry);
        }
    }
    let known = node.registry();
    if *known != expected {
        let keys = |registry: &Registry| {
            let keys = registry
                .access_keys()
                .map(|key| format!("{} {:?} {}", key.id, key.state, key.created_ms));
            keys.collect::<Vec<_>>()
        };
        let what = format!(
            "the registry of n{member} knows {:?}, its disk {:?}",
            keys(&known),
            keys(&expected)
        );
        violated(world, watch, what);
    }
}
