//! Where the chunks of an object's body lie: each has a position of its own, so a large body is spread over the whole ring.

use axum::extract::State;
use holdfast_core::content::{BodyForm, ManifestPart};
use holdfast_core::ids::{ChunkId, Partition};
use holdfast_core::place::{chunk_position, partition_of};
use holdfast_core::request::WantedBodies;
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::Object;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::faults::{BadRequest, NoSuchObject, ReadFaults};
use super::query::Query;
use super::shape::{Names, Node, Success, Told, dot_text, one_of};
use super::upload::Target;
use crate::objects::{GetObject, Ring};
use crate::problem::{Answer, Problem};

/// Chunks told in one answer.
const CHUNKS_MAX: u32 = 1_000;

/// From which chunk on, counted over the whole body.
#[derive(Deserialize, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct From {
    /// Only chunks with this number or later: `next` of the page before
    #[serde(default)]
    #[param(maximum = 18446744073709551615u64)]
    from: u64,
    /// At most so many chunks; 1,000 when left out, and at most
    #[param(format = Int64, maximum = 4294967295u32)]
    limit: Option<u32>,
}

/// The chunks of an object's body
#[derive(Serialize, ToSchema)]
pub(super) struct Chunks {
    status: Success,
    #[schema(example = "photos")]
    bucket: String,
    #[schema(example = "cat.jpg")]
    key: String,
    /// The name of the version
    dot: String,
    /// Where the body lies: nowhere, beside its record, or in chunks of its own
    #[schema(schema_with = forms)]
    form: &'static str,
    /// Length of the body
    size: u64,
    /// Parts in which it was sent
    parts: usize,
    chunks_in_all: u64,
    chunks: Vec<Chunk>,
    /// The first chunk of the next page; null on the last one
    next: Option<u64>,
}

/// A chunk of a body
#[derive(Serialize, ToSchema)]
struct Chunk {
    /// Counted over the whole body, from 0
    number: u64,
    /// The part that it belongs to
    part: u16,
    /// Its length
    bytes: u64,
    /// Its place on the ring, in hex
    position: String,
    /// The arc that holds it; null on a node that does not hold the ring
    partition: Option<u16>,
    /// Who should have it, best first; null on a node that does not hold the ring
    homes: Option<Vec<Node>>,
}

const EMPTY: &str = "empty";
const BESIDE: &str = "beside its record";
const CHUNKS: &str = "chunks";

fn forms() -> Object {
    one_of([EMPTY, BESIDE, CHUNKS])
}

/// Look where an object's chunks lie
///
/// Those of the newest version's body, a page at a time. Small bodies have none: they lie beside their record.
#[utoipa::path(
    get, path = "/v1/buckets/{bucket}/chunks/{*key}", operation_id = "chunks", tag = "cluster",
    params(Target, From),
    responses((status = 200, description = "A page of chunks", body = Chunks), BadRequest, NoSuchObject, ReadFaults)
)]
pub(super) async fn read(
    State(app): App,
    Target { bucket, key }: Target,
    Query(asked): Query<From>,
) -> Answer<Told<Chunks>> {
    let bucket = app.bucket(&bucket).await?;
    let get = GetObject {
        r: None,
        bodies: WantedBodies::Newest,
    };
    let got = app.objects.get(&bucket, &key, get).await;
    let got = got.map_err(|fault| Problem::read(&fault))?;
    let Some(version) = got.record.visible() else {
        return Err(Problem::no_such_object(&key));
    };
    let form = version.content.body;
    let row = got.bodies.iter().find(|(dot, _)| *dot == version.dot);
    let manifest = row.and_then(|(_, row)| app.objects.manifest(form, row));
    let parts = manifest.map(|manifest| manifest.parts).unwrap_or_default();
    let names = Names::of(&*app.objects);
    let ring = app.objects.ring();
    let limit = asked.limit.unwrap_or(CHUNKS_MAX).clamp(1, CHUNKS_MAX) as usize;
    let mut chunks = Vec::new();
    let mut number = 0;
    for part in &parts {
        let count = chunks_of(part);
        let first = asked.from.saturating_sub(number).min(count);
        for index in first..count {
            if chunks.len() == limit {
                break;
            }
            chunks.push(chunk(
                part,
                index,
                number + index,
                bucket.settings.n,
                ring.as_ref(),
                &names,
            ));
        }
        number += count;
    }
    let told = asked.from + chunks.len() as u64;
    Ok(Told(Chunks {
        status: Success::Success,
        bucket: bucket.name.clone(),
        key,
        dot: dot_text(version.dot),
        form: match form {
            BodyForm::Empty => EMPTY,
            BodyForm::Inline { .. } => BESIDE,
            BodyForm::Manifest { .. } => CHUNKS,
        },
        size: version.content.size,
        parts: parts.len(),
        chunks_in_all: number,
        chunks,
        next: (told < number).then_some(told),
    }))
}

fn chunks_of(part: &ManifestPart) -> u64 {
    part.size.div_ceil(u64::from(part.chunk_bytes.max(1)))
}

fn chunk(part: &ManifestPart, index: u64, number: u64, n: u8, ring: Option<&Ring>, names: &Names) -> Chunk {
    let id = ChunkId {
        part: part.id,
        index: u32::try_from(index).unwrap_or(u32::MAX),
    };
    let position = chunk_position(id);
    let bytes = u64::from(part.chunk_bytes).min(part.size - index * u64::from(part.chunk_bytes));
    let partition = ring.map(|ring| partition_of(position, ring.partition_bits));
    let homes = ring.zip(partition).map(|(ring, Partition(partition))| {
        let list = ring
            .lists
            .get(usize::from(partition))
            .map(Vec::as_slice)
            .unwrap_or_default();
        let homes = list.iter().take(usize::from(n));
        let homes: Vec<_> = homes
            .filter_map(|home| ring.members.get(usize::from(*home)).copied())
            .collect();
        names.nodes(&homes)
    });
    Chunk {
        number,
        part: part.number,
        bytes,
        position: position.to_string(),
        partition: partition.map(|partition| partition.0),
        homes,
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::content::ManifestPart;
    use holdfast_core::ids::PartId;

    use super::chunks_of;

    #[test]
    fn the_last_chunk_may_be_short() {
        let part = |size| ManifestPart {
            id: PartId(1),
            number: 1,
            size,
            chunk_bytes: 10,
            checksums: Vec::new(),
        };
        let counts: Vec<u64> = [0, 1, 10, 11, 25].map(|size| chunks_of(&part(size))).into();
        assert_eq!(counts, [0, 1, 1, 2, 3]);
    }
}
