//! Some of the requests that are answered, for people who watch: a few in each quarter of a second, and none when nobody does.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use futures_util::stream;
use holdfast_api::objects::{Sample, SampleStream, SampledVerb};
use holdfast_core::bucket::Bucket;
use holdfast_core::request::{Got, PutOutcome};
use holdfast_node::shell::Shell;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

/// Samples kept for a watcher that is slow.
const KEPT_MAX: usize = 64;
/// Samples in one slot, and how long a slot is.
const PER_SLOT: u64 = 5;
const SLOT_MS: u64 = 250;

/// Hands out samples.
pub(super) struct Samples {
    sender: broadcast::Sender<Sample>,
    began: Instant,
    /// Which slot it is.
    slot: AtomicU64,
    /// How many of it were taken.
    taken: AtomicUsize,
}

impl Samples {
    pub(super) fn new() -> Self {
        Self {
            sender: broadcast::Sender::new(KEPT_MAX),
            began: Instant::now(),
            slot: AtomicU64::new(0),
            taken: AtomicUsize::new(0),
        }
    }

    /// When a request begins: `None` when it need not be looked at.
    pub(super) fn begin(&self) -> Option<Instant> {
        if self.sender.receiver_count() == 0 {
            return None;
        }
        let slot = self.began.elapsed().as_millis() as u64 / SLOT_MS;
        if self.slot.swap(slot, Ordering::Relaxed) != slot {
            self.taken.store(0, Ordering::Relaxed);
        }
        let is_taken = (self.taken.fetch_add(1, Ordering::Relaxed) as u64) < PER_SLOT;
        is_taken.then(Instant::now)
    }

    /// Tells of a write.
    pub(super) fn wrote(
        &self,
        shell: &Shell,
        began: Instant,
        verb: SampledVerb,
        at: (&Bucket, &str),
        outcome: &PutOutcome,
    ) {
        self.tell(Sample {
            verb,
            bucket: at.0.name.clone(),
            key: at.1.to_owned(),
            partition: shell.locate(&at.0.settings, at.1).partition.0,
            coordinator: outcome.coordinator,
            homes: outcome.preference_list.clone(),
            answered: outcome.written.clone(),
            down: outcome.down.clone(),
            hinted: outcome.hinted.clone(),
            took_us: began.elapsed().as_micros() as u64,
        });
    }

    /// Tells of a read.
    pub(super) fn read(&self, shell: &Shell, began: Instant, at: (&Bucket, &str), got: &Got) {
        self.tell(Sample {
            verb: SampledVerb::Get,
            bucket: at.0.name.clone(),
            key: at.1.to_owned(),
            partition: shell.locate(&at.0.settings, at.1).partition.0,
            coordinator: got.coordinator,
            homes: got.preference_list.clone(),
            answered: got.clocks.iter().map(|(node, _)| *node).collect(),
            down: got.down.clone(),
            hinted: Vec::new(),
            took_us: began.elapsed().as_micros() as u64,
        });
    }

    fn tell(&self, sample: Sample) {
        // Whoever watched may have gone.
        let _ = self.sender.send(sample);
    }

    pub(super) fn stream(&self) -> SampleStream {
        let next = |mut samples: broadcast::Receiver<Sample>| async {
            loop {
                match samples.recv().await {
                    Ok(sample) => return Some((sample, samples)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        };
        Box::pin(stream::unfold(self.sender.subscribe(), next))
    }
}

#[cfg(test)]
mod tests {
    use super::{PER_SLOT, Samples};

    #[test]
    fn nothing_is_looked_at_when_nobody_watches_and_little_when_somebody_does() {
        let samples = Samples::new();
        assert!(samples.begin().is_none());
        let _watching = samples.stream();
        let looked_at = (0..10_000).filter(|_| samples.begin().is_some()).count() as u64;
        assert!((PER_SLOT..=4 * PER_SLOT).contains(&looked_at), "{looked_at}");
    }
}
