//! Scopes that are too large for the tests: `cargo run --release -p holdfast-models [NAME …]`.
//!
//! Prints one line for each: how many states, how deep, whether all of them were looked at, and what is broken. The exit code says
//! whether every one was kept. They take minutes and some GiB; run them when a rule or a model changes.

use std::process::ExitCode;
use std::time::Instant;

use holdfast_models::gate::{Gate, Promises, Rules, Scope};
use holdfast_models::lives;
use holdfast_models::search::{Model, search};

/// What 16 GiB hold.
const STATES_MAX: usize = 20_000_000;

fn main() -> ExitCode {
    let asked_for: Vec<String> = std::env::args().skip(1).collect();
    let is_asked_for = |name: &str| asked_for.is_empty() || asked_for.iter().any(|part| name.contains(part.as_str()));
    let mut kept = true;
    for (name, gate) in direct_gates().into_iter().chain(staged_gates()) {
        kept &= !is_asked_for(name) || is_kept(name, &gate);
    }
    for (name, lives) in lives() {
        kept &= !is_asked_for(name) || is_kept(name, &lives);
    }
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn is_kept<M: Model>(name: &str, model: &M) -> bool {
    let begun = Instant::now();
    let found = search(model, STATES_MAX);
    let (states, depth, complete) = (found.states, found.depth, found.complete);
    println!(
        "{name}: states={states} depth={depth} complete={complete} unseen={:?} {:?}",
        found.unseen,
        begun.elapsed()
    );
    if let Some(broken) = &found.broken {
        println!("  broken: {}", broken.promise);
        for step in &broken.trace {
            println!("  {step}");
        }
    }
    found.complete && found.broken.is_none()
}

fn direct_gates() -> Vec<(&'static str, Gate)> {
    let put_later = Scope::WITH_A_LATER_PUT;
    let direct = |scope| Gate {
        scope,
        rules: Rules::DIRECT,
        promises: Promises::KEPT,
    };
    vec![
        (
            "gate, put by the guest",
            direct(Scope {
                guest_puts: true,
                ..put_later
            }),
        ),
        ("gate, away", direct(Scope { leaves: 1, ..put_later })),
        (
            "gate, three messages",
            direct(Scope {
                messages: 3,
                ..Scope::SMALL
            }),
        ),
        (
            "gate, all faults",
            direct(Scope {
                collectors: 2,
                leaves: 1,
                crashes: 1,
                ..Scope::SMALL
            }),
        ),
        (
            "gate, two writes",
            direct(Scope {
                second_writes: 1,
                leaves: 1,
                ..Scope::SMALL
            }),
        ),
        (
            "gate, two collectors",
            direct(Scope {
                collectors: 2,
                sends_at_will: false,
                ..put_later
            }),
        ),
        (
            "gate, three homes",
            direct(Scope {
                homes: 3,
                r: 2,
                messages: 1,
                sends_at_will: false,
                ..put_later
            }),
        ),
    ]
}

/// Roads not taken: as safe with a later put, too.
fn staged_gates() -> Vec<(&'static str, Gate)> {
    let staged = |rules| Gate {
        rules,
        scope: Scope::WITH_A_LATER_PUT,
        promises: Promises::DATA,
    };
    vec![
        ("gate, staged", staged(Rules::STAGED)),
        (
            "gate, staged, nothing settled",
            staged(Rules {
                settles: false,
                ..Rules::STAGED
            }),
        ),
        (
            "gate, staged, nothing condemned",
            staged(Rules {
                condemns: false,
                ..Rules::STAGED
            }),
        ),
        (
            "gate, staged, contexts dropped",
            staged(Rules {
                context_survives: false,
                ..Rules::STAGED
            }),
        ),
        (
            "gate, staged, condemned early",
            staged(Rules {
                all_settled_first: false,
                ..Rules::STAGED
            }),
        ),
        (
            "gate, staged, removed early",
            staged(Rules {
                all_condemned_first: false,
                ..Rules::STAGED
            }),
        ),
        (
            "gate, staged, taken back",
            staged(Rules {
                condemned_for_good: false,
                ..Rules::STAGED
            }),
        ),
        (
            "gate, staged, settled sent",
            staged(Rules {
                settled_not_sent: false,
                ..Rules::STAGED
            }),
        ),
    ]
}

fn lives() -> Vec<(&'static str, lives::Lives)> {
    let scope = lives::Scope {
        puts: 2,
        second_writes: 0,
        messages: 2,
        crashes: 1,
    };
    let sound = |scope| lives::Lives {
        scope,
        rules: lives::Rules::SOUND,
        copies_looked_at: true,
    };
    vec![
        (
            "lives, second writes",
            sound(lives::Scope {
                crashes: 0,
                second_writes: 1,
                ..scope
            }),
        ),
        ("lives, two messages", sound(scope)),
        (
            "lives, two crashes",
            sound(lives::Scope {
                crashes: 2,
                messages: 1,
                ..scope
            }),
        ),
        (
            "lives, three puts",
            sound(lives::Scope {
                puts: 3,
                messages: 1,
                crashes: 0,
                ..scope
            }),
        ),
    ]
}
