//! The task that watches: gathers what this node sees, tells it to those who watch elsewhere, and puts together what is told
//! to those who listen here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use holdfast_core::ids::NodeId;
use serde_json::Value;
use tokio::time::{Interval, MissedTickBehavior};

use super::stats::{Lately, own_stats};
use super::words::{REQUESTS_MAX, Words, request};
use super::{Told, frame, now_ms};
use crate::console::Sessions;
use crate::objects::{News, Ring, Sample, SampleStream};
use crate::rest::Teller;
use crate::serve::{Pulse, pulse};

/// Between two tellings of requests.
const TICK: Duration = Duration::from_millis(250);
/// Ticks between two tellings of figures.
const STATS_EVERY: u32 = 8;
/// Who has just come need not wait so long: the tick of the first figures, and the one by which others have told theirs.
const FIRST_STATS: u32 = 2;
const FIRST_HEARD: u32 = 3;
/// Somebody elsewhere who watches says so this often; after twice as long and a bit nothing more is told there.
const WATCHING_EVERY: u32 = 16;
const WATCHED_FOR: Duration = Duration::from_secs(10);
/// Requests told here within one tick, of all nodes together: what an eye can follow.
const REQUESTS_PER_TICK: usize = 10;
/// Events of this node that are told within one tick; more are only counted.
const EVENTS_PER_TICK: usize = 20;

/// Runs until the node is about to end.
pub(super) async fn run(told: Arc<Told>, sessions: Arc<Sessions>) {
    let mut whispers = told.objects.whispers();
    let mut news = told.objects.events();
    let mut signed_out = sessions.ended_here();
    let mut round = Round::new(Arc::clone(&told), sessions);
    let mut tick: Option<(Interval, SampleStream)> = None;
    loop {
        if round.is_wanted() {
            tick.get_or_insert_with(|| {
                round.wake();
                (interval(), told.objects.samples())
            });
        } else if tick.take().is_some() {
            round.rest();
        }
        let active = async {
            match &mut tick {
                Some((interval, samples)) => tokio::select! {
                    _ = interval.tick() => Active::Tick,
                    Some(sample) = samples.next() => Active::Sample(sample),
                },
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some((from, words)) = whispers.next() => round.hear(from, &words),
            happened = news.next() => match happened {
                Some(happened) => round.happened(happened),
                None => break,
            },
            Ok(session) = signed_out.recv() => told.objects.whisper(None, &Words::SignedOut(session).encode()),
            () = told.wake.notified() => {}
            active = active => match active {
                Active::Tick => round.tick(),
                Active::Sample(sample) => round.sample(&sample),
            },
        }
    }
    // Whoever listens hears that there is no more.
    *told.frames() = None;
}

enum Active {
    Tick,
    Sample(Sample),
}

fn interval() -> Interval {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// What is gathered between two tickings.
struct Round {
    told: Arc<Told>,
    sessions: Arc<Sessions>,
    node: NodeId,
    ring: Option<Ring>,
    /// Who watches elsewhere, and until when.
    watchers: BTreeMap<NodeId, Instant>,
    ticks: u32,
    /// Requests that this node answered, and those that others told of.
    own: Vec<Value>,
    others: Vec<Value>,
    events: usize,
    /// Names, for the events of one tick.
    teller: Option<Teller>,
    before: (Instant, Pulse),
}

impl Round {
    fn new(told: Arc<Told>, sessions: Arc<Sessions>) -> Self {
        let node = told.objects.cluster().node;
        Self {
            ring: told.objects.ring(),
            told,
            sessions,
            node,
            watchers: BTreeMap::new(),
            ticks: 0,
            own: Vec::new(),
            others: Vec::new(),
            events: 0,
            teller: None,
            before: (Instant::now(), pulse()),
        }
    }

    fn is_wanted(&self) -> bool {
        !self.watchers.is_empty() || self.told.is_listened_to()
    }

    /// Somebody looks: figures are of the time from here on.
    fn wake(&mut self) {
        self.before = (Instant::now(), pulse());
    }

    /// Nobody looks any more.
    fn rest(&mut self) {
        self.ticks = 0;
        self.own.clear();
        self.others.clear();
    }

    fn hear(&mut self, from: NodeId, words: &[u8]) {
        match Words::decode(words) {
            Some(Words::Watching) => drop(self.watchers.insert(from, Instant::now() + WATCHED_FOR)),
            Some(Words::Stats(stats)) => {
                self.told.heard().stats.insert(from, (Instant::now(), stats));
            }
            Some(Words::Requests(requests)) => {
                let room = REQUESTS_PER_TICK.saturating_sub(self.others.len());
                self.others.extend(requests.into_iter().take(room));
            }
            Some(Words::Happened(event)) => self.told.tell(frame("happened", &event)),
            Some(Words::SignedOut(session)) => self.sessions.end(&session, now_ms()),
            None => {}
        }
    }

    fn happened(&mut self, news: News) {
        if self.is_wanted() {
            self.events += 1;
            if self.events <= EVENTS_PER_TICK {
                let objects = &*self.told.objects;
                let teller = self.teller.get_or_insert_with(|| Teller::of(objects));
                let event = teller.shown(objects, &news);
                self.tell_event(event);
            }
        }
        self.told.heard().past.keep(news);
    }

    /// Here and elsewhere.
    fn tell_event(&self, event: Value) {
        self.told.tell(frame("happened", &event));
        if !self.watchers.is_empty() {
            self.whisper(&Words::Happened(event));
        }
    }

    fn sample(&mut self, sample: &Sample) {
        if self.own.len() < REQUESTS_PER_TICK
            && let Some(ring) = &self.ring
            && let Some(shown) = request(sample, self.node, ring)
        {
            self.own.push(shown);
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.watchers.retain(|_, until| *until > now);
        self.tell_requests();
        if self.events > EVENTS_PER_TICK {
            let missed = News::Missed((self.events - EVENTS_PER_TICK) as u64);
            let mut missed = Teller::of(&*self.told.objects).shown(&*self.told.objects, &missed);
            missed["at"] = Value::from(crate::rest::time_shown(now_ms()));
            self.tell_event(missed);
        }
        self.teller = None;
        self.events = 0;
        let is_listened_to = self.told.is_listened_to();
        if is_listened_to && self.ticks.is_multiple_of(WATCHING_EVERY) {
            self.told.objects.whisper(None, &Words::Watching.encode());
        }
        let is_due = self.ticks.is_multiple_of(STATS_EVERY);
        if is_due || self.ticks == FIRST_STATS {
            self.tell_stats(now);
        }
        if is_listened_to && (is_due || self.ticks == FIRST_HEARD) {
            self.told.tell(frame("view", &self.told.view()));
        }
        self.ticks = self.ticks.wrapping_add(1);
    }

    fn tell_requests(&mut self) {
        if !self.watchers.is_empty() {
            for few in self.own.chunks(REQUESTS_MAX) {
                self.whisper(&Words::Requests(few.to_vec()));
            }
        }
        let mut all = std::mem::take(&mut self.own);
        all.append(&mut self.others);
        if !all.is_empty() {
            all.truncate(REQUESTS_PER_TICK);
            self.told.tell(frame("requests", &Value::Array(all)));
        }
    }

    fn tell_stats(&mut self, now: Instant) {
        let reading = pulse();
        let (since, before) = std::mem::replace(&mut self.before, (now, reading.clone()));
        let view = self.told.objects.cluster();
        let lately = Lately {
            pulse: &reading.since(&before),
            over: now.duration_since(since),
        };
        let stats = own_stats(&view, &lately, self.told.began.elapsed());
        let stats = serde_json::to_value(stats).unwrap_or_default();
        if !self.watchers.is_empty() {
            self.whisper(&Words::Stats(stats.clone()));
        }
        self.told.heard().stats.insert(self.node, (now, stats));
    }

    /// To those who watch.
    fn whisper(&self, words: &Words) {
        let words = words.encode();
        for watcher in self.watchers.keys() {
            self.told.objects.whisper(Some(*watcher), &words);
        }
    }
}
