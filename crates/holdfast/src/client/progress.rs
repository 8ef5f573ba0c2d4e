//! Progress of what takes long, transfers and repairs: a bar on a terminal, silence everywhere else.
//!
//! The bar appears only after a moment, so that short transfers stay one line, and never when standard error is not a
//! terminal or the output is JSON.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Bytes moved so far, of a total that may not be known.
#[derive(Clone)]
pub struct Progress {
    bar: ProgressBar,
    wanted: bool,
    /// Of all files together, where several move.
    total: Option<ProgressBar>,
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
            total: None,
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
            BYTES_TEMPLATE
        } else {
            "{msg:.bold} {spinner:.green} {binary_bytes:>11}  {binary_bytes_per_sec:>13}  {elapsed}"
        };
        dress(&self.bar, template);
        if shown && total_bytes.is_none() {
            self.bar.enable_steady_tick(Duration::from_millis(250));
        }
    }

    /// One that shows nothing.
    pub fn hidden() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            wanted: false,
            total: None,
        }
    }

    /// So many more bytes have moved.
    pub fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
        if let Some(total) = &self.total {
            total.inc(bytes);
        }
    }

    /// So many bytes have to be moved again.
    pub fn retreat(&self, bytes: u64) {
        self.bar.dec(bytes);
        if let Some(total) = &self.total {
            total.dec(bytes);
        }
    }

    /// Takes the bar away; what was done is printed by the verb.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

const BYTES_TEMPLATE: &str =
    "{msg:.bold} {bar:32.green/dim} {binary_bytes:>11} of {binary_total_bytes}  {binary_bytes_per_sec:>13}  {eta} left";

/// The templates are constants; were one wrong, the default bar would do.
fn dress(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━━─"));
    }
}

/// A bar for each file that moves at present, and below them one for all.
#[derive(Clone)]
pub struct Bars {
    bars: MultiProgress,
    total: ProgressBar,
}

impl Bars {
    /// For so many bytes in all.
    pub fn new(what: &str, total_bytes: u64, quiet: bool) -> Self {
        let shown = !quiet && std::io::stderr().is_terminal() && total_bytes >= SHOWN_FROM_BYTES;
        let bars = MultiProgress::with_draw_target(if shown {
            ProgressDrawTarget::stderr_with_hz(8)
        } else {
            ProgressDrawTarget::hidden()
        });
        let total = bars.add(ProgressBar::new(total_bytes));
        total.set_message(tail_of(what, NAME_CHARS));
        dress(&total, BYTES_TEMPLATE);
        Self { bars, total }
    }

    /// One that shows nothing.
    pub fn hidden() -> Self {
        Self::new("", 0, true)
    }

    /// For one of the files. Small ones only move the bar of all.
    pub fn file(&self, name: &str, bytes: u64) -> Progress {
        let bar = if bytes >= SHOWN_FROM_BYTES {
            let bar = self.bars.insert_before(&self.total, ProgressBar::new(bytes));
            dress(&bar, BYTES_TEMPLATE);
            // Names as long as they are would push the bars apart.
            bar.set_message(tail_of(name, NAME_CHARS));
            bar
        } else {
            ProgressBar::hidden()
        };
        Progress {
            bar,
            wanted: false,
            total: Some(self.total.clone()),
        }
    }

    /// Prints something while the bars stand aside.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bars.suspend(print)
    }

    /// Takes them all away.
    pub fn finish(&self) {
        self.total.finish_and_clear();
    }
}

/// Characters of a file's name beside its bar.
const NAME_CHARS: usize = 28;

fn tail_of(name: &str, chars: usize) -> String {
    let count = name.chars().count();
    if count <= chars {
        return format!("{name:chars$}");
    }
    let tail: String = name.chars().skip(count - chars + 1).collect();
    format!("…{tail}")
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

#[cfg(test)]
mod tests {
    use super::tail_of;

    #[test]
    fn names_beside_bars_are_equally_long() {
        for name in ["", "short", "a/very/long/name/of/a/file/below", "ü".repeat(40).as_str()] {
            assert_eq!(tail_of(name, 20).chars().count(), 20, "{name}");
        }
        assert!(tail_of("a/very/long/name/of/a/file/below", 20).ends_with("/file/below"));
    }
}
