//! A way onto fjall's own thread: what it keeps of the memory it used to flush and compact, only it can give back.
//!
//! fjall has no call for that, but it calls a *compaction filter* on the thread that compacts. The keyspace of marks is
//! flushed when the engine comes to rest and at no other time ([`super::RowStore::release_idle`]), and compacted at once
//! then: its filter passes everything, and calls. Measured after a load of 700,000 objects of 4 KiB: of the 68 MB that a
//! node kept at rest 16 were that thread's.

use std::sync::Arc;

use fjall::compaction::filter::{CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict};

use super::Table;

/// Calls when marks have been compacted.
#[derive(Clone, Copy)]
pub(super) struct CallsAtRest(fn());

/// Which filters a keyspace has, by its name.
type Assigner = Arc<dyn Fn(&str) -> Option<Arc<dyn Factory>> + Send + Sync>;

impl CallsAtRest {
    pub(super) fn when_marks_are_compacted(call: fn()) -> Assigner {
        Arc::new(move |keyspace| (keyspace == Table::Marks.name()).then(|| Arc::new(Self(call)) as Arc<dyn Factory>))
    }
}

impl Factory for CallsAtRest {
    fn name(&self) -> &str {
        "calls at rest"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(*self)
    }
}

impl CompactionFilter for CallsAtRest {
    fn filter_item(&mut self, _: ItemAccessor<'_>, _: &Context) -> CompactionFilterResult {
        Ok(Verdict::Keep)
    }

    fn finish(self: Box<Self>) {
        (self.0)();
    }
}
