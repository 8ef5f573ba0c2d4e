//! Running other programs: quietly to ask them something, or in the open to let them work.
//!
//! Invariant: a program that cannot be started and one that ends with a failure are told apart, because their
//! remedies differ (install it; read its output).

use crate::step::{Failure, Outcome};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root of the workspace: the parent of xtask's own manifest, wherever the command was called from.
pub fn workspace_root() -> PathBuf {
    let own_manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    own_manifest_dir.parent().unwrap_or(own_manifest_dir).to_path_buf()
}

/// Where cargo puts what it builds; xtask keeps its own scratch files below it too.
pub fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => workspace_root().join(dir),
        None => workspace_root().join("target"),
    }
}

/// A command that runs at the root of the workspace.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace_root());
    command
}

/// The cargo that runs us, so that a toolchain override holds for the steps too.
pub fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a program with our own terminal; fails when it fails.
pub fn run(command: &mut Command) -> Outcome {
    let told = describe(command);
    println!("   $ {told}");
    let status = command
        .status()
        .map_err(Failure::because(format!("`{told}` could not be started")))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!("`{told}` ended with {status}"), ""))
    }
}

/// Runs a program, passes its standard output on line by line, and returns the last line that was not empty.
pub fn run_for_last_line(command: &mut Command) -> Outcome<String> {
    let told = describe(command);
    println!("   $ {told}");
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(Failure::because(format!("`{told}` could not be started")))?;
    let mut last = String::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.map_err(Failure::because(format!("the output of `{told}` is not text")))?;
            println!("{line}");
            if !line.trim().is_empty() {
                last = line;
            }
        }
    }
    let status = child.wait().map_err(Failure::because(format!("`{told}` was lost")))?;
    if status.success() {
        Ok(last)
    } else {
        Err(Failure::new(format!("`{told}` ended with {status}"), ""))
    }
}

/// Runs a program and returns what it printed; its complaints become part of the failure.
pub fn output(command: &mut Command) -> Outcome<String> {
    let told = describe(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(Failure::because(format!("`{told}` could not be started")))?;
    if output.status.success() {
        return String::from_utf8(output.stdout)
            .map_err(Failure::because(format!("the output of `{told}` is not text")));
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(
        format!("`{told}` ended with {}: {}", output.status, complaint.trim()),
        "",
    ))
}

/// Whether a program can be started and ends well; for questions such as `rclone version`.
pub fn answers(program: impl AsRef<OsStr>, arguments: &[&str]) -> bool {
    command(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The value after `--name` in a list of arguments.
pub fn option_value<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let position = arguments.iter().position(|argument| argument == name)?;
    arguments.get(position + 1).map(String::as_str)
}

/// Every value after a repeated `--name`.
pub fn option_values<'a>(arguments: &'a [String], name: &str) -> Vec<&'a str> {
    let pairs = arguments.windows(2).filter(|pair| pair[0] == name);
    pairs.map(|pair| pair[1].as_str()).collect()
}

pub fn has_flag(arguments: &[String], name: &str) -> bool {
    arguments.iter().any(|argument| argument == name)
}

/// Writes a whole file, making its directory.
pub fn write_file(path: &Path, text: &str) -> Outcome {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(Failure::because(format!("cannot make {}", dir.display())))?;
    }
    let mut file =
        std::fs::File::create(path).map_err(Failure::because(format!("cannot create {}", path.display())))?;
    file.write_all(text.as_bytes())
        .map_err(Failure::because(format!("cannot write {}", path.display())))
}

fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program());
    // Cargo names itself by its whole path; the reader wants to see `cargo`.
    let mut words = vec![
        program
            .file_name()
            .unwrap_or(program.as_os_str())
            .to_string_lossy()
            .into_owned(),
    ];
    words.extend(
        command
            .get_args()
            .map(|argument| argument.to_string_lossy().into_owned()),
    );
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_are_found_by_name() {
        let given = arguments("--only boto3 --keep --only aws");
        assert_eq!(option_value(&given, "--only"), Some("boto3"));
        assert_eq!(option_values(&given, "--only"), ["boto3", "aws"]);
        assert_eq!(option_value(&given, "--binary"), None);
        assert!(has_flag(&given, "--keep"));
    }

    #[test]
    fn a_failing_program_and_a_missing_one_are_told_apart() {
        let failing = output(command("sh").args(["-c", "echo why >&2; exit 3"]))
            .unwrap_err()
            .to_string();
        assert!(failing.contains("why") && failing.contains('3'), "{failing}");
        let missing = output(&mut command("holdfast-no-such-program"))
            .unwrap_err()
            .to_string();
        assert!(missing.contains("could not be started"), "{missing}");
    }

    #[test]
    fn the_last_line_that_says_something_is_returned() {
        let last = run_for_last_line(command("sh").args(["-c", "echo one; echo two; echo"])).unwrap();
        assert_eq!(last, "two");
    }
}
