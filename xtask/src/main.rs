//! The project's own commands: `cargo xtask ci`, `tidy`, `sim`, `clients`, `console`, `faults`, `containers`, `image`, `bench`,
//! `setup`.
//!
//! Why a program and not shell scripts: it runs wherever the project builds, its rules are tested like other
//! code, and a checkout on a laptop runs exactly what the build server runs. It uses the standard library only, so
//! that it compiles in a few seconds before anything else does, and it does no work itself that another tool does:
//! it runs cargo, the simulator, the load generator and the real clients, and tells which of them failed.
#![forbid(unsafe_code)]

mod bench;
mod ci;
mod clients;
mod cluster;
mod console;
mod containers;
mod faults;
mod image;
mod json;
mod process;
mod setup;
mod sim;
mod step;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  ci [--only STEP] [--from STEP] [--list]   everything that must hold before a change is taken
  setup                                     checks for the tools that ci needs, installs what is missing
  tidy                                      the house rules that no compiler checks
  sim --seeds N [--from S]                  the simulator (also --seed S --trace, --planted)
  clients [--only NAME]... [--binary FILE]  real S3 clients against a real three-node cluster
  console [--binary FILE] [--pictures DIR]  the web console in a real browser against five real nodes
  faults [--minutes M] [--seed S] [--smoke] [--scenario NAME] [--binary FILE]
                                            five real nodes on five hosts under faults; needs Linux and root
  image [--profile dist|release|dev] [--tag NAME] [--binary FILE]
                                            the static binary, and a container image of it; needs docker
  containers [--binary FILE] [--profile release|dev] [--ports NNN]
                                            deploy/: the manifests, and five containers; the latter needs docker-compose
  bench [--endpoint URL]... [--json FILE] [--quick] [--binary FILE]
                                            the load generator and the tables of bench/README.md
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, rest)) = arguments.split_first() else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    let outcome = match command.as_str() {
        "ci" => ci::run(rest),
        "setup" => setup::run(),
        "tidy" => tidy::run(),
        "sim" => sim::run(rest),
        "clients" => clients::run(rest),
        "console" => console::run(rest),
        "faults" => faults::run(rest),
        "image" => image::run(rest),
        "containers" => containers::run(rest),
        "bench" => bench::run(rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        other => Err(step::Failure::new(
            format!("`{other}` is not a command of xtask"),
            USAGE,
        )),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nxtask: {failure}");
            ExitCode::from(failure.exit_status())
        }
    }
}
