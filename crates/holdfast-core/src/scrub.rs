//! What a scrub has read and found, for those who look on.

/// Of the scrub that is under way, or of the last one.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ScrubReport {
    /// It is under way.
    pub is_running: bool,
    /// When the last one ended, in Unix milliseconds; 0 when none did since the start.
    pub ended_ms: u64,
    /// Records read, with their small bodies.
    pub records: u64,
    /// Chunks read.
    pub chunks: u64,
    /// Bytes of chunks read.
    pub bytes: u64,
    /// Records and chunks that were damaged, and are repaired from other homes if those have them.
    pub damaged: u64,
}

/// How this node's disk is looked after, since the process started.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Checked {
    /// The disk has been read through, and can be compared with others (rule A2).
    pub is_read: bool,
    /// Rows and chunks that comparisons found to differ between this node and others.
    pub differences: u64,
    /// Fingerprints that scrubs found to be wrong: other than 0 it is a fault of this program.
    pub fingerprints_wrong: u64,
    /// The scrub that is under way, or the last one.
    pub scrub: ScrubReport,
    /// Keys whose copies this node made equal, or whose copy here it wrote again, for whatever reason.
    pub records_repaired: u64,
    /// Damaged chunks of this disk that were written again.
    pub chunks_mended: u64,
}

impl ScrubReport {
    pub(crate) fn begin(&mut self) {
        *self = Self {
            is_running: true,
            ended_ms: self.ended_ms,
            ..Self::default()
        };
    }

    /// The reading that follows a start is no scrub.
    pub(crate) const fn end(&mut self, now_ms: u64) {
        if self.is_running {
            self.is_running = false;
            self.ended_ms = now_ms;
        }
    }
}
