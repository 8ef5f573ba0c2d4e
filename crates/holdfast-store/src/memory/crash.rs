//! Crashes of the in-memory store: what was not synced is put back as it was.

use super::{MemoryStore, chunks};

impl MemoryStore {
    /// The node dies and its disk keeps only what was synced: every later batch is undone, chunk operations under way
    /// never happened. Numbers of batches begin again at 1, as after any start.
    pub fn crash(&mut self) {
        self.crash_keeping(0, 0);
    }

    /// The node dies, but the kernel had written some of what was not synced: the first `batches_kept` unsynced batches
    /// survive (all when there are fewer), and of the chunk writes under way the first `chunk_writes_kept`.
    ///
    /// `crash_keeping(usize::MAX, usize::MAX)` is a `kill -9`: the process is gone, the page cache is not.
    pub fn crash_keeping(&mut self, batches_kept: usize, chunk_writes_kept: usize) {
        let lost = self.undo.len().saturating_sub(batches_kept);
        for _ in 0..lost {
            let Some(undo) = self.undo.pop_back() else { break };
            for (space, key, old) in undo.replaced.into_iter().rev() {
                let rows = self.space_mut(space);
                match old {
                    Some(row) => rows.insert(key, row),
                    None => rows.remove(&key),
                };
            }
        }
        self.undo.clear();
        self.written = 0;
        self.synced = 0;

        let operations = std::mem::take(&mut self.operations);
        let writes = operations.into_iter().filter_map(|operation| match operation {
            chunks::Operation::Write { header, body, .. } => Some((header, body)),
            // Removals under way have not happened: whoever asked for them asks again.
            chunks::Operation::Read { .. } | chunks::Operation::Remove { .. } => None,
        });
        if !self.full {
            for (header, body) in writes.take(chunk_writes_kept) {
                self.store_chunk(header, body);
            }
        }
    }
}
