//! What a gateway is told on its command line: a part of what a node is, and where the nodes are.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;

use crate::config::{Capacity, LogFormat, Settings};

/// Run a gateway: S3, REST and gRPC in front of a cluster, with no data of its own
///
/// A gateway knows a few nodes and finds the others hop by hop. It keeps nothing on disk; run as many side by side as you like.
#[derive(Args, Debug)]
pub struct GatewayArgs {
    /// Nodes to begin with: HOST[:PORT], several with commas, @FILE for one a line; names may mean several addresses
    #[arg(long, env = "HOLDFAST_VIA", value_name = "SEEDS")]
    pub via: String,
    /// Gateway token, from the file gateway-token in any node's data directory
    #[arg(
        long,
        env = "HOLDFAST_GATEWAY_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        required_unless_present = "token_file",
        conflicts_with = "token_file"
    )]
    pub token: Option<String>,
    /// File with the gateway token; waited for if it is not there yet
    #[arg(long, env = "HOLDFAST_GATEWAY_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// What people call this gateway [default: the host's name]
    #[arg(long, env = "HOLDFAST_NAME", value_name = "NAME")]
    pub name: Option<String>,

    /// Address that both ports listen on [default: 127.0.0.1]
    #[arg(long, env = "HOLDFAST_BIND", value_name = "IP", help_heading = "Addresses")]
    pub bind: Option<IpAddr>,
    /// Where the S3 port listens [default: port 9000 of --bind]
    #[arg(long, env = "HOLDFAST_S3_BIND", value_name = "IP:PORT", help_heading = "Addresses")]
    pub s3_bind: Option<SocketAddr>,
    /// Where the port of REST and gRPC listens [default: port 9001 of --bind]
    #[arg(long, env = "HOLDFAST_REST_BIND", value_name = "IP:PORT", help_heading = "Addresses")]
    pub rest_bind: Option<SocketAddr>,

    /// Region that S3 requests are signed for [default: us-east-1]
    #[arg(long, env = "HOLDFAST_REGION", value_name = "NAME", help_heading = "S3")]
    pub region: Option<String>,
    /// Domain below which buckets are host names (photos.s3.example.org); may be given several times
    #[arg(
        long = "base-domain",
        env = "HOLDFAST_BASE_DOMAINS",
        value_name = "DOMAIN",
        value_delimiter = ',',
        help_heading = "S3"
    )]
    pub base_domains: Option<Vec<String>>,

    /// Certificate chain of both ports, in PEM; read again on SIGHUP
    #[arg(long, env = "HOLDFAST_TLS_CERT", value_name = "FILE", help_heading = "Security")]
    pub tls_cert: Option<PathBuf>,
    /// Key of that certificate, in PEM
    #[arg(long, env = "HOLDFAST_TLS_KEY", value_name = "FILE", help_heading = "Security")]
    pub tls_key: Option<PathBuf>,
    /// Administrator's token that REST and gRPC take here; without it they take signatures alone
    #[arg(
        long,
        env = "HOLDFAST_ADMIN_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        help_heading = "Security"
    )]
    pub admin_token: Option<String>,

    /// Connections of clients at once, both ports together [default: 4096, or what files and memory allow]
    #[arg(
        long,
        env = "HOLDFAST_CONNECTIONS_MAX",
        value_name = "COUNT",
        help_heading = "Limits"
    )]
    pub connections_max: Option<u64>,
    /// Memory that bodies under way may take [default: a quarter of the machine's, 64MiB to 2GiB]
    #[arg(long, env = "HOLDFAST_BODY_MEMORY", value_name = "SIZE", help_heading = "Limits")]
    pub body_memory: Option<Capacity>,
    /// How log lines look [default: plain on a terminal, json elsewhere]
    #[arg(long, env = "HOLDFAST_LOG_FORMAT", value_name = "FORMAT", help_heading = "Other")]
    pub log_format: Option<LogFormat>,
    /// Which log lines there are, for example info or info,holdfast_node=debug [default: info]
    #[arg(long, env = "HOLDFAST_LOG", value_name = "FILTER", help_heading = "Other")]
    pub log: Option<String>,
}

impl GatewayArgs {
    /// What a node would be told of the same; the rest means nothing to a gateway.
    pub fn settings(&self) -> Settings {
        Settings {
            name: self.name.clone(),
            bind: self.bind,
            s3_bind: self.s3_bind,
            rest_bind: self.rest_bind,
            region: self.region.clone(),
            base_domains: self.base_domains.clone(),
            tls_cert: self.tls_cert.clone(),
            tls_key: self.tls_key.clone(),
            admin_token: self.admin_token.clone(),
            connections_max: self.connections_max,
            body_memory: self.body_memory,
            log_format: self.log_format,
            log: self.log.clone(),
            ..Settings::default()
        }
    }
}
