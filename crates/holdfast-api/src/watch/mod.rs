//! Watching the cluster: one stream for whoever looks, of what all nodes see, at no cost when nobody does.
//!
//! A node knows its own requests, figures and events. While somebody listens to one node, that one asks the others, in
//! whispers (datagrams that may be lost), to tell theirs for the next seconds; so one connection shows the whole cluster.
//! One task does it for the process. It sleeps while nobody listens, but for noting what has happened lately, so that who
//! comes later sees that too. Nothing here is stored and nothing depends on it.

mod past;
pub(crate) mod sentence;
mod stats;
mod task;
mod words;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use holdfast_core::ids::NodeId;
use serde_json::Value;
use tokio::sync::{Notify, broadcast};
use tokio::task::AbortHandle;

use crate::console::Sessions;
use crate::objects::{ClusterView, Objects, Ring, Role};
use crate::rest::Teller;
use past::Past;
use sentence::{Known, Sentence};
pub(crate) use stats::{Figures, Lately, own_stats};
pub(crate) use words::Request;

/// Frames kept for a listener that is slow: some seconds of a busy cluster.
const FRAMES_KEPT_MAX: usize = 512;

/// What a node told of itself holds for so long.
const HEARD_FOR: Duration = Duration::from_secs(10);

/// A piece of the stream, ready to be sent.
pub(crate) type Frame = Arc<str>;

/// What members told of themselves lately.
#[derive(Default)]
struct Heard {
    stats: BTreeMap<NodeId, (Instant, Value)>,
    past: Past,
}

/// The watch of this process.
pub(crate) struct Watch {
    told: Arc<Told>,
    task: AbortHandle,
}

/// What the task and those who listen share.
pub(crate) struct Told {
    objects: Arc<dyn Objects>,
    /// `None` once the node is about to end.
    frames: Mutex<Option<broadcast::Sender<Frame>>>,
    heard: Mutex<Heard>,
    ring: Mutex<Option<Arc<Ring>>>,
    wake: Notify,
    began: Instant,
}

impl Watch {
    /// Begins to watch. Must be called within a tokio runtime.
    pub(crate) fn begin(objects: Arc<dyn Objects>, sessions: Arc<Sessions>) -> Self {
        let told = Arc::new(Told {
            objects,
            frames: Mutex::new(Some(broadcast::Sender::new(FRAMES_KEPT_MAX))),
            heard: Mutex::new(Heard::default()),
            ring: Mutex::new(None),
            wake: Notify::new(),
            began: Instant::now(),
        });
        let task = tokio::spawn(task::run(Arc::clone(&told), sessions)).abort_handle();
        Self { told, task }
    }

    pub(crate) fn told(&self) -> &Arc<Told> {
        &self.told
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Told {
    /// What is told from now on, and the latest of what was.
    pub(crate) fn listen(&self) -> (Vec<Frame>, broadcast::Receiver<Frame>) {
        let frames = match &*self.frames() {
            Some(frames) => frames.subscribe(),
            None => broadcast::Sender::new(1).subscribe(),
        };
        self.wake.notify_one();
        let past = self.heard().past.all();
        let teller = Teller::of(&*self.objects);
        let past = past
            .iter()
            .map(|news| frame("past", &teller.shown(&*self.objects, news)));
        (past.collect(), frames)
    }

    /// How long this process has served.
    pub(crate) fn uptime(&self) -> Duration {
        self.began.elapsed()
    }

    /// The sentence, as far as this node knows.
    pub(crate) fn sentence(&self, view: &ClusterView) -> Sentence {
        if self.objects.role() == Role::Gateway {
            return Sentence::of_gateway(view);
        }
        let hints = self.hints(view);
        Known {
            view,
            ring: self.ring(view.epoch).as_deref(),
            repair: &self.objects.repair_report(),
            hints: &hints,
            now_ms: now_ms(),
        }
        .sentence()
    }

    /// The ring of an epoch: made once, for it has a list for each partition.
    fn ring(&self, epoch: u64) -> Option<Arc<Ring>> {
        let mut known = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_none_or(|ring| ring.epoch != epoch) {
            *known = self.objects.ring().map(Arc::new);
        }
        known.clone()
    }

    /// The cluster as `GET /v1/cluster` tells it, with what all members told of themselves.
    pub(crate) fn view(&self) -> Value {
        let view = self.objects.cluster();
        let sentence = self.sentence(&view);
        let heard = self.heard();
        let fresh = heard.stats.iter().filter(|(_, (at, _))| at.elapsed() < HEARD_FOR);
        let stats = fresh.map(|(node, (_, stats))| (node.to_string(), stats.clone()));
        let stats = stats.collect();
        drop(heard);
        crate::rest::view_shown(&*self.objects, &view, &sentence, stats)
    }

    /// (holder, home, count): this node's own, and what others told lately.
    fn hints(&self, view: &ClusterView) -> Vec<(NodeId, NodeId, u64)> {
        let own = view.members.iter().filter(|member| member.hints_owed > 0);
        let mut hints: Vec<_> = own.map(|member| (view.node, member.id, member.hints_owed)).collect();
        for (holder, (at, stats)) in &self.heard().stats {
            if *holder != view.node && at.elapsed() < HEARD_FOR {
                hints.extend(stats::hints_in(stats, view).map(|(home, count)| (*holder, home, count)));
            }
        }
        hints
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        // Figures for people: usable wherever a panic came between.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn frames(&self) -> MutexGuard<'_, Option<broadcast::Sender<Frame>>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_listened_to(&self) -> bool {
        self.frames().as_ref().is_some_and(|frames| frames.receiver_count() > 0)
    }

    fn tell(&self, frame: Frame) {
        if let Some(frames) = &*self.frames() {
            // Nobody listens most of the time.
            let _ = frames.send(frame);
        }
    }
}

/// A server-sent event (HTML, §9.2).
fn frame(kind: &str, data: &Value) -> Frame {
    format!("event: {kind}\ndata: {data}\n\n").into()
}

fn now_ms() -> u64 {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(elapsed.unwrap_or_default().as_millis()).unwrap_or(0)
}
