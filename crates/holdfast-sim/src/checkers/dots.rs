//! *A dot never names two values*, over all disks and all messages, for ever (D1); and no node shows a dot before its
//! issuer has written it.

use holdfast_core::ids::{ActorId, Dot, Tick};
use holdfast_core::message::{Copy, Envelope, Message, ReadResult, ShardRows};
use holdfast_core::record::{Record, Version};

use crate::truth::{KeyIx, NodeIx, Truth};
use crate::world::EPOCH_MS;

/// A dot as traces show it: actor, life and tick in milliseconds of the run and counter.
#[must_use]
pub fn name(dot: Dot) -> String {
    format!("({:04x} {} {})", dot.actor.0 & 0xffff, tick(dot.life), tick(dot.tick))
}

/// A tick as traces show it: milliseconds of the run and counter.
#[must_use]
pub fn tick(tick: Tick) -> String {
    format!("{}.{}", tick.millis() as i64 - EPOCH_MS as i64, tick.0 & 0xffff)
}

/// A version whose dot is known must be the version of that dot.
#[must_use]
pub fn check_version(truth: &Truth, key: KeyIx, version: &Version) -> Option<String> {
    let of = truth.of(key);
    let Some(index) = of.by_dot.get(&version.dot) else {
        return Some(format!(
            "{} of {:?} was shown before it was issued",
            name(version.dot),
            of.place.key
        ));
    };
    let known = &of.dots[index.0];
    let request = truth.write(known.write).request;
    let same = request == version.request && known.content == version.content;
    (!same).then(|| {
        format!(
            "{} of {:?} names {request} with {:?} and {} with {:?}",
            name(version.dot),
            of.place.key,
            known.content,
            version.request,
            version.content
        )
    })
}

/// A version with a new dot must be what a client asked for, written by the dot's own node.
pub fn check_new(truth: &mut Truth, key: KeyIx, version: &Version, actor: ActorId, node: NodeIx) -> Option<String> {
    let name_of_key = truth.of(key).place.key.clone();
    let dot = name(version.dot);
    if version.dot.actor != actor {
        return Some(format!(
            "n{} wrote {dot} of {name_of_key:?} before its issuer did",
            node.0
        ));
    }
    let owner = truth.node_of_actor(actor, node);
    if owner != node {
        return Some(format!("n{} issues as the actor of n{}", node.0, owner.0));
    }
    let Some(write) = truth.write_of(version.request) else {
        return Some(format!(
            "n{} made {dot} of {name_of_key:?} for {}, which nobody asked",
            node.0, version.request
        ));
    };
    let write = truth.write(write);
    if write.key != key {
        return Some(format!(
            "n{} made {dot} of {name_of_key:?} for a write of another key",
            node.0
        ));
    }
    if write.refused {
        return Some(format!(
            "{dot} of {name_of_key:?} appears after {} was refused",
            version.request
        ));
    }
    (!write.expected.is(&version.content)).then(|| {
        format!(
            "{dot} of {name_of_key:?} is {:?}, written was {:?}",
            version.content, write.expected
        )
    })
}

/// Every version in a message must be known.
#[must_use]
pub fn check_message(truth: &Truth, envelope: &Envelope) -> Option<String> {
    let of_copy = |place: &holdfast_core::place::Place, copy: &Copy| {
        let key = truth.key_of_name(place.bucket, &place.key)?;
        of_record(truth, key, &copy.record)
    };
    match &envelope.message {
        Message::Write(write) => of_copy(&write.place, &write.copy),
        Message::ListReply { result: Ok(shards), .. } => shards.iter().find_map(|shard| {
            let ShardRows::Rows { rows, .. } = shard else {
                return None;
            };
            rows.iter().find_map(|(_, record)| {
                let record = record.decode();
                let request = record.versions().first()?.request;
                of_record(truth, truth.write(truth.write_of(request)?).key, &record)
            })
        }),
        Message::ReadReply {
            result: Ok(ReadResult::Copy(copy)),
            ..
        } => {
            let request = copy.record.versions().first()?.request;
            of_record(truth, truth.write(truth.write_of(request)?).key, &copy.record)
        }
        _ => None,
    }
}

fn of_record(truth: &Truth, key: KeyIx, record: &Record) -> Option<String> {
    record
        .versions()
        .iter()
        .find_map(|version| check_version(truth, key, version))
}
