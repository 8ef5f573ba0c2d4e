//! What the Dynamo paper describes (DeCandia et al., SOSP 2007), section by section, on real nodes driven by hand. Each test tells the
//! paper's story with its own names; `docs/dynamo.md` says what else of each section is tested where.

use bytes::Bytes;
use holdfast_core::bucket::Settings;
use holdfast_core::content::StoredBody;
use holdfast_core::context::Context;
use holdfast_core::ids::NodeId;
use holdfast_core::place::Place;
use holdfast_core::request::{Answer, Get, Got, Put, PutOutcome, PutValue, Request, WantedBodies};
use holdfast_core::storage::Space;

use crate::few::{Few, PARTITION_BITS, key, settings};

/// Long enough for a return to be noticed and hints to be delivered.
const HANDED_OFF_MS: u64 = 30_000;

/// A client that writes and reads one key.
struct Client {
    settings: Settings,
    key: &'static str,
    writes: u128,
}

impl Client {
    const fn of(key: &'static str, w: u8) -> Self {
        Self {
            settings: settings(w),
            key,
            writes: 0,
        }
    }

    fn put_answered(
        &mut self,
        few: &mut Few,
        through: usize,
        value: &'static str,
        context: Option<&Context>,
    ) -> Answer {
        self.writes += 1;
        let put = Put {
            settings: self.settings,
            key: key(self.key),
            context: context.cloned(),
            value: PutValue::Object {
                etag: value.to_owned(),
                headers: Vec::new(),
                body: StoredBody::Inline(Bytes::from_static(value.as_bytes())),
            },
            w: None,
            wait_all: false,
        };
        few.ask_as(self.writes, through, Request::Put(put))
    }

    fn put(&mut self, few: &mut Few, through: usize, value: &'static str, context: Option<&Context>) -> PutOutcome {
        match self.put_answered(few, through, value, context) {
            Answer::Put(outcome) => outcome,
            refused => panic!("{value} is refused: {refused:?}"),
        }
    }

    fn get(&self, few: &mut Few, through: usize) -> Got {
        let get = Get {
            settings: self.settings,
            key: key(self.key),
            r: None,
            bodies: WantedBodies::All,
        };
        match few.ask(through, Request::Get(get)) {
            Answer::Got(got) => got,
            refused => panic!("no answer: {refused:?}"),
        }
    }

    /// The homes of the key, then the other nodes, by their places.
    fn preference_list(&self, few: &Few) -> Vec<usize> {
        let place = Place::of_object(&self.settings, &key(self.key), PARTITION_BITS);
        let list = few.layout.preference_list(place.partition);
        list.map(|node| node.0 as usize - 1).collect()
    }
}

/// The values of the versions that a read returned.
fn values(got: &Got) -> Vec<&str> {
    let mut values: Vec<&str> = got
        .record
        .versions()
        .iter()
        .map(|version| version.content.etag.as_str())
        .collect();
    values.sort_unstable();
    values
}

fn node(at: usize) -> NodeId {
    crate::few::node_at(at)
}

fn part_from_all(few: &mut Few, at: usize) {
    (0..few.nodes.len())
        .filter(|other| *other != at)
        .for_each(|other| few.part(at, other));
}

fn join_with_all(few: &mut Few, at: usize) {
    (0..few.nodes.len())
        .filter(|other| *other != at)
        .for_each(|other| few.join(at, other));
}

/// §4.3: "the coordinator is in charge of the replication of the data items that fall within its range" and writes them to its N − 1
/// successors; "the preference list contains more than N nodes".
#[test]
fn section_4_3_a_key_lies_on_its_n_homes_and_its_preference_list_goes_on() {
    let mut few = Few::new(5);
    let mut client = Client::of("photo", 2);
    let list = client.preference_list(&few);
    assert_eq!(list.len(), 5, "all members, in an order of its own");
    // Whichever node the client happens to ask.
    let stranger = list[4];
    let outcome = client.put(&mut few, stranger, "pixels", None);
    few.settle();
    let homes: Vec<NodeId> = list[..3].iter().map(|at| node(*at)).collect();
    assert_eq!(outcome.preference_list, homes);
    assert!(homes.contains(&outcome.coordinator), "a home coordinates");
    for (rank, at) in list.iter().enumerate() {
        let holds = few.nodes[*at].1.rows(Space::Rows).next().is_some();
        assert_eq!(holds, rank < 3, "number {rank} of the list");
    }
}

/// §4.4 and figure 3: D1 and D2 by Sx, then D3 by Sy and D4 by Sz, both from D2; a client that reads both reconciles them.
#[test]
fn section_4_4_the_version_history_of_figure_3() {
    let mut few = Few::new(3);
    let mut client = Client::of("cart", 2);
    let (sx, sy, sz) = (0, 1, 2);
    let d1 = client.put(&mut few, sx, "D1", None);
    let d2 = client.put(&mut few, sx, "D2", Some(&d1.context));
    assert!(
        d2.context.includes(&d1.context),
        "D2 descends from D1 and overwrites it"
    );
    assert_eq!(values(&client.get(&mut few, sy)), ["D2"]);
    let d3 = client.put(&mut few, sy, "D3", Some(&d2.context));
    let d4 = client.put(&mut few, sz, "D4", Some(&d2.context));
    assert!(!d3.context.covers(d4.dot), "D3 does not descend from D4");
    assert_eq!(
        (d4.siblings, &d4.context),
        (2, &d2.context),
        "nor D4 from D3, which stands beside it and which its writer has not seen"
    );
    few.settle();
    let both = client.get(&mut few, sx);
    assert_eq!(
        values(&both),
        ["D3", "D4"],
        "there are changes in both that are not reflected in each other"
    );
    let summary = both.record.context().clone();
    assert!(
        summary.includes(&d3.context) && summary.includes(&d4.context),
        "the context is a summary of both"
    );
    let d5 = client.put(&mut few, sx, "D5", Some(&summary));
    assert!(d5.context.includes(&summary));
    few.settle();
    for at in [sx, sy, sz] {
        assert_eq!(values(&client.get(&mut few, at)), ["D5"], "through node {at}");
    }
}

/// §4.4: "an 'add to cart' operation can never be forgotten or rejected": not even with the nodes cut into two sides.
#[test]
fn section_4_4_what_is_added_on_both_sides_of_a_partition_is_kept() {
    let mut few = Few::new(5);
    let mut client = Client::of("cart", 2);
    let list = client.preference_list(&few);
    let (left, right) = ([list[0], list[3]], [list[1], list[2], list[4]]);
    let empty = client.put(&mut few, list[0], "empty", None);
    few.settle();
    for a in left {
        right.iter().for_each(|b| few.part(a, *b));
    }
    client.put(&mut few, left[1], "book", Some(&empty.context));
    client.put(&mut few, right[2], "lamp", Some(&empty.context));
    assert_eq!(values(&client.get(&mut few, right[0])), ["lamp"]);
    for a in left {
        right.iter().for_each(|b| few.join(a, *b));
    }
    few.pass_ms(HANDED_OFF_MS);
    for at in 0..5 {
        assert_eq!(values(&client.get(&mut few, at)), ["book", "lamp"], "through node {at}");
    }
}

/// §4.5: with R + W > N a read sees what was written before, whichever nodes answer; "if at least W − 1 nodes respond then the write
/// is considered successful", and the slow one gets it later.
#[test]
fn section_4_5_w_answers_make_a_write_and_r_a_read() {
    let mut few = Few::new(3);
    let mut client = Client::of("photo", 2);
    let (fast, slow) = (1, 2);
    few.hold(0, slow);
    let outcome = client.put(&mut few, 0, "pixels", None);
    assert_eq!(outcome.written, [node(0), node(fast)]);
    assert_eq!(outcome.pending, [node(slow)]);
    few.part(0, fast);
    few.part(0, slow);
    assert_eq!(
        values(&client.get(&mut few, slow)),
        ["pixels"],
        "R = 2 of the two that are left, one of which has nothing"
    );
    few.settle();
    let holds = |few: &Few| few.nodes[slow].1.rows(Space::Rows).next().is_some();
    assert!(
        holds(&few),
        "§5, read repair: the read has brought the stale one up to date"
    );
}

/// §4.6: "if node A is temporarily down or unreachable during a write operation then a replica that would normally have lived on A
/// will now be sent to node D […] with a hint […]. Upon detecting that A has recovered, D will attempt to deliver the replica to A.
/// Once the transfer succeeds, D may delete the object."
#[test]
fn section_4_6_a_hinted_replica_is_delivered_when_its_home_has_recovered() {
    let mut few = Few::new(5);
    let mut client = Client::of("photo", 3);
    let list = client.preference_list(&few);
    let (a, b, d) = (list[0], list[1], list[3]);
    part_from_all(&mut few, a);
    let outcome = client.put(&mut few, b, "pixels", None);
    assert_eq!(outcome.hinted, [(node(a), node(d))], "W = 3, with D in the place of A");
    assert_eq!(few.nodes[d].0.hints(), [(node(a), 1)]);
    assert!(few.nodes[a].1.rows(Space::Rows).next().is_none());
    join_with_all(&mut few, a);
    few.pass_ms(HANDED_OFF_MS);
    assert!(few.nodes[a].1.rows(Space::Rows).next().is_some(), "A has it");
    assert!(few.nodes[d].0.hints().is_empty(), "and D has deleted it");
    assert_eq!(few.nodes[d].1.rows(Space::Hints).count(), 0);
}

/// §4.6: "all read and write operations are performed on the first N healthy nodes", so that a write is refused by none but the last.
#[test]
fn section_4_6_two_nodes_that_see_each_other_take_every_write() {
    for a in 0..5 {
        for b in (0..5).filter(|b| *b != a) {
            let mut few = Few::new(5);
            let mut client = Client::of("photo", 2);
            for left in [a, b] {
                (0..5)
                    .filter(|other| *other != a && *other != b)
                    .for_each(|other| few.part(left, other));
            }
            client.put(&mut few, a, "pixels", None);
            assert_eq!(
                values(&client.get(&mut few, b)),
                ["pixels"],
                "read through {b} what {a} took"
            );
        }
    }
}

/// §4.7: replicas that have drifted apart find out by themselves, and exchange what differs.
#[test]
fn section_4_7_replicas_that_differ_are_made_equal() {
    let mut few = Few::new(3);
    let mut client = Client::of("photo", 2);
    let mut other = Client::of("sound", 2);
    other.writes = 100;
    few.part(0, 2);
    few.part(1, 2);
    client.put(&mut few, 0, "pixels", None);
    other.put(&mut few, 1, "waves", None);
    assert_eq!(few.nodes[2].1.rows(Space::Rows).count(), 0);
    few.join(0, 2);
    few.settle();
    assert_eq!(
        few.nodes[2].1.rows(Space::Rows).count(),
        2,
        "one partner is enough to learn of both"
    );
}
