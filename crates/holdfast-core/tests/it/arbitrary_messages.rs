//! Strategies for messages: every variant of everything they hold.

use holdfast_core::chord::{Hop, Peer};
use holdfast_core::content::Manifest;
use holdfast_core::dead::{ChunkRange, Collect, Collected, HintsHeld, Over, Remnant};
use holdfast_core::fingerprint::Fingerprint;
use holdfast_core::gateway::{Directions, Placement};
use holdfast_core::ids::{ActorId, BucketId, NodeId, PartId, Position, RequestId, Tick};
use holdfast_core::message::{
    Announcement, Compared, Comparison, Copy, Envelope, Known, Message, RangeRows, ReadResult, Refusal, ShardCursor,
    ShardRows, SideRange, SideRow, Walk, WalkEnd, Write, WritePurpose, Written,
};
use holdfast_core::request::{
    Answer, ClientRequest, Get, Got, List, Page, PageEntry, Put, PutOutcome, PutValue, ReadChunk, ReadFault, Request,
    StateChange, Upload, UploadStep, WantedBodies, WriteChunk, WriteError, WriteFault,
};
use holdfast_core::storage::{ChunkHeader, Space};
use holdfast_core::wire::encoded::EncodedRecord;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use proptest::sample::select;

use crate::arbitrary::{
    bodies, bytes, chunk_id, clocks, context, count, digest, dot, header, headers, manifest, maybe_u8, nodes, number,
    object_key, op, partition, place, record, row_key, settings, stored_body, text, tick, upload_id, upload_info,
    upload_part,
};

/// Any message with any header.
pub fn envelope() -> BoxedStrategy<Envelope> {
    let message = prop_oneof![
        8 => key_message(),
        5 => chunk_message(),
        8 => range_message(),
        2 => collect_message(),
        4 => (op(), tick(), client_request()).prop_map(|(op, above, request)| Message::Forward { op, above, request }),
        4 => (op(), answer()).prop_map(|(op, answer)| Message::ForwardReply { op, answer }),
    ];
    (header(), message)
        .prop_map(|(header, message)| Envelope { header, message })
        .boxed()
}

fn encoded() -> impl Strategy<Value = EncodedRecord> {
    record().prop_map(|record| EncodedRecord::of(&record))
}

fn refusal() -> BoxedStrategy<Refusal> {
    select(vec![
        Refusal::Damaged,
        Refusal::Absent,
        Refusal::Io,
        Refusal::DiskFull,
        Refusal::ClockRefused,
        Refusal::UploadClosed,
        Refusal::CommitDeadlinePassed,
        Refusal::NotHome,
        Refusal::Malformed,
        Refusal::Overloaded,
    ])
    .boxed()
}

fn refusable<T: Clone + std::fmt::Debug + 'static>(value: BoxedStrategy<T>) -> BoxedStrategy<Result<T, Refusal>> {
    prop_oneof![3 => value.prop_map(Ok), 1 => refusal().prop_map(Err)].boxed()
}

fn wanted() -> BoxedStrategy<WantedBodies> {
    select(vec![WantedBodies::None, WantedBodies::Newest, WantedBodies::All]).boxed()
}

fn space() -> BoxedStrategy<Space> {
    select(Space::ALL.to_vec()).boxed()
}

fn side_rows() -> BoxedStrategy<Vec<SideRow>> {
    let row = (space(), row_key(), bytes()).prop_map(|(space, key, value)| SideRow { space, key, value });
    vec(row, 0..4).boxed()
}

fn copy() -> BoxedStrategy<Copy> {
    (record(), bodies())
        .prop_map(|(record, bodies)| Copy { record, bodies })
        .boxed()
}

fn key_message() -> BoxedStrategy<Message> {
    let purpose = select(vec![WritePurpose::Commit, WritePurpose::Repair, WritePurpose::Handoff]);
    let write = (op(), place(), context(), copy(), side_rows(), purpose, nodes()).prop_map(
        |(op, place, own_context, copy, side, purpose, stands_for)| {
            Message::Write(Write {
                op,
                place,
                own_context,
                copy,
                side,
                purpose,
                stands_for,
            })
        },
    );
    let written = (context(), option::of(context()), any::<u8>()).prop_map(|(context, beyond, stands_for)| Written {
        context,
        beyond,
        stands_for,
    });
    let read = (op(), place(), option::of(digest()), wanted(), any::<bool>()).prop_map(
        |(op, place, known, bodies, to_merge)| Message::Read {
            op,
            place,
            known,
            bodies,
            to_merge,
        },
    );
    let found = prop_oneof![
        Just(ReadResult::Absent),
        Just(ReadResult::Same),
        copy().prop_map(ReadResult::Copy)
    ];
    prop_oneof![
        write,
        (op(), refusable(written.boxed())).prop_map(|(op, result)| Message::WriteReply { op, result }),
        read,
        (op(), refusable(found.boxed())).prop_map(|(op, result)| Message::ReadReply { op, result }),
    ]
    .boxed()
}

fn chunk_message() -> BoxedStrategy<Message> {
    let header = (chunk_id(), partition(), object_key(), any::<u32>(), number()).prop_map(
        |(id, partition, owner, length, commit_deadline_ms)| ChunkHeader {
            id,
            partition,
            owner,
            length,
            commit_deadline_ms,
        },
    );
    let read =
        (op(), partition(), chunk_id(), any::<u32>(), any::<u32>()).prop_map(|(op, partition, id, from, length)| {
            Message::ReadChunk {
                op,
                partition,
                id,
                from,
                length,
            }
        });
    prop_oneof![
        (op(), header, bytes(), nodes()).prop_map(|(op, header, body, stands_for)| Message::WriteChunk {
            op,
            header,
            body,
            stands_for,
        }),
        (op(), refusable(Just(()).boxed())).prop_map(|(op, result)| Message::WriteChunkReply { op, result }),
        read,
        (op(), refusable(bytes())).prop_map(|(op, result)| Message::ReadChunkReply { op, result }),
    ]
    .boxed()
}

fn walk_end() -> BoxedStrategy<WalkEnd> {
    prop_oneof![Just(WalkEnd::Exhausted), text().prop_map(WalkEnd::Cut)].boxed()
}

fn list_message() -> BoxedStrategy<Message> {
    let walk = (any::<u64>(), text(), text(), any::<u32>(), any::<u32>()).prop_map(
        |(bucket, prefix, delimiter, live_max, rows_max)| Walk {
            bucket: BucketId(bucket),
            prefix,
            delimiter,
            live_max,
            rows_max,
        },
    );
    let known = option::of((walk_end(), digest()));
    let cursor = (any::<u16>(), partition(), text(), known).prop_map(|(shard, partition, from, known)| ShardCursor {
        shard,
        partition,
        from,
        known,
    });
    let rows = (vec((text(), encoded()), 0..3), walk_end()).prop_map(|(rows, end)| ShardRows::Rows { rows, end });
    let shards = vec(prop_oneof![Just(ShardRows::Same), rows], 0..3);
    prop_oneof![
        (op(), walk, vec(cursor, 0..4)).prop_map(|(op, walk, shards)| Message::List { op, walk, shards }),
        (op(), refusable(shards.boxed())).prop_map(|(op, result)| Message::ListReply { op, result }),
    ]
    .boxed()
}

fn fingerprint() -> impl Strategy<Value = Fingerprint> {
    (any::<u128>(), any::<u64>()).prop_map(|(sum, count)| Fingerprint { sum, count })
}

fn range_message() -> BoxedStrategy<Message> {
    let range = (space(), row_key(), row_key()).prop_map(|(space, from, to)| SideRange { space, from, to });
    let ranges = vec((side_rows(), any::<bool>()), 0..3);
    let compared = prop_oneof![Just(Compared::Chunks), space().prop_map(Compared::Rows)];
    let differing = (vec((row_key(), digest()), 0..4), row_key()).prop_map(|(rows, to)| RangeRows { rows, to });
    let comparison = prop_oneof![
        Just(Comparison::Equal),
        differing.prop_map(Comparison::Rows),
        vec((row_key(), fingerprint()), 0..4).prop_map(Comparison::Pieces),
    ];
    prop_oneof![
        2 => list_message(),
        1 => (op(), side_rows(), any::<bool>())
            .prop_map(|(op, rows, check_open)| Message::WriteSide { op, rows, check_open }),
        1 => (op(), refusable(Just(()).boxed())).prop_map(|(op, result)| Message::WriteSideReply { op, result }),
        1 => (op(), vec(range, 0..3), any::<u32>())
            .prop_map(|(op, ranges, count_max)| Message::ReadSide { op, ranges, count_max }),
        1 => (op(), refusable(ranges.boxed())).prop_map(|(op, result)| Message::ReadSideReply { op, result }),
        1 => (op(), any::<u64>(), vec(partition(), 0..5)).prop_map(|(op, bucket, partitions)| Message::Count {
            op,
            bucket: BucketId(bucket),
            partitions,
        }),
        1 => (op(), refusable(count())).prop_map(|(op, result)| Message::CountReply { op, result }),
        1 => (op(), compared, row_key(), row_key(), fingerprint())
            .prop_map(|(op, what, from, to, fingerprint)| Message::Compare { op, what, from, to, fingerprint }),
        1 => (op(), refusable(comparison.boxed()))
            .prop_map(|(op, result)| Message::CompareReply { op, result }),
    ]
    .boxed()
}

fn remnant() -> BoxedStrategy<Remnant> {
    let life = (any::<u64>(), any::<u64>()).prop_map(|(actor, life)| (ActorId(actor), Tick(life)));
    let over = prop_oneof![
        Just(Over::Record),
        upload_id().prop_map(Over::Upload),
        vec(life, 0..4).prop_map(Over::Lives),
    ];
    (place(), over, digest(), any::<u8>())
        .prop_map(|(place, over, digest, homes)| Remnant {
            place,
            over,
            digest,
            homes,
        })
        .boxed()
}

fn collect_message() -> BoxedStrategy<Message> {
    let part = || any::<u128>().prop_map(PartId);
    let range = (part(), any::<u32>(), any::<u32>()).prop_map(|(part, from, to)| ChunkRange { part, from, to });
    let ask = prop_oneof![
        vec((place(), part()), 0..4).prop_map(Collect::Named),
        vec(partition(), 0..4).prop_map(Collect::Hints),
        vec(range, 0..4).prop_map(Collect::Remove),
        vec(remnant(), 0..4).prop_map(Collect::Remnants),
        vec(remnant(), 0..4).prop_map(Collect::Erase),
        vec(row_key(), 0..4).prop_map(Collect::Forget),
    ];
    let held = (
        any::<u64>(),
        any::<u64>(),
        vec((partition(), any::<bool>(), any::<u64>()), 0..4),
    )
        .prop_map(|(run, wall_ms, partitions)| HintsHeld {
            run,
            wall_ms,
            partitions,
        });
    let collected = prop_oneof![
        vec(part(), 0..4).prop_map(Collected::Named),
        held.prop_map(Collected::Hints),
        Just(Collected::Done),
        vec(any::<u32>(), 0..4).prop_map(Collected::Otherwise),
    ];
    prop_oneof![
        (op(), ask).prop_map(|(op, ask)| Message::Collect { op, ask }),
        (op(), op(), tick()).prop_map(|(op, forward, up_to)| Message::Claim { op, forward, up_to }),
        (op(), tick()).prop_map(|(op, up_to)| Message::ClaimReply { op, up_to }),
        (op(), announcement()).prop_map(|(op, said)| Message::Announce { op, said }),
        (
            op(),
            prop_oneof![Just(Known::Nothing), Just(Known::OtherData), Just(Known::Later)],
            any::<u64>()
        )
            .prop_map(|(op, known, run)| Message::Announced { op, known, run }),
        (op(), refusable(collected.boxed())).prop_map(|(op, result)| Message::CollectReply { op, result }),
        (op(), any::<u64>(), vec(any::<u64>().prop_map(NodeId), 0..9)).prop_map(|(op, to, dead)| Message::Find {
            op,
            to: Position(to),
            dead,
        }),
        (op(), directions()).prop_map(|(op, directions)| Message::FindReply { op, directions }),
    ]
    .boxed()
}

fn directions() -> BoxedStrategy<Directions> {
    let nodes = || vec(any::<u64>().prop_map(NodeId), 0..9);
    let peers = || nodes().prop_map(|nodes| nodes.into_iter().map(Peer::of).collect());
    let hop = prop_oneof![peers().prop_map(Hop::Owners), peers().prop_map(Hop::Closer)];
    let placement =
        (any::<u8>(), partition(), any::<u32>(), nodes()).prop_map(|(partition_bits, partition, members, nodes)| {
            Placement {
                partition_bits,
                partition,
                members,
                nodes,
            }
        });
    let addresses = vec((any::<u64>().prop_map(NodeId), ".{0,40}"), 0..4);
    (hop, option::of(placement), addresses)
        .prop_map(|(hop, placement, addresses)| Directions {
            hop,
            placement,
            addresses,
        })
        .boxed()
}

fn announcement() -> BoxedStrategy<Announcement> {
    any::<[u64; 5]>()
        .prop_map(|[actor, born_ms, run, boot, bound]| Announcement {
            actor: ActorId(actor),
            born_ms,
            run,
            boot,
            bound: Tick(bound),
        })
        .boxed()
}

fn put() -> BoxedStrategy<Put> {
    let object =
        (text(), headers(), stored_body()).prop_map(|(etag, headers, body)| PutValue::Object { etag, headers, body });
    let value = prop_oneof![1 => Just(PutValue::Deletion), 3 => object];
    (
        settings(),
        object_key(),
        option::of(context()),
        value,
        maybe_u8(),
        any::<bool>(),
    )
        .prop_map(|(settings, key, context, value, w, wait_all)| Put {
            settings,
            key,
            context,
            value,
            w,
            wait_all,
        })
        .boxed()
}

fn upload_step() -> BoxedStrategy<UploadStep> {
    let complete = |(id, etag, headers, manifest): (_, String, Vec<(String, String)>, Manifest)| UploadStep::Complete {
        id,
        etag,
        headers,
        manifest,
    };
    prop_oneof![
        (upload_id(), headers(), text()).prop_map(|(id, headers, initiator)| UploadStep::Create {
            id,
            headers,
            initiator
        }),
        (upload_id(), upload_part()).prop_map(|(id, part)| UploadStep::PutPart { id, part }),
        upload_id().prop_map(|id| UploadStep::Read { id }),
        (upload_id(), text(), headers(), manifest()).prop_map(complete),
        upload_id().prop_map(|id| UploadStep::Abort { id }),
        (text(), (text(), option::of(upload_id())), any::<u32>()).prop_map(|(prefix, after, count_max)| {
            UploadStep::List {
                prefix,
                after,
                count_max,
            }
        }),
    ]
    .boxed()
}

fn client_request() -> BoxedStrategy<ClientRequest> {
    let get = (settings(), object_key(), maybe_u8(), wanted()).prop_map(|(settings, key, r, bodies)| Get {
        settings,
        key,
        r,
        bodies,
    });
    let list = (settings(), text(), text(), text(), any::<u32>()).prop_map(
        |(settings, prefix, delimiter, after, count_max)| List {
            settings,
            prefix,
            delimiter,
            after,
            count_max,
        },
    );
    let write = (settings(), object_key(), chunk_id(), number(), bytes()).prop_map(
        |(settings, owner, id, commit_deadline_ms, body)| WriteChunk {
            settings,
            owner,
            id,
            commit_deadline_ms,
            body,
        },
    );
    let read =
        (settings(), chunk_id(), any::<u32>(), any::<u32>()).prop_map(|(settings, id, from, length)| ReadChunk {
            settings,
            id,
            from,
            length,
        });
    let upload =
        (settings(), object_key(), upload_step()).prop_map(|(settings, key, step)| Upload { settings, key, step });
    let what = prop_oneof![
        put().prop_map(Request::Put),
        get.prop_map(Request::Get),
        list.prop_map(Request::List),
        write.prop_map(Request::WriteChunk),
        read.prop_map(Request::ReadChunk),
        upload.prop_map(Request::Upload),
        settings().prop_map(Request::Count),
    ];
    (any::<u128>(), any::<u32>(), what)
        .prop_map(|(request, deadline_ms, what)| ClientRequest {
            request: RequestId(request),
            deadline_ms,
            what,
        })
        .boxed()
}

fn write_error() -> BoxedStrategy<WriteError> {
    let counted = (any::<u8>(), any::<u8>(), nodes());
    let fault = prop_oneof![
        counted.prop_map(|(needed, reached, down)| WriteFault::Unavailable { needed, reached, down }),
        (any::<u8>(), any::<u8>()).prop_map(|(needed, synced)| WriteFault::TimedOut { needed, synced }),
        select(vec![
            WriteFault::TooManySiblings,
            WriteFault::RequestIdReused,
            WriteFault::ClockRefused,
            WriteFault::DiskFull,
            WriteFault::Damaged,
            WriteFault::NoSuchUpload,
            WriteFault::CommitDeadlinePassed,
            WriteFault::Overloaded,
        ]),
    ];
    (select(vec![StateChange::Unchanged, StateChange::Unknown]), fault)
        .prop_map(|(state, fault)| WriteError { state, fault })
        .boxed()
}

fn read_fault() -> BoxedStrategy<ReadFault> {
    let counted = (any::<u8>(), any::<u8>(), nodes());
    prop_oneof![
        counted.prop_map(|(needed, reached, down)| ReadFault::Unavailable { needed, reached, down }),
        (any::<u8>(), any::<u8>()).prop_map(|(needed, answered)| ReadFault::TimedOut { needed, answered }),
        select(vec![ReadFault::Damaged, ReadFault::NoSuchUpload, ReadFault::Overloaded]),
    ]
    .boxed()
}

fn outcome() -> BoxedStrategy<PutOutcome> {
    let coordinator = any::<u64>().prop_map(holdfast_core::ids::NodeId);
    let hinted = vec((any::<u64>(), any::<u64>()), 0..3).prop_map(|pairs| {
        let pair = |(home, stand_in)| (holdfast_core::ids::NodeId(home), holdfast_core::ids::NodeId(stand_in));
        pairs.into_iter().map(pair).collect()
    });
    let told = (nodes(), nodes(), nodes(), nodes(), hinted, clocks());
    (dot(), context(), text(), any::<u32>(), coordinator, told)
        .prop_map(
            |(dot, context, etag, siblings, coordinator, (preference_list, written, pending, down, hinted, clocks))| {
                PutOutcome {
                    dot,
                    context,
                    etag,
                    siblings,
                    coordinator,
                    preference_list,
                    written,
                    pending,
                    down,
                    hinted,
                    clocks,
                }
            },
        )
        .boxed()
}

fn answer() -> BoxedStrategy<Answer> {
    let coordinator = any::<u64>().prop_map(holdfast_core::ids::NodeId);
    let got = (
        record(),
        bodies(),
        coordinator,
        nodes(),
        clocks(),
        (nodes(), nodes(), nodes()),
    )
        .prop_map(
            |(record, bodies, coordinator, preference_list, clocks, (down, stand_ins, holders_unheard))| Got {
                record,
                bodies,
                coordinator,
                preference_list,
                clocks,
                down,
                stand_ins,
                holders_unheard,
            },
        );
    let entry = prop_oneof![
        (text(), encoded()).prop_map(|(key, record)| PageEntry::Object { key, record }),
        text().prop_map(PageEntry::CommonPrefix),
    ];
    let page = (vec(entry, 0..4), option::of(text()), any::<bool>()).prop_map(|(entries, next, by_stand_ins)| Page {
        entries,
        next,
        by_stand_ins,
    });
    prop_oneof![
        3 => outcome().prop_map(Answer::Put),
        3 => got.prop_map(Answer::Got),
        3 => page.prop_map(Answer::Page),
        2 => select(vec![
            Answer::ChunkWritten,
            Answer::UploadCreated,
            Answer::PartStored,
            Answer::UploadAborted,
        ]),
        1 => bytes().prop_map(Answer::ChunkRead),
        1 => (upload_info(), vec(upload_part(), 0..3)).prop_map(|(info, parts)| Answer::Upload(info, parts)),
        1 => (vec(upload_info(), 0..3), any::<bool>()).prop_map(|(uploads, more)| Answer::Uploads(uploads, more)),
        1 => count().prop_map(Answer::Counted),
        2 => write_error().prop_map(Answer::WriteFailed),
        2 => read_fault().prop_map(Answer::ReadFailed),
    ]
    .boxed()
}
