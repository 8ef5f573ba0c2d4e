//! What each disk would still hold after a power cut: the context of every key's copy as of the last completed sync.

use std::collections::{BTreeMap, VecDeque};

use holdfast_core::context::Context;
use holdfast_core::ids::Dot;
use holdfast_core::storage::WriteSeq;

use super::KeyIx;

/// One node's copies.
#[derive(Clone, Debug, Default)]
pub struct Copies {
    durable: BTreeMap<KeyIx, Context>,
    once: BTreeMap<KeyIx, Context>,
    pending: VecDeque<(WriteSeq, KeyIx, Context)>,
    was_replaced: bool,
}

impl Copies {
    /// A row was written, not yet synced.
    pub fn written(&mut self, seq: WriteSeq, key: KeyIx, context: Context) {
        self.pending.push_back((seq, key, context));
    }

    /// Everything up to a batch is durable.
    pub fn synced(&mut self, seq: WriteSeq) {
        while let Some((written, _, _)) = self.pending.front()
            && *written <= seq
            && let Some((_, key, context)) = self.pending.pop_front()
        {
            self.once.entry(key).or_default().merge(&context);
            self.durable.insert(key, context);
        }
    }

    /// The process is gone; what was written up to `kept` is on disk.
    pub fn crashed(&mut self, kept: WriteSeq) {
        self.synced(kept);
        self.pending.clear();
    }

    /// The disk is gone, or is as it once was: then `was` tells what it held.
    pub fn replaced(&mut self, was: Option<&Self>) {
        self.durable = was.map(|was| was.durable.clone()).unwrap_or_default();
        self.pending.clear();
        self.was_replaced = true;
    }

    /// Whether a promise made for a dot was true when it was made: the disk holds it, or held it until it was lost.
    #[must_use]
    pub fn held(&self, key: KeyIx, dot: Dot) -> bool {
        self.holds(key, dot) || self.was_replaced && self.once_covered(key, dot)
    }

    /// Whether at some time a power cut would have left a copy that covers a dot.
    #[must_use]
    pub fn once_covered(&self, key: KeyIx, dot: Dot) -> bool {
        self.once.get(&key).is_some_and(|once| once.covers(dot))
    }

    /// Whether at some time a power cut would have left copies that cover all this: what was forgotten since was forgotten
    /// by rules of its own.
    #[must_use]
    pub fn once_held(&self, key: KeyIx, context: &Context) -> bool {
        context.is_empty() || self.once.get(&key).is_some_and(|once| once.includes(context))
    }

    /// Whether a power cut now would leave a copy that covers a dot.
    #[must_use]
    pub fn holds(&self, key: KeyIx, dot: Dot) -> bool {
        self.durable.get(&key).is_some_and(|context| context.covers(dot))
    }
}
