//! Where to move bytes from and to: the nodes that hold each chunk of an object, or that should take each part of an upload,
//! with a grant for each part.
//!
//! Asked of any node, and answered from what it knows: reading the object's record is one read like any other, and where
//! chunks live follows from their names. A long object is told in pages of whole parts.

use std::collections::BTreeMap;

use axum::extract::State;
use holdfast_core::content::{Manifest, ManifestPart};
use holdfast_core::ids::{ChunkId, Dot, NodeId, PartId, UploadId};
use holdfast_core::request::WantedBodies;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::App;
use super::super::faults::{BadRequest, NoSuchBucket, NoSuchObject, NotThisNode, ReadFaults};
use super::super::query::Query;
use super::super::shape::{Success, Told, dot_text, time};
use super::super::upload::Target;
use super::super::uploads;
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
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct ReadOptions {
    /// Only parts that begin at this byte or later: `next` of the page before
    #[serde(default)]
    #[param(maximum = 18446744073709551615u64)]
    from: u64,
    /// For how many seconds the grants are good; ten minutes when left out, and at most
    #[param(maximum = 18446744073709551615u64)]
    expires_s: Option<u64>,
}

/// What is asked when sending.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct WriteOptions {
    /// Id of an upload, begun over REST or S3
    #[param(pattern = "^[0-9a-fA-F]{32}(-.*)?$", example = "00000195a3f0c1d2e4b5968700000001")]
    upload: String,
    /// The first part's number
    #[param(minimum = 1, maximum = 10000, example = 1)]
    part: u16,
    /// For so many parts; one when left out
    #[param(minimum = 1, maximum = 64)]
    count: Option<u16>,
    /// None of the parts is longer
    #[param(minimum = 1, maximum = 5368709120u64, example = 8388608)]
    part_bytes: u64,
    /// For how many seconds the grants are good; ten minutes when left out, and at most
    #[param(maximum = 18446744073709551615u64)]
    expires_s: Option<u64>,
}

/// A node to move bytes from or to
#[derive(Serialize, ToSchema)]
#[schema(as = TransferNode)]
struct NodeTold {
    id: String,
    name: String,
    /// Its REST endpoint, if it told
    rest: String,
    /// Whether the asked node uses it
    up: bool,
}

/// Where the body of an object is, and grants to read it
#[derive(Serialize, ToSchema)]
pub(in super::super) struct ReadPlan {
    status: Success,
    #[schema(example = "photos")]
    bucket: String,
    #[schema(example = "cat.jpg")]
    key: String,
    /// The name of the version: the one that S3 would return
    dot: String,
    etag: String,
    /// Length of the body
    size: u64,
    #[schema(format = DateTime)]
    modified: String,
    /// The headers kept with it
    headers: BTreeMap<String, String>,
    /// How many concurrent versions there are
    siblings: usize,
    /// False for a body without chunks, which lies with its record: there is nobody to go to but any node
    direct: bool,
    /// The nodes that the answer names
    nodes: Vec<NodeTold>,
    parts: Vec<PartToRead>,
    /// The byte at which the next page begins; null on the last one
    next: Option<u64>,
    /// When the grants are over
    #[schema(format = DateTime)]
    expires: String,
}

/// A part of a body, and a grant to read it
#[derive(Serialize, ToSchema)]
struct PartToRead {
    number: u16,
    /// Where in the body it begins
    offset: u64,
    /// Its length
    size: u64,
    /// The length of each chunk but the last
    chunk_bytes: u32,
    /// The part's checksum, if it is known
    crc64nvme: Option<String>,
    /// For each chunk the places in `nodes` of those that hold it, best first
    homes: Vec<Vec<usize>>,
    /// For `Authorization: Grant`
    grant: String,
}

/// Who should take the parts of an upload, and grants to send them
#[derive(Serialize, ToSchema)]
pub(in super::super) struct WritePlan {
    status: Success,
    #[schema(example = "photos")]
    bucket: String,
    #[schema(example = "cat.jpg")]
    key: String,
    /// The nodes that the answer names
    nodes: Vec<NodeTold>,
    parts: Vec<PartToSend>,
    /// When the grants are over
    #[schema(format = DateTime)]
    expires: String,
}

/// Who should take a part, and a grant to send it
#[derive(Serialize, ToSchema)]
struct PartToSend {
    number: u16,
    /// The place in `nodes` of who should take it; any other may
    node: usize,
    /// For `Authorization: Grant`
    grant: String,
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

    fn told(&self) -> Vec<NodeTold> {
        let of = |node: &NodeId| {
            let member = self.view.members.iter().find(|member| member.id == *node);
            NodeTold {
                id: node.to_string(),
                name: member.map(|member| member.name.clone()).unwrap_or_default(),
                rest: member.map(|member| member.rest.clone()).unwrap_or_default(),
                up: member.is_some_and(|member| member.up),
            }
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

/// See where to read an object from
///
/// Which nodes hold each chunk of its body, and a grant for each part, which these nodes take from anybody. A long object is
/// told in pages of whole parts.
#[utoipa::path(
    get, path = "/v1/buckets/{bucket}/transfers/{*key}", operation_id = "plan_read", tag = "transfers",
    params(Target, ReadOptions),
    responses(
        (status = 200, description = "Where its body is", body = ReadPlan),
        BadRequest, NoSuchObject, NotThisNode, ReadFaults,
    )
)]
pub(in super::super) async fn read(
    State(app): App,
    axum::Extension(caller): axum::Extension<Caller>,
    Target { bucket, key }: Target,
    Query(options): Query<ReadOptions>,
) -> Answer<Told<ReadPlan>> {
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
    Ok(Told(ReadPlan {
        status: Success::Success,
        bucket: bucket.name.clone(),
        dot: dot_text(version.dot),
        etag: version.content.etag.clone(),
        size: version.content.size,
        modified: time(version.dot.tick.millis()),
        headers: version.content.headers.iter().cloned().collect(),
        siblings: got.record.sibling_count(),
        direct: manifest.is_some(),
        nodes: nodes.told(),
        parts: page.parts,
        next: page.next,
        expires: time(granting.expires_ms),
        key,
    }))
}

#[derive(Default)]
struct ReadPage {
    parts: Vec<PartToRead>,
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
        page.parts.push(PartToRead {
            number: part.number,
            offset: at,
            size: part.size,
            chunk_bytes: part.chunk_bytes,
            crc64nvme: crc.map(|(_, value)| value.clone()),
            homes,
            grant: granting.seal(May::Read { dot, part })?,
        });
    }
    Ok(page)
}

/// See where to send parts
///
/// Which node should take each part of an upload, and a grant for each, which any node takes from anybody.
#[utoipa::path(
    post, path = "/v1/buckets/{bucket}/transfers/{*key}", operation_id = "plan_write", tag = "transfers",
    params(Target, WriteOptions),
    responses(
        (status = 200, description = "Who should take the parts", body = WritePlan),
        BadRequest, NoSuchBucket, NotThisNode, ReadFaults,
    )
)]
pub(in super::super) async fn write(
    State(app): App,
    axum::Extension(caller): axum::Extension<Caller>,
    Target { bucket, key }: Target,
    Query(options): Query<WriteOptions>,
) -> Answer<Told<WritePlan>> {
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
        parts.push(PartToSend {
            number,
            node: nodes.at(receiver),
            grant,
        });
    }
    Ok(Told(WritePlan {
        status: Success::Success,
        bucket: bucket.name.clone(),
        nodes: nodes.told(),
        parts,
        expires: time(granting.expires_ms),
        key,
    }))
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
    uploads::upload_id(text).ok_or_else(|| {
        Problem::bad_request(
            "upload is not the id of an upload",
            "begin one with S3's CreateMultipartUpload, and send its id",
        )
    })
}
