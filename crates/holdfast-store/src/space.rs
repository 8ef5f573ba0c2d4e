//! How much of the disk is left, asked rarely.
//!
//! A reserve is kept so that deletes, compaction and the journal never meet a full disk: an engine that cannot write its
//! journal must stop. Its first half is kept from clients, its second from other nodes, too. `statvfs` is asked at most once a second, and sooner when enough was written meanwhile to matter;
//! never while nothing is written.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use tracing::{info, warn};

/// Reserve on any but small disks.
const RESERVE_BYTES_MIN: u64 = 512 << 20;
/// How long an answer of the operating system is believed.
const BELIEVED_MS: u64 = 1000;

/// How full a disk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DiskBytes {
    /// Bytes that are taken, or kept for others.
    pub used: u64,
    /// All bytes.
    pub total: u64,
}

/// The free space of one disk. Shared by all threads; wait-free.
#[derive(Debug)]
pub(crate) struct FreeSpace {
    path: PathBuf,
    reserve_bytes: Option<u64>,
    started: Instant,
    /// Milliseconds since `started`, plus one, of the last question; 0 before the first.
    asked_ms: AtomicU64,
    full: AtomicBool,
    exhausted: AtomicBool,
    /// Bytes written since the last question.
    written: AtomicU64,
}

impl FreeSpace {
    pub(crate) fn new(path: PathBuf, reserve_bytes: Option<u64>) -> Self {
        Self {
            path,
            reserve_bytes,
            started: Instant::now(),
            asked_ms: AtomicU64::new(0),
            full: AtomicBool::new(false),
            exhausted: AtomicBool::new(false),
            written: AtomicU64::new(0),
        }
    }

    /// Whether the reserve has been reached.
    pub(crate) fn is_full(&self) -> bool {
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1;
        let asked_ms = self.asked_ms.load(Ordering::Relaxed);
        let stale = asked_ms == 0 || now_ms.saturating_sub(asked_ms) >= BELIEVED_MS;
        let much = self.written.load(Ordering::Relaxed) > RESERVE_BYTES_MIN / 8;
        if (stale || much)
            && self
                .asked_ms
                .compare_exchange(asked_ms, now_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.written.store(0, Ordering::Relaxed);
            self.ask();
        }
        self.full.load(Ordering::Relaxed)
    }

    /// Whether half of the reserve is gone, too.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.is_full() && self.exhausted.load(Ordering::Relaxed)
    }

    /// How full the disk is, asked anew; `None` when the system does not tell.
    pub(crate) fn disk_bytes(&self) -> Option<DiskBytes> {
        let disk = rustix::fs::statvfs(&self.path).ok()?;
        let total = disk.f_blocks.saturating_mul(disk.f_frsize);
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        Some(DiskBytes {
            used: total.saturating_sub(free),
            total,
        })
    }

    /// Counts what was written, so that a fast writer cannot run through the reserve within a second.
    pub(crate) fn wrote(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    fn ask(&self) {
        let (full, exhausted) = match rustix::fs::statvfs(&self.path) {
            Ok(disk) => {
                let total = disk.f_blocks.saturating_mul(disk.f_frsize);
                let free = disk.f_bavail.saturating_mul(disk.f_frsize);
                let reserve = self.reserve_bytes.unwrap_or_else(|| default_reserve_bytes(total));
                (free < reserve, free < reserve / 2)
            }
            Err(error) => {
                // Not knowing is no reason to refuse writes: a disk that is really full says so itself.
                warn!(%error, path = %self.path.display(), "cannot ask for free space");
                (false, false)
            }
        };
        if self.exhausted.swap(exhausted, Ordering::Relaxed) != exhausted && exhausted {
            warn!(path = %self.path.display(), "half of the reserve is gone, too: nothing is taken any more, from nobody");
        }
        if self.full.swap(full, Ordering::Relaxed) != full {
            if full {
                warn!(path = %self.path.display(), "the reserve of free disk space is reached: new data is refused");
            } else {
                info!(path = %self.path.display(), "there is free disk space again: new data is taken");
            }
        }
    }
}

/// 512 MiB or 1 % of the disk, whichever is more; on disks below 5 GiB a tenth, or nothing would ever fit on them.
fn default_reserve_bytes(total: u64) -> u64 {
    RESERVE_BYTES_MIN.max(total / 100).min(total / 10)
}

#[cfg(test)]
mod tests {
    use super::{FreeSpace, default_reserve_bytes};

    #[test]
    fn the_reserve_follows_the_disk() {
        assert_eq!(default_reserve_bytes(1 << 30), (1 << 30) / 10);
        assert_eq!(default_reserve_bytes(10 << 30), 512 << 20);
        assert_eq!(default_reserve_bytes(1000 << 30), 10 << 30);
    }

    #[test]
    fn a_reserve_larger_than_the_disk_means_full() {
        let path = std::env::temp_dir();
        let none_left = FreeSpace::new(path.clone(), Some(u64::MAX));
        assert!(none_left.is_full() && none_left.is_exhausted());
        let all_left = FreeSpace::new(path.clone(), Some(0));
        assert!(!all_left.is_full() && !all_left.is_exhausted());
        let free = {
            let disk = rustix::fs::statvfs(&path).expect("a directory");
            disk.f_bavail * disk.f_frsize
        };
        let half_left = FreeSpace::new(path, Some(free + free / 2));
        assert!(half_left.is_full() && !half_left.is_exhausted());
    }
}
