//! `cargo xtask console`: the web console in a real browser, before five real nodes under load, one of which is killed.
//!
//! The browser is Debian's Chromium, without a window; the script that drives it is `tests/console/test_console.py`, which
//! tells what it proves line by line.

use crate::clients::build_release;
use crate::cluster::Cluster;
use crate::process::{self, command, option_value};
use crate::setup;
use crate::step::{Failure, Outcome};

const NODES: u16 = 5;
/// Four minutes on a busy machine with two cores.
const SCRIPT_S_MAX: u32 = 900;

pub fn run_all() -> Outcome {
    run(&[])
}

pub fn run(arguments: &[String]) -> Outcome {
    setup::run()?;
    let binary = match option_value(arguments, "--binary") {
        Some(path) => process::workspace_root().join(path),
        None => build_release()?,
    };
    let dir = process::target_dir().join("console");
    let mut cluster = Cluster::start(&binary, &dir, NODES, &[])?;
    let work = dir.join("files");
    std::fs::create_dir_all(&work).map_err(Failure::because("cannot make a directory to work in"))?;
    let mut script = command("timeout");
    script
        .args(["--kill-after=10", &SCRIPT_S_MAX.to_string()])
        .arg(setup::python())
        .arg("-B")
        .arg(process::workspace_root().join("tests/console/test_console.py"))
        .envs(std::mem::take(&mut cluster.environment))
        .env("HOLDFAST_BIN", &binary)
        .env("HOLDFAST_DATA", cluster.data())
        .env("HOLDFAST_TEST_DIR", &work);
    if let Some(pictures) = option_value(arguments, "--pictures") {
        script.env("HOLDFAST_PICTURES", process::workspace_root().join(pictures));
    }
    process::run(&mut script).map_err(|failure| {
        Failure::new(
            failure.to_string(),
            format!("its cluster's data and logs: {}", dir.display()),
        )
    })?;
    drop(cluster);
    std::fs::remove_dir_all(&dir).map_err(Failure::because(format!("cannot remove {}", dir.display())))
}
