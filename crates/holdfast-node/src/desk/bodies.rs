//! Bodies on their way in and out: cut into chunks while they arrive, a few of them in flight; read range by range with
//! one range ahead. Memory does not grow with the object.

use std::collections::VecDeque;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use holdfast_core::bucket::Settings;
use holdfast_core::content::{BodyForm, CHUNK_BYTES, INLINE_BYTES_MAX, Manifest, ManifestPart, StoredBody};
use holdfast_core::ids::{ChunkId, ObjectKey, PartId, RequestId};
use holdfast_core::request::{Answer, ReadChunk, ReadFault, Request, StateChange, WriteChunk, WriteError, WriteFault};
use holdfast_core::wire::side::decode_manifest;

use super::Desk;
use super::body_memory::Room;
use crate::buffers;
use crate::shell::random_u128;

/// Chunks of one body on their way to disks at once. Two keep client and disks busy at the same time; more would only
/// hold more memory.
const CHUNKS_IN_FLIGHT: usize = 2;
/// How long a chunk may take to be synced on W nodes, in milliseconds.
const CHUNK_DEADLINE_MS: u32 = 60_000;
/// How long a range of a chunk is looked for, in milliseconds.
const RANGE_DEADLINE_MS: u32 = 20_000;
/// Bytes read at a time: large enough that asking costs little, small enough that many streams fit in memory.
const RANGE_BYTES: u32 = 1024 * 1024;
/// Chunks of a part outlive its upload's own deadline (rule D10), in milliseconds.
const PART_COMMIT_MS: u64 = 8 * 24 * 3600 * 1000;

/// What a body that comes in takes beside the chunk that fills up: pieces that are being hashed, and what the connection has
/// read ahead.
const BESIDE_CHUNK_BYTES: u64 = 2 << 20;

/// A write on its way.
type Flight = Pin<Box<dyn Future<Output = Result<(), WriteError>> + Send>>;

/// Cuts a body into chunks and sends them to their homes while it arrives.
pub struct ChunkedWriter {
    desk: Desk,
    settings: Settings,
    owner: ObjectKey,
    part: PartId,
    commit_deadline_ms: u64,
    /// Whether a small body may stay in memory for its row.
    may_inline: bool,
    chunk: Vec<u8>,
    /// A body that came in one piece, kept as it came.
    whole: Option<Bytes>,
    size: u64,
    next_index: u32,
    flights: VecDeque<Flight>,
    /// Room for the chunk that fills up, kept until the last flight that was launched from it has landed.
    room: Option<Arc<Room>>,
}

impl ChunkedWriter {
    /// A writer for a plain object's body.
    #[must_use]
    pub fn object(desk: &Desk, settings: Settings, owner: ObjectKey) -> Self {
        Self::new(desk, settings, owner, true, desk.inner.commit_within_ms)
    }

    /// A writer for a part of a multipart upload: always chunks.
    #[must_use]
    pub fn part(desk: &Desk, settings: Settings, owner: ObjectKey) -> Self {
        Self::new(desk, settings, owner, false, PART_COMMIT_MS)
    }

    fn new(desk: &Desk, settings: Settings, owner: ObjectKey, may_inline: bool, commit_ms: u64) -> Self {
        Self {
            desk: desk.clone(),
            settings,
            owner,
            part: PartId(random_u128()),
            commit_deadline_ms: unix_ms() + commit_ms,
            may_inline,
            chunk: Vec::new(),
            whole: None,
            size: 0,
            next_index: 0,
            flights: VecDeque::new(),
            room: None,
        }
    }

    /// Names the part so that this node is a home of every chunk of a body of this length, if such a name is found; to be
    /// called before anything is written.
    pub fn hold_here(&mut self, length: u64) {
        if self.size == 0 {
            let chunks = length.div_ceil(u64::from(CHUNK_BYTES)).try_into().unwrap_or(u32::MAX);
            self.part = self.desk.inner.asks.name_part(self.settings.n, chunks);
        }
    }

    /// Takes room for a body of this length, if that is known; to be called before any of it is read.
    ///
    /// # Errors
    /// When there was none for some seconds: nothing was begun.
    pub async fn begin(&mut self, length: Option<u64>) -> Result<(), WriteError> {
        let length = length.unwrap_or(u64::MAX);
        if self.room.is_some() || self.may_inline && length <= INLINE_BYTES_MAX as u64 {
            return Ok(());
        }
        let bytes = length.min(u64::from(CHUNK_BYTES)) + length.min(BESIDE_CHUNK_BYTES);
        let room = self.desk.inner.bodies.incoming.take(bytes as usize).await;
        self.room = Some(Arc::new(room.ok_or(unchanged(WriteFault::Overloaded))?));
        Ok(())
    }

    /// How many bodies wait for room, as it changes.
    #[must_use]
    pub fn waiting(&self) -> Arc<AtomicUsize> {
        self.desk.inner.bodies.incoming.waiting()
    }

    /// Takes the next bytes; waits when the disks are slower than the client.
    ///
    /// # Errors
    /// When a chunk could not be stored; the body is lost then, and nothing names what was stored of it.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), WriteError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.size += bytes.len() as u64;
        if self.size == bytes.len() as u64 && bytes.len() <= CHUNK_BYTES as usize {
            self.whole = Some(bytes);
            return Ok(());
        }
        if let Some(first) = self.whole.take() {
            self.chunk = buffers::with_room(CHUNK_BYTES as usize);
            self.chunk.extend_from_slice(&first);
        }
        while !bytes.is_empty() {
            if self.chunk.capacity() == 0 {
                self.chunk = buffers::with_room(CHUNK_BYTES as usize);
            }
            let room = CHUNK_BYTES as usize - self.chunk.len();
            let taken = bytes.split_to(room.min(bytes.len()));
            self.chunk.extend_from_slice(&taken);
            if self.chunk.len() == CHUNK_BYTES as usize {
                let chunk = buffers::into_bytes(std::mem::take(&mut self.chunk));
                self.launch(chunk).await?;
            }
        }
        Ok(())
    }

    /// Waits until all chunks are synced on W homes, and hands the body over.
    ///
    /// # Errors
    /// As [`ChunkedWriter::write`].
    pub async fn finish(mut self) -> Result<StoredBody, WriteError> {
        let rest = match self.whole.take() {
            Some(whole) => whole,
            None => buffers::into_bytes(std::mem::take(&mut self.chunk)),
        };
        if self.next_index == 0 && self.may_inline && rest.len() <= INLINE_BYTES_MAX {
            return Ok(StoredBody::Inline(rest));
        }
        if !rest.is_empty() {
            self.launch(rest).await?;
        }
        self.land().await?;
        let part = ManifestPart {
            id: self.part,
            number: 1,
            size: self.size,
            chunk_bytes: CHUNK_BYTES,
            checksums: Vec::new(),
        };
        let manifest = Manifest { parts: vec![part] };
        Ok(StoredBody::Chunked {
            manifest,
            commit_deadline_ms: self.commit_deadline_ms,
        })
    }

    /// Waits for all chunks that are under way.
    async fn land(&mut self) -> Result<(), WriteError> {
        while let Some(flight) = self.flights.pop_front() {
            flight.await?;
        }
        Ok(())
    }

    async fn launch(&mut self, body: Bytes) -> Result<(), WriteError> {
        while self.flights.len() >= CHUNKS_IN_FLIGHT {
            if let Some(oldest) = self.flights.pop_front() {
                oldest.await?;
            }
        }
        let write = WriteChunk {
            settings: self.settings,
            owner: self.owner.clone(),
            id: ChunkId {
                part: self.part,
                index: self.next_index,
            },
            commit_deadline_ms: self.commit_deadline_ms,
            body,
        };
        self.next_index += 1;
        // Whoever did not say what is to come takes room now.
        self.begin(None).await?;
        let own = self.room.clone();
        // The next chunk fills up meanwhile, if there is room for both.
        let more = self.desk.inner.bodies.incoming.try_take(write.body.len());
        let is_alone = more.is_none();
        let desk = self.desk.clone();
        // Spawned, so that it goes on while the client's next bytes are awaited.
        let task = tokio::spawn(async move {
            // It goes on when the client is gone, too, and so does what it takes.
            let _room = (own, more);
            match desk
                .ask(RequestId(0), CHUNK_DEADLINE_MS, Request::WriteChunk(write))
                .await
            {
                Some(Answer::ChunkWritten) => Ok(()),
                Some(Answer::WriteFailed(error)) => Err(error),
                _ => Err(unchanged(WriteFault::Overloaded)),
            }
        });
        self.flights.push_back(Box::pin(async move {
            task.await.unwrap_or(Err(unchanged(WriteFault::Damaged)))
        }));
        if is_alone {
            self.land().await?;
        }
        Ok(())
    }
}

const fn unchanged(fault: WriteFault) -> WriteError {
    WriteError {
        state: StateChange::Unchanged,
        fault,
    }
}

/// One range of one chunk.
#[derive(Clone, Copy, Debug)]
struct Piece {
    id: ChunkId,
    from: u32,
    length: u32,
}

/// A read on its way.
type Reading = Pin<Box<dyn Future<Output = Result<Bytes, ReadFault>> + Send>>;

/// Reads a range of a body, piece by piece.
pub struct BodyReader {
    desk: Desk,
    settings: Settings,
    pieces: VecDeque<Piece>,
    /// Bytes that need no disk: an inline body.
    ready: Option<Result<Bytes, ReadFault>>,
    ahead: Option<(u32, Reading)>,
    /// Room for what is read, taken with the first range.
    room: Option<Room>,
    /// Room for a range that is read ahead, if there was any.
    room_ahead: Option<Room>,
}

impl BodyReader {
    /// A reader of `range` of a body: `form` as the version tells it, `row` its body row.
    #[must_use]
    pub fn new(desk: &Desk, settings: Settings, form: BodyForm, row: &Bytes, range: Range<u64>) -> Self {
        let mut reader = Self::of(desk, settings, VecDeque::new());
        match form {
            BodyForm::Empty => {}
            BodyForm::Inline { .. } => {
                let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(row.len());
                let (from, to) = (within(range.start), within(range.end));
                reader.ready = Some(Ok(row.slice(from.min(to)..to))).filter(|_| from < to);
            }
            BodyForm::Manifest { .. } => match decode_manifest(row) {
                Ok(manifest) => reader.pieces = pieces(&manifest, range).collect(),
                Err(_) => reader.ready = Some(Err(ReadFault::Damaged)),
            },
        }
        reader
    }

    /// A reader of `range` of one part, of which no version need be known.
    #[must_use]
    pub fn part(desk: &Desk, settings: Settings, part: ManifestPart, range: Range<u64>) -> Self {
        let manifest = Manifest { parts: vec![part] };
        Self::of(desk, settings, pieces(&manifest, range).collect())
    }

    fn of(desk: &Desk, settings: Settings, pieces: VecDeque<Piece>) -> Self {
        Self {
            desk: desk.clone(),
            settings,
            pieces,
            ready: None,
            ahead: None,
            room: None,
            room_ahead: None,
        }
    }

    /// The next bytes; `None` at the end. After an error there is nothing more.
    pub async fn next(&mut self) -> Option<Result<Bytes, ReadFault>> {
        if let Some(ready) = self.ready.take() {
            return Some(ready);
        }
        if let Err(fault) = self.take_room().await {
            self.pieces.clear();
            return Some(Err(fault));
        }
        let (length, reading) = match self.ahead.take() {
            Some(ahead) => ahead,
            None => self.begin()?,
        };
        if self.room_ahead.is_some() {
            // The piece after this one is read while the client takes this one.
            self.ahead = self.begin();
        }
        let result = match reading.await {
            Ok(bytes) if bytes.len() == length as usize => Ok(bytes),
            Ok(_) => Err(ReadFault::Damaged),
            Err(fault) => Err(fault),
        };
        if result.is_err() {
            self.pieces.clear();
            self.ahead = None;
        }
        Some(result)
    }

    /// Before the first range: a body of which nothing was sent yet can still be refused with a reason.
    async fn take_room(&mut self) -> Result<(), ReadFault> {
        let Some(first) = self.pieces.front().filter(|_| self.room.is_none()) else {
            return Ok(());
        };
        let next = self.pieces.get(1).map_or(0, |next| next.length);
        let outgoing = &self.desk.inner.bodies.outgoing;
        let room = outgoing.take((first.length + next / 2) as usize).await;
        self.room = Some(room.ok_or(ReadFault::Overloaded)?);
        if next > 0 {
            self.room_ahead = outgoing.try_take(RANGE_BYTES as usize);
        }
        Ok(())
    }

    fn begin(&mut self) -> Option<(u32, Reading)> {
        let Piece { id, from, length } = self.pieces.pop_front()?;
        let read = ReadChunk {
            settings: self.settings,
            id,
            from,
            length,
        };
        let desk = self.desk.clone();
        let task = tokio::spawn(async move {
            match desk
                .ask(RequestId(0), RANGE_DEADLINE_MS, Request::ReadChunk(read))
                .await
            {
                Some(Answer::ChunkRead(bytes)) => Ok(bytes),
                Some(Answer::ReadFailed(fault)) => Err(fault),
                _ => Err(ReadFault::Overloaded),
            }
        });
        Some((
            length,
            Box::pin(async move { task.await.unwrap_or(Err(ReadFault::Damaged)) }),
        ))
    }
}

/// Cuts a range of a body into pieces, each within one chunk.
fn pieces(manifest: &Manifest, range: Range<u64>) -> impl Iterator<Item = Piece> + use<> {
    let mut pieces = Vec::new();
    let mut part_start = 0u64;
    for part in &manifest.parts {
        let part_end = part_start + part.size;
        let mut at = range.start.max(part_start);
        let end = range.end.min(part_end);
        let chunk_bytes = u64::from(part.chunk_bytes.max(1));
        while at < end {
            let within = at - part_start;
            let (index, from) = (within / chunk_bytes, within % chunk_bytes);
            let length = (chunk_bytes - from).min(end - at).min(u64::from(RANGE_BYTES));
            pieces.push(Piece {
                id: ChunkId {
                    part: part.id,
                    index: index as u32,
                },
                from: from as u32,
                length: length as u32,
            });
            at += length;
        }
        part_start = part_end;
    }
    pieces.into_iter()
}

fn unix_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap_or_default().as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(sizes: &[u64]) -> Manifest {
        let part = |(at, size): (usize, &u64)| ManifestPart {
            id: PartId(at as u128),
            number: at as u16 + 1,
            size: *size,
            chunk_bytes: 10,
            checksums: Vec::new(),
        };
        Manifest {
            parts: sizes.iter().enumerate().map(part).collect(),
        }
    }

    #[test]
    fn pieces_cover_exactly_the_range() {
        let manifest = manifest(&[25, 0, 7]);
        for from in 0..32 {
            for to in from..=32 {
                let total: u64 = pieces(&manifest, from..to).map(|piece| u64::from(piece.length)).sum();
                assert_eq!(total, to - from);
                assert!(pieces(&manifest, from..to).all(|piece| piece.from + piece.length <= 10));
            }
        }
        let last: Vec<Piece> = pieces(&manifest, 24..27).collect();
        assert_eq!(
            (last[0].id.part, last[0].id.index, last[0].from, last[0].length),
            (PartId(0), 2, 4, 1)
        );
        assert_eq!(
            (last[1].id.part, last[1].id.index, last[1].from, last[1].length),
            (PartId(2), 0, 0, 2)
        );
    }
}
