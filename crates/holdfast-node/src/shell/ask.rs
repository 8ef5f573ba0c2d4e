//! Asking the core: one request, one answer.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use holdfast_core::bucket::Settings;
use holdfast_core::chord::Table;
use holdfast_core::ids::{ObjectKey, PartId, Position, RequestId};
use holdfast_core::node::{ClientToken, Found, Input};
use holdfast_core::place::{Place, partition_of, shard_position};
use holdfast_core::registry::Registry;
use holdfast_core::request::{Answer, ClientRequest, Location, ReadFault, Request};
use tokio::sync::oneshot;

use super::{Inner, REQUESTS_MAX, Shell};
use crate::desk::{Asks, Sizes};

/// Lookups at a time.
const LOOKUPS_MAX: usize = 256;

/// Forgets who waits when the waiting ends early.
struct Waiting<'a> {
    inner: &'a Inner,
    token: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.inner
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.token);
    }
}

#[async_trait]
impl Asks for Inner {
    async fn ask(&self, request: RequestId, deadline_ms: u32, what: Request) -> Option<Answer> {
        let (tell, told) = oneshot::channel();
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= REQUESTS_MAX || self.stopping.load(Ordering::Acquire) {
                return None;
            }
            waiting.insert(token, tell);
        }
        let _waiting = Waiting { inner: self, token };
        self.feed(Input::Client(
            ClientToken(token),
            ClientRequest {
                request,
                deadline_ms,
                what,
            },
        ));
        told.await.ok()
    }

    fn registry(&self) -> Arc<Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn name_part(&self, n: u8, chunks: u32) -> PartId {
        self.part_held_here(n, chunks)
    }

    async fn sizes(&self) -> Result<Sizes, ReadFault> {
        let layout = &self.cluster.layout;
        Ok(Sizes {
            members: layout.members().len(),
            partitions: layout.partition_count(),
        })
    }
}

impl Shell {
    /// What this node knows of the ring of Chord.
    #[must_use]
    pub fn chord(&self) -> Table {
        self.inner.lock_core().node.chord().clone()
    }

    /// Looks for who answers for a position on the ring of Chord. `None`: too much is in flight, or the node is stopping.
    pub async fn find(&self, to: Position) -> Option<Found> {
        let (tell, told) = oneshot::channel();
        let token = self.inner.next_token.fetch_add(1, Ordering::Relaxed);
        {
            let mut finding = self.inner.finding.lock().unwrap_or_else(PoisonError::into_inner);
            if finding.len() >= LOOKUPS_MAX || self.inner.stopping.load(Ordering::Acquire) {
                return None;
            }
            finding.insert(token, tell);
        }
        // It ends by itself, whoever has gone: nobody need be forgotten here.
        self.inner.feed(Input::Find(ClientToken(token), to));
        told.await.ok()
    }

    /// Where a key lives.
    #[must_use]
    pub fn locate(&self, settings: &Settings, key: &str) -> Location {
        let layout = &self.inner.cluster.layout;
        let object = ObjectKey {
            bucket: settings.id,
            key: key.to_owned(),
        };
        let place = Place::of_object(settings, &object, layout.partition_bits());
        let position = shard_position(settings.id, place.shard, settings.shards);
        let partition = partition_of(position, layout.partition_bits());
        Location {
            position,
            partition,
            preference_list: layout.preference_list(partition).collect(),
            homes: layout.homes_count(settings.n) as u8,
        }
    }
}
