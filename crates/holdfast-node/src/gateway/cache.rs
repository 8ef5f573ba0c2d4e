//! Buckets and access keys that a gateway has read: for a minute at most, so that a key that was disabled is refused by then, and few at a
//! time.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use holdfast_core::registry::{Entry, Registry};

/// How long a key is believed.
const KEYS_FOR: Duration = Duration::from_secs(60);
/// How long a bucket is: nobody refuses a write to a bucket that was deleted meanwhile.
const BUCKETS_FOR: Duration = Duration::from_secs(2);
/// Entries of each kind; with more of them all are read anew.
const ENTRIES_MAX: usize = 10_000;

/// What was read, and since when.
#[derive(Debug)]
struct Kept {
    registry: Arc<Registry>,
    keys_since: Instant,
    buckets_since: Instant,
}

/// What a gateway has read.
#[derive(Debug)]
pub(super) struct Cache(RwLock<Kept>);

impl Default for Cache {
    fn default() -> Self {
        let now = Instant::now();
        Self(RwLock::new(Kept {
            registry: Arc::default(),
            keys_since: now,
            buckets_since: now,
        }))
    }
}

impl Cache {
    /// What is still believed.
    pub(super) fn registry(&self) -> Arc<Registry> {
        let now = Instant::now();
        {
            let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if kept.is_fresh(now) {
                return kept.registry.clone();
            }
        }
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        kept.refresh(now);
        kept.registry.clone()
    }

    /// An entry was read.
    pub(super) fn learn(&self, entry: &Entry) {
        let now = Instant::now();
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        kept.refresh(now);
        let mut registry = (*kept.registry).clone();
        registry.apply(entry.clone());
        kept.registry = Arc::new(registry);
    }
}

impl Kept {
    fn is_fresh(&self, now: Instant) -> bool {
        let is_small = self.registry.access_keys().count() + self.registry.buckets().count() < ENTRIES_MAX;
        is_small && now < self.keys_since + KEYS_FOR && now < self.buckets_since + BUCKETS_FOR
    }

    /// Each kind is forgotten all at once: nothing is kept for longer than its time.
    fn refresh(&mut self, now: Instant) {
        if self.is_fresh(now) {
            return;
        }
        let keeps_keys = now < self.keys_since + KEYS_FOR && self.registry.access_keys().count() < ENTRIES_MAX;
        let mut registry = Registry::default();
        if keeps_keys {
            let keys = self.registry.access_keys().cloned();
            keys.for_each(|key| registry.apply(Entry::Key(key)));
        } else {
            self.keys_since = now;
        }
        self.buckets_since = now;
        self.registry = Arc::new(registry);
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::bucket::{AccessKey, KeyState};

    use super::*;

    fn key(id: &str) -> Entry {
        Entry::Key(AccessKey {
            id: id.to_owned(),
            secret: "secret".to_owned(),
            name: "name".to_owned(),
            created_ms: 1,
            state: KeyState::Enabled,
        })
    }

    #[test]
    fn keys_outlive_buckets_and_are_forgotten_after_a_minute() {
        let cache = Cache::default();
        cache.learn(&key("A"));
        assert!(cache.registry().access_key("A").is_some());
        let age = |keys: Duration, buckets: Duration| {
            let mut kept = cache.0.write().expect("lock");
            let now = Instant::now();
            kept.keys_since = now.checked_sub(keys).expect("a time");
            kept.buckets_since = now.checked_sub(buckets).expect("a time");
        };
        age(Duration::from_secs(30), BUCKETS_FOR);
        assert!(cache.registry().access_key("A").is_some());
        age(KEYS_FOR, Duration::ZERO);
        assert!(cache.registry().access_key("A").is_none());
    }
}
