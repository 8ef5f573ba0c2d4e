//! `cargo xtask containers`: what is under `deploy/`, tried: the manifests against the schemas of what reads them, and five
//! containers of one image, of which one is killed.
//!
//! The work is done in `tests/containers`, by Python. Where no container engine answers that part is skipped, loudly: a laptop
//! without one must still be able to run the rest.

use crate::process::{self, command, option_value};
use crate::step::{Failure, Outcome};
use crate::{image, setup};
use std::path::Path;

/// Takes a fifth of it on an idle machine; an engine that hangs must not hang the build.
const SCRIPT_S_MAX: u32 = 600;
/// Beside what somebody may have built to use.
const TAG: &str = "holdfast:test";

/// The step of `ci`.
pub fn run_all() -> Outcome {
    run(&[])
}

pub fn run(arguments: &[String]) -> Outcome {
    setup::run()?;
    let scripts = process::workspace_root().join("tests/containers");
    run_script(&scripts.join("test_manifests.py"), &[])?;
    if !image::has_engine() || !process::answers("docker-compose", &["version"]) {
        println!("\n   !!!!  SKIPPED: {}", image::no_engine());
        println!("   !!!!  NOTHING was proved about containers.\n");
        return Ok(());
    }
    let binary = match option_value(arguments, "--binary") {
        Some(path) => process::workspace_root().join(path),
        None => image::link(option_value(arguments, "--profile").unwrap_or("release"))?,
    };
    image::assemble(&binary, TAG)?;
    let ports = option_value(arguments, "--ports").unwrap_or("310");
    run_script(
        &scripts.join("test_compose.py"),
        &[("HOLDFAST_IMAGE", TAG), ("HOLDFAST_PORTS", ports)],
    )
}

fn run_script(script: &Path, environment: &[(&str, &str)]) -> Outcome {
    process::run(
        command("timeout")
            .args(["--kill-after=60", &SCRIPT_S_MAX.to_string()])
            .arg(setup::python())
            .arg("-B")
            .arg(script)
            .envs(environment.iter().copied()),
    )
    .map_err(|failure| {
        Failure::new(
            failure.to_string(),
            "what failed stands above; run it alone: cargo xtask containers",
        )
    })
}
