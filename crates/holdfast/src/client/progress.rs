//! Progress of what takes long, transfers and repairs: a bar on a terminal, silence everywhere else.
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

/// One bar for several that work at the same time, and below it a line for each.
pub struct Board {
    bar: ProgressBar,
}

/// Parts of the bar: tenths of a percent.
const BOARD_PARTS: u64 = 1_000;

impl Board {
    /// Shows something at once, and again with each look.
    pub fn new(what: &str, quiet: bool) -> Self {
        let bar = ProgressBar::new(BOARD_PARTS);
        bar.set_draw_target(if !quiet && std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr_with_hz(8)
        } else {
            ProgressDrawTarget::hidden()
        });
        // The lines are one message of one bar: they are drawn together with it, and never without.
        let template = "{prefix:.bold} {bar:32.green/dim} {percent:>3} %  {elapsed}\n{msg}";
        // The template is a constant; were it wrong, the default bar would do.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━━─"));
        }
        bar.set_prefix(what.to_owned());
        Self { bar }
    }

    /// So much is done in all, and what each of them is at. A bar that goes back would be a lie about one of the two moments.
    pub fn show(&self, percent: f64, lines: &[String]) {
        let parts = (percent * BOARD_PARTS as f64 / 100.0) as u64;
        self.bar
            .update(|state| state.set_pos(parts.max(state.pos()).min(BOARD_PARTS)));
        let lines: Vec<String> = lines.iter().map(|line| format!("  {line}")).collect();
        self.bar.set_message(lines.join("\n"));
    }

    /// Takes it all away; what was done is printed by the verb.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
