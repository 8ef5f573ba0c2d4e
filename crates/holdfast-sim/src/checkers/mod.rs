//! One file per promise. Each checker is a function from the truth and something seen to what is wrong with it, so that
//! a reader can hold the promise and its check side by side.

pub mod acked_kept;
pub mod bodies;
pub mod clocks;
pub mod contexts;
pub mod converged;
pub mod dots;
pub mod durable;
pub mod forgotten;
pub mod listing;
pub mod lives;
pub mod membership;
pub mod replaced;
pub mod retries;
#[cfg(test)]
mod tests;
pub mod uploads;

/// What was promised.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Promise {
    /// An acknowledged write is present, or something that truly replaced it is.
    AckedKept,
    /// An acknowledged write lies synced on W homes, its coordinator's among them.
    SyncedAcks,
    /// A hint is kept until the home it is owed to has it on its disk (H3).
    HintsKept,
    /// A blind write covers every write acknowledged before it began (D4).
    BlindReplaces,
    /// What an acknowledged write replaced is never shown again.
    ReplacedStays,
    /// A node whose clock is off begins no write that another home can begin (S4).
    RightClockFirst,
    /// A dot never names two values, and its issuer writes it first.
    OneDotOneValue,
    /// A copy covers every dot issued in its life (D2).
    LifeCovers,
    /// A context claims nothing that its holder did not see or replace.
    HonestContexts,
    /// A retry that finds its write makes no second version (D7).
    OneWriteOneVersion,
    /// A write that was said to have changed nothing is never seen.
    HonestAnswers,
    /// Bytes read are the bytes written.
    BytesMatch,
    /// A stand-in answers a read only where homes cannot be reached (Q3).
    HomesFirst,
    /// A listing shows what gets would find.
    ListingsMatch,
    /// Chunks go only when no disk names them (D10, G1).
    NamedKept,
    /// Chunks that nobody names and nobody can commit any more go (D10)
    DeadGo,
    /// What a deletion that was forgotten had replaced does not come back (G1).
    ForgottenStays,
    /// Uploads and parts are kept until they are closed, and closed for good then.
    UploadsKept,
    /// What has rotted on one disk is found and comes from the others.
    RotHealed,
    /// Once all is healed and quiet, all homes hold the same.
    Converged,
    /// Once all is healed, everything is answered, and then nothing happens.
    Lively,
    /// A member that is well and can be talked to is not held down (F1–F3).
    LiveHeldUp,
    /// A member that is dead is held down (F1).
    DeadHeldDown,
    /// What members tell of themselves, and operators of members, reaches everybody (F4).
    FactsSpread,
    /// A message means the same after a trip over the wire.
    WireFaithful,
    /// Nothing panics.
    NoPanic,
}

impl Promise {
    /// Whether clients could have noticed; the others look inside, and therefore see a fault sooner.
    #[must_use]
    pub const fn is_visible(self) -> bool {
        matches!(
            self,
            Self::AckedKept
                | Self::BlindReplaces
                | Self::ReplacedStays
                | Self::HonestAnswers
                | Self::BytesMatch
                | Self::ListingsMatch
                | Self::UploadsKept
        )
    }
}

/// A broken promise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// When it was noticed.
    pub at_us: u64,
    /// What was seen.
    pub what: String,
}
