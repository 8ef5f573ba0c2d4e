//! Strategies for values of everything that has a format, within the limits of `wire::limit`.

use bytes::Bytes;
use holdfast_core::bucket::{AccessKey, Bucket, BucketState, Conflict, KeyState, Settings};
use holdfast_core::content::{BodyForm, Content, Kind, Manifest, ManifestPart, StoredBody};
use holdfast_core::context::Context;
use holdfast_core::ids::{
    ActorId, BucketId, ChunkId, ClusterId, Dot, NodeId, ObjectKey, PartId, Partition, RequestId, Tick, UploadId,
};
use holdfast_core::message::{Digest, Header, OpId};
use holdfast_core::place::Place;
use holdfast_core::record::{Record, Version};
use holdfast_core::registry::Entry;
use holdfast_core::request::{Count, UploadInfo, UploadPart, UploadState};
use holdfast_core::wire::record::{EntryRow, PartRow, RowLocal, UploadRow};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};

/// Numbers of every length, the edges of varints among them.
pub fn number() -> BoxedStrategy<u64> {
    prop_oneof![
        Just(0),
        Just(u64::MAX),
        (0_u32..64, any::<u64>()).prop_map(|(shift, value)| value >> shift),
        (0_u32..63).prop_map(|shift| (1 << shift) - 1),
        (0_u32..64).prop_map(|shift| 1 << shift),
    ]
    .boxed()
}

pub fn text() -> BoxedStrategy<String> {
    prop_oneof![Just(String::new()), ".{0,12}", "[a-z/]{1,40}", "\\PC{120,150}"].boxed()
}

pub fn bytes() -> BoxedStrategy<Bytes> {
    vec(any::<u8>(), 0..200).prop_map(Bytes::from).boxed()
}

pub fn row_key() -> BoxedStrategy<Vec<u8>> {
    vec(any::<u8>(), 0..60).boxed()
}

pub fn headers() -> BoxedStrategy<Vec<(String, String)>> {
    vec((text(), text()), 0..4).boxed()
}

pub fn dot() -> BoxedStrategy<Dot> {
    // Few actors and lives, so that dots meet; now and then any at all.
    let near = (0_u64..4, 0_u64..3, 0_u64..50);
    let far = (any::<u64>(), any::<u64>(), any::<u64>());
    prop_oneof![4 => near, 1 => far]
        .prop_map(|(actor, life, tick)| Dot {
            actor: ActorId(actor),
            life: Tick(life),
            tick: Tick(tick),
        })
        .boxed()
}

pub fn context() -> BoxedStrategy<Context> {
    vec(dot(), 0..6)
        .prop_map(|dots| {
            let mut context = Context::new();
            for dot in dots {
                context.add(dot);
            }
            context
        })
        .boxed()
}

fn body_form() -> BoxedStrategy<BodyForm> {
    let inline = (any::<u32>(), any::<[u8; 16]>()).prop_map(|(length, digest)| BodyForm::Inline { length, digest });
    let manifest = (any::<u32>(), any::<[u8; 16]>(), any::<u32>(), number()).prop_map(
        |(length, digest, parts, commit_deadline_ms)| BodyForm::Manifest {
            length,
            digest,
            parts,
            commit_deadline_ms,
        },
    );
    prop_oneof![Just(BodyForm::Empty), inline, manifest].boxed()
}

fn content() -> BoxedStrategy<Content> {
    let kind = prop_oneof![Just(Kind::Value), Just(Kind::Deleted)];
    (kind, number(), text(), headers(), body_form())
        .prop_map(|(kind, size, etag, headers, body)| Content {
            kind,
            size,
            etag,
            headers,
            body,
        })
        .boxed()
}

fn version() -> BoxedStrategy<Version> {
    (dot(), any::<u128>(), content())
        .prop_map(|(dot, request, content)| Version {
            dot,
            request: RequestId(request),
            content,
        })
        .boxed()
}

pub fn record() -> BoxedStrategy<Record> {
    (context(), vec(version(), 0..4))
        .prop_map(|(context, versions)| Record::from_parts(context, versions))
        .boxed()
}

pub fn local() -> BoxedStrategy<RowLocal> {
    (any::<u64>(), any::<u64>())
        .prop_map(|(life, life_boot)| RowLocal {
            life: Tick(life),
            life_boot,
        })
        .boxed()
}

fn manifest_part() -> BoxedStrategy<ManifestPart> {
    (any::<u128>(), any::<u16>(), number(), any::<u32>(), headers())
        .prop_map(|(id, number, size, chunk_bytes, checksums)| ManifestPart {
            id: PartId(id),
            number,
            size,
            chunk_bytes,
            checksums,
        })
        .boxed()
}

pub fn manifest() -> BoxedStrategy<Manifest> {
    vec(manifest_part(), 0..6).prop_map(|parts| Manifest { parts }).boxed()
}

pub fn stored_body() -> BoxedStrategy<StoredBody> {
    let chunked = (manifest(), number()).prop_map(|(manifest, commit_deadline_ms)| StoredBody::Chunked {
        manifest,
        commit_deadline_ms,
    });
    prop_oneof![bytes().prop_map(StoredBody::Inline), chunked].boxed()
}

pub fn upload_info() -> BoxedStrategy<UploadInfo> {
    let state = prop_oneof![
        Just(UploadState::Open),
        Just(UploadState::Aborted),
        Just(UploadState::Completed)
    ];
    (any::<u128>(), text(), state, headers(), text(), number(), number())
        .prop_map(
            |(id, key, state, headers, initiator, created_ms, commit_deadline_ms)| UploadInfo {
                id: UploadId(id),
                key,
                state,
                headers,
                initiator,
                created_ms,
                commit_deadline_ms,
            },
        )
        .boxed()
}

pub fn upload() -> BoxedStrategy<UploadRow> {
    upload_info().prop_map(|info| UploadRow { info }).boxed()
}

pub fn upload_part() -> BoxedStrategy<UploadPart> {
    let lengths = (any::<u16>(), number(), any::<u32>(), number());
    (any::<u128>(), lengths, text(), headers())
        .prop_map(
            |(part, (number, size, chunk_bytes, modified_ms), etag, checksums)| UploadPart {
                number,
                part: PartId(part),
                size,
                chunk_bytes,
                etag,
                checksums,
                modified_ms,
            },
        )
        .boxed()
}

pub fn part() -> BoxedStrategy<PartRow> {
    (any::<u64>(), any::<u64>(), upload_part())
        .prop_map(|(tick, actor, part)| PartRow {
            stamp: (Tick(tick), ActorId(actor)),
            part,
        })
        .boxed()
}

pub fn settings() -> BoxedStrategy<Settings> {
    (any::<u64>(), number(), any::<u16>(), any::<[u8; 3]>(), any::<bool>())
        .prop_map(|(id, version, shards, [n, r, w], sloppy)| Settings {
            id: BucketId(id),
            version,
            shards,
            n,
            r,
            w,
            sloppy,
        })
        .boxed()
}

fn bucket() -> BoxedStrategy<Entry> {
    let conflict = prop_oneof![Just(Conflict::Newest), Just(Conflict::Siblings)];
    let state = prop_oneof![Just(BucketState::Live), Just(BucketState::Deleted)];
    (text(), settings(), text(), number(), conflict, state, any::<u32>())
        .prop_map(|(name, settings, owner, created_ms, conflict, state, deletions)| {
            Entry::Bucket(Bucket {
                name,
                settings,
                owner,
                created_ms,
                conflict,
                state,
                deletions,
            })
        })
        .boxed()
}

fn access_key() -> BoxedStrategy<Entry> {
    let state = prop_oneof![
        Just(KeyState::Enabled),
        Just(KeyState::Disabled),
        Just(KeyState::Deleted)
    ];
    (text(), text(), text(), number(), state)
        .prop_map(|(id, secret, name, created_ms, state)| {
            Entry::Key(AccessKey {
                id,
                secret,
                name,
                created_ms,
                state,
            })
        })
        .boxed()
}

pub fn entry() -> BoxedStrategy<EntryRow> {
    (prop_oneof![bucket(), access_key()], bytes())
        .prop_map(|(entry, extensions)| EntryRow { entry, extensions })
        .boxed()
}

pub fn count() -> BoxedStrategy<Count> {
    (any::<u64>(), any::<u64>())
        .prop_map(|(objects, bytes)| Count { objects, bytes })
        .boxed()
}

pub fn header() -> BoxedStrategy<Header> {
    let numbers = (any::<u32>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>());
    (any::<u128>(), any::<u128>(), numbers)
        .prop_map(
            |(cluster, request, (era, epoch, settings_version, content_ms, deadline_ms))| Header {
                cluster: ClusterId(cluster),
                era,
                epoch,
                settings_version,
                request: RequestId(request),
                content_ms,
                deadline_ms,
            },
        )
        .boxed()
}

pub fn tick() -> BoxedStrategy<Tick> {
    any::<u64>().prop_map(Tick).boxed()
}

pub fn op() -> BoxedStrategy<OpId> {
    any::<u64>().prop_map(OpId).boxed()
}

pub fn nodes() -> BoxedStrategy<Vec<NodeId>> {
    vec(any::<u64>().prop_map(NodeId), 0..4).boxed()
}

pub fn clocks() -> BoxedStrategy<Vec<(NodeId, Context)>> {
    vec((any::<u64>().prop_map(NodeId), context()), 0..4).boxed()
}

pub fn digest() -> BoxedStrategy<Digest> {
    any::<[u8; 16]>().prop_map(Digest).boxed()
}

pub fn partition() -> BoxedStrategy<Partition> {
    any::<u16>().prop_map(Partition).boxed()
}

pub fn place() -> BoxedStrategy<Place> {
    (partition(), any::<u64>(), any::<u16>(), text())
        .prop_map(|(partition, bucket, shard, key)| Place {
            partition,
            bucket: BucketId(bucket),
            shard,
            key,
        })
        .boxed()
}

pub fn object_key() -> BoxedStrategy<ObjectKey> {
    (any::<u64>(), text())
        .prop_map(|(bucket, key)| ObjectKey {
            bucket: BucketId(bucket),
            key,
        })
        .boxed()
}

pub fn chunk_id() -> BoxedStrategy<ChunkId> {
    (any::<u128>(), any::<u32>())
        .prop_map(|(part, index)| ChunkId {
            part: PartId(part),
            index,
        })
        .boxed()
}

pub fn bodies() -> BoxedStrategy<Vec<(Dot, Bytes)>> {
    vec((dot(), bytes()), 0..3).boxed()
}

pub fn upload_id() -> BoxedStrategy<UploadId> {
    any::<u128>().prop_map(UploadId).boxed()
}

pub fn maybe_u8() -> BoxedStrategy<Option<u8>> {
    option::of(any::<u8>()).boxed()
}
