//! `cargo xtask image`: the static binary, and the container image that holds it and nothing else.
//!
//! The binary is linked against glibc statically (`+crt-static`): it runs in an empty image, and still resolves the names that a
//! container engine serves. `--target` must be named, or the flag would apply to build scripts and procedural macros, too,
//! which cannot be linked so.

use crate::process::{self, cargo, command, option_value};
use crate::step::{Failure, Outcome};
use std::path::{Path, PathBuf};

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// What is shipped.
const PROFILE: &str = "dist";
/// What `deploy/compose.yaml` asks for.
const TAG: &str = "holdfast:latest";

pub fn run(arguments: &[String]) -> Outcome {
    if !has_engine() {
        return Err(no_engine());
    }
    let tag = option_value(arguments, "--tag").unwrap_or(TAG);
    let binary = match option_value(arguments, "--binary") {
        Some(path) => process::workspace_root().join(path),
        None => build(option_value(arguments, "--profile").unwrap_or(PROFILE))?,
    };
    assemble(&binary, tag)?;
    println!("   {tag} is built; run five nodes of it: docker-compose -f deploy/compose.yaml up");
    Ok(())
}

/// Whether containers can be built and run here.
pub fn has_engine() -> bool {
    process::answers("docker", &["info"])
}

/// What to say where they cannot.
pub fn no_engine() -> Failure {
    Failure::new(
        "no container engine answers (`docker info`)",
        "install docker and docker-compose, and run as a user that may use them",
    )
}

/// Builds the static binary.
pub fn build(profile: &str) -> Outcome<PathBuf> {
    process::run(
        cargo()
            .args([
                "build",
                "--locked",
                "-p",
                "holdfast",
                "--target",
                TARGET,
                "--profile",
                profile,
            ])
            .env("RUSTFLAGS", "-C target-feature=+crt-static"),
    )?;
    Ok(process::target_dir()
        .join(TARGET)
        .join(directory(profile))
        .join("holdfast"))
}

/// Links what was built for this machine once more, statically: the flag is given to the binary alone, so that its dependencies need
/// not be built anew for it. For tests, which have just built them; what is shipped is built with the flag throughout.
pub fn link(profile: &str) -> Outcome<PathBuf> {
    process::run(
        cargo()
            .args([
                "rustc",
                "--locked",
                "-p",
                "holdfast",
                "--bin",
                "holdfast",
                "--profile",
                profile,
            ])
            .args(["--", "-C", "target-feature=+crt-static"]),
    )?;
    Ok(process::target_dir().join(directory(profile)).join("holdfast"))
}

/// The profile for development has a directory of another name.
fn directory(profile: &str) -> &str {
    if profile == "dev" { "debug" } else { profile }
}

/// Builds an image of a binary. The directory that the engine is given holds what goes into it and no more.
pub fn assemble(binary: &Path, tag: &str) -> Outcome {
    let dir = process::target_dir().join("image");
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(Failure::because(format!("cannot empty {}", dir.display())))?;
    }
    let make = |path: &Path| {
        std::fs::create_dir_all(path).map_err(Failure::because(format!("cannot make {}", path.display())))
    };
    make(&dir.join("data"))?;
    let copied = dir.join("holdfast");
    std::fs::copy(binary, &copied).map_err(Failure::because(format!("cannot copy {}", binary.display())))?;
    let recipe = process::workspace_root().join("deploy/Dockerfile");
    std::fs::copy(&recipe, dir.join("Dockerfile")).map_err(Failure::because("cannot copy deploy/Dockerfile"))?;
    // Names of functions stay, for backtraces; the rest of what debuggers want is two thirds of the file.
    process::run(command("strip").arg("--strip-debug").arg(&copied))?;
    process::run(command("docker").args(["build", "--quiet", "--tag", tag]).arg(&dir))
}
