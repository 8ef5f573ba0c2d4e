//! `holdfast shell`: the cluster at a prompt, or from a script on standard input.
//!
//! The verbs are those of a Chord key-value shell (`connect`, `get_info`, `save`, `find`, `remove`, `path`) and of a portal
//! to buckets and files. They are the client verbs of the command line wherever there is one: the shell adds a node that it
//! is connected to and a bucket that it works in, and nothing that a script could not do without it.

mod buckets;
mod cluster;
#[cfg(test)]
mod fake;
mod objects;
mod pairs;
mod prompt;
mod ring;
mod script;
mod session;
mod verb;
mod words;

use std::io::IsTerminal;

use clap::Args;

use crate::cli::client_runtime;
use crate::client::connection::{RestArgs, S3Args};
use crate::failure::Failure;
use session::Session;

/// Work with the cluster at a prompt, or from a script on standard input
///
/// `help` lists the verbs. From a script, the first command that fails ends the shell with its exit code.
#[derive(Args, Debug)]
pub struct Shell {
    /// In a script, go on after a command that failed; the exit code tells of the first one all the same
    #[arg(long = "continue")]
    pub go_on: bool,
    /// REST endpoint, for example http://127.0.0.1:9001
    #[arg(
        long,
        env = "HOLDFAST_REST_ENDPOINT",
        value_name = "URL",
        help_heading = "Connection"
    )]
    pub rest_endpoint: Option<String>,
    /// Several REST endpoints, separated by commas; used when --rest-endpoint is not given
    #[arg(
        long,
        env = "HOLDFAST_REST_ENDPOINTS",
        value_name = "URLS",
        help_heading = "Connection"
    )]
    pub rest_endpoints: Option<String>,
    /// Administrator's token
    #[arg(
        long,
        env = "HOLDFAST_ADMIN_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub admin_token: Option<String>,
    #[command(flatten)]
    pub s3: S3Args,
}

/// Runs the shell to its end.
pub fn run(shell: Shell, json: bool) -> Result<(), Failure> {
    let runtime = client_runtime()?;
    let rest = RestArgs {
        rest_endpoint: shell.rest_endpoint,
        rest_endpoints: shell.rest_endpoints,
        admin_token: shell.admin_token,
        ca_bundle: shell.s3.ca_bundle.clone(),
    };
    let session = Session::new(shell.s3, rest, json);
    if std::io::stdin().is_terminal() {
        prompt::run(session, &runtime)
    } else {
        script::run(session, &runtime, shell.go_on)
    }
}
