//! `cargo xtask clients`: each script in `tests/clients` drives one real client against a fresh cluster of three nodes, or five;
//! each in `tests/systems` does with five nodes what one of the systems does that Holdfast unites.
//!
//! A fresh cluster for each, so that a failure has one log to read and no script depends on what another left.
//! A script is `test_NAME.py`, plain Python with plain asserts; it gets the cluster through environment variables
//! (see `tests/clients/harness.py`) and a directory of its own to work in.

use crate::cluster::Cluster;
use crate::process::{self, cargo, command, option_value, option_values};
use crate::setup;
use crate::step::{Failure, Outcome};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where the scripts are.
const DIRECTORIES: [&str; 2] = ["tests/clients", "tests/systems"];
const NODES: u16 = 3;
/// What the systems run on.
const SYSTEM_NODES: u16 = 5;
/// Scripts whose story needs more members than a key has homes, and how many.
const LARGER: &[(&str, u16)] = &[("stand_ins", 5), ("transfer", 5)];
/// Scripts that wait for what takes hours with the usual settings, or fill what is large with them, and the settings of their
/// nodes.
const SETTINGS: &[(&str, &[&str])] = &[
    (
        "forget",
        &["message_life_ms=2000", "dead_wait_s=1", "commit_within_s=8"],
    ),
    ("lost_disk", &["message_life_ms=2000"]),
    // 32 MiB for bodies: half of them for those that come in.
    ("overload", &["connections_max=64", "body_memory=33554432"]),
];
/// Clients that frame bodies and checksums in another way over HTTPS; they run a second time, as `NAME-tls`.
const TLS_TOO: &[&str] = &["aws", "boto3", "grpc", "rclone", "rest"];
/// Scripts that want more keys than a Python client could write in a reasonable time.
const NEEDS_LOAD_GENERATOR: &[&str] = &["bounds"];
const TLS_SUFFIX: &str = "-tls";
/// No script needs a tenth of it on an idle machine; a client that hangs must not hang the build.
const SCRIPT_S_MAX: u32 = 900;

pub fn run_all() -> Outcome {
    run(&[])
}

pub fn run(arguments: &[String]) -> Outcome {
    let scripts = chosen(&scripts()?, &option_values(arguments, "--only"))?;
    setup::run()?;
    let binary = match option_value(arguments, "--binary") {
        Some(path) => process::workspace_root().join(path),
        None => build_release()?,
    };
    if scripts.iter().any(|name| NEEDS_LOAD_GENERATOR.contains(&name.as_str())) {
        process::run(cargo().args(["build", "--locked", "--release", "-p", "holdfast-bench"]))?;
    }
    let mut failed = Vec::new();
    for name in &scripts {
        let began = Instant::now();
        let outcome = run_one(&binary, name);
        let took = began.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => println!("   {name:<16} passed in {took:>6.1} s"),
            Err(failure) => {
                println!("   {name:<16} FAILED after {took:.1} s: {failure}");
                failed.push(name.as_str());
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    let again: Vec<String> = failed
        .iter()
        .map(|name| format!("cargo xtask clients --only {name}"))
        .collect();
    Err(Failure::new(
        format!("{} of {} clients failed", failed.len(), scripts.len()),
        again.join("\n"),
    ))
}

/// Builds what a user would run. Debug builds are too slow for bodies of 100 MiB.
pub fn build_release() -> Outcome<PathBuf> {
    process::run(cargo().args(["build", "--locked", "--release", "-p", "holdfast"]))?;
    Ok(process::target_dir().join("release/holdfast"))
}

fn scripts() -> Outcome<Vec<String>> {
    let mut names = Vec::new();
    for directory in DIRECTORIES {
        let dir = process::workspace_root().join(directory);
        let entries = std::fs::read_dir(&dir).map_err(Failure::because(format!("cannot read {}", dir.display())))?;
        let files = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.extend(files.filter_map(|file| Some(file.strip_prefix("test_")?.strip_suffix(".py")?.to_owned())));
    }
    let over_tls = names.iter().filter(|name| TLS_TOO.contains(&name.as_str()));
    names.extend(over_tls.map(|name| format!("{name}{TLS_SUFFIX}")).collect::<Vec<_>>());
    names.sort();
    Ok(names)
}

fn script_file(root: &Path, name: &str) -> PathBuf {
    let files = DIRECTORIES.map(|directory| root.join(directory).join(format!("test_{name}.py")));
    let found = files.iter().find(|file| file.exists());
    found.unwrap_or(&files[0]).clone()
}

fn chosen(all: &[String], only: &[&str]) -> Outcome<Vec<String>> {
    if only.is_empty() {
        return Ok(all.to_vec());
    }
    if let Some(unknown) = only.iter().find(|name| !all.iter().any(|known| known == *name)) {
        return Err(Failure::new(
            format!("no client script is named `{unknown}`"),
            format!("there are: {}", all.join(", ")),
        ));
    }
    Ok(only.iter().map(|name| (*name).to_owned()).collect())
}

fn run_one(binary: &Path, name: &str) -> Outcome {
    let root = process::workspace_root();
    let dir = process::target_dir().join("clients/runs").join(name);
    let script_name = name.trim_end_matches(TLS_SUFFIX);
    let mut flags = Vec::new();
    if script_name != name {
        flags.push("--tls".to_owned());
    }
    let settings = SETTINGS.iter().filter(|(name, _)| *name == script_name);
    flags.extend(settings.flat_map(|(_, settings)| settings.iter().map(|setting| format!("--set={setting}"))));
    let larger = LARGER.iter().find(|(larger, _)| *larger == script_name);
    let script_file = script_file(&root, script_name);
    let is_system = script_file.starts_with(root.join(DIRECTORIES[1]));
    let nodes = larger.map_or(if is_system { SYSTEM_NODES } else { NODES }, |(_, nodes)| *nodes);
    let mut cluster = Cluster::start(binary, &dir, nodes, &flags)?;
    let work = dir.join("files");
    std::fs::create_dir_all(&work).map_err(Failure::because("cannot make a directory to work in"))?;
    let mut script = command("timeout");
    script
        .args(["--kill-after=10", &SCRIPT_S_MAX.to_string()])
        .arg(setup::python())
        .arg("-B");
    script.arg(script_file);
    script.envs(std::mem::take(&mut cluster.environment));
    script
        .env("HOLDFAST_BIN", binary)
        .env(
            "HOLDFAST_BENCH_BIN",
            process::target_dir().join("release/holdfast-bench"),
        )
        .env("HOLDFAST_DATA", cluster.data())
        .env("HOLDFAST_TEST_DIR", &work);
    let outcome = process::run(&mut script).map_err(|failure| {
        Failure::new(
            failure.to_string(),
            format!("its cluster's data and logs: {}", dir.display()),
        )
    });
    drop(cluster);
    if outcome.is_ok() {
        // Bodies of hundreds of megabytes are not worth keeping once all is well.
        std::fs::remove_dir_all(&dir).map_err(Failure::because(format!("cannot remove {}", dir.display())))?;
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_chosen_by_name() {
        let all = ["aws".to_owned(), "boto3".to_owned()];
        assert_eq!(chosen(&all, &[]).unwrap(), all);
        assert_eq!(chosen(&all, &["boto3"]).unwrap(), ["boto3"]);
        assert!(
            chosen(&all, &["gsutil"])
                .unwrap_err()
                .to_string()
                .contains("aws, boto3")
        );
    }

    #[test]
    fn every_script_has_a_name_of_its_own() {
        let names = scripts().unwrap();
        assert!(names.iter().any(|name| name == "boto3"), "{names:?}");
        assert!(names.iter().any(|name| name == "boto3-tls"), "{names:?}");
        assert!(names.iter().all(|name| name != "kill9-tls"), "{names:?}");
    }
}
