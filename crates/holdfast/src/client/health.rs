//! `health`: whether one node serves, as an exit code for supervisors of containers, which have no curl.
//!
//! It asks for no token and sends nothing that is worth reading, so over TLS any certificate will do: the node's own name is
//! hardly ever 127.0.0.1.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::{Client, Url};
use serde_json::{Value, json};

use crate::client::connection::{chain, parse_endpoint};
use crate::client::here::Here;
use crate::client::print::Printer;
use crate::client::rest::text;
use crate::failure::Failure;

/// Docker gives a check 30 s, Kubernetes one second unless told otherwise.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// Ask the node of this machine whether it serves: exit code 0 or 1. Told nothing, it finds the node by the server's own settings
#[derive(Args, Debug)]
pub struct Health {
    /// Only whether the process answers, not whether it can serve
    #[arg(long)]
    pub live: bool,
    /// REST endpoint of the node [default: that of the settings]
    #[arg(long, value_name = "URL")]
    pub rest_endpoint: Option<String>,
    /// Configuration file of the node
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Runs `health`.
pub async fn run(args: Health, json: bool) -> Result<(), Failure> {
    let endpoint = match &args.rest_endpoint {
        Some(endpoint) => parse_endpoint(endpoint)?,
        None => Here::find(args.config)?.rest()?,
    };
    let what = if args.live { "live" } else { "ready" };
    ask(&endpoint, what).await?;
    let mut out = Printer::new(json);
    out.line(what, || json!({ "status": what }))?;
    out.finish()
}

async fn ask(endpoint: &Url, what: &str) -> Result<(), Failure> {
    let client = Client::builder()
        .no_proxy()
        .http1_only()
        .timeout(ANSWER_WITHIN)
        .tls_certs_only([])
        .tls_danger_accept_invalid_certs(true)
        .build()
        .map_err(|error| Failure::new(format!("TLS could not be set up: {}", chain(&error)), "report this"))?;
    let mut url = endpoint.clone();
    url.set_path(&format!("/health/{what}"));
    let silent = |error: reqwest::Error| {
        Failure::new(
            format!("the node at {endpoint} does not answer: {}", chain(&error)),
            "look at its log; while a cluster is being founded its nodes do not serve yet",
        )
    };
    let answer = client.get(url).send().await.map_err(silent)?;
    if answer.status().is_success() {
        return Ok(());
    }
    let status = answer.status();
    let body: Value = answer.json().await.unwrap_or_default();
    let why = text(&body, "message").map_or_else(|| format!("status {status}"), str::to_owned);
    Err(Failure::new(
        format!("the node is not {what}: {why}"),
        "look at `holdfast cluster status` and at its log",
    ))
}
