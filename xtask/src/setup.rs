//! Checks for what `ci` needs beyond cargo, and installs what is missing: a fresh Debian machine with Rust only is
//! enough. Running it again changes nothing.
//!
//! Distribution packages come from apt (as root, or through sudo); the Python clients live in a virtual environment
//! below `target/`, at the versions that `tests/clients/requirements.txt` pins, because distributions ship old ones.

use crate::process::{self, answers, command, workspace_root};
use crate::step::{Failure, Outcome};
use std::path::PathBuf;

/// A program, how to see that it works, and the Debian package that brings it.
struct Tool {
    program: &'static str,
    probe: &'static [&'static str],
    package: &'static str,
}

const TOOLS: &[Tool] = &[
    Tool {
        program: "python3",
        probe: &["-c", "import venv, ensurepip"],
        package: "python3-venv",
    },
    Tool {
        program: "curl",
        probe: &["--version"],
        package: "curl",
    },
    Tool {
        program: "rclone",
        probe: &["version"],
        package: "rclone",
    },
    Tool {
        program: "s3cmd",
        probe: &["--version"],
        package: "s3cmd",
    },
    Tool {
        program: "restic",
        probe: &["version"],
        package: "restic",
    },
    // The browser before which the console is tested.
    Tool {
        program: "chromium",
        probe: &["--version"],
        package: "chromium",
    },
    // What hosts of their own are made of, for `faults`.
    Tool {
        program: "ip",
        probe: &["-V"],
        package: "iproute2",
    },
    Tool {
        program: "nft",
        probe: &["--version"],
        package: "nftables",
    },
    Tool {
        program: "mkfs.ext4",
        probe: &["-V"],
        package: "e2fsprogs",
    },
    Tool {
        program: "faketime",
        probe: &["--version"],
        package: "faketime",
    },
];

pub fn run() -> Outcome {
    components()?;
    packages()?;
    python_clients()
}

/// The Python interpreter that has boto3 and the aws command line.
pub fn python() -> PathBuf {
    environment_dir().join("bin/python")
}

fn environment_dir() -> PathBuf {
    process::target_dir().join("clients/venv")
}

fn components() -> Outcome {
    for (component, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if process::output(process::cargo().args([subcommand, "--version"])).is_ok() {
            continue;
        }
        process::run(command("rustup").args(["component", "add", component])).map_err(|failure| {
            Failure::new(
                failure.to_string(),
                format!("install {component} for this toolchain, as your Rust was installed"),
            )
        })?;
    }
    Ok(())
}

/// What comes from the distribution.
pub fn packages() -> Outcome {
    let missing: Vec<&str> = TOOLS
        .iter()
        .filter(|tool| !answers(tool.program, tool.probe))
        .map(|tool| tool.package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = format!("install by hand: {}", missing.join(" "));
    if !answers("apt-get", &["--version"]) {
        return Err(Failure::new(
            "this is not a Debian, and some clients are missing",
            by_hand,
        ));
    }
    let apt_get = privileged().ok_or_else(|| {
        Failure::new(
            "some clients are missing, and neither root nor sudo without a password is at hand",
            format!(
                "run as root: apt-get update && apt-get install -y {}",
                missing.join(" ")
            ),
        )
    })?;
    let apt = |arguments: &[&str]| {
        let (program, prefix) = (apt_get[0], &apt_get[1..]);
        let mut apt = command(program);
        process::run(
            apt.args(prefix)
                .args(arguments)
                .env("DEBIAN_FRONTEND", "noninteractive"),
        )
        .map_err(|failure| Failure::new(failure.to_string(), by_hand.clone()))
    };
    apt(&["update", "-qq"])?;
    let mut install = vec!["install", "-y", "-qq", "--no-install-recommends"];
    install.extend(&missing);
    apt(&install)
}

/// How apt-get is called with the rights it needs, if at all.
fn privileged() -> Option<&'static [&'static str]> {
    if is_root() {
        return Some(&["apt-get"]);
    }
    answers("sudo", &["-n", "true"]).then_some(&["sudo", "-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"])
}

pub fn is_root() -> bool {
    process::output(command("id").arg("-u")).is_ok_and(|uid| uid.trim() == "0")
}

fn python_clients() -> Outcome {
    let requirements_path = workspace_root().join("tests/clients/requirements.txt");
    let requirements = std::fs::read_to_string(&requirements_path)
        .map_err(Failure::because(format!("cannot read {}", requirements_path.display())))?;
    let environment = environment_dir();
    // What was installed last time: a changed pin must be noticed, an unchanged one costs nothing.
    let stamp = environment.join("holdfast-requirements.txt");
    let installed = std::fs::read_to_string(&stamp).is_ok_and(|stamped| stamped == requirements);
    if installed && answers(python(), &["-c", "import boto3, awscli"]) {
        return Ok(());
    }
    process::run(command("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
    process::run(
        command(python())
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
            .arg(&requirements_path),
    )
    .map_err(|failure| {
        Failure::new(
            failure.to_string(),
            "the Python clients come from pypi.org: is it reachable?",
        )
    })?;
    process::write_file(&stamp, &requirements)
}
