//! `cargo xtask bench`: measures a three-node cluster of its own, or any S3 server by `--endpoint`.
//!
//! Its own cluster makes the published table: the results go into `bench/README.md`, with the facts about the machine
//! that a reader needs to judge them. A run against another server, or a `--quick` one, only prints.

mod page;

use crate::clients::build_release;
use crate::cluster::Cluster;
use crate::json::Json;
use crate::process::{self, cargo, command, has_flag, option_value, option_values};
use crate::step::{Failure, Outcome};
use std::path::{Path, PathBuf};

const NODES: u16 = 3;
/// Passed on to the load generator as they are.
const PASSED_ON: &[&str] = &[
    "--keys",
    "--seconds",
    "--large-mib-max",
    "--idle-after",
    "--step",
    "--bucket",
    "--region",
    "--pids",
];

pub fn run(arguments: &[String]) -> Outcome {
    process::run(cargo().args(["build", "--locked", "--release", "-p", "holdfast-bench"]))?;
    let endpoints = option_values(arguments, "--endpoint");
    let json = match option_value(arguments, "--json") {
        Some(path) => std::env::current_dir()
            .map_err(Failure::because("where are we"))?
            .join(path),
        None => process::target_dir().join("bench/result.json"),
    };
    if let Some(dir) = json.parent() {
        std::fs::create_dir_all(dir).map_err(Failure::because(format!("cannot make {}", dir.display())))?;
    }
    if endpoints.is_empty() {
        own_cluster(arguments, &json)
    } else {
        let mut generator = generator(arguments, &json);
        process::run(generator.args(endpoints.iter().flat_map(|url| ["--endpoint", url])))
    }
}

fn own_cluster(arguments: &[String], json: &Path) -> Outcome {
    let mut machine = page::Machine::now();
    let binary = match option_value(arguments, "--binary") {
        Some(path) => {
            // Whatever was checked out when it was built, it is not for us to say.
            machine.commit = "unknown".to_owned();
            process::workspace_root().join(path)
        }
        None => build_release()?,
    };
    machine.load_before = page::load_average();
    let dir = process::target_dir().join("bench/cluster");
    let cluster = Cluster::start(&binary, &dir, NODES, &[])?;
    let mut generator = generator(arguments, json);
    for endpoint in cluster.list("HOLDFAST_S3_ENDPOINTS") {
        generator.args(["--endpoint", &endpoint]);
    }
    let pids = cluster.list("HOLDFAST_PIDS").join(",");
    generator.args(["--pids", &pids]).envs(&cluster.environment);
    let measured = process::run(&mut generator);
    drop(cluster);
    measured?;
    // Gigabytes of random bodies are of no use to anybody.
    std::fs::remove_dir_all(&dir).map_err(Failure::because(format!("cannot remove {}", dir.display())))?;
    let whole = !has_flag(arguments, "--quick") && option_values(arguments, "--step").is_empty();
    if whole { publish(json, &machine) } else { Ok(()) }
}

fn generator(arguments: &[String], json: &Path) -> std::process::Command {
    let mut generator = command(process::target_dir().join("release/holdfast-bench"));
    generator.arg("--json").arg(json);
    if has_flag(arguments, "--quick") {
        generator.arg("--quick");
    }
    for name in PASSED_ON {
        for value in option_values(arguments, name) {
            generator.args([name, value]);
        }
    }
    generator
}

fn publish(json: &Path, machine: &page::Machine) -> Outcome {
    let text = std::fs::read_to_string(json).map_err(Failure::because("the load generator left no results"))?;
    let results = Json::parse(&text).map_err(Failure::because("the load generator's results cannot be read"))?;
    let path: PathBuf = process::workspace_root().join("bench/README.md");
    // What people wrote below the generated part stays.
    let existing = std::fs::read_to_string(&path).unwrap_or_default();
    process::write_file(&path, &page::render(&results, machine, &existing))?;
    println!("wrote bench/README.md");
    Ok(())
}
