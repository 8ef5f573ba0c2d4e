//! Where clients work: buckets, keys, and what clients have seen of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use holdfast_core::bucket::Settings;
use holdfast_core::content::StoredBody;
use holdfast_core::ids::{BucketId, ObjectKey, SYSTEM_BUCKET};
use holdfast_core::layout::Layout;
use holdfast_core::place::Place;
use holdfast_core::registry::{bucket_id, system_settings};
use holdfast_core::request::{Answer, Put, PutValue, Request};

use super::operation::Ask;
use super::{Context, fresh_request};
use crate::plan::{BucketPlan, Plan, Style};
use crate::rng::Rng;
use crate::truth::{Expected, KeyIx, Known, Truth};
use crate::world::World;

/// How many contexts of a key clients remember.
const KNOWN_MAX: usize = 6;

/// A bucket that clients work on.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its settings.
    pub settings: Settings,
    /// Its keys.
    pub keys: Vec<String>,
    /// How clients treat them.
    pub style: Style,
    /// Whether it is the registry.
    pub is_system: bool,
}

/// All of them.
#[derive(Clone, Debug)]
pub struct Setting {
    buckets: Vec<Target>,
    /// The registry.
    pub(crate) system: Target,
    layout: std::sync::Arc<Layout>,
}

/// What clients have seen.
#[derive(Debug, Default)]
pub struct Memory {
    known: BTreeMap<KeyIx, VecDeque<Known>>,
    /// Buckets that were made.
    pub(crate) made: BTreeSet<String>,
}

impl Memory {
    /// Learns from an answer.
    pub(super) fn learn(&mut self, truth: &Truth, ask: &Ask, answer: &Answer) {
        match (answer, &ask.what) {
            (Answer::Got(got), Request::Get(get)) => {
                if let Some(key) = truth.key_of_name(get.key.bucket, &get.key.key) {
                    let context = got.record.context().clone();
                    let seen = truth.seen_in(key, &got.record);
                    self.remember(key, Known { context, seen });
                }
            }
            (Answer::Put(outcome), _) => {
                let Some((write, _)) = ask.write else { return };
                if outcome.siblings > 1 && truth.write(write).known.is_none() {
                    // What a blind write left beside itself it has not seen, and nobody knows from here what that is.
                    return;
                }
                let key = truth.write(write).key;
                let of = truth.of(key);
                if let Some(dot) = of.by_dot.get(&outcome.dot) {
                    let mut seen = of.dots[dot.0].past.clone();
                    // With siblings beside it, the client is told only what it said itself.
                    if outcome.context.covers(outcome.dot) {
                        seen.insert(dot.0);
                    }
                    let context = outcome.context.clone();
                    self.remember(key, Known { context, seen });
                }
            }
            _ => {}
        }
    }

    /// Remembers what was seen of a key.
    fn remember(&mut self, key: KeyIx, known: Known) {
        let of = self.known.entry(key).or_default();
        of.push_back(known);
        if of.len() > KNOWN_MAX {
            of.pop_front();
        }
    }

    /// Something that was seen of a key: the latest, or something older.
    pub(crate) fn recall(&self, key: KeyIx, rng: &mut Rng, stale: bool) -> Option<Known> {
        let of = self.known.get(&key)?;
        if stale {
            of.get(rng.below(of.len() as u64) as usize).cloned()
        } else {
            of.back().cloned()
        }
    }
}

impl Setting {
    pub(super) fn new(plan: &Plan, world: &World, rng: &mut Rng) -> Self {
        let target = |bucket: &BucketPlan| Target {
            name: bucket.name.clone(),
            settings: Settings {
                id: bucket_id(&bucket.name, 0),
                version: 1,
                shards: bucket.shards,
                n: bucket.n,
                r: bucket.r,
                w: bucket.w,
                sloppy: bucket.sloppy,
            },
            keys: bucket.keys.clone(),
            style: bucket.style,
            is_system: false,
        };
        let access_keys = (0..rng.between(1, 3)).map(|number| format!("k/key-{number}"));
        let system = Target {
            name: "system".to_owned(),
            settings: system_settings(plan.members),
            keys: access_keys.collect(),
            style: Style::Mixed,
            is_system: true,
        };
        Self {
            buckets: plan.buckets.iter().map(target).collect(),
            system,
            layout: world.layout.clone(),
        }
    }

    pub(super) fn buckets(&self) -> &[Target] {
        &self.buckets
    }

    pub(super) fn targets(&self) -> impl Iterator<Item = &Target> {
        self.buckets.iter().chain([&self.system])
    }

    pub(super) fn next_bucket_to_make(&self, memory: &Memory) -> Option<Target> {
        self.buckets
            .iter()
            .find(|target| !memory.made.contains(&target.name))
            .cloned()
    }
}

impl Context<'_> {
    /// A key of the truth, made known if it is new.
    pub(crate) fn key(&mut self, target: &Target, name: &str) -> KeyIx {
        let layout = &self.setting.layout;
        let place = Place::of(&target.settings, name, layout.partition_bits());
        let homes = layout.homes(place.partition, target.settings.n).collect();
        self.watch.truth.key(place, target.settings, homes)
    }

    /// A write begins.
    pub(crate) fn put(
        &mut self,
        target: &Target,
        key: KeyIx,
        expected: Expected,
        known: Option<Known>,
        body: Option<StoredBody>,
    ) -> Ask {
        let value = match body {
            None => PutValue::Deletion,
            Some(body) => PutValue::Object {
                etag: expected.etag.clone(),
                headers: expected.headers.clone(),
                body,
            },
        };
        let w = self.rng.per_mille(60).then_some(target.settings.n);
        let put = Put {
            settings: target.settings,
            key: ObjectKey {
                bucket: target.settings.id,
                key: self.watch.truth.of(key).place.key.clone(),
            },
            context: known.as_ref().map(|known| known.context.clone()),
            value,
            w,
            wait_all: self.rng.per_mille(60),
        };
        let request = fresh_request(self.rng);
        let now_us = self.world.now_us;
        let write = self.watch.truth.begin_write(now_us, request, key, expected, known);
        Ask {
            what: Request::Put(put),
            request,
            write: Some((write, w.unwrap_or(target.settings.w))),
            deadline_ms: self.rng.spread(800, 5_000) as u32,
            bytes: None,
        }
    }
}

/// Whether a bucket is the registry.
pub(crate) const fn is_system(bucket: BucketId) -> bool {
    bucket.0 == SYSTEM_BUCKET.0
}
