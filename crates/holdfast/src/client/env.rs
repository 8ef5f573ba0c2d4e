//! `env`: what clients need to know of the cluster of this machine's node, for a shell to read.
//!
//! The same names as in the env file of `dev`. The keys come from the node's data directory, so whoever may read that may have
//! them; the endpoints from the node, which knows what every member advertises.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::client::connection::RestArgs;
use crate::client::here::Here;
use crate::client::print::Printer;
use crate::client::rest::{Rest, list, text};
use crate::dev::quote;
use crate::failure::Failure;

/// Print the keys and endpoints of this machine's node and its cluster, for a shell: eval "$(holdfast env)"
#[derive(Args, Debug)]
pub struct Env {
    /// Data directory of the node [default: that of the settings]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Configuration file of the node
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Runs `env`.
pub async fn run(args: Env, as_json: bool) -> Result<(), Failure> {
    let here = Here::find(args.config)?.with_data(args.data);
    let (id, secret) = here.root_key()?;
    let token = here.admin_token()?;
    let asked = RestArgs {
        rest_endpoint: Some(here.rest()?.to_string()),
        rest_endpoints: None,
        admin_token: Some(token.clone()),
        ca_bundle: None,
    };
    let cluster = Rest::on_this_machine(&asked)?.get(&["cluster"], &[]).await?;
    let endpoints = |name: &str| {
        let members = list(&cluster, "members").iter();
        let known = members.filter_map(|member| text(member, name).filter(|endpoint| !endpoint.is_empty()));
        known.collect::<Vec<_>>().join(",")
    };
    let lines = [
        ("HOLDFAST_S3_ENDPOINTS", endpoints("s3")),
        ("HOLDFAST_REST_ENDPOINTS", endpoints("rest")),
        ("HOLDFAST_ADMIN_TOKEN", token),
        ("AWS_ACCESS_KEY_ID", id),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_REGION", here.region().to_owned()),
        ("AWS_DEFAULT_REGION", here.region().to_owned()),
    ];
    let mut out = Printer::new(as_json);
    let exports = lines
        .iter()
        .map(|(name, value)| format!("export {name}={}", quote(value)));
    let text = exports.collect::<Vec<_>>().join("\n");
    out.line(text, || {
        Value::Object(
            lines
                .iter()
                .map(|(name, value)| ((*name).to_owned(), json!(value)))
                .collect(),
        )
    })?;
    out.finish()
}
