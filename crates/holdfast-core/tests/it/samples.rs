//! One value of everything that has a format, chosen so that every field differs from its neighbours and from zero.

use bytes::Bytes;
use holdfast_core::bucket::{AccessKey, Bucket, BucketState, Conflict, KeyState, Settings};
use holdfast_core::chord::{Hop, Peer};
use holdfast_core::content::{BodyForm, Content, Kind, Manifest, ManifestPart, StoredBody};
use holdfast_core::context::Context;
use holdfast_core::dead::{ChunkRange, Collect, Collected, DeadBody, HintsHeld, Over, Remnant};
use holdfast_core::fingerprint::Fingerprint;
use holdfast_core::gateway::{Directions, Placement};
use holdfast_core::ids::{
    ActorId, BucketId, ChunkId, ClusterId, Dot, NodeId, ObjectKey, PartId, Partition, Position, RequestId, Tick,
    UploadId,
};
use holdfast_core::message::{
    Announcement, Compared, Comparison, Copy, Digest, Envelope, Header, Known, Message, OpId, RangeRows, ReadResult,
    Refusal, ShardCursor, ShardRows, SideRange, SideRow, Walk, WalkEnd, Write, WritePurpose, Written,
};
use holdfast_core::place::Place;
use holdfast_core::record::{Record, Version};
use holdfast_core::registry::Entry;
use holdfast_core::request::{
    Answer, ClientRequest, Count, Get, Got, List, Page, PageEntry, Put, PutOutcome, PutValue, ReadChunk, ReadFault,
    Request, StateChange, Upload, UploadInfo, UploadPart, UploadState, UploadStep, WantedBodies, WriteChunk,
    WriteError, WriteFault,
};
use holdfast_core::storage::{ChunkHeader, Space};
use holdfast_core::wire::encoded::EncodedRecord;
use holdfast_core::wire::hint::HintRow;
use holdfast_core::wire::record::{EntryRow, PartRow, RowLocal, UploadRow};

fn peers(nodes: &[u64]) -> Vec<Peer> {
    nodes.iter().map(|node| Peer::of(NodeId(*node))).collect()
}

fn directions(hop: Hop, placement: Option<Placement>) -> Message {
    let addresses = vec![(NodeId(3), "n3.example:9002".to_string())];
    let directions = Directions {
        hop,
        placement,
        addresses,
    };
    Message::FindReply { op: OP, directions }
}

const OP: OpId = OpId(0x0102_0304_0506_0708);

fn text(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_string(), (*value).to_string()))
        .collect()
}

/// The dot of write number `number`.
pub fn dot(number: u64) -> Dot {
    Dot {
        actor: ActorId(0xa1a2_a3a4_a5a6_a700 + number % 3),
        life: Tick(0x0190_0000_0000_0001),
        tick: Tick(0x0192_0000_0000_0000 + number),
    }
}

/// A context of three lives.
pub fn context() -> Context {
    let mut context = Context::new();
    for number in [3, 1, 2] {
        context.add(dot(number));
    }
    context
}

/// An object of four kilobytes, as most are.
pub fn plain_version(number: u64) -> Version {
    Version {
        dot: dot(number),
        request: RequestId(0x00112233_44556677_8899aabb_ccddee00 + u128::from(number)),
        content: Content {
            kind: Kind::Value,
            size: 4096,
            etag: "9e107d9d372bb6826bd81d3542a419d6".to_string(),
            headers: text(&[("content-type", "text/plain")]),
            body: BodyForm::Inline {
                length: 4096,
                digest: *b"0123456789abcdef",
            },
        },
    }
}

/// A record as nearly all are: one version, one life.
pub fn plain_record() -> Record {
    Record::from_parts(Context::new(), vec![plain_version(1)])
}

/// A record with a value, a chunked value and a deletion side by side.
pub fn sibling_record() -> Record {
    let mut chunked = plain_version(2);
    chunked.content.size = 5_368_709_121;
    chunked.content.headers = text(&[("content-type", "video/mp4"), ("x-amz-meta-größe", "ja")]);
    chunked.content.body = BodyForm::Manifest {
        length: 300,
        digest: *b"fedcba9876543210",
        parts: 1025,
        commit_deadline_ms: 1_900_000_000_000,
    };
    let deleted = Version {
        dot: dot(3),
        request: RequestId(77),
        content: Content::deletion(),
    };
    Record::from_parts(context(), vec![deleted, plain_version(1), chunked])
}

/// What a node knows of its copy.
pub fn local() -> RowLocal {
    RowLocal {
        life: Tick(0x0190_0000_0000_0001),
        life_boot: 42,
    }
}

/// Two parts, one with a checksum.
pub fn hint() -> HintRow {
    HintRow {
        owed: vec![NodeId(3), NodeId(9)],
        local: local(),
        record: plain_record(),
    }
}

pub fn manifest() -> Manifest {
    Manifest {
        parts: vec![
            ManifestPart {
                id: PartId(0xf0f1_f2f3_f4f5_f6f7_f8f9_fafb_fcfd_feff),
                number: 1,
                size: 8_388_608,
                chunk_bytes: 4_194_304,
                checksums: text(&[("x-amz-checksum-crc32", "AAAAAA==")]),
            },
            ManifestPart {
                id: PartId(2),
                number: 10_000,
                size: 5,
                chunk_bytes: 4_194_304,
                checksums: Vec::new(),
            },
        ],
    }
}

/// An upload.
pub fn upload() -> UploadRow {
    UploadRow {
        info: UploadInfo {
            id: UploadId(0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100),
            key: "films/über.mp4".to_string(),
            state: UploadState::Completed,
            headers: text(&[("x-amz-checksum-algorithm", "CRC32")]),
            initiator: "GK0123456789abcdef".to_string(),
            created_ms: 1_750_000_000_000,
            commit_deadline_ms: 1_750_600_000_000,
        },
    }
}

fn upload_part() -> UploadPart {
    UploadPart {
        number: 300,
        part: PartId(0x11),
        size: 5_242_880,
        chunk_bytes: 4_194_304,
        etag: "d41d8cd98f00b204e9800998ecf8427e".to_string(),
        checksums: text(&[("x-amz-checksum-sha256", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")]),
        modified_ms: 1_750_000_000_123,
    }
}

/// A part.
pub fn part() -> PartRow {
    PartRow {
        stamp: (Tick(0x0192_0000_0000_0007), ActorId(9)),
        part: upload_part(),
    }
}

/// A bucket's settings.
pub fn settings() -> Settings {
    Settings {
        id: BucketId(0xb0b1_b2b3_b4b5_b6b7),
        version: 300,
        shards: 1024,
        n: 3,
        r: 1,
        w: 2,
        sloppy: true,
    }
}

/// A bucket.
pub fn bucket() -> Bucket {
    Bucket {
        name: "photos-2024".to_string(),
        settings: settings(),
        owner: "GK0123456789abcdef".to_string(),
        created_ms: 1_750_000_000_000,
        conflict: Conflict::Siblings,
        state: BucketState::Deleted,
        deletions: 129,
    }
}

/// An access key.
pub fn access_key() -> AccessKey {
    AccessKey {
        id: "GK0123456789abcdef".to_string(),
        secret: "not a secret".to_string(),
        name: "backup".to_string(),
        created_ms: 1_750_000_000_000,
        state: KeyState::Disabled,
    }
}

/// Registry entries: of this program, and one to which a newer program has added something.
pub fn entries() -> Vec<(&'static str, EntryRow)> {
    let row = |entry, extensions| EntryRow { entry, extensions };
    vec![
        ("entry-bucket", row(Entry::Bucket(bucket()), Bytes::new())),
        ("entry-key", row(Entry::Key(access_key()), Bytes::new())),
        (
            "entry-bucket-extended",
            row(Entry::Bucket(bucket()), Bytes::from_static(b"\x07\x03new")),
        ),
    ]
}

/// Counts of a bucket.
pub fn count() -> Count {
    Count {
        objects: 1_000_001,
        bytes: 0x0001_0203_0405_0607,
    }
}

fn place() -> Place {
    Place {
        partition: Partition(513),
        bucket: settings().id,
        shard: 7,
        key: "a/ключ".to_string(),
    }
}

fn object_key() -> ObjectKey {
    ObjectKey {
        bucket: settings().id,
        key: "a/ключ".to_string(),
    }
}

fn chunk_id() -> ChunkId {
    ChunkId {
        part: PartId(0xf0f1_f2f3_f4f5_f6f7_f8f9_fafb_fcfd_feff),
        index: 258,
    }
}

/// A record with the body of its one version.
pub fn copy() -> Copy {
    Copy {
        record: plain_record(),
        bodies: vec![(dot(1), Bytes::from_static(b"the body of a small object"))],
    }
}

fn side_row() -> SideRow {
    SideRow {
        space: Space::Uploads,
        key: place().upload_key(UploadId(5)),
        value: Bytes::from_static(b"an upload"),
    }
}

/// Messages by name of their golden file. Every variant, and every variant of what the bigger ones hold.
pub fn messages() -> Vec<(String, Envelope)> {
    let mut named: Vec<(String, Message)> = Vec::new();
    let mut add = |name: &str, message| named.push((name.to_string(), message));
    for (name, message) in key_messages() {
        add(name, message);
    }
    for (name, message) in chunk_messages() {
        add(name, message);
    }
    for (name, message) in range_messages() {
        add(name, message);
    }
    for (name, message) in collect_messages() {
        add(name, message);
    }
    for (name, what) in requests() {
        let request = ClientRequest {
            request: RequestId(0x99),
            deadline_ms: 30_000,
            what,
        };
        let above = Tick(0x0192_0000_0000_0003);
        let forward = Message::Forward { op: OP, above, request };
        add(&format!("forward-{name}"), forward);
    }
    for (name, answer) in answers() {
        add(
            &format!("forward-reply-{name}"),
            Message::ForwardReply { op: OP, answer },
        );
    }
    named
        .into_iter()
        .map(|(name, message)| {
            let header = header();
            (format!("message-{name}"), Envelope { header, message })
        })
        .collect()
}

fn header() -> Header {
    Header {
        cluster: ClusterId(0xc0c1_c2c3_c4c5_c6c7_c8c9_cacb_cccd_cecf),
        era: 1,
        epoch: 17,
        settings_version: 300,
        request: RequestId(0xd0d1_d2d3_d4d5_d6d7_d8d9_dadb_dcdd_dedf),
        content_ms: 1_750_000_000_001,
        deadline_ms: 10_000,
    }
}

fn key_messages() -> Vec<(&'static str, Message)> {
    let write = Write {
        op: OP,
        place: place(),
        own_context: context(),
        copy: copy(),
        side: vec![side_row()],
        purpose: WritePurpose::Repair,
        stands_for: vec![NodeId(3), NodeId(9)],
    };
    let written = Written {
        stands_for: 1,
        context: context(),
        beyond: Some(Context::new()),
    };
    let read = Message::Read {
        op: OP,
        place: place(),
        known: Some(Digest(*b"0123456789abcdef")),
        bodies: WantedBodies::All,
        to_merge: true,
    };
    let read_reply = |result| Message::ReadReply { op: OP, result };
    vec![
        ("write", Message::Write(write)),
        (
            "write-reply",
            Message::WriteReply {
                op: OP,
                result: Ok(written),
            },
        ),
        (
            "write-reply-refused",
            Message::WriteReply {
                op: OP,
                result: Err(Refusal::CommitDeadlinePassed),
            },
        ),
        ("read", read),
        ("read-reply", read_reply(Ok(ReadResult::Copy(copy())))),
        ("read-reply-absent", read_reply(Ok(ReadResult::Absent))),
        ("read-reply-same", read_reply(Ok(ReadResult::Same))),
        ("read-reply-refused", read_reply(Err(Refusal::Damaged))),
    ]
}

fn chunk_messages() -> Vec<(&'static str, Message)> {
    let header = ChunkHeader {
        id: chunk_id(),
        partition: Partition(1023),
        owner: object_key(),
        length: 22,
        commit_deadline_ms: 1_900_000_000_000,
    };
    vec![
        (
            "write-chunk",
            Message::WriteChunk {
                op: OP,
                header,
                body: Bytes::from_static(b"the bytes of one chunk"),
                stands_for: vec![NodeId(9)],
            },
        ),
        ("write-chunk-reply", Message::WriteChunkReply { op: OP, result: Ok(()) }),
        (
            "read-chunk",
            Message::ReadChunk {
                op: OP,
                partition: Partition(1023),
                id: chunk_id(),
                from: 65_536,
                length: 22,
            },
        ),
        (
            "read-chunk-reply",
            Message::ReadChunkReply {
                op: OP,
                result: Ok(Bytes::from_static(b"the bytes of one chunk")),
            },
        ),
        (
            "read-chunk-reply-refused",
            Message::ReadChunkReply {
                op: OP,
                result: Err(Refusal::Absent),
            },
        ),
    ]
}

fn range_messages() -> Vec<(&'static str, Message)> {
    let walk = Walk {
        bucket: settings().id,
        prefix: "a/".to_string(),
        delimiter: "/".to_string(),
        live_max: 1001,
        rows_max: 10_000,
    };
    let cursor = |from: &str, known| ShardCursor {
        shard: 7,
        partition: Partition(513),
        from: from.to_string(),
        known,
    };
    let known = |end| Some((end, Digest(*b"0123456789abcdef")));
    let shards = vec![
        cursor("a/b", known(WalkEnd::Cut("a/z".to_string()))),
        cursor("", known(WalkEnd::Exhausted)),
        cursor("a/", None),
    ];
    let rows = ShardRows::Rows {
        rows: vec![
            ("a/b".to_string(), EncodedRecord::of(&plain_record())),
            ("a/c".to_string(), EncodedRecord::of(&sibling_record())),
        ],
        end: WalkEnd::Cut("a/c".to_string()),
    };
    let range = SideRange {
        space: Space::Parts,
        from: place().row_key(),
        to: vec![0xff],
    };
    let compare = |what| Message::Compare {
        op: OP,
        what,
        from: vec![2, 1],
        to: vec![2, 2],
        fingerprint: Fingerprint {
            sum: 0xfedc_ba98_7654_3210,
            count: 5,
        },
    };
    let differing = RangeRows {
        rows: vec![(place().row_key(), Digest(*b"0123456789abcdef"))],
        to: vec![2, 2],
    };
    vec![
        ("list", Message::List { op: OP, walk, shards }),
        (
            "list-reply",
            Message::ListReply {
                op: OP,
                result: Ok(vec![ShardRows::Same, rows]),
            },
        ),
        (
            "write-side",
            Message::WriteSide {
                op: OP,
                rows: vec![side_row()],
                check_open: true,
            },
        ),
        (
            "write-side-reply",
            Message::WriteSideReply {
                op: OP,
                result: Err(Refusal::UploadClosed),
            },
        ),
        (
            "read-side",
            Message::ReadSide {
                op: OP,
                ranges: vec![range],
                count_max: 1000,
            },
        ),
        (
            "read-side-reply",
            Message::ReadSideReply {
                op: OP,
                result: Ok(vec![(vec![side_row()], true), (Vec::new(), false)]),
            },
        ),
        (
            "count",
            Message::Count {
                op: OP,
                bucket: settings().id,
                partitions: vec![Partition(1), Partition(513)],
            },
        ),
        (
            "count-reply",
            Message::CountReply {
                op: OP,
                result: Ok(count()),
            },
        ),
        ("compare-rows", compare(Compared::Rows(Space::Rows))),
        ("compare-chunks", compare(Compared::Chunks)),
        (
            "compare-reply",
            Message::CompareReply {
                op: OP,
                result: Ok(Comparison::Rows(differing)),
            },
        ),
        (
            "compare-reply-equal",
            Message::CompareReply {
                op: OP,
                result: Ok(Comparison::Equal),
            },
        ),
        (
            "compare-reply-pieces",
            Message::CompareReply {
                op: OP,
                result: Ok(Comparison::Pieces(vec![
                    (vec![2, 1, 9], Fingerprint { sum: 1, count: 40 }),
                    (vec![2, 2], Fingerprint { sum: 2, count: 50 }),
                ])),
            },
        ),
        (
            "compare-reply-not-read",
            Message::CompareReply {
                op: OP,
                result: Err(Refusal::NotReadYet),
            },
        ),
    ]
}

/// A body that a version left behind.
pub fn dead_body() -> DeadBody {
    DeadBody {
        since_ms: 1_700_000_000_123,
        homes: 3,
        manifest: manifest(),
    }
}

fn lives() -> Remnant {
    let lives = vec![(ActorId(3), Tick(4)), (ActorId(5), Tick(6))];
    Remnant {
        place: place(),
        over: Over::Lives(lives),
        digest: Digest(*b"0123456789abcdef"),
        homes: 3,
    }
}

fn remnants() -> Vec<Remnant> {
    let remnant = |over| Remnant {
        place: place(),
        over,
        digest: Digest(*b"0123456789abcdef"),
        homes: 3,
    };
    vec![remnant(Over::Record), remnant(Over::Upload(UploadId(5)))]
}

fn collect_messages() -> Vec<(&'static str, Message)> {
    let ask = |ask| Message::Collect { op: OP, ask };
    let reply = |collected| Message::CollectReply {
        op: OP,
        result: Ok(collected),
    };
    let part = PartId(0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100);
    vec![
        (
            "claim",
            Message::Claim {
                op: OP,
                forward: OpId(77),
                up_to: Tick(0x0192_0000_0000_0005),
            },
        ),
        (
            "claim-reply",
            Message::ClaimReply {
                op: OP,
                up_to: Tick(0x0192_0000_0000_0004),
            },
        ),
        (
            "announce",
            Message::Announce {
                op: OP,
                said: Announcement {
                    actor: ActorId(0x0102_0304_0506_0708),
                    born_ms: 1_700_000_000_000,
                    run: 77,
                    boot: 4,
                    bound: Tick(1_700_000_000_000 << 16),
                },
            },
        ),
        (
            "announced",
            Message::Announced {
                op: OP,
                known: Known::Later,
                run: 78,
            },
        ),
        (
            "find",
            Message::Find {
                op: OP,
                to: Position(0x1112_1314_1516_1718),
                dead: vec![NodeId(8), NodeId(9)],
            },
        ),
        ("find-reply-closer", directions(Hop::Closer(peers(&[3, 4])), None)),
        (
            "find-reply-owners",
            directions(
                Hop::Owners(peers(&[3])),
                Some(Placement {
                    partition_bits: 10,
                    partition: Partition(513),
                    members: 5,
                    nodes: vec![NodeId(1), NodeId(5)],
                }),
            ),
        ),
        ("collect-named", ask(Collect::Named(vec![(place(), part)]))),
        ("collect-hints", ask(Collect::Hints(vec![Partition(1), Partition(513)]))),
        (
            "collect-remove",
            ask(Collect::Remove(vec![ChunkRange {
                part,
                from: 1,
                to: 1_025,
            }])),
        ),
        ("collect-remnants", ask(Collect::Remnants(remnants()))),
        ("collect-remnant-lives", ask(Collect::Remnants(vec![lives()]))),
        ("collect-erase-remnants", ask(Collect::Erase(remnants()))),
        ("collect-reply-otherwise", reply(Collected::Otherwise(vec![0, 63]))),
        ("collect-forget", ask(Collect::Forget(vec![place().row_key()]))),
        ("collect-reply-named", reply(Collected::Named(vec![part]))),
        (
            "collect-reply-hints",
            reply(Collected::Hints(HintsHeld {
                run: 7,
                wall_ms: 1_700_000_000_123,
                partitions: vec![(Partition(1), true, 3), (Partition(513), false, 4)],
            })),
        ),
        ("collect-reply-done", reply(Collected::Done)),
    ]
}

fn requests() -> Vec<(&'static str, Request)> {
    let put = |value, context| {
        Request::Put(Put {
            settings: settings(),
            key: object_key(),
            context,
            value,
            w: Some(3),
            wait_all: true,
        })
    };
    let object = |body| PutValue::Object {
        etag: "9e107d9d372bb6826bd81d3542a419d6".to_string(),
        headers: text(&[("content-type", "text/plain")]),
        body,
    };
    let chunked = StoredBody::Chunked {
        manifest: manifest(),
        commit_deadline_ms: 1_900_000_000_000,
    };
    let inline = StoredBody::Inline(Bytes::from_static(b"small"));
    let mut requests = vec![
        ("put-inline", put(object(inline), Some(context()))),
        ("put-chunked", put(object(chunked), None)),
        ("put-deletion", put(PutValue::Deletion, None)),
        (
            "get",
            Request::Get(Get {
                settings: settings(),
                key: object_key(),
                r: Some(2),
                bodies: WantedBodies::Newest,
            }),
        ),
        (
            "list",
            Request::List(List {
                settings: settings(),
                prefix: "a/".to_string(),
                delimiter: "/".to_string(),
                after: "a/b".to_string(),
                count_max: 1000,
            }),
        ),
        (
            "write-chunk",
            Request::WriteChunk(WriteChunk {
                settings: settings(),
                owner: object_key(),
                id: chunk_id(),
                commit_deadline_ms: 1_900_000_000_000,
                body: Bytes::from_static(b"the bytes of one chunk"),
            }),
        ),
        (
            "read-chunk",
            Request::ReadChunk(ReadChunk {
                settings: settings(),
                id: chunk_id(),
                from: 65_536,
                length: 22,
            }),
        ),
        ("count", Request::Count(settings())),
    ];
    requests.extend(upload_steps().into_iter().map(|(name, step)| {
        let upload = Upload {
            settings: settings(),
            key: object_key(),
            step,
        };
        (name, Request::Upload(upload))
    }));
    requests
}

fn upload_steps() -> Vec<(&'static str, UploadStep)> {
    let id = UploadId(0x55);
    vec![
        (
            "upload-create",
            UploadStep::Create {
                id,
                headers: text(&[("x-amz-checksum-algorithm", "CRC32")]),
                initiator: "GK0123456789abcdef".to_string(),
            },
        ),
        (
            "upload-put-part",
            UploadStep::PutPart {
                id,
                part: upload_part(),
            },
        ),
        ("upload-read", UploadStep::Read { id }),
        (
            "upload-complete",
            UploadStep::Complete {
                id,
                etag: "9e107d9d372bb6826bd81d3542a419d6-2".to_string(),
                headers: text(&[("content-type", "text/plain")]),
                manifest: manifest(),
            },
        ),
        ("upload-abort", UploadStep::Abort { id }),
        (
            "upload-list",
            UploadStep::List {
                prefix: "a/".to_string(),
                after: ("a/b".to_string(), Some(UploadId(0x54))),
                count_max: 1000,
            },
        ),
    ]
}

fn answers() -> Vec<(&'static str, Answer)> {
    let outcome = PutOutcome {
        dot: dot(1),
        context: context(),
        etag: "9e107d9d372bb6826bd81d3542a419d6".to_string(),
        siblings: 200,
        coordinator: NodeId(1),
        preference_list: vec![NodeId(1), NodeId(2), NodeId(3), NodeId(4)],
        written: vec![NodeId(1), NodeId(2)],
        pending: vec![NodeId(3)],
        down: vec![NodeId(4)],
        hinted: vec![(NodeId(4), NodeId(5))],
        clocks: vec![(NodeId(1), context()), (NodeId(2), Context::new())],
    };
    let got = Got {
        record: sibling_record(),
        bodies: copy().bodies,
        coordinator: NodeId(2),
        preference_list: vec![NodeId(2), NodeId(1)],
        clocks: vec![(NodeId(2), context())],
        down: vec![NodeId(9)],
        stand_ins: vec![NodeId(8)],
        holders_unheard: vec![NodeId(7)],
    };
    let page = Page {
        entries: vec![
            PageEntry::Object {
                key: "a/b".to_string(),
                record: EncodedRecord::of(&plain_record()),
            },
            PageEntry::CommonPrefix("a/c/".to_string()),
        ],
        next: Some("a/c/".to_string()),
        by_stand_ins: true,
    };
    let mut answers = vec![
        ("put", Answer::Put(outcome)),
        ("got", Answer::Got(got)),
        ("page", Answer::Page(page)),
        ("chunk-written", Answer::ChunkWritten),
        (
            "chunk-read",
            Answer::ChunkRead(Bytes::from_static(b"the bytes of one chunk")),
        ),
        ("upload-created", Answer::UploadCreated),
        ("part-stored", Answer::PartStored),
        ("upload", Answer::Upload(upload().info, vec![upload_part()])),
        ("upload-aborted", Answer::UploadAborted),
        ("uploads", Answer::Uploads(vec![upload().info], true)),
        ("counted", Answer::Counted(count())),
    ];
    answers.extend(failures());
    answers
}

fn failures() -> Vec<(&'static str, Answer)> {
    let write = |state, fault| Answer::WriteFailed(WriteError { state, fault });
    let unavailable = WriteFault::Unavailable {
        needed: 2,
        reached: 1,
        down: vec![NodeId(3), NodeId(4)],
    };
    vec![
        ("write-unavailable", write(StateChange::Unchanged, unavailable)),
        (
            "write-timed-out",
            write(StateChange::Unknown, WriteFault::TimedOut { needed: 3, synced: 2 }),
        ),
        (
            "write-overloaded",
            write(StateChange::Unchanged, WriteFault::Overloaded),
        ),
        (
            "read-unavailable",
            Answer::ReadFailed(ReadFault::Unavailable {
                needed: 2,
                reached: 1,
                down: vec![NodeId(3)],
            }),
        ),
        (
            "read-timed-out",
            Answer::ReadFailed(ReadFault::TimedOut { needed: 2, answered: 1 }),
        ),
        ("read-damaged", Answer::ReadFailed(ReadFault::Damaged)),
    ]
}
