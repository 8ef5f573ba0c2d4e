//! What a command of xtask answers, and how a sequence of named steps is run.
//!
//! Invariant: a failure always says what to do next, because the reader is somebody who has just broken something
//! that worked for everybody else.

use std::fmt;
use std::time::{Duration, Instant};

/// Why a command stopped, and what its reader can run or install.
#[derive(Debug)]
pub struct Failure {
    what: String,
    remedy: String,
    exit_status: u8,
}

pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
            exit_status: 1,
        }
    }

    /// For a failure that callers tell from others: it ends xtask with a status of its own.
    pub fn with_exit_status(mut self, status: u8) -> Self {
        self.exit_status = status;
        self
    }

    pub fn exit_status(&self) -> u8 {
        self.exit_status
    }

    /// For use with `map_err` where the error itself tells the whole story.
    pub fn because<E: fmt::Display>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |error| Self::new(format!("{what}: {error}"), "")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.what)?;
        if !self.remedy.is_empty() {
            write!(out, "\n  {}", self.remedy.replace('\n', "\n  "))?;
        }
        Ok(())
    }
}

/// One named part of `ci`, also run alone by its name.
pub struct Step {
    pub name: &'static str,
    /// What it proves, in the words printed beside its name.
    pub proves: &'static str,
    pub run: fn() -> Outcome,
}

/// Runs the steps in order, stops at the first failure, and prints how long each took.
pub fn run_all(steps: &[&Step]) -> Outcome {
    let began = Instant::now();
    let mut timings: Vec<(&str, Duration)> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        println!("\n== [{}/{}] {}: {}", index + 1, steps.len(), step.name, step.proves);
        let step_began = Instant::now();
        let outcome = (step.run)();
        let took = step_began.elapsed();
        if let Err(failure) = outcome {
            return Err(Failure::new(
                format!(
                    "step `{}` failed after {:.1} s: {failure}",
                    step.name,
                    took.as_secs_f64()
                ),
                format!("run it alone: cargo xtask ci --only {}", step.name),
            ));
        }
        println!("== {} passed in {:.1} s", step.name, took.as_secs_f64());
        timings.push((step.name, took));
    }
    println!(
        "\nAll {} steps passed in {:.1} s:",
        timings.len(),
        began.elapsed().as_secs_f64()
    );
    for (name, took) in timings {
        println!("  {name:<10} {:>8.1} s", took.as_secs_f64());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_stops_the_sequence_and_names_its_step() {
        let passes = Step {
            name: "passes",
            proves: "nothing",
            run: || Ok(()),
        };
        let fails = Step {
            name: "fails",
            proves: "nothing",
            run: || Err(Failure::new("broken", "mend it")),
        };
        let never = Step {
            name: "never",
            proves: "nothing",
            run: || panic!("a step after a failure must not run"),
        };
        let failure = run_all(&[&passes, &fails, &never]).unwrap_err().to_string();
        assert!(failure.contains("step `fails`"), "{failure}");
        assert!(failure.contains("mend it"), "{failure}");
        assert!(failure.contains("cargo xtask ci --only fails"), "{failure}");
    }
}
