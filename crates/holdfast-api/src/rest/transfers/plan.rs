//! Where to move bytes from and to: the nodes that hold each chunk of an object, or that should take each part of an upload,
//! with a grant for each part.
//!
//! Asked of any node, and answered from what it knows: reading the object's record is one read like any other, and where
//! chunks live follows from their names. A long object is told in pages of whole parts.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use holdfast_core::content::{Manifest, ManifestPart};
use holdfast_core::ids::{ChunkId, Dot, NodeId, PartId, UploadId};
use holdfast_core::request::WantedBodies;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::App;
use super::super::query::Query;
use super::super::shape::{dot_text, time};
use super::super::upload::Target;
use super::grant::{Grant, May};
use super::now_ms;
use crate::caller::Caller;
use crate::checksum::Algorithm;
use crate::limits::{BODY_BYTES_MAX, PART_NUMBER_MAX};
use crate::objects::{BucketRef, ClusterView, GetObject, Objects};
use crate::problem::{Answer, Problem};
use crate::request_id::secret_u128;

/// How long a grant stands if nobody asks for less, and at most, in seconds.
const EXPIRES_S_MAX: u64 = 600;
/// A page of parts ends once it has told of so many chunks, or parts.
const PAGE_CHUNKS: usize = 1_024;
const PAGE_PARTS_MAX: usize = 256;
/// Parts of an upload for which grants are given at once.
const WRITE_PARTS_MAX: u16 = 64;
/// Positions looked at for a receiver that is up.
const RECEIVER_DRAWS: usize = 8;

/// What may be asked when reading.
#[derive(Deserialize)]
pub(in super::super) struct ReadOptions {
    /// Only parts that begin at this byte or later.
    #[serde(default)]
    from: u64,
    expires_s: Option<u64>,
}

/// What is asked when sending.
#[derive(Deserialize)]
pub(in super::super) struct WriteOptions {
    upload: String,
    part: u16,
    count: Option<u16>,
    part_bytes: u64,
    expires_s: Option<u64>,
}

/// The nodes that an answer names, told once each.
struct Nodes<'a> {
    view: &'a ClusterView,
    order: Vec<NodeId>,
    index: BTreeMap<NodeId, usize>,
}

impl<'a> Nodes<'a> {
    /// The node that answers is always among them.
    fn new(view: &'a ClusterView) -> Self {
        let mut nodes = Self {
            view,
            order: Vec::new(),
            index: BTreeMap::new(),
        };
        nodes.at(view.node);
        nodes
    }

    fn at(&mut self, node: NodeId) -> usize {
        *self.index.entry(node).or_insert_with(|| {
            self.order.push(node);
            self.order.len() - 1
        })
    }

    fn told(&self) -> Value {
        let of = |node: &NodeId| {
            let member = self.view.members.iter().find(|member| member.id == *node);
            json!({
                "id": node.to_string(),
                "name": member.map_or("", |member| &member.name),
                "rest": member.map_or("", |member| &member.rest),
                "up": member.is_some_and(|member| member.up),
            })
        };
        self.order.iter().map(of).collect()
    }
}

/// What all grants of one answer share.
struct Granting<'a> {
    objects: &'a dyn Objects,
    bucket: &'a BucketRef,
    key: &'a str,
    principal: &'a str,
    expires_ms: u64,
}

impl Granting<'_> {
    fn seal(&self, may: May) -> Answer<String> {
        let grant = Grant {
            principal: self.principal.to_owned(),
            expires_ms: self.expires_ms,
            bucket: self.bucket.name.clone(),
            bucket_id: self.bucket.settings.id,
            key: self.key.to_owned(),
            may,
        };
        grant
            .seal(self.objects)
            .ok_or_else(|| Problem::not_implemented("a direct transfer through this node"))
    }
}

fn expires_ms(wanted_s: Option<u64>) -> u64 {
    now_ms() + wanted_s.unwrap_or(EXPIRES_S_MAX).clamp(1, EXPIRES_S_MAX) * 1_000
}

pub(in super::super) async fn read(
    State(app): App,
    axum::Extension(caller): axum::Extension<Caller>,
    Target { bucket, key }: Target,
    Query(options): Query<ReadOptions>,
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
    let row = got.bodies.iter().find(|(dot, _)| *dot == version.dot);
    let manifest = row.and_then(|(_, row)| app.objects.manifest(version.content.body, row));
    let view = app.objects.cluster();
    let mut nodes = Nodes::new(&view);
    let granting = Granting {
        objects: &*app.objects,
        bucket: &bucket,
        key: &key,
        principal: &caller.principal,
        expires_ms: expires_ms(options.expires_s),
    };
    let page = match &manifest {
        Some(manifest) => page(&granting, &mut nodes, version.dot, manifest, options.from)?,
        None => ReadPage::default(),
    };
    let headers: serde_json::Map<String, Value> = version
        .content
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
        .collect();
    Ok(Json(json!({
        "status": "success",
        "bucket": bucket.name,
        "key": key,
        "dot": dot_text(version.dot),
        "etag": version.content.etag,
        "size": version.content.size,
        "modified": time(version.dot.tick.millis()),
        "headers": headers,
        "siblings": got.record.sibling_count(),
        // Bodies without chunks lie with the record: there is nobody to go to but any node.
        "direct": manifest.is_some(),
        "nodes": nodes.told(),
        "parts": page.parts,
        "next": page.next,
        "expires": time(granting.expires_ms),
    })))
}

#[derive(Default)]
struct ReadPage {
    parts: Vec<Value>,
    next: Option<u64>,
}

fn page(granting: &Granting<'_>, nodes: &mut Nodes<'_>, dot: Dot, manifest: &Manifest, from: u64) -> Answer<ReadPage> {
    let mut page = ReadPage::default();
    let (mut offset, mut chunks) = (0, 0);
    for part in &manifest.parts {
        let at = offset;
        offset += part.size;
        if at < from {
            continue;
        }
        if chunks >= PAGE_CHUNKS || page.parts.len() >= PAGE_PARTS_MAX {
            page.next = Some(at);
            break;
        }
        let count = part.size.div_ceil(u64::from(part.chunk_bytes.max(1)));
        let homes: Vec<Vec<usize>> = (0..u32::try_from(count).unwrap_or(u32::MAX))
            .map(|index| {
                let chunk = ChunkId { part: part.id, index };
                let homes = granting.objects.chunk_homes(granting.bucket, chunk);
                homes.into_iter().map(|home| nodes.at(home)).collect()
            })
            .collect();
        chunks += homes.len();
        let crc = Algorithm::Crc64Nvme.header();
        let crc = part.checksums.iter().find(|(name, _)| name == crc);
        let part = ManifestPart {
            checksums: Vec::new(),
            ..part.clone()
        };
        page.parts.push(json!({
            "number": part.number,
            "offset": at,
            "size": part.size,
            "chunk_bytes": part.chunk_bytes,
            "crc64nvme": crc.map(|(_, value)| value),
            "homes": homes,
            "grant": granting.seal(May::Read { dot, part })?,
        }));
    }
    Ok(page)
}

pub(in super::super) async fn write(
    State(app): App,
    axum::Extension(caller): axum::Extension<Caller>,
    Target { bucket, key }: Target,
    Query(options): Query<WriteOptions>,
) -> Answer<Json<Value>> {
    let upload = upload_id(&options.upload)?;
    let count = options.count.unwrap_or(1);
    let last = options.part.checked_add(count.saturating_sub(1));
    let is_possible = options.part > 0
        && (1..=WRITE_PARTS_MAX).contains(&count)
        && last.is_some_and(|last| last <= PART_NUMBER_MAX)
        && (1..=BODY_BYTES_MAX).contains(&options.part_bytes);
    if !is_possible {
        return Err(Problem::bad_request(
            "part, count or part_bytes is out of bounds",
            "ask for 1 to 64 parts, numbered 1 to 10000, of 1 byte to 5 GiB",
        ));
    }
    let bucket = app.bucket(&bucket).await?;
    let view = app.objects.cluster();
    let mut nodes = Nodes::new(&view);
    let granting = Granting {
        objects: &*app.objects,
        bucket: &bucket,
        key: &key,
        principal: &caller.principal,
        expires_ms: expires_ms(options.expires_s),
    };
    let mut parts = Vec::with_capacity(usize::from(count));
    for number in (options.part..).take(usize::from(count)) {
        let receiver = receiver(&*app.objects, &bucket, &view);
        let grant = granting.seal(May::Write {
            upload,
            number,
            receiver,
            bytes_max: options.part_bytes,
        })?;
        parts.push(json!({ "number": number, "node": nodes.at(receiver), "grant": grant }));
    }
    Ok(Json(json!({
        "status": "success",
        "bucket": bucket.name,
        "key": key,
        "nodes": nodes.told(),
        "parts": parts,
        "expires": time(granting.expires_ms),
    })))
}

/// A node to send a part to: a home of a random position, so that each node is chosen as often as its share of the ring says.
fn receiver(objects: &dyn Objects, bucket: &BucketRef, view: &ClusterView) -> NodeId {
    let is_up = |node: &NodeId| view.members.iter().any(|member| member.id == *node && member.up);
    let drawn = (0..RECEIVER_DRAWS).find_map(|_| {
        let part = PartId(secret_u128());
        let homes = objects.chunk_homes(bucket, ChunkId { part, index: 0 });
        homes.into_iter().find(is_up)
    });
    drawn.unwrap_or(view.node)
}

/// An upload's id, or its S3 name, which begins with it.
fn upload_id(text: &str) -> Answer<UploadId> {
    let id = text.split('-').next().filter(|id| id.len() == 32);
    let id = id.and_then(|id| u128::from_str_radix(id, 16).ok());
    id.map(UploadId).ok_or_else(|| {
        Problem::bad_request(
            "upload is not the id of an upload",
            "begin one with S3's CreateMultipartUpload, and send its id",
        )
    })
}
