//! `cargo xtask ci`: everything that must hold before a change is taken, in the order in which it fails cheapest.
//!
//! Invariant: a build server runs this and nothing else, so what is green here is green there.

use crate::process::{self, cargo};
use crate::step::{self, Failure, Outcome, Step};
use crate::{clients, console, containers, faults, setup, sim, tidy};

const STEPS: &[Step] = &[
    Step {
        name: "setup",
        proves: "the tools that the steps need are here",
        run: setup::run,
    },
    Step {
        name: "fmt",
        proves: "the code is formatted",
        run: fmt,
    },
    Step {
        name: "tidy",
        proves: "the house rules hold",
        run: tidy::run,
    },
    Step {
        name: "clippy",
        proves: "no warning anywhere",
        run: clippy,
    },
    Step {
        name: "test",
        proves: "unit, property and integration tests",
        run: test,
    },
    Step {
        name: "sim",
        proves: "1,000 seeded clusters keep every promise",
        run: sim::smoke,
    },
    Step {
        name: "planted",
        proves: "the simulator's checkers see every planted fault",
        run: sim::planted,
    },
    Step {
        name: "clients",
        proves: "real clients against three real nodes",
        run: clients::run_all,
    },
    Step {
        name: "console",
        proves: "the web console in a real browser against five real nodes",
        run: console::run_all,
    },
    Step {
        name: "faults",
        proves: "five real nodes keep every promise under real faults",
        run: faults::smoke,
    },
    Step {
        name: "containers",
        proves: "the manifests are valid, and five containers of one image are a cluster",
        run: containers::run_all,
    },
];

pub fn run(arguments: &[String]) -> Outcome {
    if process::has_flag(arguments, "--list") {
        for step in STEPS {
            println!("{:<10} {}", step.name, step.proves);
        }
        return Ok(());
    }
    step::run_all(&chosen(arguments)?)
}

fn chosen(arguments: &[String]) -> Outcome<Vec<&'static Step>> {
    let position = |name: &str| {
        let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        let unknown = || {
            Failure::new(
                format!("ci has no step `{name}`"),
                format!("the steps are: {}", names.join(", ")),
            )
        };
        STEPS.iter().position(|step| step.name == name).ok_or_else(unknown)
    };
    let only = process::option_values(arguments, "--only");
    if !only.is_empty() {
        return only.into_iter().map(|name| Ok(&STEPS[position(name)?])).collect();
    }
    let first = match process::option_value(arguments, "--from") {
        Some(name) => position(name)?,
        None => 0,
    };
    Ok(STEPS[first..].iter().collect())
}

fn fmt() -> Outcome {
    process::run(cargo().args(["fmt", "--all", "--check"]))
        .map_err(|failure| Failure::new(failure.to_string(), "`cargo fmt --all` mends it"))
}

fn clippy() -> Outcome {
    process::run(cargo().args([
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

/// Property tests draw the same cases in every run, so that a change is judged by what it changed. Whoever runs them with
/// `cargo test` draws new ones.
fn test() -> Outcome {
    process::run(
        cargo()
            .args(["test", "--locked", "--workspace", "--quiet"])
            .env("PROPTEST_RNG_SEED", "1"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(line: &str) -> Outcome<Vec<&'static str>> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Ok(chosen(&arguments)?.into_iter().map(|step| step.name).collect())
    }

    #[test]
    fn steps_are_chosen_by_name_and_run_in_order() {
        assert_eq!(names("").unwrap().len(), STEPS.len());
        assert_eq!(names("--only tidy").unwrap(), ["tidy"]);
        assert_eq!(names("--only fmt --only tidy").unwrap(), ["fmt", "tidy"]);
        assert_eq!(
            names("--from planted").unwrap(),
            ["planted", "clients", "console", "faults", "containers"]
        );
        assert!(names("--only nonsense").unwrap_err().to_string().contains("clippy"));
    }
}
