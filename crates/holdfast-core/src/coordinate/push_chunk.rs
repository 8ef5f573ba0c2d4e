//! A whole chunk of this node's disk on its way to another node, after a comparison and in handoff: read once, sent as
//! often as its operation likes.

use alloc::vec::Vec;
use bytes::Bytes;

use crate::ids::{ChunkId, NodeId, PartId, Partition};
use crate::message::{Message, OpId};
use crate::node::ranges::chunk_key;
use crate::node::state::{About, ChunkWaiter, Step};
use crate::storage::{ChunkHeader, ReadError};

/// The whole body, however long.
pub(crate) const WHOLE_CHUNK: u32 = u32::MAX;

/// A chunk being read or sent.
pub(crate) struct PushChunk {
    header: ChunkHeader,
    body: Option<Bytes>,
}

impl PushChunk {
    /// Begins to read a chunk for an operation, which is told of it. `None` when there is no such chunk here.
    pub(crate) fn begin(
        step: &mut Step<'_>,
        op: OpId,
        partition: Partition,
        id: ChunkId,
    ) -> Result<Option<Self>, ReadError> {
        let header = chunk_header(step, partition, id)?;
        if header.is_some() {
            step.read_own_chunk(ChunkWaiter::Own(op), partition, id, 0, WHOLE_CHUNK);
        }
        Ok(header.map(|header| Self { header, body: None }))
    }

    /// What the disk answered: whether there is something to send. A chunk that cannot be read is not pushed.
    pub(crate) fn take(push: &mut Option<Self>, read: Result<Option<Bytes>, ReadError>) -> bool {
        let Ok(Some(body)) = read else {
            *push = None;
            return false;
        };
        if let Some(push) = push {
            push.body = Some(body);
        }
        true
    }

    /// Sends it to a home, if it has been read yet.
    pub(crate) fn send(&self, step: &mut Step<'_>, op: OpId, home: NodeId) {
        let Some(body) = &self.body else { return };
        let message = Message::WriteChunk {
            op,
            header: self.header.clone(),
            body: body.clone(),
            stands_for: Vec::new(),
        };
        step.send(home, message, About::default());
    }

    /// Its key among chunks.
    pub(crate) fn key(&self) -> Vec<u8> {
        chunk_key(self.header.partition, self.header.id)
    }
}

/// What a chunk on this disk says of itself.
pub(crate) fn chunk_header(
    step: &Step<'_>,
    partition: Partition,
    id: ChunkId,
) -> Result<Option<ChunkHeader>, ReadError> {
    let before = match id.index.checked_sub(1) {
        Some(index) => Some(ChunkId { part: id.part, index }),
        None => id.part.0.checked_sub(1).map(|part| ChunkId {
            part: PartId(part),
            index: u32::MAX,
        }),
    };
    let found = step.storage.chunks(partition, before, 1)?;
    Ok(found.into_iter().find(|header| header.id == id))
}
