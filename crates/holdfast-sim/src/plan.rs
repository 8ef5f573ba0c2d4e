//! What a seed's cluster is like, and which kinds of fault may strike it: drawn once, before anything runs.
//!
//! A random subset of the kinds is drawn for each seed, because extra faults can hide a bug: Garage's old layout code
//! failed under crashes alone in 11 of 20 runs and under crashes with partitions and clocks in none.

use holdfast_core::node::MESSAGE_LIFE_MS;

use crate::rng::{Rng, Stream};

/// The message life of runs that forget.
const SHORT_LIFE_MS: u64 = 6_000;

/// Kinds of fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum FaultKind {
    /// For a while, some messages are lost.
    Loss,
    /// For a while, some messages come seconds late, up to just below a minute.
    LateDelivery,
    /// For a while, some messages come twice, the second perhaps much later.
    Duplication,
    /// For a while, latencies vary so much that messages overtake each other.
    Reorder,
    /// Members fall into two groups that cannot talk.
    Partition,
    /// One direction of one link is cut: nobody else notices.
    OneWayCut,
    /// A process is killed; the kernel lives on and keeps what was written.
    Kill,
    /// The machine loses power: what was not synced is gone, except perhaps the first of it.
    PowerCut,
    /// A process is stopped in order and started again.
    CleanRestart,
    /// A process stands still, and with it its timers; messages wait.
    Pause,
    /// A wall clock jumps.
    ClockJump,
    /// For a while, a disk is slow.
    SlowDisk,
    /// A node is told that a peer went or came when it did not.
    FalseNews,
    /// For a while, some answers to clients are lost and some clients hang up early.
    LostAnswers,
    /// For a while, some chunk operations of a disk fail.
    ChunkErrors,
    /// For a while, a disk's reserve is reached.
    DiskFull,
    /// For a while, nothing reaches a machine, while everything it says is heard: it must not take the others for dead.
    Deaf,
    /// Some of what lies on one machine's disk changes while nobody looks, and other homes have it.
    Rot,
    /// One machine loses its disk, and comes back with an empty one.
    DiskLost,
    /// One machine's disk is put back from a copy that was taken some time ago.
    OldCopy,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [Self; 20] = [
        Self::Loss,
        Self::LateDelivery,
        Self::Duplication,
        Self::Reorder,
        Self::Partition,
        Self::OneWayCut,
        Self::Kill,
        Self::PowerCut,
        Self::CleanRestart,
        Self::Pause,
        Self::ClockJump,
        Self::SlowDisk,
        Self::FalseNews,
        Self::LostAnswers,
        Self::ChunkErrors,
        Self::DiskFull,
        Self::Deaf,
        Self::Rot,
        Self::DiskLost,
        Self::OldCopy,
    ];

    /// Whether it takes another member to strike.
    #[must_use]
    pub const fn needs_peers(self) -> bool {
        matches!(
            self,
            Self::Loss
                | Self::LateDelivery
                | Self::Duplication
                | Self::Reorder
                | Self::Partition
                | Self::OneWayCut
                | Self::FalseNews
                | Self::Deaf
                | Self::Rot
                | Self::DiskLost
                | Self::OldCopy
        )
    }
}

/// How clients treat the keys of a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// Mostly without contexts, as S3 clients do.
    Blind,
    /// Mostly with the context of a read, sometimes an old one.
    Contexts,
    /// Both.
    Mixed,
    /// One key, and contexts that cover nothing: siblings pile up until they are refused (the cap of rule D4).
    Storm,
}

/// A bucket of the run.
#[derive(Clone, Debug)]
pub struct BucketPlan {
    /// Its name.
    pub name: String,
    /// Index shards.
    pub shards: u16,
    /// Replicas wanted.
    pub n: u8,
    /// Copies asked by reads.
    pub r: u8,
    /// Copies needed by writes.
    pub w: u8,
    /// Keys that clients write.
    pub keys: Vec<String>,
    /// How clients treat them.
    pub style: Style,
    /// Whether stand-ins take the place of homes that are away.
    pub sloppy: bool,
}

/// Everything a seed decides beforehand.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Number of members.
    pub members: usize,
    /// log₂ of the number of partitions.
    pub partition_bits: u8,
    /// Buckets beside the system bucket.
    pub buckets: Vec<BucketPlan>,
    /// Kinds of fault that may strike.
    pub faults: Vec<FaultKind>,
    /// How many times one strikes.
    pub fault_count: u64,
    /// How long clients and faults are at it, at least, in microseconds.
    pub window_us: u64,
    /// Concurrent clients.
    pub clients: usize,
    /// Longest pause of a client between two tasks, in microseconds.
    pub think_us_max: u64,
    /// Least latency of a link, in microseconds.
    pub latency_us: u64,
    /// Least time of a sync, in microseconds.
    pub sync_us: u64,
    /// How far wall clocks may be off at the start, in milliseconds.
    pub clock_offset_ms: u64,
    /// Whether the kernel's identity is unknown to nodes, so that every restart counts as unclean.
    pub kernel_unknown: bool,
    /// Message life of rule G2, in milliseconds. Where it is short, dead bodies are forgotten within the run.
    pub message_life_ms: u64,
    /// Whether messages sent over a link that is cut arrive when it works again, as they may over TCP; else they are lost.
    pub holds: bool,
    /// Whether some clients go through a gateway.
    pub has_gateway: bool,
}

impl Plan {
    /// Draws the plan of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed, Stream::Plan);
        let members = [1, 2, 3, 4, 5][rng.weighted(&[3, 4, 48, 15, 30])];
        let mut faults: Vec<FaultKind> = FaultKind::ALL
            .into_iter()
            .filter(|kind| {
                !matches!(
                    kind,
                    FaultKind::Deaf | FaultKind::Rot | FaultKind::DiskLost | FaultKind::OldCopy
                )
            })
            .filter(|kind| rng.per_mille(if *kind == FaultKind::DiskFull { 120 } else { 350 }))
            .filter(|kind| members > 1 || !kind.needs_peers())
            .collect();
        if faults.is_empty() {
            faults.push(*rng.pick(&[FaultKind::Kill, FaultKind::PowerCut, FaultKind::Pause]));
        }
        // From the stream of gossip, whose fault it is: the rest of a seed stays what it was without it.
        if members > 1 && Rng::new(seed, Stream::Gossip).per_mille(250) {
            faults.push(FaultKind::Deaf);
        }
        if members > 2 && Rng::new(seed, Stream::Rot).per_mille(250) {
            faults.push(FaultKind::Rot);
        }
        let mut buckets: Vec<BucketPlan> = (0..rng.between(1, 2))
            .map(|index| BucketPlan::draw(&mut rng, members, index))
            .collect();
        let mut few = Rng::new(seed, Stream::FewHomes);
        if let Some(bucket) = buckets.last_mut().filter(|_| few.per_mille(100)) {
            (bucket.n, bucket.r, bucket.w) = *few.pick(&[(1, 1, 1), (2, 1, 2)]);
        }
        let forgets = Rng::new(seed, Stream::Forgetting).per_mille(500);
        // What is acknowledged must be on another disk as well, and the run must see the disk filled up again.
        let has_others = members > 2 && buckets.iter().all(|bucket| bucket.n > 1);
        let mut disks = Rng::new(seed, Stream::Disks);
        if forgets && has_others {
            let kinds = [FaultKind::DiskLost, FaultKind::OldCopy];
            faults.extend(kinds.into_iter().filter(|_| disks.per_mille(350)));
        }
        Self {
            seed,
            members,
            partition_bits: rng.between(0, 4) as u8,
            buckets,
            faults,
            fault_count: rng.between(6, 24),
            window_us: rng.between(60, 75) * 1_000_000,
            clients: rng.between(4, 9) as usize,
            // A few seeds are crowded: they cost ten times as much and find what only races show.
            think_us_max: if rng.per_mille(60) {
                rng.between(60_000, 300_000)
            } else {
                rng.between(1_000_000, 4_000_000)
            },
            latency_us: rng.spread(50, 4_000),
            sync_us: rng.spread(100, 30_000),
            clock_offset_ms: *rng.pick(&[0, 60, 3_000, 3_000]),
            kernel_unknown: rng.per_mille(150),
            holds: Rng::new(seed, Stream::Holding).per_mille(500),
            has_gateway: Rng::new(seed, Stream::Gateway).per_mille(300),
            message_life_ms: if forgets { SHORT_LIFE_MS } else { MESSAGE_LIFE_MS },
        }
    }

    /// How long a plain body may take to be committed (rule D10), in milliseconds: a day, or shorter than the run.
    #[must_use]
    pub const fn plain_commit_ms(&self) -> u64 {
        if self.forgets() { 25_000 } else { 24 * 3_600 * 1_000 }
    }

    /// Whether what is dead is forgotten within the run.
    #[must_use]
    pub const fn forgets(&self) -> bool {
        self.message_life_ms == SHORT_LIFE_MS
    }

    /// Whether a kind of fault may strike.
    #[must_use]
    pub fn has(&self, kind: FaultKind) -> bool {
        self.faults.contains(&kind)
    }
}

impl BucketPlan {
    fn draw(rng: &mut Rng, members: usize, index: u64) -> Self {
        let n: u8 = if members == 5 && rng.per_mille(300) { 5 } else { 3 };
        let majority = n / 2 + 1;
        // What reads and writes ask for always overlaps, because the promises that are checked hold only then.
        let (r, w) = if rng.per_mille(150) {
            (majority, n.min(majority + 1))
        } else {
            (majority, majority)
        };
        let styles = [Style::Blind, Style::Contexts, Style::Mixed, Style::Storm];
        let style = styles[rng.weighted(&[31, 31, 31, 7])];
        let wide = rng.per_mille(250);
        let count = if wide { rng.between(60, 160) } else { rng.between(3, 30) };
        Self {
            name: format!("bucket-{index}"),
            shards: *rng.pick(&[1, 1, 2, 4, 7]),
            n,
            r,
            w,
            keys: (0..count).map(|number| key_name(rng, number)).collect(),
            style,
            sloppy: rng.per_mille(650),
        }
    }
}

/// Names that try the order of keys: folders, prefixes of each other, the ends of the alphabet, a zero byte.
fn key_name(rng: &mut Rng, number: u64) -> String {
    let folder = *rng.pick(&["", "", "a/", "a/b/", "b/", "z/z/z/", "a\u{0}/", "ü/"]);
    let tail = *rng.pick(&["", "", "", "\u{0}", "/", "~", "/x"]);
    format!("{folder}k{number:03}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_differ_and_cover_the_kinds_of_clusters_and_faults() {
        let plans: Vec<Plan> = (0..400).map(Plan::draw).collect();
        for members in 1..=5 {
            assert!(plans.iter().any(|plan| plan.members == members), "{members} members");
        }
        for kind in FaultKind::ALL {
            let count = plans.iter().filter(|plan| plan.has(kind)).count();
            assert!(count > 20 && count < 390, "{kind:?} in {count} of 400");
        }
        for plan in &plans {
            assert!(plan.fault_count >= 5 && plan.window_us >= 60_000_000);
            for bucket in &plan.buckets {
                let n = usize::from(bucket.n).min(plan.members);
                let (r, w) = (usize::from(bucket.r).min(n), usize::from(bucket.w).min(n));
                assert!(r + w > n && 2 * w > n, "quorums of seed {} overlap", plan.seed);
            }
        }
    }
}
