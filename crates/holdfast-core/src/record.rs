//! A record: all that is known of one key. A context and the live versions (rules D3, D4; Dynamo §4.4).
//!
//! The whole record travels, never a lone version under a context that covers its siblings: that is how Riak lost
//! siblings, and why `merge` may trust the context of the other side.

use alloc::vec::Vec;

use crate::content::Content;
use crate::context::{Context, attempts_at};
use crate::ids::{ActorId, Dot, Life, RequestId, Tick};

/// One value of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Version {
    /// The write that made it.
    pub dot: Dot,
    /// The client's write, so that a retry recognises itself (rule D7).
    pub request: RequestId,
    /// What was written.
    pub content: Content,
}

impl Version {
    /// Whether a context knows it: by its dot, or as an attempt at its client write (rule D7).
    #[must_use]
    pub fn is_covered_by(&self, context: &Context) -> bool {
        context.covers(self.dot) || context.covers_attempt(self.request, self.dot.tick)
    }
}

/// Context and live versions of one key.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Record {
    context: Context,
    /// Sorted by dot, newest last. No version is covered by the dot of another unless both are concurrent siblings.
    versions: Vec<Version>,
}

impl Record {
    /// What is known of a key that nobody ever wrote.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            context: Context::new(),
            versions: Vec::new(),
        }
    }

    /// A record from its parts, as read from disk or wire. Versions are sorted; a version that the context does not
    /// cover would break the merge law, so its dot is added.
    #[must_use]
    pub fn from_parts(mut context: Context, mut versions: Vec<Version>) -> Self {
        versions.sort_by_key(|version| version.dot);
        versions.dedup_by_key(|version| version.dot);
        for version in &versions {
            context.add(version.dot);
        }
        Self { context, versions }
    }

    /// A record from parts that are known to be as [`Self::from_parts`] would make them.
    pub(crate) const fn from_sorted(context: Context, versions: Vec<Version>) -> Self {
        Self { context, versions }
    }

    /// What this copy knows.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    /// Live versions, oldest first, deletions included.
    #[must_use]
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The version that `newest` returns: highest (tick, actor), a deletion as much as a value (rule Q3).
    #[must_use]
    pub fn newest(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// The newest version if it is a value: what a plain client sees.
    #[must_use]
    pub fn visible(&self) -> Option<&Version> {
        self.newest().filter(|version| !version.content.is_deletion())
    }

    /// Whether nothing but deletions is left: the tombstone of rule D3. A record nobody wrote is not one.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        !self.versions.is_empty() && self.versions.iter().all(|version| version.content.is_deletion())
    }

    /// The highest tick seen for this key, in versions or context.
    #[must_use]
    pub fn tick_max(&self) -> Tick {
        self.context.tick_max()
    }

    /// The version that a client's write left here, if it is still alive (rule D7).
    #[must_use]
    pub fn find_request(&self, request: RequestId) -> Option<&Version> {
        self.versions.iter().rev().find(|version| version.request == request)
    }

    /// The version under a dot.
    #[must_use]
    pub fn find(&self, dot: Dot) -> Option<&Version> {
        self.versions.iter().find(|version| version.dot == dot)
    }

    /// How many distinct client writes are alive: siblings under one request id count as one (rule D7).
    #[must_use]
    pub fn sibling_count(&self) -> usize {
        let mut requests: Vec<RequestId> = self.versions.iter().map(|version| version.request).collect();
        requests.sort_unstable();
        requests.dedup();
        requests.len()
    }

    /// Whether a version lives here that `context` does not cover by its dot: what a blind writer must be told (rule D4).
    #[must_use]
    pub fn holds_beyond(&self, context: &Context) -> bool {
        self.versions.iter().any(|version| !context.covers(version.dot))
    }

    /// Lives that are known here and left no version, and client writes of which only attempts are known. Not those above the
    /// newest version: the next dot must lie above what was covered once (rule D1).
    pub(crate) fn lives_without_versions(&self) -> Vec<(ActorId, Life)> {
        let newest = self.newest().map_or(Tick(0), |version| version.dot.tick);
        let is_of = |version: &Version, entry| {
            (version.dot.actor, version.dot.life) == entry || attempts_at(version.request) == entry
        };
        let bare = self.context.entries().filter(|(actor, life, tick)| {
            *tick < newest && !self.versions.iter().any(|version| is_of(version, (*actor, *life)))
        });
        bare.map(|(actor, life, _)| (actor, life)).collect()
    }

    /// Forgets lives that are over.
    pub(crate) fn forget_lives(&mut self, lives: &[(ActorId, Life)]) {
        self.context.forget(lives);
    }

    /// Writes a version: drops what `context` covers, adds the version, grows the context (rule D3).
    pub fn put(&mut self, context: &Context, version: Version) {
        self.versions
            .retain(|old| !old.is_covered_by(context) && old.dot != version.dot);
        self.context.merge(context);
        self.context.add(version.dot);
        let at = self.versions.partition_point(|old| old.dot < version.dot);
        self.versions.insert(at, version);
    }

    /// Merges another copy: a version lives on if both have it, or if the other's context does not cover its dot.
    /// Commutative, associative, idempotent (rule D3). Returns whether this copy changed.
    pub fn merge(&mut self, other: &Self) -> bool {
        let versions_before = self.versions.len();
        self.versions
            .retain(|own| other.find(own.dot).is_some() || !own.is_covered_by(&other.context));
        let mut changed = self.versions.len() != versions_before;
        for theirs in &other.versions {
            if self.find(theirs.dot).is_none() && !theirs.is_covered_by(&self.context) {
                let at = self.versions.partition_point(|own| own.dot < theirs.dot);
                self.versions.insert(at, theirs.clone());
                changed = true;
            }
        }
        if !self.context.includes(&other.context) {
            self.context.merge(&other.context);
            changed = true;
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::ids::ActorId;

    const COPIES: usize = 4;

    /// A step in the life of a key with four copies, each of whose nodes is an actor with one life.
    #[derive(Clone, Debug)]
    enum Action {
        /// The copy's node coordinates a write that knows what copy `knows` knows.
        Put { copy: usize, knows: usize },
        /// The last write is done once more by a copy's node, after the one before was granted it and cut off.
        Again { copy: usize, knows: usize },
        /// One copy is merged into another.
        Merge { from: usize, to: usize },
    }

    fn action() -> impl Strategy<Value = Action> {
        (0..5, 0..COPIES, 0..COPIES).prop_map(|(what, a, b)| match what {
            0 | 1 => Action::Put { copy: a, knows: b },
            2 => Action::Again { copy: a, knows: b },
            _ => Action::Merge { from: a, to: b },
        })
    }

    fn version(actor: usize, tick: u64) -> Version {
        let dot = Dot {
            actor: ActorId(actor as u64),
            life: Tick(1),
            tick: Tick(tick),
        };
        Version {
            dot,
            request: RequestId(u128::from(tick)),
            content: Content::deletion(),
        }
    }

    /// Copies as an honest history leaves them: a coordinator writes into its own copy, under a tick above all it knows.
    fn history(actions: &[Action]) -> [Record; COPIES] {
        let mut copies: [Record; COPIES] = Default::default();
        let mut last: Option<(RequestId, Tick)> = None;
        let mut writes = 0;
        for action in actions {
            match *action {
                Action::Put { copy, knows } | Action::Again { copy, knows } => {
                    let mut context = copies[knows].context().clone();
                    let again = last.filter(|_| matches!(action, Action::Again { .. }));
                    if let Some((request, above)) = again {
                        context.cover_attempts(request, above);
                    }
                    let tick = copies[copy].tick_max().max(context.tick_max()).0 + 1;
                    writes += 1;
                    let request = again.map_or(RequestId(writes), |(request, _)| request);
                    copies[copy].put(
                        &context,
                        Version {
                            request,
                            ..version(copy, tick)
                        },
                    );
                    last = Some((request, Tick(tick)));
                }
                Action::Merge { from, to } => {
                    let other = copies[from].clone();
                    copies[to].merge(&other);
                }
            }
        }
        copies
    }

    fn merged(a: &Record, b: &Record) -> Record {
        let mut merged = a.clone();
        merged.merge(b);
        merged
    }

    proptest! {
        #[test]
        fn merge_is_commutative_associative_and_idempotent(actions in vec(action(), 0..40)) {
            let [a, b, c, _] = history(&actions);
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
            prop_assert_eq!(merged(&a, &a), a);
        }

        #[test]
        fn merge_says_whether_it_changed_anything(actions in vec(action(), 0..40)) {
            let [a, b, ..] = history(&actions);
            let mut after = a.clone();
            prop_assert_eq!(after.merge(&b), after != a);
        }

        #[test]
        fn no_concurrent_write_is_lost(actions in vec(action(), 0..40)) {
            let copies = history(&actions);
            let everywhere = copies.iter().skip(1).fold(copies[0].clone(), |all, copy| merged(&all, copy));
            for copy in &copies {
                for version in copy.versions() {
                    let replaced = copies.iter().any(|other| {
                        version.is_covered_by(other.context()) && other.find(version.dot).is_none()
                    });
                    prop_assert_eq!(everywhere.find(version.dot).is_some(), !replaced);
                }
            }
        }

        #[test]
        fn a_record_covers_its_own_versions(actions in vec(action(), 0..40)) {
            for copy in history(&actions) {
                prop_assert!(copy.versions().iter().all(|version| copy.context().covers(version.dot)));
                prop_assert!(copy.versions().windows(2).all(|pair| pair[0].dot < pair[1].dot));
            }
        }
    }

    #[test]
    fn a_write_replaces_exactly_what_it_knew() {
        let mut copy = Record::new();
        copy.put(&Context::new(), version(1, 1));
        let seen = copy.context().clone();
        copy.put(&Context::new(), version(2, 2));
        assert_eq!(copy.versions().len(), 2, "concurrent writes are both kept");
        copy.put(&seen, version(1, 3));
        assert_eq!(copy.versions().len(), 2, "only the version that was seen is replaced");
        assert!(copy.find(version(1, 1).dot).is_none());
        let all = copy.context().clone();
        copy.put(&all, version(1, 4));
        assert_eq!(copy.versions().len(), 1);
    }

    #[test]
    fn an_attempt_that_another_made_good_is_dropped_wherever_it_comes_up() {
        let (mut first, mut second) = (Record::new(), Record::new());
        first.put(&Context::new(), version(3, 1));
        let attempt = |actor, tick| Version {
            request: RequestId(77),
            ..version(actor, tick)
        };
        first.put(&Context::new(), attempt(1, 50));
        let mut own = Context::new();
        own.cover_attempts(RequestId(77), Tick(60));
        assert!(first.holds_beyond(&own), "its writer does not know what that replaced");
        second.put(&own, attempt(2, 61));
        let replaced = merged(&first, &second);
        assert_eq!(replaced.versions().len(), 2, "whatever else is there stays");
        assert!(replaced.find(attempt(1, 50).dot).is_none() && replaced.find(attempt(2, 61).dot).is_some());
        let known = second.context().clone();
        second.put(&known, version(2, 62));
        let replaced = merged(&first, &second);
        assert!(
            replaced
                .versions()
                .iter()
                .all(|version| version.request != RequestId(77))
        );
    }

    #[test]
    fn lives_are_over_in_a_record_once_nothing_of_them_is_left() {
        let of = |actor: u64, life: u64, tick: u64, request: u128| Version {
            dot: Dot {
                actor: ActorId(actor),
                life: Tick(life),
                tick: Tick(tick),
            },
            request: RequestId(request),
            content: Content::deletion(),
        };
        let mut record = Record::new();
        record.put(&Context::new(), of(1, 1, 10, 1));
        let mut all = record.context().clone();
        all.cover_attempts(RequestId(3), Tick(25));
        record.put(&all, of(2, 20, 30, 3));
        assert_eq!(
            record.lives_without_versions(),
            [(ActorId(1), Tick(1))],
            "its write is still here"
        );
        let mut all = record.context().clone();
        all.raise(ActorId(4), Tick(1), Tick(90));
        record.put(&all, of(3, 40, 50, 4));
        let over = record.lives_without_versions();
        let attempts = attempts_at(RequestId(3));
        assert_eq!(
            over,
            [attempts, (ActorId(1), Tick(1)), (ActorId(2), Tick(20))],
            "what lies above stays"
        );
        let before = record.clone();
        record.forget_lives(&over);
        assert_eq!((record.versions(), record.tick_max()), (before.versions(), Tick(90)));
        assert_eq!(record.context().len(), 2);
        assert_eq!(
            merged(&record, &before),
            before,
            "a home that has not forgotten gives it back"
        );
    }

    #[test]
    fn newest_compares_deletions_and_values_alike() {
        let mut copy = Record::new();
        let mut value = version(1, 5);
        value.content.kind = crate::content::Kind::Value;
        copy.put(&Context::new(), value);
        assert!(copy.visible().is_some());
        copy.put(&Context::new(), version(2, 9));
        assert!(copy.visible().is_none(), "the later deletion wins over its sibling");
        assert!(
            !copy.is_tombstone(),
            "but the value is still there for whoever asks for siblings"
        );
    }

    #[test]
    fn retries_count_as_one_sibling() {
        let mut copy = Record::new();
        let mut again = version(2, 7);
        again.request = RequestId(1);
        copy.put(&Context::new(), version(1, 1));
        copy.put(&Context::new(), again);
        assert_eq!(copy.sibling_count(), 1);
    }
}
