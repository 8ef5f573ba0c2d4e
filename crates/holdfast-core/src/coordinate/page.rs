//! Making one page of what several copies of several shards hold (rule Q4). Pure: no messages, no disk.
//!
//! Each copy's walk is known up to its end; in a group (keys with one common prefix) only up to its first live row. A page
//! may hold nothing that lies beyond what every asked copy is known for, or it would show keys that another copy knows to
//! be deleted, or miss keys that only another copy has (the short reads of Cassandra).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::message::WalkEnd;
use crate::node::walk::{after_text, group_of};
use crate::record::Record;
use crate::request::{Page, PageEntry};
use crate::wire::encoded::EncodedRecord;

/// Rows of a shard, by key.
pub(crate) type Rows = Vec<(String, EncodedRecord)>;

/// One copy's walk of a shard.
pub(crate) struct CopyWalk {
    /// What it found.
    pub(crate) rows: Rows,
    /// How far it came.
    pub(crate) end: WalkEnd,
    /// Whether the copy is a home's. One that holds hints has a few keys only, and its handoff brings them home.
    pub(crate) by_home: bool,
}

/// What several walks of one shard amount to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MergedWalk {
    /// Live rows in key order; with a delimiter one of each group.
    pub(crate) live: Rows,
    /// How far this is known.
    pub(crate) end: WalkEnd,
    /// Keys on which the homes differ.
    pub(crate) differing: Vec<String>,
}

/// Merges the walks of one shard by several copies.
pub(crate) fn merge_walks(mut walks: Vec<CopyWalk>, prefix: &str, delimiter: &str) -> MergedWalk {
    if walks.len() == 1
        && let Some(CopyWalk {
            rows: mut live, end, ..
        }) = walks.pop()
    {
        // All copies agree: what was walked is what there is, and a walk takes one live row of each group.
        live.retain(|(_, record)| record.is_visible());
        return MergedWalk {
            live,
            end,
            differing: Vec::new(),
        };
    }
    let mut end = walks
        .iter()
        .map(|walk| walk.end.clone())
        .min()
        .unwrap_or(WalkEnd::Exhausted);
    let homes = walks.iter().filter(|walk| walk.by_home).count();
    let mut by_key: BTreeMap<&str, Held<'_>> = BTreeMap::new();
    for walk in &walks {
        for (key, record) in walk.rows.iter().filter(|(key, _)| is_within(key, &end)) {
            let held = by_key.entry(key).or_default();
            if walk.by_home {
                &mut held.by_homes
            } else {
                &mut held.by_others
            }
            .push(record);
        }
    }
    let (mut live, mut differing) = (Vec::new(), Vec::new());
    let mut done_group: Option<&str> = None;
    for (key, held) in by_key {
        let group = group_of(key, prefix, delimiter);
        if group.is_some() && group == done_group {
            continue;
        }
        let some_lack_it = !held.by_homes.is_empty() && held.by_homes.len() < homes;
        if some_lack_it || held.by_homes.windows(2).any(|pair| pair[0] != pair[1]) {
            differing.push(key.to_string());
        }
        let copies = [held.by_homes, held.by_others].concat();
        let merged = merge(&copies);
        if merged.is_visible() {
            live.push((key.to_string(), merged));
            done_group = group;
        } else if group.is_some() && copies.iter().any(|record| record.is_visible()) {
            // A copy took this key for the group's live one and sought past the rest, which it is not known for.
            end = WalkEnd::Cut(key.to_string());
            break;
        }
    }
    MergedWalk { live, end, differing }
}

/// One key as the walks found it.
#[derive(Default)]
struct Held<'a> {
    by_homes: Vec<&'a EncodedRecord>,
    by_others: Vec<&'a EncodedRecord>,
}

/// What several copies of one record amount to. Equal ones, which most are, need not be taken apart.
fn merge(copies: &[&EncodedRecord]) -> EncodedRecord {
    if let [first, others @ ..] = copies
        && others.iter().all(|other| other == first)
    {
        return (*first).clone();
    }
    let mut merged = Record::new();
    for copy in copies {
        merged.merge(&copy.decode());
    }
    EncodedRecord::of(&merged)
}

fn is_within(key: &str, end: &WalkEnd) -> bool {
    match end {
        WalkEnd::Cut(last) => key <= last.as_str(),
        WalkEnd::Exhausted => true,
    }
}

/// One shard's share of a page in the making.
#[derive(Debug, Default)]
pub(crate) struct ShardFeed {
    /// First key not known yet.
    pub(crate) from: String,
    /// There is nothing beyond `ready`.
    pub(crate) exhausted: bool,
    ready: VecDeque<(String, EncodedRecord)>,
}

impl ShardFeed {
    pub(crate) fn new(from: String) -> Self {
        Self {
            from,
            exhausted: false,
            ready: VecDeque::new(),
        }
    }

    /// Whether it must be walked before the page can go on.
    pub(crate) fn is_dry(&self) -> bool {
        self.ready.is_empty() && !self.exhausted
    }

    /// Takes what a round found.
    pub(crate) fn feed(&mut self, walk: MergedWalk) {
        self.ready.extend(walk.live);
        match walk.end {
            WalkEnd::Exhausted => self.exhausted = true,
            WalkEnd::Cut(last) => self.from = key_after(&last),
        }
    }

    /// Drops what lies in a group that is on the page already.
    fn skip_group(&mut self, group: &str) {
        while self.ready.front().is_some_and(|(key, _)| key.starts_with(group)) {
            self.ready.pop_front();
        }
        match after_text(group) {
            Some(beyond) if beyond > self.from => self.from = beyond,
            Some(_) => {}
            None => self.exhausted = true,
        }
    }
}

/// Takes, in key order, what lies before the first key at which a shard that is not exhausted ends: beyond that, it may
/// have more. Leaves such a shard dry.
fn take_known(shards: &mut [ShardFeed]) -> Rows {
    let ends = shards.iter().filter(|shard| !shard.exhausted);
    let end = ends.filter_map(|shard| shard.ready.back()).map(|(key, _)| key).min();
    let end = end.cloned();
    let mut rows = Rows::new();
    for shard in shards {
        let known = match &end {
            Some(end) => shard.ready.partition_point(|(key, _)| key <= end),
            None => shard.ready.len(),
        };
        rows.extend(shard.ready.drain(..known));
    }
    // A merge: this sort finds the ascending runs, one of each shard. Looking for the least head once for each key took
    // three times as many comparisons.
    rows.sort_by(|(a, _), (b, _)| a.cmp(b));
    rows
}

/// The least key above another.
pub(crate) fn key_after(key: &str) -> String {
    let mut next = key.to_string();
    next.push('\0');
    next
}

/// Where a listing starts: strictly after `after`, and after the whole group that `after` lies in.
pub(crate) fn first_key(after: &str, prefix: &str, delimiter: &str) -> Option<String> {
    if after.is_empty() {
        return Some(prefix.to_string());
    }
    match group_of(after, prefix, delimiter) {
        Some(group) => after_text(group),
        None => Some(key_after(after)),
    }
}

/// A page in the making.
#[derive(Debug)]
pub(crate) struct PageMaker {
    prefix: String,
    delimiter: String,
    count_max: usize,
    entries: Vec<PageEntry>,
    /// Some shard was walked by a stand-in.
    pub(crate) by_stand_ins: bool,
}

impl PageMaker {
    pub(crate) fn new(prefix: String, delimiter: String, count_max: usize) -> Self {
        Self {
            prefix,
            delimiter,
            count_max,
            entries: Vec::new(),
            by_stand_ins: false,
        }
    }

    /// Takes from the shards in key order until the page is full, all are exhausted, or one runs dry. Returns the page
    /// when it is complete. One entry more than wanted is taken, to know whether there is a next page.
    pub(crate) fn fill(&mut self, shards: &mut [ShardFeed]) -> Option<Page> {
        loop {
            if self.entries.len() > self.count_max {
                return Some(self.finish(true));
            }
            if shards.iter().any(ShardFeed::is_dry) {
                return None;
            }
            let rows = take_known(shards);
            if rows.is_empty() {
                return Some(self.finish(false));
            }
            self.add(rows, shards);
        }
    }

    /// Adds rows in key order, one entry for each group, as far as there is room.
    fn add(&mut self, rows: Rows, shards: &mut [ShardFeed]) {
        let mut done_group: Option<String> = None;
        for (key, record) in rows {
            if self.entries.len() > self.count_max {
                return;
            }
            if done_group.as_ref().is_some_and(|group| key.starts_with(group.as_str())) {
                continue;
            }
            match group_of(&key, &self.prefix, &self.delimiter) {
                Some(group) => {
                    shards.iter_mut().for_each(|shard| shard.skip_group(group));
                    self.entries.push(PageEntry::CommonPrefix(group.to_string()));
                    done_group = Some(group.to_string());
                }
                None => self.entries.push(PageEntry::Object { key, record }),
            }
        }
    }

    /// Entries still wanted.
    pub(crate) fn missing(&self) -> usize {
        (self.count_max + 1).saturating_sub(self.entries.len())
    }

    fn finish(&mut self, more: bool) -> Page {
        let mut entries = core::mem::take(&mut self.entries);
        entries.truncate(self.count_max);
        let last = entries.last().map(|entry| match entry {
            PageEntry::Object { key, .. } | PageEntry::CommonPrefix(key) => key.clone(),
        });
        Page {
            by_stand_ins: self.by_stand_ins,
            next: last.filter(|_| more),
            entries,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{BodyForm, Content, Kind};
    use crate::context::Context;
    use crate::ids::{ActorId, Dot, RequestId, Tick};
    use crate::record::Version;

    fn record(tick: u64, alive: bool) -> Record {
        let mut record = Record::new();
        let dot = Dot {
            actor: ActorId(1),
            life: Tick(1),
            tick: Tick(tick),
        };
        let mut content = Content::deletion();
        if alive {
            content = Content {
                kind: Kind::Value,
                body: BodyForm::Empty,
                ..content
            };
        }
        record.put(
            &Context::new(),
            Version {
                dot,
                request: RequestId(u128::from(tick)),
                content,
            },
        );
        record
    }

    fn rows(keys: &[(&str, u64, bool)]) -> Rows {
        keys.iter()
            .map(|(key, tick, alive)| (key.to_string(), EncodedRecord::of(&record(*tick, *alive))))
            .collect()
    }

    fn of_a_home(rows: Rows, end: WalkEnd) -> CopyWalk {
        CopyWalk {
            rows,
            end,
            by_home: true,
        }
    }

    fn keys(walk: &MergedWalk) -> Vec<&str> {
        walk.live.iter().map(|(key, _)| key.as_str()).collect()
    }

    #[test]
    fn a_page_ends_where_the_shorter_copy_was_cut() {
        let long = of_a_home(
            rows(&[("a", 1, true), ("b", 1, true), ("c", 1, true)]),
            WalkEnd::Exhausted,
        );
        let short = of_a_home(rows(&[("a", 1, true), ("b", 1, true)]), WalkEnd::Cut("b".to_string()));
        let merged = merge_walks(alloc::vec![long, short], "", "");
        assert_eq!(
            keys(&merged),
            ["a", "b"],
            "c may be deleted where the short copy did not look"
        );
        assert_eq!(merged.end, WalkEnd::Cut("b".to_string()));
    }

    #[test]
    fn a_deletion_known_to_one_copy_hides_the_key() {
        let stale = of_a_home(rows(&[("a", 1, true), ("b", 1, true)]), WalkEnd::Exhausted);
        let fresh = of_a_home(rows(&[("a", 2, false), ("b", 1, true)]), WalkEnd::Exhausted);
        let merged = merge_walks(alloc::vec![stale, fresh], "", "");
        assert_eq!(keys(&merged), ["b"]);
        assert_eq!(merged.differing, ["a"]);
    }

    #[test]
    fn what_a_hint_knows_is_listed_and_asks_for_no_repair() {
        let home = of_a_home(rows(&[("a", 1, true), ("c", 1, true)]), WalkEnd::Exhausted);
        let hints = CopyWalk {
            by_home: false,
            ..of_a_home(rows(&[("b", 1, true), ("c", 2, false)]), WalkEnd::Exhausted)
        };
        let merged = merge_walks(alloc::vec![home, hints], "", "");
        assert_eq!(keys(&merged), ["a", "b"]);
        assert!(merged.differing.is_empty());
    }

    #[test]
    fn a_group_whose_representative_is_dead_elsewhere_is_walked_again() {
        // The stale copy sought past g/ after its live g/1; the fresh one knows that g/1 is dead and g/2 alive.
        let stale = of_a_home(rows(&[("g/1", 1, true), ("z", 1, true)]), WalkEnd::Exhausted);
        let fresh = of_a_home(
            rows(&[("g/1", 2, false), ("g/2", 1, true), ("z", 1, true)]),
            WalkEnd::Exhausted,
        );
        let merged = merge_walks(alloc::vec![stale, fresh], "", "/");
        assert_eq!(merged.end, WalkEnd::Cut("g/1".to_string()));
        assert!(merged.live.is_empty());
    }

    #[test]
    fn groups_of_many_shards_become_one_entry() {
        let mut shards = [ShardFeed::new(String::new()), ShardFeed::new(String::new())];
        for (shard, key) in shards.iter_mut().zip(["a/1", "a/2"]) {
            let live = rows(&[(key, 1, true), ("b", 1, true)]);
            shard.feed(MergedWalk {
                live,
                end: WalkEnd::Exhausted,
                differing: Vec::new(),
            });
        }
        shards[1].ready.pop_back();
        let page = PageMaker::new(String::new(), "/".to_string(), 10)
            .fill(&mut shards)
            .expect("complete");
        assert_eq!(page.entries.len(), 2);
        assert_eq!(page.entries[0], PageEntry::CommonPrefix("a/".to_string()));
        assert_eq!(page.next, None);
    }

    #[test]
    fn a_page_ends_where_a_shard_may_have_more() {
        let mut shards = [ShardFeed::new(String::new()), ShardFeed::new(String::new())];
        let ends = [WalkEnd::Cut("c".to_string()), WalkEnd::Exhausted];
        for ((shard, keys), end) in shards.iter_mut().zip([["a", "c"], ["b", "d"]]).zip(ends) {
            let live = rows(&keys.map(|key| (key, 1, true)));
            let differing = Vec::new();
            shard.feed(MergedWalk { live, end, differing });
        }
        let mut maker = PageMaker::new(String::new(), String::new(), 10);
        assert_eq!(maker.fill(&mut shards), None, "the first shard may have a key before d");
        assert!(shards[0].is_dry() && !shards[1].is_dry());
        shards[0].exhausted = true;
        let page = maker.fill(&mut shards).expect("complete");
        let shown = page.entries.iter().map(|entry| match entry {
            PageEntry::Object { key, .. } | PageEntry::CommonPrefix(key) => key.as_str(),
        });
        assert_eq!(shown.collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    }

    #[test]
    fn a_full_page_tells_where_the_next_one_starts() {
        let mut shards = [ShardFeed::new(String::new())];
        let live = rows(&[("a", 1, true), ("b", 1, true), ("c", 1, true)]);
        shards[0].feed(MergedWalk {
            live,
            end: WalkEnd::Exhausted,
            differing: Vec::new(),
        });
        let page = PageMaker::new(String::new(), String::new(), 2)
            .fill(&mut shards)
            .expect("complete");
        assert_eq!(page.next.as_deref(), Some("b"));
    }

    #[test]
    fn listing_resumes_after_the_group_of_a_marker() {
        assert_eq!(first_key("", "p", "/").as_deref(), Some("p"));
        assert_eq!(first_key("a/b", "", "/").as_deref(), Some("a0"), "'0' follows '/'");
        assert_eq!(first_key("ab", "", "/").as_deref(), Some("ab\0"));
    }
}
