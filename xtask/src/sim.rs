//! Runs the simulator: `cargo xtask sim` passes its arguments on; CI runs it from a fixed start.
//!
//! The simulator's own exit code and its last line must agree that nothing was violated: a simulator that ends early
//! with a success is the failure that nobody would notice.

use crate::process::{self, cargo};
use crate::step::{Failure, Outcome};
use std::process::Command;

/// Enough to catch every planted fault from a fixed start, and a few seconds of work.
const SMOKE_SEEDS: u64 = 1_000;

pub fn run(arguments: &[String]) -> Outcome {
    process::run(simulator().args(arguments))
}

pub fn smoke() -> Outcome {
    let last = process::run_for_last_line(simulator().args(["--seeds", &SMOKE_SEEDS.to_string(), "--from", "0"]))?;
    judge(&last, SMOKE_SEEDS)
}

pub fn planted() -> Outcome {
    process::run(simulator().arg("--planted"))
}

fn simulator() -> Command {
    let mut command = cargo();
    command.args(["run", "--quiet", "--locked", "--release", "-p", "holdfast-sim", "--"]);
    command
}

/// The last line is `seeds=N simulated_hours=H times_real=X violations=V`.
fn judge(last_line: &str, seeds_wanted: u64) -> Outcome {
    let value = |name: &str| {
        let pair = last_line
            .split_whitespace()
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        pair.and_then(|number| number.parse::<f64>().ok())
    };
    let (Some(seeds), Some(violations)) = (value("seeds"), value("violations")) else {
        return Err(Failure::new(
            format!("the simulator's last line tells no result: `{last_line}`"),
            "",
        ));
    };
    if seeds < seeds_wanted as f64 {
        return Err(Failure::new(
            format!("the simulator ran {seeds} seeds of {seeds_wanted}"),
            "",
        ));
    }
    if violations > 0.0 {
        return Err(Failure::new(
            format!("the simulator found {violations} violations"),
            "replay one: cargo xtask sim --seed S --trace",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_decides() {
        assert!(judge("seeds=1000 simulated_hours=16.7 times_real=2000 violations=0", 1000).is_ok());
        for bad in [
            "seeds=1000 simulated_hours=16.7 times_real=2000 violations=2",
            "seeds=999 simulated_hours=16.7 times_real=2000 violations=0",
            "thread main panicked",
            "",
        ] {
            assert!(judge(bad, 1000).is_err(), "{bad}");
        }
    }
}
