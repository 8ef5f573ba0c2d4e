//! What really happened, as only the simulator can know it: which client wrote what and when, which dot each write got
//! and in which order dots were issued, what each dot was entitled to replace, what each disk has synced.
//!
//! Checkers judge nodes by this and never by the nodes' own contexts, because a context that claims too much is the very
//! failure to be found. Invariant: dots of a key are numbered in the order of true time in which their issuers wrote
//! them, so everything a dot can truly have replaced has a smaller number; `past` is closed under *replaced*.
//!
//! Weak spot: a blind write may have replaced anything issued before it, whether or not its coordinator had seen it. The
//! checkers of replacement make up for part of that from the other side.

mod bits;
mod copies;
mod uploads;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use holdfast_core::bucket::Settings;
use holdfast_core::content::{Content, Manifest};
use holdfast_core::context::Context;
use holdfast_core::ids::{ActorId, BucketId, Dot, Life, NodeId, RequestId, Tick};
use holdfast_core::place::Place;
use holdfast_core::record::Record;

pub use bits::Bits;
pub use copies::Copies;
pub use uploads::{PartTruth, UploadTruth, UploadsTruth};

/// A node, by its number in the run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct NodeIx(pub usize);

/// A key, by the order in which it was first written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct KeyIx(pub usize);

/// A client's write, by the order in which it was begun.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct WriteIx(pub usize);

/// A dot of a key, by the order in which it was issued.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DotIx(pub usize);

/// What a write stores.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expected {
    /// Whether it deletes.
    pub deletion: bool,
    /// Logical length.
    pub size: u64,
    /// Its ETag.
    pub etag: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// The body, if it lies beside the record.
    pub inline: Bytes,
    /// The parts, if it lies in chunks.
    pub manifest: Option<Manifest>,
}

impl Expected {
    /// What a deletion stores.
    #[must_use]
    pub const fn deletion() -> Self {
        Self {
            deletion: true,
            size: 0,
            etag: String::new(),
            headers: Vec::new(),
            inline: Bytes::new(),
            manifest: None,
        }
    }

    /// Whether a version's content is what was written.
    #[must_use]
    pub fn is(&self, content: &Content) -> bool {
        content.is_deletion() == self.deletion
            && content.size == self.size
            && content.etag == self.etag
            && content.headers == self.headers
    }
}

/// What a client had seen of a key.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Known {
    /// The context it was given.
    pub context: Context,
    /// The dots it truly saw, and all that these had truly replaced.
    pub seen: Bits,
}

/// An acknowledged write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acked {
    /// When the client had the answer.
    pub at_us: u64,
    /// The dot it was told.
    pub dot: DotIx,
    /// Whether W homes had synced it. What stand-ins took instead is concurrent with what the homes do meanwhile.
    pub by_homes: bool,
}

/// A client's write.
#[derive(Clone, Debug)]
pub struct WriteTruth {
    /// Its identity.
    pub request: RequestId,
    /// Which key.
    pub key: KeyIx,
    /// What it stores.
    pub expected: Expected,
    /// What the client had seen; `None` for a blind write.
    pub known: Option<Known>,
    /// When the client first sent it.
    pub invoked_us: u64,
    /// Set once acknowledged.
    pub acked: Option<Acked>,
    /// Every attempt was answered with *nothing changed*.
    pub refused: bool,
    /// Some attempt ended without a certain answer: it may take effect late (D7 allows that in available buckets).
    pub abandoned: bool,
    /// From when on no read may show it under any dot, because a blind write begun after its acknowledgement was
    /// acknowledged.
    pub replaced_us: Option<u64>,
    /// Its dots, in order.
    pub dots: Vec<DotIx>,
}

/// A dot.
#[derive(Clone, Debug)]
pub struct DotTruth {
    /// Its name.
    pub dot: Dot,
    /// The write it stands for.
    pub write: WriteIx,
    /// What is stored under it.
    pub content: Content,
    /// What it was entitled to replace, closed under *replaced*.
    pub past: Bits,
    /// From when on no read may show it, because a write that replaced it was acknowledged.
    pub dead_us: Option<u64>,
    /// The first later blind write whose answer showed that it replaced it.
    pub replaced_by: Option<DotIx>,
}

/// A key.
#[derive(Clone, Debug)]
pub struct KeyTruth {
    /// Where it lives.
    pub place: Place,
    /// Settings of its bucket.
    pub settings: Settings,
    /// Its homes.
    pub homes: Vec<NodeId>,
    /// Its dots, in the order in which they were issued.
    pub dots: Vec<DotTruth>,
    /// Dots by name.
    pub by_dot: BTreeMap<Dot, DotIx>,
    /// The last tick issued in each life.
    pub issued: BTreeMap<(ActorId, Life), Tick>,
    /// Acknowledged writes in the order of their acknowledgement.
    pub acked: Vec<WriteIx>,
    /// Deletions that some home has forgotten, and all that they had replaced.
    pub forgotten: Bits,
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// Rows of closed uploads that some home has forgotten.
    pub uploads_forgotten: BTreeSet<Vec<u8>>,
    keys: Vec<KeyTruth>,
    by_row: BTreeMap<Vec<u8>, KeyIx>,
    by_name: BTreeMap<(BucketId, String), KeyIx>,
    writes: Vec<WriteTruth>,
    by_request: BTreeMap<RequestId, WriteIx>,
    actors: BTreeMap<ActorId, NodeIx>,
    /// What each node's disk holds.
    pub copies: Vec<Copies>,
    /// Multipart uploads.
    pub uploads: UploadsTruth,
}

impl Truth {
    /// Nothing has happened yet on so many nodes.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        Self {
            copies: vec![Copies::default(); nodes],
            ..Self::default()
        }
    }

    /// Introduces a key; harmless if it is known.
    pub fn key(&mut self, place: Place, settings: Settings, homes: Vec<NodeId>) -> KeyIx {
        let row = place.row_key();
        if let Some(key) = self.by_row.get(&row) {
            return *key;
        }
        let key = KeyIx(self.keys.len());
        self.by_row.insert(row, key);
        self.by_name.insert((place.bucket, place.key.clone()), key);
        self.keys.push(KeyTruth {
            place,
            settings,
            homes,
            dots: Vec::new(),
            by_dot: BTreeMap::new(),
            issued: BTreeMap::new(),
            acked: Vec::new(),
            forgotten: Bits::new(),
        });
        key
    }

    /// The key of a row on disk.
    #[must_use]
    pub fn key_of_row(&self, row: &[u8]) -> Option<KeyIx> {
        self.by_row.get(row).copied()
    }

    /// The key of a name.
    #[must_use]
    pub fn key_of_name(&self, bucket: BucketId, name: &str) -> Option<KeyIx> {
        self.by_name.get(&(bucket, name.to_owned())).copied()
    }

    /// Keys of a bucket by name.
    pub fn keys_of(&self, bucket: BucketId) -> impl Iterator<Item = (&str, KeyIx)> {
        let names = self.by_name.range((bucket, String::new())..);
        names
            .take_while(move |((of, _), _)| *of == bucket)
            .map(|((_, name), key)| (name.as_str(), *key))
    }

    /// Every key.
    pub fn all_keys(&self) -> impl Iterator<Item = (KeyIx, &KeyTruth)> {
        self.keys.iter().enumerate().map(|(index, key)| (KeyIx(index), key))
    }

    /// What is known of a key.
    #[must_use]
    pub fn of(&self, key: KeyIx) -> &KeyTruth {
        &self.keys[key.0]
    }

    /// What is known of a write.
    #[must_use]
    pub fn write(&self, write: WriteIx) -> &WriteTruth {
        &self.writes[write.0]
    }

    /// Every write.
    pub fn all_writes(&self) -> impl Iterator<Item = &WriteTruth> {
        self.writes.iter()
    }

    /// The write with an identity.
    #[must_use]
    pub fn write_of(&self, request: RequestId) -> Option<WriteIx> {
        self.by_request.get(&request).copied()
    }

    /// A client begins a write.
    pub fn begin_write(
        &mut self,
        now_us: u64,
        request: RequestId,
        key: KeyIx,
        expected: Expected,
        known: Option<Known>,
    ) -> WriteIx {
        let write = WriteIx(self.writes.len());
        self.by_request.insert(request, write);
        self.writes.push(WriteTruth {
            request,
            key,
            expected,
            known,
            invoked_us: now_us,
            acked: None,
            refused: false,
            abandoned: false,
            replaced_us: None,
            dots: Vec::new(),
        });
        write
    }

    /// Every attempt at a write was answered with *nothing changed*.
    pub fn refuse(&mut self, write: WriteIx) {
        self.writes[write.0].refused = true;
    }

    /// An attempt ended without a certain answer.
    pub fn abandon(&mut self, write: WriteIx) {
        self.writes[write.0].abandoned = true;
    }

    /// From now on no read may show a write under any dot.
    pub fn replace(&mut self, write: WriteIx, now_us: u64) {
        self.writes[write.0].replaced_us.get_or_insert(now_us);
    }

    /// The client knows that its write is done.
    pub fn acknowledge(&mut self, now_us: u64, write: WriteIx, dot: DotIx, by_homes: bool) {
        let truth = &mut self.writes[write.0];
        if truth.acked.is_none() {
            truth.acked = Some(Acked {
                at_us: now_us,
                dot,
                by_homes,
            });
            self.keys[truth.key.0].acked.push(write);
        }
    }

    /// A dot has been issued.
    pub fn issue(&mut self, key: KeyIx, write: WriteIx, dot: Dot, content: Content) -> DotIx {
        let known = self.writes[write.0].known.as_ref();
        let truth = &mut self.keys[key.0];
        let index = DotIx(truth.dots.len());
        let past = known.map_or_else(|| Bits::below(index.0), |known| known.seen.clone());
        truth.by_dot.insert(dot, index);
        let issued = truth.issued.entry((dot.actor, dot.life)).or_default();
        *issued = (*issued).max(dot.tick);
        truth.dots.push(DotTruth {
            dot,
            write,
            content,
            past,
            dead_us: None,
            replaced_by: None,
        });
        self.writes[write.0].dots.push(index);
        index
    }

    /// From now on no read may show a dot.
    pub fn kill(&mut self, key: KeyIx, dot: DotIx, now_us: u64) {
        self.keys[key.0].dots[dot.0].dead_us.get_or_insert(now_us);
    }

    /// An acknowledged blind write showed that it replaced a dot.
    pub fn note_replaced_by(&mut self, key: KeyIx, dot: DotIx, by: DotIx) {
        if by > dot {
            self.keys[key.0].dots[dot.0].replaced_by.get_or_insert(by);
        }
    }

    /// Which node has written under an actor's name, if this one is the first to be asked about it.
    pub fn node_of_actor(&mut self, actor: ActorId, node: NodeIx) -> NodeIx {
        *self.actors.entry(actor).or_insert(node)
    }

    /// A home forgets a record of deletions (G1).
    pub fn forget(&mut self, key: KeyIx, record: &Record) {
        let seen = self.seen_in(key, record);
        self.keys[key.0].forgotten.union(&seen);
    }

    /// A home forgets lives that its copy knew of: what only they covered (G3).
    pub fn forget_lives(&mut self, key: KeyIx, before: &Record, after: &Record) {
        let of = &mut self.keys[key.0];
        for (index, dot) in of.dots.iter().enumerate() {
            if before.context().covers(dot.dot) && !after.context().covers(dot.dot) {
                of.forgotten.insert(index);
            }
        }
    }

    /// The live dots of a record and all that they had truly replaced. Dots that nobody issued are left out.
    #[must_use]
    pub fn seen_in(&self, key: KeyIx, record: &Record) -> Bits {
        let truth = &self.keys[key.0];
        let mut seen = Bits::new();
        for version in record.versions() {
            if let Some(index) = truth.by_dot.get(&version.dot) {
                seen.union(&truth.dots[index.0].past);
                seen.insert(index.0);
            }
        }
        seen
    }
}
