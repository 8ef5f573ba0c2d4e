//! The command line: every verb, its help, and where it goes.
//!
//! The commands that scripts rely on (`dev`, `key create`, their flags and the names in the env file) are stable;
//! `docs/cli.md` lists them.

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::client::bucket::{BucketVerb, Mb, Rb};
use crate::client::cluster::{ClusterVerb, Locate};
use crate::client::copy::Cp;
use crate::client::env::Env;
use crate::client::health::Health;
use crate::client::key::KeyVerb;
use crate::client::list::Ls;
use crate::client::object::{Cat, Stat};
use crate::client::remove::Rm;
use crate::client::repair::Repair;
use crate::client::sync::Sync;
use crate::client::{bucket, cluster, copy, env, health, key, list, object, remove, repair, sync};
use crate::config::ServerArgs;
use crate::dev::Dev;
use crate::failure::{Failure, local};
use crate::gateway::GatewayArgs;
use crate::{dev, gateway, serve, shell};

/// Holdfast, a leaderless S3 object store
#[derive(Parser, Debug)]
#[command(
    name = "holdfast",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// Print JSON, one value per line, instead of text
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Run one node
    Server(Box<ServerArgs>),
    Gateway(Box<GatewayArgs>),
    /// Run a whole cluster on this machine, to try things out
    Dev(Dev),
    Mb(Mb),
    Rb(Rb),
    Ls(Ls),
    Cp(Cp),
    Sync(Sync),
    Cat(Cat),
    Stat(Stat),
    Rm(Rm),
    /// Make, list and switch access keys
    #[command(subcommand)]
    Key(KeyVerb),
    /// Look at a bucket
    #[command(subcommand)]
    Bucket(BucketVerb),
    /// Look at the cluster
    #[command(subcommand)]
    Cluster(ClusterVerb),
    Locate(Locate),
    Repair(Repair),
    Health(Health),
    Env(Env),
    Shell(Box<shell::Shell>),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// Does what the command line asks.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let json = cli.json;
    match cli.verb {
        Verb::Server(args) => serve::run(*args),
        Verb::Gateway(args) => gateway::run(*args),
        Verb::Dev(args) => dev::run(args, json),
        Verb::Shell(args) => shell::run(*args, json),
        Verb::Completions { shell } => completions(shell),
        verb => client_runtime()?.block_on(client(verb, json)),
    }
}

async fn client(verb: Verb, json: bool) -> Result<(), Failure> {
    match verb {
        Verb::Mb(args) => bucket::make(args, json).await,
        Verb::Rb(args) => bucket::remove(args, json).await,
        Verb::Ls(args) => list::run(args, json).await,
        Verb::Cp(args) => copy::run(args, json).await,
        Verb::Sync(args) => sync::run(args, json).await,
        Verb::Cat(args) => object::cat(args).await,
        Verb::Stat(args) => object::stat(args, json).await,
        Verb::Rm(args) => remove::run(args, json).await,
        Verb::Key(verb) => key::run(verb, json).await,
        Verb::Bucket(verb) => bucket::run(verb, json).await,
        Verb::Cluster(verb) => cluster::run(verb, json).await,
        Verb::Locate(args) => cluster::locate(args, json).await,
        Verb::Repair(args) => repair::run(args, json).await,
        Verb::Health(args) => health::run(args, json).await,
        Verb::Env(args) => env::run(args, json).await,
        Verb::Server(_) | Verb::Gateway(_) | Verb::Dev(_) | Verb::Shell(_) | Verb::Completions { .. } => Ok(()),
    }
}

/// A runtime for verbs that wait for the network: one thread reads and writes, a second one hashes beside it.
pub fn client_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| local("threads could not be started", &error))
}

fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "holdfast", &mut script);
    std::io::Write::write_all(&mut std::io::stdout(), &script)
        .map_err(|error| local("the script could not be written", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn json_may_stand_anywhere() {
        for line in [["holdfast", "--json", "ls"], ["holdfast", "ls", "--json"]] {
            assert!(Cli::try_parse_from(line).expect("parses").json);
        }
    }

    #[test]
    fn what_scripts_rely_on_parses() {
        for line in [
            "holdfast dev --nodes 3 --data D --port-base 9000 --env-file F --detach",
            "holdfast dev stop --data D",
            "holdfast dev start-node 1 --data D",
            "holdfast key create NAME --json",
            "holdfast server --found 3",
            "holdfast repair --node node-2 --detach --json",
            "holdfast shell --continue",
            "holdfast server --join 127.0.0.1:9002 --token T",
            "holdfast server --cluster-of 5 --join a:9002,b --cluster-secret-file F",
            "holdfast health --live",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }
}
