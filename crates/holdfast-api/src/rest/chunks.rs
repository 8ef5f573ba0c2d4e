//! Where the chunks of an object's body lie: each has a position of its own, so a large body is spread over the whole ring.

use axum::Json;
use axum::extract::State;
use holdfast_core::content::{BodyForm, ManifestPart};
use holdfast_core::ids::{ChunkId, Partition};
use holdfast_core::place::{chunk_position, partition_of};
use holdfast_core::request::WantedBodies;
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::query::Query;
use super::shape::{Names, dot_text};
use super::upload::Target;
use crate::objects::{GetObject, Ring};
use crate::problem::{Answer, Problem};

/// Chunks told in one answer.
const CHUNKS_MAX: u32 = 1_000;

/// From which chunk on, counted over the whole body.
#[derive(Deserialize, Default)]
pub(super) struct From {
    #[serde(default)]
    from: u64,
    limit: Option<u32>,
}

pub(super) async fn read(
    State(app): App,
    Target { bucket, key }: Target,
    Query(asked): Query<From>,
) -> Answer<Json<Value>> {
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
    Ok(Json(json!({
        "status": "success",
        "bucket": bucket.name,
        "key": key,
        "dot": dot_text(version.dot),
        "form": match form {
            BodyForm::Empty => "empty",
            BodyForm::Inline { .. } => "beside its record",
            BodyForm::Manifest { .. } => "chunks",
        },
        "size": version.content.size,
        "parts": parts.len(),
        "chunks_in_all": number,
        "chunks": chunks,
        "next": (told < number).then_some(told),
    })))
}

fn chunks_of(part: &ManifestPart) -> u64 {
    part.size.div_ceil(u64::from(part.chunk_bytes.max(1)))
}

fn chunk(part: &ManifestPart, index: u64, number: u64, n: u8, ring: Option<&Ring>, names: &Names) -> Value {
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
    json!({
        "number": number,
        "part": part.number,
        "bytes": bytes,
        "position": position.to_string(),
        "partition": partition.map(|partition| partition.0),
        "homes": homes,
    })
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
