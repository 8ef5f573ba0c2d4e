//! `cargo xtask faults`: five real nodes on five hosts of their own (network namespaces), under load, while links are cut,
//! processes killed and paused, clocks moved, disks filled and bits flipped; then everything acknowledged is looked for.
//!
//! The work is done in `tests/faults`, by Python without any package; its header comments say what is promised and how it
//! is judged. It needs Linux and root. Where hosts cannot be made, the command ends with status 2, and `ci` goes on,
//! loudly: a laptop without root must still be able to run the rest.

use crate::clients::build_release;
use crate::process::{self, command, option_value};
use crate::setup;
use crate::step::{Failure, Outcome};
use std::process::Command;

/// What the Python program ends with when this machine cannot have hosts.
const CANNOT_RUN: u8 = 2;
/// The scripts need no package, so the machine's own will do.
const PYTHON: &str = "python3";
/// Of the smoke run, so that a failure in `ci` is there again when the command is.
const SMOKE_SEED: &str = "1";
/// Options that are passed on as they are.
const PASSED_ON: &[&str] = &["--minutes", "--seed", "--pace-s", "--scenario"];
const FLAGS: &[&str] = &["--smoke", "--unfenced"];

/// The step of `ci`.
pub fn smoke() -> Outcome {
    match run(&["--smoke".to_owned(), "--seed".to_owned(), SMOKE_SEED.to_owned()]) {
        Err(failure) if failure.exit_status() == CANNOT_RUN => {
            println!("\n   !!!!  SKIPPED: {failure}");
            println!("   !!!!  NOTHING was proved about real partitions, full disks and flipped bits.\n");
            Ok(())
        }
        outcome => outcome,
    }
}

pub fn run(arguments: &[String]) -> Outcome {
    let scripts = process::workspace_root().join("tests/faults");
    if setup::is_root() {
        // Whoever is not root is told so, and gets nothing installed for it.
        setup::packages()?;
    }
    run_script(
        command(PYTHON)
            .arg("-B")
            .arg(scripts.join("run.py"))
            .arg("--can-it-run"),
    )?;
    process::run(command(PYTHON).arg("-B").arg(scripts.join("test_verify.py")))?;
    let binary = match option_value(arguments, "--binary") {
        Some(path) => process::workspace_root().join(path),
        None => build_release()?,
    };
    let mut faults = command(PYTHON);
    faults.arg("-B").arg(scripts.join("run.py"));
    faults.arg("--binary").arg(binary);
    faults.arg("--dir").arg(process::target_dir().join("faults/run"));
    for name in PASSED_ON {
        if let Some(value) = option_value(arguments, name) {
            faults.args([name, value]);
        }
    }
    for flag in FLAGS {
        if process::has_flag(arguments, flag) {
            faults.arg(flag);
        }
    }
    run_script(&mut faults)
}

/// Runs the program with our own output, whose last line must stay its last line, and tells its two failures apart.
fn run_script(script: &mut Command) -> Outcome {
    let status = script
        .status()
        .map_err(Failure::because("python3 could not be started"))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(code) if code == i32::from(CANNOT_RUN) => Err(Failure::new(
            "the faults cannot run on this machine; the line above says why",
            "run it as root on a Linux that lets root make network namespaces",
        )
        .with_exit_status(CANNOT_RUN)),
        _ => Err(Failure::new(
            "a promise was broken under faults, or the run itself could not go on",
            "what happened, the seed and the place of the logs are above; the same seed draws the same faults",
        )),
    }
}
