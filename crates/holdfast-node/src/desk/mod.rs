//! What front ends want of a cluster, put as requests: objects, bodies in chunks, buckets and keys, context tokens. Who takes the
//! requests, a node's own core or a gateway that hands them on, is the business of [`Asks`].

mod bodies;
mod body_memory;
mod registry;
mod requests;
mod tokens;

use std::sync::Arc;

use async_trait::async_trait;
use holdfast_core::ids::{PartId, RequestId};
use holdfast_core::registry::{Entry, Registry};
use holdfast_core::request::{Answer, ReadFault, Request};

use crate::identity::ClusterSecret;
use crate::shell::{RootKey, random_u128};

pub use bodies::{BodyReader, ChunkedWriter};
pub use registry::{CreateBucket, DeleteBucketFault};

/// Whoever takes requests.
#[async_trait]
pub trait Asks: Send + Sync + 'static {
    /// Asks and waits for the answer. `None`: too much is in flight, or whoever takes requests is about to end; nothing was begun.
    /// Going away stops nothing: what was begun ends by itself.
    async fn ask(&self, request: RequestId, deadline_ms: u32, what: Request) -> Option<Answer>;

    /// Buckets and access keys as far as they are known without asking.
    fn registry(&self) -> Arc<Registry>;

    /// An entry of the registry was read from a majority.
    fn learn(&self, entry: &Entry) {
        let _ = entry;
    }

    /// A name for a new part of so many chunks, if possible one of which whoever takes requests holds all of them.
    fn name_part(&self, n: u8, chunks: u32) -> PartId {
        let _ = (n, chunks);
        PartId(random_u128())
    }

    /// How large the cluster is.
    async fn sizes(&self) -> Result<Sizes, ReadFault>;
}

/// How large a cluster is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// Members of the layout.
    pub members: usize,
    /// Equal arcs of the ring.
    pub partitions: usize,
}

/// Keys and bounds of a [`Desk`].
pub struct DeskConfig {
    /// The key that founding made; it cannot be turned off.
    pub root: RootKey,
    /// With which context tokens are sealed ([`context_key`]).
    pub context_key: [u8; 32],
    /// Memory that bodies under way may take, half of it those that come in, half those that go out.
    pub body_bytes_max: u64,
    /// How long after its first byte the body of a plain object may still become one, in milliseconds.
    pub commit_within_ms: u64,
}

/// With which a cluster's context tokens are sealed (rule D8).
#[must_use]
pub fn context_key(secret: &ClusterSecret) -> [u8; 32] {
    secret.derive("context tokens")
}

/// Where front ends put their requests. Clones share it.
#[derive(Clone)]
pub struct Desk {
    inner: Arc<Inner>,
}

struct Inner {
    asks: Arc<dyn Asks>,
    root: RootKey,
    context_key: [u8; 32],
    /// Room for bodies under way.
    bodies: body_memory::BodyMemory,
    key_lookups: registry::Lookups,
    commit_within_ms: u64,
}

impl Desk {
    /// In front of whoever takes requests.
    #[must_use]
    pub fn new(asks: Arc<dyn Asks>, config: DeskConfig) -> Self {
        let inner = Inner {
            asks,
            root: config.root,
            context_key: config.context_key,
            bodies: body_memory::BodyMemory::new(config.body_bytes_max),
            key_lookups: registry::Lookups::default(),
            commit_within_ms: config.commit_within_ms,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Asks and waits for the answer ([`Asks::ask`]).
    pub async fn ask(&self, request: RequestId, deadline_ms: u32, what: Request) -> Option<Answer> {
        self.inner.asks.ask(request, deadline_ms, what).await
    }

    /// Buckets and access keys as far as they are known without asking.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        self.inner.asks.registry()
    }
}
