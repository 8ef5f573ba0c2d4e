//! How one node is told what it is: flags, then `HOLDFAST_…` in the environment, then the configuration file, then
//! defaults; the first that says something wins, setting by setting.
//!
//! One rule for names: the flag `--s3-bind` is the variable `HOLDFAST_S3_BIND` and the key `s3_bind`. A key that is not
//! known is refused, because a misspelt `tls_cert` that is silently ignored is a node without TLS.

mod birth;
mod file;
mod resolve;
mod settings;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use holdfast_node::shell::{Forgetting, Upkeep};

pub use birth::{Birth, Pass};
pub use resolve::resolve;
pub use settings::{Capacity, DiskLost, LogFormat, Settings};

use crate::failure::Failure;

/// Arguments of `holdfast server`.
#[derive(Args, Debug)]
pub struct ServerArgs {
    /// Configuration file (TOML)
    #[arg(long, env = "HOLDFAST_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the settings as they would be used, secrets left out, and exit
    #[arg(long)]
    pub check: bool,
    #[command(flatten)]
    pub settings: Settings,
}

/// Everything about a node, decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where everything is kept.
    pub data: PathBuf,
    /// What people call the node.
    pub name: String,
    /// Replicas are spread over zones first.
    pub zone: String,
    /// … and over hosts second.
    pub host: String,
    /// Bytes the node is willing to store; `None`: the size of its disk.
    pub capacity_bytes: Option<u64>,
    /// Where the S3 port listens.
    pub s3_bind: SocketAddr,
    /// Where the REST port listens.
    pub rest_bind: SocketAddr,
    /// Where the node port listens.
    pub node_bind: SocketAddr,
    /// What clients are told of the S3 port.
    pub s3_advertise: String,
    /// What clients are told of the REST port.
    pub rest_advertise: String,
    /// Where the other nodes dial.
    pub node_advertise: String,
    /// Region that S3 requests are signed for.
    pub region: String,
    /// Domains below which buckets are host names.
    pub base_domains: Vec<String>,
    /// Certificate and key of the S3 and REST ports.
    pub tls: Option<TlsFiles>,
    /// Token of the administrator; `None`: the cluster's own.
    pub admin_token: Option<String>,
    /// The root access key; `None`: the cluster's own.
    pub root_key: Option<RootKey>,
    /// How this node came to its cluster; only looked at while the data directory belongs to none.
    pub birth: Birth,
    /// Answer writes before they are on disk.
    pub unsafe_no_sync: bool,
    /// What to do about a store that was lost.
    pub disk_lost: Option<DiskLost>,
    /// When what is dead may go.
    pub forgetting: Forgetting,
    /// How often what lies on the disk is looked after.
    pub upkeep: Upkeep,
    /// Connections of clients; `None`: what the machine allows.
    pub connections_max: Option<u64>,
    /// Memory for bodies under way, in bytes; `None`: a quarter of the machine's.
    pub body_memory_bytes: Option<u64>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines there are.
    pub log: String,
}

/// Files of a certificate chain and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the node's own certificate first.
    pub cert: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// The pair that may do everything.
#[derive(Clone, PartialEq, Eq)]
pub struct RootKey {
    /// Access key id.
    pub id: String,
    /// Secret.
    pub secret: String,
}

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RootKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The configuration of this node, from all sources.
pub fn load(args: ServerArgs) -> Result<Config, Failure> {
    let from_file = match &args.config {
        Some(path) => file::read(path)?,
        None => Settings::default(),
    };
    resolve(args.settings.or(from_file))
}
