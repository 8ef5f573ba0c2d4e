//! Chunks of the in-memory store: operations wait in order until the owner completes them, with a fault or without.

use std::ops::Bound;

use bytes::Bytes;
use holdfast_core::ids::{ChunkId, PartId, Partition};
use holdfast_core::storage::{ChunkHeader, ChunkToken, ChunkWriteError, ReadError};

use super::{Event, MemoryStore};

/// A chunk at rest.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    header: ChunkHeader,
    body: Bytes,
    corrupt: bool,
}

/// A chunk operation under way.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Write {
        token: ChunkToken,
        header: ChunkHeader,
        body: Bytes,
    },
    Read {
        token: ChunkToken,
        partition: Partition,
        id: ChunkId,
        from: u32,
        length: u32,
    },
    Remove {
        token: ChunkToken,
        chunks: Vec<(Partition, ChunkId)>,
    },
}

impl Operation {
    fn token(&self) -> ChunkToken {
        match self {
            Self::Write { token, .. } | Self::Read { token, .. } | Self::Remove { token, .. } => *token,
        }
    }
}

/// How a chunk operation ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ChunkFault {
    /// As it should.
    #[default]
    None,
    /// The disk refuses: nothing is stored, nothing is read.
    Io,
}

impl MemoryStore {
    pub(super) fn queue_write(&mut self, token: ChunkToken, header: ChunkHeader, body: Bytes) {
        self.operations.push_back(Operation::Write { token, header, body });
    }

    pub(super) fn queue_read(&mut self, token: ChunkToken, partition: Partition, id: ChunkId, from: u32, length: u32) {
        self.operations.push_back(Operation::Read {
            token,
            partition,
            id,
            from,
            length,
        });
    }

    pub(super) fn queue_removal(&mut self, token: ChunkToken, chunks: Vec<(Partition, ChunkId)>) {
        self.operations.push_back(Operation::Remove { token, chunks });
    }

    /// Tokens of the chunk operations under way, oldest first.
    pub fn chunk_ops_pending(&self) -> impl Iterator<Item = ChunkToken> {
        self.operations.iter().map(Operation::token)
    }

    /// Completes every chunk operation under way, in order and without faults.
    pub fn chunk_ops(&mut self) -> Vec<Event> {
        let operations = std::mem::take(&mut self.operations);
        operations
            .into_iter()
            .map(|operation| self.complete(operation, ChunkFault::None))
            .collect()
    }

    /// Completes one chunk operation, whichever place it has in the queue: a disk need not finish in order.
    /// `None` when no operation under way bears this token.
    pub fn complete_chunk_op(&mut self, token: ChunkToken, fault: ChunkFault) -> Option<Event> {
        let place = self
            .operations
            .iter()
            .position(|operation| operation.token() == token)?;
        let operation = self.operations.remove(place)?;
        Some(self.complete(operation, fault))
    }

    /// Damages a chunk: every read of it is [`ReadError::Corrupt`] until it is written again. False when there is none.
    pub fn corrupt_chunk(&mut self, partition: Partition, id: ChunkId) -> bool {
        match self.chunks.get_mut(&(partition, id)) {
            None => false,
            Some(chunk) => {
                chunk.corrupt = true;
                true
            }
        }
    }

    /// Whether a chunk is there; a damaged one is not.
    #[must_use]
    pub fn has_chunk(&self, partition: Partition, id: ChunkId) -> bool {
        self.chunks.get(&(partition, id)).is_some_and(|chunk| !chunk.corrupt)
    }

    pub(super) fn chunk_headers(
        &self,
        partition: Partition,
        after: Option<ChunkId>,
        count_max: usize,
    ) -> Vec<ChunkHeader> {
        let last = ChunkId {
            part: PartId(u128::MAX),
            index: u32::MAX,
        };
        let from = match after {
            // Nothing lies after the last id, and a range excluded at both ends by one key panics.
            Some(id) if id == last => return Vec::new(),
            Some(id) => Bound::Excluded((partition, id)),
            None => Bound::Included((
                partition,
                ChunkId {
                    part: PartId(0),
                    index: 0,
                },
            )),
        };
        self.chunks
            .range((from, Bound::Included((partition, last))))
            .take(count_max)
            .map(|(_, chunk)| chunk.header.clone())
            .collect()
    }

    fn read(&self, partition: Partition, id: ChunkId, from: u32, length: u32) -> Result<Option<Bytes>, ReadError> {
        let Some(chunk) = self.chunks.get(&(partition, id)) else {
            return Ok(None);
        };
        if chunk.corrupt {
            return Err(ReadError::Corrupt);
        }
        let end = chunk.body.len();
        let from = (from as usize).min(end);
        let to = from.saturating_add(length as usize).min(end);
        Ok(Some(chunk.body.slice(from..to)))
    }

    /// Stores a chunk unless it is there undamaged: a chunk is immutable, so the first copy is as good as any.
    pub(super) fn store_chunk(&mut self, header: ChunkHeader, body: Bytes) {
        let place = (header.partition, header.id);
        match self.chunks.get(&place) {
            Some(chunk) if !chunk.corrupt => {}
            _ => {
                let corrupt = false;
                self.chunks.insert(place, Chunk { header, body, corrupt });
            }
        }
    }

    fn complete(&mut self, operation: Operation, fault: ChunkFault) -> Event {
        match operation {
            Operation::Write { token, header, body } => {
                let result = match fault {
                    ChunkFault::Io => Err(ChunkWriteError::Io),
                    // As the engine: a header from a peer may say anything.
                    ChunkFault::None if header.length as usize != body.len() => Err(ChunkWriteError::Io),
                    ChunkFault::None if self.full => Err(ChunkWriteError::DiskFull),
                    ChunkFault::None => {
                        self.store_chunk(header, body);
                        Ok(())
                    }
                };
                Event::ChunkWritten(token, result)
            }
            Operation::Read {
                token,
                partition,
                id,
                from,
                length,
            } => {
                let result = match fault {
                    ChunkFault::Io => Err(ReadError::Io),
                    ChunkFault::None => self.read(partition, id, from, length),
                };
                Event::ChunkRead(token, result)
            }
            Operation::Remove { token, chunks } => {
                let result = match fault {
                    ChunkFault::Io => Err(ChunkWriteError::Io),
                    ChunkFault::None => {
                        for place in chunks {
                            self.chunks.remove(&place);
                        }
                        Ok(())
                    }
                };
                Event::ChunksRemoved(token, result)
            }
        }
    }
}
