//! Who this node's data says it is (rules S1, D2): actor, boot number, whether the last end was clean, and whether the data
//! are all that the node ever acknowledged.

use alloc::vec::Vec;
use bytes::Bytes;

use super::Config;
use crate::ids::{ActorId, Tick};
use crate::storage::{Batch, ReadError, Space, Storage};

/// Key of the identity row in [`Space::Meta`].
const IDENTITY_KEY: &[u8] = b"identity";
/// Key of the tick bound in [`Space::Meta`]; apart from the identity because it is written while running.
const TICK_BOUND_KEY: &[u8] = b"tick-bound";
/// First byte of the tick bound's row.
const TICK_BOUND_VERSION: u8 = 1;
/// First byte of the identity row.
const IDENTITY_VERSION: u8 = 2;
/// Length of the identity row: version, actor, boot, unclean boot, clean mark, kernel, birth, state of the disk.
const IDENTITY_BYTES: usize = 1 + 8 + 8 + 8 + 1 + 16 + 8 + 1;

/// What this node knows of its data (rules S1, S2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DiskState {
    /// They hold all that this node acknowledged.
    Whole,
    /// They begin with this run, and nobody has said yet whether this node had others before.
    New,
    /// This node had others before, and what these lack is being filled up from other nodes.
    Lost,
    /// They are an old copy: nothing of them may be used.
    Old,
}

/// Facts about this life of the data directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    /// New whenever the data is new.
    pub(crate) actor: ActorId,
    /// Raised by every start.
    pub(crate) boot: u64,
    /// The last start that followed an end after which sent dots may be missing here: copies whose life began before it
    /// begin a new one (rule D2).
    pub(crate) unclean_boot: u64,
    /// When the data began, in Unix milliseconds.
    pub(crate) born_ms: u64,
    /// Whether they are complete.
    pub(crate) disk: DiskState,
    /// Of the running kernel.
    kernel: [u8; 16],
}

impl Identity {
    /// Reads the identity, raises the boot number and judges the last end. The change lies in `batch`.
    pub(crate) fn start(config: &Config, storage: &dyn Storage, batch: &mut Batch) -> Result<Self, ReadError> {
        let identity = match storage.get(Space::Meta, IDENTITY_KEY)? {
            None => Self {
                actor: config.fresh_actor,
                boot: 1,
                unclean_boot: 0,
                born_ms: config.started_ms,
                disk: match config.is_disk_lost {
                    // Nobody else has anything.
                    _ if config.layout.members().len() == 1 || config.gives_up_lost_data => DiskState::Whole,
                    true => DiskState::Lost,
                    false => DiskState::New,
                },
                kernel: config.kernel,
            },
            Some(row) => {
                let (last, was_clean) = Self::decode(&row).ok_or(ReadError::Corrupt)?;
                let same_kernel = last.kernel == config.kernel && config.kernel != [0; 16];
                let boot = last.boot.saturating_add(1);
                let unclean_boot = if was_clean || same_kernel {
                    last.unclean_boot
                } else {
                    boot
                };
                Self {
                    actor: last.actor,
                    boot,
                    unclean_boot,
                    born_ms: last.born_ms,
                    disk: match last.disk {
                        DiskState::Lost | DiskState::New if config.gives_up_lost_data => DiskState::Whole,
                        disk => disk,
                    },
                    kernel: config.kernel,
                }
            }
        };
        identity.write(batch);
        Ok(identity)
    }

    /// Writes it while the node runs.
    pub(crate) fn write(&self, batch: &mut Batch) {
        batch.put(Space::Meta, IDENTITY_KEY.to_vec(), self.encode(false));
    }

    /// Marks a clean end.
    pub(crate) fn stop(&self, batch: &mut Batch) {
        batch.put(Space::Meta, IDENTITY_KEY.to_vec(), self.encode(true));
    }

    fn encode(&self, clean: bool) -> Bytes {
        let mut row = Vec::with_capacity(IDENTITY_BYTES);
        row.push(IDENTITY_VERSION);
        row.extend_from_slice(&self.actor.0.to_be_bytes());
        row.extend_from_slice(&self.boot.to_be_bytes());
        row.extend_from_slice(&self.unclean_boot.to_be_bytes());
        row.push(u8::from(clean));
        row.extend_from_slice(&self.kernel);
        row.extend_from_slice(&self.born_ms.to_be_bytes());
        row.push(self.disk as u8);
        row.into()
    }

    fn decode(row: &[u8]) -> Option<(Self, bool)> {
        let (born_ms, disk) = match (row.first()?, row.len()) {
            // Written before births were noted.
            (1, 42) => (0, DiskState::Whole),
            (&IDENTITY_VERSION, IDENTITY_BYTES) => {
                let born_ms = row[42..50].try_into().ok().map(u64::from_be_bytes)?;
                let disk = match row[50] {
                    0 => DiskState::Whole,
                    1 => DiskState::New,
                    2 => DiskState::Lost,
                    3 => DiskState::Old,
                    _ => return None,
                };
                (born_ms, disk)
            }
            _ => return None,
        };
        let number = |at: usize| row[at..at + 8].try_into().ok().map(u64::from_be_bytes);
        let identity = Self {
            actor: ActorId(number(1)?),
            boot: number(9)?,
            unclean_boot: number(17)?,
            kernel: row[26..42].try_into().ok()?,
            born_ms,
            disk,
        };
        Some((identity, row[25] == 1))
    }
}

/// Reads the persisted tick bound; zero when none was ever written.
pub(crate) fn read_tick_bound(storage: &dyn Storage) -> Result<Tick, ReadError> {
    match storage.get(Space::Meta, TICK_BOUND_KEY)? {
        None => Ok(Tick(0)),
        Some(row) => {
            let (version, bound) = row.split_first().ok_or(ReadError::Corrupt)?;
            let bound: [u8; 8] = bound.try_into().map_err(|_| ReadError::Corrupt)?;
            if *version == TICK_BOUND_VERSION {
                Ok(Tick(u64::from_be_bytes(bound)))
            } else {
                Err(ReadError::Corrupt)
            }
        }
    }
}

/// Adds a new tick bound to a batch.
pub(crate) fn write_tick_bound(bound: Tick, batch: &mut Batch) {
    let mut row = Vec::with_capacity(9);
    row.push(TICK_BOUND_VERSION);
    row.extend_from_slice(&bound.0.to_be_bytes());
    batch.put(Space::Meta, TICK_BOUND_KEY.to_vec(), row);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_can_be_read_back() {
        let identity = Identity {
            actor: ActorId(7),
            boot: 3,
            unclean_boot: 2,
            born_ms: 1_700_000_000_000,
            disk: DiskState::Lost,
            kernel: [9; 16],
        };
        assert_eq!(Identity::decode(&identity.encode(true)), Some((identity, true)));
        assert_eq!(Identity::decode(&identity.encode(false)), Some((identity, false)));
        assert_eq!(Identity::decode(b"short"), None);
        let mut first = identity.encode(true)[..42].to_vec();
        first[0] = 1;
        let (disk, born_ms) = (DiskState::Whole, 0);
        let of_version_1 = Identity {
            disk,
            born_ms,
            ..identity
        };
        assert_eq!(Identity::decode(&first), Some((of_version_1, true)));
    }
}
