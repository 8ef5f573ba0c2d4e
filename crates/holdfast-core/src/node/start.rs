//! Starting on a disk: who was I, was the last end clean, which buckets and keys do I know?

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::clock::Clock;
use super::dead::DeadIndex;
use super::heard::{Announcement, Heard};
use super::hints::HintIndex;
use super::identity::{Identity, read_tick_bound};
use super::standing::Standing;
use super::state::State;
use super::{Config, Node};
use crate::gossip::Gossip;
use crate::ids::SYSTEM_BUCKET;
use crate::place::{Place, after_prefix, shard_prefix};
use crate::registry::{Entry, Registry, system_settings};
use crate::storage::{Batch, ReadError, Space, Storage, Visit, WriteSeq};
use crate::wire::record::decode_row;
use crate::wire::side::decode_entry;

impl Node {
    /// Starts on a disk: reads who it was, raises the boot number, decides whether the last end was clean. The caller
    /// must see the returned write synced before it feeds the first input.
    ///
    /// # Errors
    /// When the disk's own facts cannot be read: the node must not start on it.
    pub fn start(config: Config, storage: &mut dyn Storage) -> Result<(Self, WriteSeq), ReadError> {
        let mut batch = Batch::default();
        let identity = Identity::start(&config, storage, &mut batch)?;
        let bound = read_tick_bound(storage)?;
        let clock = Clock::start(bound);
        let announcement = Announcement {
            actor: identity.actor,
            born_ms: identity.born_ms,
            run: config.fresh_actor.0,
            boot: identity.boot,
            bound,
        };
        let is_alone = config.layout.members().len() == 1;
        let standing = Standing::new(announcement, is_alone, identity.disk);
        let RegistryRead {
            registry,
            unreadable,
            damaged,
            is_cut,
        } = read_registry(&config, storage)?;
        let mut gossip = Gossip::start(&config, &announcement, standing.soundness(), storage)?;
        let hints = HintIndex::read(storage)?;
        gossip.set_hinted_partitions(&hints.partitions());
        let dead = DeadIndex::read(storage);
        let seq = storage.write(batch);
        let mut state = State::new(config, identity, standing, clock, registry, gossip);
        state.heard = Heard::read(storage)?;
        state.entries_unreadable = unreadable;
        state.entries_damaged = damaged;
        state.is_registry_cut = is_cut;
        state.hints = hints;
        state.dead = dead;
        Ok((
            Self {
                state,
                ops: BTreeMap::new(),
                timers: BTreeSet::new(),
            },
            seq,
        ))
    }
}

/// What the rows of the system bucket say. Those that cannot be read are left out: others hold them, and a read of one asks
/// them.
pub(super) struct RegistryRead {
    pub(super) registry: Registry,
    /// How many rows could not be read.
    unreadable: u64,
    /// Which of them.
    damaged: Vec<Place>,
    /// What comes after damage could not be looked at.
    pub(super) is_cut: bool,
}

/// Reads the registry.
pub(super) fn read_registry(config: &Config, storage: &dyn Storage) -> Result<RegistryRead, ReadError> {
    let settings = system_settings(config.layout.members().len());
    let place = Place::of(&settings, "", config.layout.partition_bits());
    let prefix = shard_prefix(place.partition, SYSTEM_BUCKET, place.shard);
    let mut registry = Registry::default();
    let mut damaged = Vec::new();
    let scanned = storage.scan(Space::Rows, &prefix, &after_prefix(prefix.clone()), &mut |key, row| {
        match read_entry(key, row, storage) {
            Some(Some(entry)) => registry.apply(entry),
            Some(None) => {}
            None => damaged.extend(Place::parse(key).map(|(place, _)| place)),
        }
        Visit::Next
    });
    let is_cut = scanned == Err(ReadError::Corrupt);
    if !is_cut {
        scanned?;
    }
    Ok(RegistryRead {
        registry,
        unreadable: damaged.len() as u64 + u64::from(is_cut),
        damaged,
        is_cut,
    })
}

/// What a row of the system bucket says: `None` when it cannot be read, `Some(None)` when there is nothing to say.
fn read_entry(key: &[u8], row: &[u8], storage: &dyn Storage) -> Option<Option<Entry>> {
    let (place, _) = Place::parse(key)?;
    let (_, record) = decode_row(row).ok()?;
    let Some(newest) = record.visible() else {
        return Some(None);
    };
    let body = storage.get(Space::Bodies, &place.body_key(newest.dot)).ok()??;
    decode_entry(body).ok().map(Some)
}
