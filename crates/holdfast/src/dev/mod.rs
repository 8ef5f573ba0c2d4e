//! `holdfast dev`: a whole cluster on this machine, as separate processes of this very executable.
//!
//! What is started here is what runs in production: `holdfast server --config …`, one process for each node, founding
//! by token over loopback. Everything about the cluster lies in one directory; starting again on it gives the same
//! cluster with the same keys. The flags and the names in the env file are a contract with scripts (`docs/cli.md`).

mod certificate;
mod env_file;
mod foreground;
mod node;
mod process;
mod ready;
mod start;
mod state;
mod status;
mod stop;

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub use env_file::quote;
pub use state::{random_text, write_secret};

use crate::config::DiskLost;
use crate::failure::Failure;

/// Arguments of `holdfast dev`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Dev {
    #[command(subcommand)]
    pub verb: Option<DevVerb>,
    #[command(flatten)]
    pub start: Start,
}

/// What can be done with a cluster that was started.
#[derive(Subcommand, Debug)]
pub enum DevVerb {
    /// Stop all nodes, gracefully, and wait until they have ended
    Stop {
        #[command(flatten)]
        data: Data,
    },
    /// Start one node again that was stopped or killed
    StartNode {
        /// Its number, from 0
        node: usize,
        #[command(flatten)]
        data: Data,
        /// Its store is gone: fill it from the others, or give up what they do not have
        #[arg(long, value_name = "WHAT")]
        disk_lost: Option<DiskLost>,
    },
    /// Show which nodes run and answer
    Status {
        #[command(flatten)]
        data: Data,
    },
}

/// Which cluster.
#[derive(Args, Debug)]
pub struct Data {
    /// Directory of the cluster
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
}

/// How to start a cluster.
#[derive(Args, Debug)]
pub struct Start {
    /// How many nodes [default: 3, or as many as DIR has]
    #[arg(long, value_name = "N")]
    pub nodes: Option<usize>,
    /// Directory of the cluster; without it a temporary one, removed at the end
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Port of node 0's S3; node i has S3, REST and node ports at P+10i, P+10i+1, P+10i+2 [default: 9000]
    #[arg(long, value_name = "P")]
    pub port_base: Option<u16>,
    /// Write endpoints, keys and process ids to this file, to be sourced by a shell
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// Return when the cluster is ready, and leave it running
    #[arg(long)]
    pub detach: bool,
    /// Serve S3 and REST over TLS, with a certificate made for loopback
    #[arg(long)]
    pub tls: bool,
    /// Acknowledge writes before they are on disk; for comparisons only
    #[arg(long)]
    pub unsafe_no_sync: bool,
    /// A further setting of every node, as in its configuration file; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Runs `dev …`.
pub fn run(dev: Dev, json: bool) -> Result<(), Failure> {
    let runtime = crate::cli::client_runtime()?;
    match dev.verb {
        None => runtime.block_on(foreground::run(dev.start, json)),
        Some(DevVerb::Stop { data }) => runtime.block_on(stop::run(&data.data, json)),
        Some(DevVerb::StartNode { node, data, disk_lost }) => {
            runtime.block_on(start::one(&data.data, node, disk_lost, json))
        }
        Some(DevVerb::Status { data }) => runtime.block_on(status::run(&data.data, json)),
    }
}
