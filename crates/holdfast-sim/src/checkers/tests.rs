//! The checkers judge a made-up history: what must be seen is seen, and what is right passes.

use bytes::Bytes;
use holdfast_core::bucket::Settings;
use holdfast_core::content::{BodyForm, Content, Kind};
use holdfast_core::context::Context;
use holdfast_core::ids::{ActorId, BucketId, Dot, NodeId, RequestId, Tick, UploadId};
use holdfast_core::place::Place;
use holdfast_core::record::{Record, Version};
use holdfast_core::request::{List, Page, PageEntry, PutOutcome, UploadInfo, UploadState};
use holdfast_core::wire::encoded::EncodedRecord;

use super::acked_kept::Counted;
use super::{acked_kept, contexts, dots, durable, listing, lives, replaced, uploads};
use crate::trace::{Detail, Trace};
use crate::truth::{Expected, KeyIx, Known, NodeIx, WriteIx};
use crate::watch::Watch;

const HOMES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

fn settings() -> Settings {
    Settings {
        id: BucketId(7),
        version: 1,
        shards: 1,
        n: 3,
        r: 2,
        w: 2,
        sloppy: true,
    }
}

/// A history of one bucket; every write is issued by the actor of one node, in one life unless told otherwise.
struct History {
    watch: Watch,
    now_us: u64,
}

/// A write that was issued: what it is and the version it made.
struct Made {
    write: WriteIx,
    version: Version,
}

impl History {
    fn new() -> Self {
        Self {
            watch: Watch::new(HOMES.len(), Trace::new(Detail::Hash)),
            now_us: 0,
        }
    }

    fn key(&mut self, name: &str) -> KeyIx {
        let place = Place::of(&settings(), name, 0);
        self.watch.truth.key(place, settings(), HOMES.to_vec())
    }

    fn later(&mut self) -> u64 {
        self.now_us += 1_000;
        self.now_us
    }

    /// A client begins a write and some node issues its dot.
    fn make(&mut self, key: KeyIx, deletion: bool, known: Option<Known>) -> Made {
        let now_us = self.later();
        let request = RequestId(u128::from(now_us));
        let expected = Expected {
            deletion,
            ..Expected::deletion()
        };
        let write = self.watch.truth.begin_write(now_us, request, key, expected, known);
        let dot = Dot {
            actor: ActorId(1),
            life: Tick(1),
            tick: Tick(now_us),
        };
        let content = Content {
            kind: if deletion { Kind::Deleted } else { Kind::Value },
            size: 0,
            etag: String::new(),
            headers: Vec::new(),
            body: BodyForm::Empty,
        };
        self.watch.truth.issue(key, write, dot, content.clone());
        let version = Version { dot, request, content };
        Made { write, version }
    }

    /// The client of a write learns that it is done, and with which context.
    fn acknowledge(&mut self, made: &Made, context: Context) {
        self.acknowledge_by(made, context, &HOMES);
    }

    /// Only these homes have it; stand-ins hold the rest.
    fn acknowledge_by(&mut self, made: &Made, context: Context, homes: &[NodeId]) {
        let now_us = self.later();
        let outcome = PutOutcome {
            dot: made.version.dot,
            context,
            etag: String::new(),
            siblings: 1,
            coordinator: HOMES[0],
            preference_list: HOMES.to_vec(),
            written: homes.to_vec(),
            pending: Vec::new(),
            down: Vec::new(),
            hinted: Vec::new(),
            clocks: Vec::new(),
        };
        replaced::acknowledged(&mut self.watch, now_us, made.write, &outcome);
    }
}

fn context(dots: &[Dot]) -> Context {
    let mut context = Context::new();
    for dot in dots {
        context.add(*dot);
    }
    context
}

fn record(versions: &[&Made]) -> Record {
    Record::from_parts(
        Context::new(),
        versions.iter().map(|made| made.version.clone()).collect(),
    )
}

#[test]
fn an_acknowledged_write_must_be_there_or_replaced() {
    let mut history = History::new();
    let key = history.key("k");
    let first = history.make(key, false, None);
    history.acknowledge(&first, context(&[first.version.dot]));
    // A client that had seen nothing writes beside it.
    let beside = history.make(key, false, Some(Known::default()));
    let blind = history.make(key, false, None);
    let asked_us = history.later();
    let found = |versions: &[&Made]| {
        acked_kept::check_record(&history.watch.truth, key, asked_us, &record(versions), Counted::ByHomes)
    };
    assert_eq!(found(&[&first]), None);
    assert_eq!(found(&[&first, &beside]), None);
    assert_eq!(found(&[&blind]), None, "a blind write may have replaced it");
    assert!(found(&[&beside]).is_some(), "its client had not seen what it replaced");
    assert!(found(&[]).is_some());
}

#[test]
fn what_stand_ins_took_is_asked_of_reads_only_at_the_end() {
    let mut history = History::new();
    let key = history.key("k");
    let hinted = history.make(key, false, None);
    history.acknowledge_by(&hinted, context(&[hinted.version.dot]), &HOMES[..1]);
    let asked_us = history.later();
    let found = |counted| acked_kept::check_record(&history.watch.truth, key, asked_us, &record(&[]), counted);
    assert_eq!(found(Counted::ByHomes), None);
    assert!(found(Counted::All).is_some());
}

#[test]
fn what_was_replaced_must_not_be_shown_again() {
    let mut history = History::new();
    let key = history.key("k");
    let first = history.make(key, false, None);
    history.acknowledge(&first, context(&[first.version.dot]));
    let second = history.make(key, false, None);
    let between_us = history.later();
    history.acknowledge(&second, context(&[first.version.dot, second.version.dot]));
    let after_us = history.later();
    let both = record(&[&first, &second]);
    let truth = &history.watch.truth;
    assert_eq!(
        replaced::check_record(truth, key, between_us, &both),
        None,
        "the read began before"
    );
    assert!(replaced::check_record(truth, key, after_us, &both).is_some());
    assert_eq!(replaced::check_record(truth, key, after_us, &record(&[&second])), None);
    assert!(history.watch.violations.is_empty());
}

#[test]
fn a_blind_write_must_cover_what_was_acknowledged_before() {
    let mut history = History::new();
    let key = history.key("k");
    let first = history.make(key, false, None);
    history.acknowledge(&first, context(&[first.version.dot]));
    let second = history.make(key, false, None);
    history.acknowledge(&second, Context::new());
    assert_eq!(history.watch.violations.len(), 1, "{:?}", history.watch.violations);
}

#[test]
fn a_context_must_not_claim_what_nothing_replaced() {
    let mut history = History::new();
    let key = history.key("k");
    let first = history.make(key, false, None);
    let beside = history.make(key, false, Some(Known::default()));
    let truth = &history.watch.truth;
    // The dots share a life, so the later one's entry covers the earlier dot.
    assert!(contexts::check_copy(truth, key, &record(&[&beside])).is_some());
    assert_eq!(contexts::check_copy(truth, key, &record(&[&first, &beside])), None);
}

#[test]
fn a_life_goes_on_only_where_its_dots_are_known() {
    let mut history = History::new();
    let key = history.key("k");
    let first = history.make(key, false, None);
    let next = Dot {
        tick: Tick(first.version.dot.tick.0 + 1),
        ..first.version.dot
    };
    let truth = &history.watch.truth;
    assert_eq!(lives::check_issue(truth, key, Some(&record(&[&first])), next), None);
    assert!(
        lives::check_issue(truth, key, None, next).is_some(),
        "the copy has forgotten"
    );
    let new_life = Dot {
        life: next.tick,
        ..next
    };
    assert_eq!(lives::check_issue(truth, key, None, new_life), None);
    let backwards = Dot {
        life: Tick(9),
        tick: Tick(0),
        ..next
    };
    assert!(lives::check_issue(truth, key, Some(&record(&[&first])), backwards).is_some());
}

#[test]
fn a_dot_names_one_value() {
    let mut history = History::new();
    let key = history.key("k");
    let made = history.make(key, false, None);
    let truth = &history.watch.truth;
    assert_eq!(dots::check_version(truth, key, &made.version), None);
    let mut other = made.version.clone();
    other.content.etag = "other".to_owned();
    assert!(dots::check_version(truth, key, &other).is_some());
    other.dot.tick = Tick(3);
    assert!(dots::check_version(truth, key, &other).is_some(), "nobody issued it");
}

#[test]
fn an_answer_needs_synced_copies_the_coordinators_among_them() {
    let mut history = History::new();
    let key = history.key("k");
    let made = history.make(key, false, None);
    let outcome = |coordinator| PutOutcome {
        dot: made.version.dot,
        context: Context::new(),
        etag: String::new(),
        siblings: 1,
        coordinator,
        preference_list: HOMES.to_vec(),
        written: HOMES.to_vec(),
        pending: Vec::new(),
        down: Vec::new(),
        hinted: Vec::new(),
        clocks: Vec::new(),
    };
    let seq = holdfast_core::storage::WriteSeq(1);
    for node in [NodeIx(0), NodeIx(1)] {
        history.watch.truth.copies[node.0].written(seq, key, context(&[made.version.dot]));
    }
    let check = |history: &History, coordinator| {
        durable::check_ack(&history.watch.truth, key, &outcome(coordinator), 2, &HOMES)
    };
    history.watch.truth.copies[1].synced(seq);
    assert!(check(&history, HOMES[1]).is_some(), "one copy is not two");
    history.watch.truth.copies[0].synced(seq);
    assert_eq!(check(&history, HOMES[0]), None);
    assert!(check(&history, HOMES[2]).is_some(), "its own copy is not synced");
}

#[test]
fn a_hint_is_kept_until_its_home_has_had_all_of_it() {
    let mut history = History::new();
    let key = history.key("k");
    let made = history.make(key, false, None);
    let hint = record(&[&made]);
    let home = NodeIx(1);
    let check = |history: &History| durable::check_struck_off(&history.watch.truth, key, &hint, home);
    let seq = holdfast_core::storage::WriteSeq(1);
    history.watch.truth.copies[1].written(seq, key, hint.context().clone());
    assert!(check(&history).is_some(), "written is not synced");
    history.watch.truth.copies[1].synced(seq);
    assert_eq!(check(&history), None);
    history.watch.truth.copies[1].written(holdfast_core::storage::WriteSeq(2), key, Context::new());
    history.watch.truth.copies[1].synced(holdfast_core::storage::WriteSeq(2));
    assert_eq!(check(&history), None, "what was forgotten since is another rule's");
}

fn list(prefix: &str, delimiter: &str, after: &str) -> List {
    List {
        settings: settings(),
        prefix: prefix.to_owned(),
        delimiter: delimiter.to_owned(),
        after: after.to_owned(),
        count_max: 3,
    }
}

#[test]
fn listings_show_all_that_is_there_in_order_and_nothing_else() {
    let mut history = History::new();
    let mut made = Vec::new();
    for name in ["a", "b/1", "b/2", "c"] {
        let key = history.key(name);
        let value = history.make(key, false, None);
        history.acknowledge(&value, context(&[value.version.dot]));
        made.push((name, value));
    }
    let gone = history.key("d");
    let value = history.make(gone, false, None);
    history.acknowledge(&value, context(&[value.version.dot]));
    let deletion = history.make(gone, true, None);
    history.acknowledge(&deletion, context(&[value.version.dot, deletion.version.dot]));
    let asked_us = history.later();
    let object = |wanted: &str| {
        let (name, value) = made.iter().find(|(name, _)| *name == wanted).expect("made above");
        PageEntry::Object {
            key: (*name).to_owned(),
            record: EncodedRecord::of(&record(&[value])),
        }
    };
    let group = |prefix: &str| PageEntry::CommonPrefix(prefix.to_owned());
    let check = |list: &List, entries: Vec<PageEntry>, next: Option<&str>| {
        let page = Page {
            entries,
            next: next.map(str::to_owned),
            by_stand_ins: false,
        };
        listing::check_page(&history.watch.truth, list, &page, asked_us)
    };
    let folded = list("", "/", "");
    assert_eq!(check(&folded, vec![object("a"), group("b/"), object("c")], None), None);
    assert_eq!(
        check(&folded, vec![object("a"), group("b/")], Some("b/")),
        None,
        "the rest comes later"
    );
    assert_eq!(
        check(&list("", "", "b/1"), vec![object("b/2"), object("c")], None),
        None
    );
    for (wrong, entries, next) in [
        ("a key is missing", vec![object("a"), group("b/")], None),
        ("a group is missing", vec![object("a"), object("c")], None),
        ("not folded", vec![object("a"), object("b/1"), object("c")], None),
        ("out of order", vec![group("b/"), object("a"), object("c")], None),
        (
            "empty group",
            vec![object("a"), group("b/"), object("c"), group("d/")],
            None,
        ),
        ("goes back", vec![object("a"), group("b/"), object("c")], Some("a")),
    ] {
        assert!(check(&folded, entries, next).is_some(), "{wrong}");
    }
    let shown_again = PageEntry::Object {
        key: "d".to_owned(),
        record: EncodedRecord::of(&record(&[&value])),
    };
    assert!(
        check(&list("d", "", ""), vec![shown_again], None).is_some(),
        "it was deleted"
    );
}

#[test]
fn uploads_stay_until_closed_and_closed_then() {
    let mut history = History::new();
    let key = history.key("k");
    let id = UploadId(5);
    history.watch.truth.uploads.begin(id, key);
    let opened_us = history.later();
    history.watch.truth.uploads.get_mut(id).expect("begun").created_us = Some(opened_us);
    let asked_us = history.later();
    let info = UploadInfo {
        id,
        key: "k".to_owned(),
        state: UploadState::Open,
        headers: Vec::new(),
        initiator: String::new(),
        created_ms: 1,
        commit_deadline_ms: 2,
    };
    let start = (String::new(), None);
    let listed = |history: &History, page: &[UploadInfo], asked_us| {
        uploads::check_list(&history.watch.truth, BucketId(7), "", &start, page, false, asked_us)
    };
    assert_eq!(
        uploads::check_read(&history.watch.truth, id, asked_us, &info, &[]),
        None
    );
    assert!(uploads::check_missing(&history.watch.truth, id, asked_us).is_some());
    assert!(listed(&history, &[], asked_us).is_some());
    assert_eq!(listed(&history, std::slice::from_ref(&info), asked_us), None);
    let closed_us = history.later();
    let upload = history.watch.truth.uploads.get_mut(id).expect("begun");
    (upload.closing_us, upload.closed_us) = (Some(closed_us), Some(closed_us));
    let asked_us = history.later();
    assert!(uploads::check_read(&history.watch.truth, id, asked_us, &info, &[]).is_some());
    assert!(listed(&history, std::slice::from_ref(&info), asked_us).is_some());
    assert_eq!(listed(&history, &[], asked_us), None);
    assert_eq!(uploads::check_missing(&history.watch.truth, id, asked_us), None);
}

#[test]
fn bytes_that_differ_are_noticed() {
    let name = super::bodies::bytes_of(7, 0, 40);
    assert_eq!(name, super::bodies::bytes_of(7, 0, 40));
    assert_ne!(name, super::bodies::bytes_of(7, 1, 40));
    assert_ne!(name, super::bodies::bytes_of(8, 0, 40));
    assert_ne!(name, Bytes::from(vec![0; 40]));
}
