//! Progress of long transfers: a bar on a terminal, silence everywhere else.
//!
//! The bar appears only after a moment, so that short transfers stay one line, and never when standard error is not a
//! terminal or the output is JSON.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Bytes moved so far, of a total that may not be known.
#[derive(Clone)]
pub struct Progress {
    bar: ProgressBar,
    wanted: bool,
}

/// A bar is only drawn for transfers of at least this much; less is over before it can be read.
const SHOWN_FROM_BYTES: u64 = 4 << 20;

impl Progress {
    /// For a transfer of so many bytes in all; `None` when the end is not known.
    pub fn new(what: &str, total_bytes: Option<u64>, quiet: bool) -> Self {
        let bar = match total_bytes {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::no_length(),
        };
        bar.set_message(what.to_owned());
        let progress = Self {
            bar,
            wanted: !quiet && std::io::stderr().is_terminal(),
        };
        progress.show(total_bytes);
        progress
    }

    /// The end has become known. A bar that knew it already keeps what it was told for all its parts.
    pub fn expect(&self, total_bytes: Option<u64>) {
        if let (None, Some(total)) = (self.bar.length(), total_bytes) {
            self.bar.disable_steady_tick();
            self.bar.set_length(total);
            self.show(total_bytes);
        }
    }

    fn show(&self, total_bytes: Option<u64>) {
        let shown = self.wanted && total_bytes.is_none_or(|total| total >= SHOWN_FROM_BYTES);
        self.bar.set_draw_target(if shown {
            ProgressDrawTarget::stderr_with_hz(8)
        } else {
            ProgressDrawTarget::hidden()
        });
        let template = if total_bytes.is_some() {
            "{msg:.bold} {bar:32.green/dim} {binary_bytes:>11} of {binary_total_bytes}  {binary_bytes_per_sec:>13}  {eta} left"
        } else {
            "{msg:.bold} {spinner:.green} {binary_bytes:>11}  {binary_bytes_per_sec:>13}  {elapsed}"
        };
        // The templates are constants; were one wrong, the default bar would do.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("━━─"));
        }
        if shown && total_bytes.is_none() {
            self.bar.enable_steady_tick(Duration::from_millis(250));
        }
    }

    /// One that shows nothing.
    pub fn hidden() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            wanted: false,
        }
    }

    /// So many more bytes have moved.
    pub fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// Takes the bar away; what was done is printed by the verb.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
