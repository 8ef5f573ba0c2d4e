//! The nodes that bytes move to and from: which of them to try first, and which have not answered lately.
//!
//! Nobody measures anything beforehand. Whoever has the fewest requests of ours under way for how fast it answered before comes
//! first; who failed is passed over for a while, twice as long each time, and tried again when all others have failed too.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Client, Url};

use crate::client::connection::Endpoints;

/// How long a node is passed over after it has failed once.
const PASSED_OVER: Duration = Duration::from_secs(5);
/// And at most, after many times.
const PASSED_OVER_DOUBLINGS_MAX: u32 = 4;
/// Weight of what was known of a node's speed before, against what it just showed.
const MEMORY: f64 = 0.7;

/// All nodes that were heard of.
pub struct Peers {
    http: Client,
    /// Those that the user named: they can be reached when what nodes say of themselves is wrong from here.
    named: Vec<Peer>,
    standing: Mutex<BTreeMap<String, Standing>>,
}

/// One node, as it may be asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// Its REST endpoint.
    pub rest: String,
    /// What people call it.
    pub name: String,
}

#[derive(Default)]
struct Standing {
    under_way: u32,
    failures: u32,
    passed_over_until: Option<Instant>,
    /// How long it takes for a MiB; 0 until it is known.
    seconds_per_mib: f64,
}

/// A request that is under way; it counts for its node until it is dropped.
pub struct UnderWay<'a> {
    peers: &'a Peers,
    rest: String,
    begun: Instant,
}

impl Peers {
    /// None known yet but those that the user named.
    pub fn new(http: Client, named: &Endpoints) -> Self {
        let peer = |url: &Url| {
            let rest = url.as_str().trim_end_matches('/').to_owned();
            Peer {
                name: rest.clone(),
                rest,
            }
        };
        Self {
            http,
            named: named.iter().map(peer).collect(),
            standing: Mutex::default(),
        }
    }

    /// The connections.
    pub fn http(&self) -> &Client {
        &self.http
    }

    /// All to try, best first: `best` in order of how they stand, then `others`, then those that the user named. `turn` has
    /// equals take turns.
    pub fn order(&self, best: &[&Peer], others: &[&Peer], turn: usize) -> Vec<Peer> {
        let mut order = self.ranked(best, turn);
        order.extend(self.ranked(others, turn));
        let named: Vec<&Peer> = self.named.iter().collect();
        order.extend(self.ranked(&named, turn));
        let mut seen = Vec::new();
        order.retain(|peer| {
            let is_new = !peer.rest.is_empty() && !seen.contains(&peer.rest);
            seen.push(peer.rest.clone());
            is_new
        });
        // Those that failed lately come last, whatever they hold.
        let standing = self.lock();
        let now = Instant::now();
        order.sort_by_key(|peer| {
            standing
                .get(&peer.rest)
                .is_some_and(|standing| standing.is_passed_over(now))
        });
        order
    }

    fn ranked(&self, peers: &[&Peer], turn: usize) -> Vec<Peer> {
        let standing = self.lock();
        let count = peers.len().max(1);
        let mut ranked: Vec<(u64, usize, &Peer)> = peers
            .iter()
            .enumerate()
            .map(|(at, peer)| {
                let unknown = Standing::default();
                let cost = standing.get(&peer.rest).unwrap_or(&unknown).cost();
                (cost, (at + turn) % count, *peer)
            })
            .collect();
        ranked.sort();
        ranked.into_iter().map(|(_, _, peer)| peer.clone()).collect()
    }

    /// Notes that a request to a node begins.
    pub fn begin(&self, peer: &Peer) -> UnderWay<'_> {
        self.lock().entry(peer.rest.clone()).or_default().under_way += 1;
        UnderWay {
            peers: self,
            rest: peer.rest.clone(),
            begun: Instant::now(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Standing>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn is_passed_over(&self, now: Instant) -> bool {
        self.passed_over_until.is_some_and(|until| until > now)
    }

    /// What one more request would have to wait for, in a unit of its own. Small differences in speed are chance.
    fn cost(&self) -> u64 {
        let speed = (self.seconds_per_mib * 20.0).round() + 1.0;
        (f64::from(self.under_way + 1) * speed * 16.0) as u64
    }
}

impl UnderWay<'_> {
    /// It has brought or taken so many bytes.
    pub fn went_well(self, bytes: u64) {
        let seconds = self.begun.elapsed().as_secs_f64() / (bytes.max(1) as f64 / f64::from(1 << 20));
        let mut all = self.peers.lock();
        let standing = all.entry(self.rest.clone()).or_default();
        standing.failures = 0;
        standing.passed_over_until = None;
        standing.seconds_per_mib = if standing.seconds_per_mib > 0.0 {
            standing.seconds_per_mib * MEMORY + seconds * (1.0 - MEMORY)
        } else {
            seconds
        };
    }

    /// It has not.
    pub fn failed(self) {
        let mut all = self.peers.lock();
        let standing = all.entry(self.rest.clone()).or_default();
        let doublings = standing.failures.min(PASSED_OVER_DOUBLINGS_MAX);
        standing.failures += 1;
        standing.passed_over_until = Some(Instant::now() + PASSED_OVER * (1 << doublings));
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(standing) = self.peers.lock().get_mut(&self.rest) {
            standing.under_way = standing.under_way.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str) -> Peer {
        Peer {
            rest: format!("http://{name}"),
            name: name.to_owned(),
        }
    }

    fn peers() -> Peers {
        let named = vec![Url::parse("http://named:1").expect("a URL")];
        Peers::new(Client::builder().tls_certs_only([]).build().expect("builds"), &named)
    }

    fn names(order: &[Peer]) -> Vec<&str> {
        order.iter().map(|peer| peer.name.as_str()).collect()
    }

    #[test]
    fn equals_take_turns_and_the_busy_come_later() {
        let (peers, a, b, c) = (peers(), peer("a"), peer("b"), peer("c"));
        let firsts: Vec<String> = (0..3)
            .map(|turn| peers.order(&[&a, &b, &c], &[], turn)[0].name.clone())
            .collect();
        assert_eq!(firsts, ["a", "c", "b"]);
        let busy = peers.begin(&a);
        assert_eq!(names(&peers.order(&[&a, &b], &[&c], 0))[..3], ["b", "a", "c"]);
        drop(busy);
        assert_eq!(names(&peers.order(&[&a, &b], &[&c], 0))[0], "a");
    }

    #[test]
    fn who_failed_is_tried_last_and_the_named_are_always_there() {
        let (peers, a, b) = (peers(), peer("a"), peer("b"));
        peers.begin(&a).failed();
        let order = peers.order(&[&a], &[&b, &a], 0);
        assert_eq!(names(&order), ["b", "http://named:1", "a"]);
        peers.begin(&a).went_well(1);
        assert_eq!(names(&peers.order(&[&a], &[&b], 0))[0], "a");
        let unnamed = Peer {
            rest: String::new(),
            ..peer("x")
        };
        assert_eq!(names(&peers.order(&[&unnamed], &[], 0)), ["http://named:1"]);
    }

    #[test]
    fn the_slow_come_after_the_fast() {
        let (peers, slow, fast) = (peers(), peer("slow"), peer("fast"));
        let mut begun = peers.begin(&slow);
        begun.begun = Instant::now().checked_sub(Duration::from_secs(10)).expect("10 s ago");
        begun.went_well(1 << 20);
        peers.begin(&fast).went_well(1 << 30);
        assert_eq!(names(&peers.order(&[&slow, &fast], &[], 0))[0], "fast");
    }
}
