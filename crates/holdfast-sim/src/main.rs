//! The simulator's command line; `cargo xtask sim` passes its arguments on.
//!
//! The last line of a soak is always `seeds=N simulated_hours=H times_real=X violations=V`, and the exit code says
//! whether V is zero: a simulator that ends early with a success is the failure that nobody would notice.

use std::process::ExitCode;

use holdfast_core::planted::Planted;
use holdfast_sim::checkers::Violation;
use holdfast_sim::chord::{figures, invariant};
use holdfast_sim::coverage::Reached;
use holdfast_sim::hunt::{Catch, Hunt, hunt_all, soak};
use holdfast_sim::run::{Options, Report, run};
use holdfast_sim::trace::Detail;

/// A simulated cluster allocates far more than it computes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "\
usage: cargo xtask sim --seeds N [--from S] [--jobs J]   run N seeds
       cargo xtask sim --seed S [--trace] [--planted-fault NAME]      replay one seed
       cargo xtask sim --planted [--from S] [--only NAME] [--both]    every planted fault must be noticed;
                                                                      --both: also by what clients see
       cargo xtask sim --planted --starts K [--only NAME]             how many seeds that takes, from K places
       cargo xtask sim --chord [--sizes P]                            what Chord's papers measured, up to 2^P nodes
       cargo xtask sim --chord --storms N                             its invariant over N seeds, and every planted flaw";

/// Nodes of the largest ring that is measured, as a power of two, unless somebody wants fewer.
const CHORD_SIZES: u64 = 14;

/// Within so many seeds every planted fault must be noticed.
const PLANTED_SEEDS_MAX: u64 = 1_000;

/// From so many seeds on, everything that is counted must have been reached.
const COVERAGE_SEEDS_MIN: u64 = 500;

struct Arguments(Vec<String>);

impl Arguments {
    fn flag(&self, name: &str) -> bool {
        self.0.iter().any(|argument| argument == name)
    }

    fn value(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|argument| argument == name)?;
        self.0.get(at + 1).map(String::as_str)
    }

    fn number(&self, name: &str) -> Result<Option<u64>, String> {
        match self.value(name) {
            None => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| format!("{name} wants a number, not `{text}`")),
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments(std::env::args().skip(1).collect());
    // A panic is reported with its seed; the default message would only hide that.
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    match act(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn act(arguments: &Arguments) -> Result<bool, String> {
    let from = arguments.number("--from")?.unwrap_or(0);
    if arguments.flag("--planted") {
        let faults = match arguments.value("--only") {
            None => Planted::ALL.to_vec(),
            Some(name) => vec![fault(name)?],
        };
        let jobs = jobs(arguments)?;
        return Ok(match arguments.number("--starts")? {
            None => planted(&faults, from, jobs, arguments.flag("--both")),
            Some(starts) => medians(&faults, from, starts, jobs),
        });
    }
    if let Some(count) = arguments.number("--storms")? {
        return Ok(invariant::tell(count));
    }
    if arguments.flag("--chord") {
        figures::tell(arguments.number("--sizes")?.unwrap_or(CHORD_SIZES) as u32);
        return Ok(true);
    }
    if let Some(seed) = arguments.number("--seed")? {
        return replay(arguments, seed);
    }
    match arguments.number("--seeds")? {
        Some(count) => seeds(arguments, from, count),
        None => Err("say what to run".to_owned()),
    }
}

fn jobs(arguments: &Arguments) -> Result<usize, String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(arguments.number("--jobs")?.map_or(cores, |jobs| jobs as usize))
}

fn seeds(arguments: &Arguments, from: u64, count: u64) -> Result<bool, String> {
    let soak = soak(from, count, jobs(arguments)?, Options::default(), &|report| {
        if !report.violations.is_empty() {
            tell(report);
        }
    });
    println!("What was reached, over all seeds ({} events):", soak.events);
    print!("{}", soak.coverage.table());
    let unreached: Vec<Reached> = Reached::ALL
        .into_iter()
        .filter(|what| soak.coverage.count(*what) == 0)
        .collect();
    let blind = count >= COVERAGE_SEEDS_MIN && !unreached.is_empty();
    if blind {
        println!("never reached, so nothing was checked there: {unreached:?}");
    }
    for report in &soak.failures {
        println!("violated: cargo xtask sim --seed {} --trace", report.seed);
    }
    println!(
        "seeds={} simulated_hours={:.1} times_real={:.0} violations={}",
        soak.seeds,
        soak.simulated_us as f64 / 3.6e9,
        soak.times_real(),
        soak.violations
    );
    Ok(soak.violations == 0 && soak.seeds == count && !blind)
}

fn replay(arguments: &Arguments, seed: u64) -> Result<bool, String> {
    let planted = match arguments.value("--planted-fault") {
        None => None,
        Some(name) => Some(fault(name)?),
    };
    let detail = if arguments.flag("--trace") {
        Detail::Print
    } else {
        Detail::Hash
    };
    let options = Options {
        planted,
        detail,
        ..Options::default()
    };
    let report = run(seed, options);
    tell(&report);
    print!("{}", report.coverage.table());
    println!("trace hash {:016x}", report.hash);
    println!(
        "seeds=1 simulated_hours={:.3} times_real=0 violations={}",
        report.simulated_us as f64 / 3.6e9,
        u64::from(!report.violations.is_empty())
    );
    Ok(report.violations.is_empty())
}

fn fault(name: &str) -> Result<Planted, String> {
    let known = Planted::ALL.into_iter().find(|fault| format!("{fault:?}") == name);
    known.ok_or_else(|| format!("there is no planted fault `{name}`; there are {:?}", Planted::ALL))
}

fn planted(faults: &[Planted], from: u64, jobs: usize, both: bool) -> bool {
    let hunts: Vec<Hunt> = faults.iter().map(|fault| Hunt { fault: *fault, from }).collect();
    let mut all_caught = true;
    hunt_all(&hunts, PLANTED_SEEDS_MAX, jobs, both, &mut |hunt, caught| {
        let tell = |catch: Option<Catch>| match catch {
            Some(catch) => format!(
                "after {:>4} seeds ({:?}, seed {})",
                catch.after, catch.promise, catch.seed
            ),
            None => "NOT NOTICED".to_owned(),
        };
        println!("{:<22} {}", format!("{:?}", hunt.fault), tell(caught.by_any));
        if both || caught.by_clients.is_some() {
            println!("{:<22}   by what clients see {}", "", tell(caught.by_clients));
        }
        all_caught &= caught.by_any.is_some();
    });
    all_caught
}

/// How many seeds it takes to notice each fault, from so many places, each as far from the last as is looked at most.
fn medians(faults: &[Planted], from: u64, starts: u64, jobs: usize) -> bool {
    let begins = |at: u64| from + at * PLANTED_SEEDS_MAX;
    println!("| fault | median | least | most | not within {PLANTED_SEEDS_MAX} |\n|---|---:|---:|---:|---:|");
    for fault in faults.iter().copied() {
        let hunts: Vec<Hunt> = (0..starts)
            .map(|at| Hunt {
                fault,
                from: begins(at),
            })
            .collect();
        let mut took = Vec::new();
        hunt_all(&hunts, PLANTED_SEEDS_MAX, jobs, false, &mut |_, caught| {
            took.push(caught.by_any.map_or(u64::MAX, |catch| catch.after));
        });
        took.sort_unstable();
        let missed = took.iter().filter(|seeds| **seeds == u64::MAX).count();
        let told = |at: usize| match took.get(at) {
            None | Some(&u64::MAX) => "–".to_owned(),
            Some(seeds) => seeds.to_string(),
        };
        let (median, most) = (told(took.len() / 2), told((took.len() - missed).saturating_sub(1)));
        println!("| `{fault:?}` | {median} | {} | {most} | {missed} |", told(0));
    }
    true
}

fn tell(report: &Report) {
    for Violation { promise, at_us, what } in &report.violations {
        println!(
            "seed {}: {promise:?} at {}.{:06} s: {what}",
            report.seed,
            at_us / 1_000_000,
            at_us % 1_000_000
        );
    }
    if !report.violations.is_empty() {
        println!("replay: cargo xtask sim --seed {} --trace", report.seed);
    }
}
