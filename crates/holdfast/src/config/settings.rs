//! The settings as they are written, by flag, variable or key: all optional, one struct for all three sources.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::quantity::parse_bytes;

/// What may be set. `None` says nothing, and leaves the word to the next source.
#[derive(Args, Deserialize, Debug, Default, Clone, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Directory of everything the node keeps [default: holdfast-data]
    #[arg(long, env = "HOLDFAST_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// Found a cluster of N nodes: wait until N, this one included, have registered
    #[arg(long, env = "HOLDFAST_FOUND", value_name = "N", help_heading = "Cluster")]
    pub found: Option<u32>,
    /// Be one of N nodes that are all started with the same words: the one whose own node address is the first of --join founds,
    /// the others register with it
    #[arg(long, env = "HOLDFAST_CLUSTER_OF", value_name = "N", help_heading = "Cluster")]
    pub cluster_of: Option<u32>,
    /// Where the founder may be found: HOST[:PORT], several with commas, @FILE for one a line; names may mean several addresses
    #[arg(long, env = "HOLDFAST_JOIN", value_name = "SEEDS", help_heading = "Cluster")]
    pub join: Option<String>,
    /// Join token, from the file join-token in the founder's data directory
    #[arg(
        long,
        env = "HOLDFAST_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        help_heading = "Cluster"
    )]
    pub token: Option<String>,
    /// File into which a founder writes its join token, and for which joining nodes wait
    #[arg(long, env = "HOLDFAST_TOKEN_FILE", value_name = "FILE", help_heading = "Cluster")]
    pub token_file: Option<PathBuf>,
    /// File with a secret that all nodes were given, in place of a token: 32 characters at least, random
    #[arg(
        long,
        env = "HOLDFAST_CLUSTER_SECRET_FILE",
        value_name = "FILE",
        help_heading = "Cluster"
    )]
    pub cluster_secret_file: Option<PathBuf>,
    /// What people call this node [default: the host's name]
    #[arg(long, env = "HOLDFAST_NAME", value_name = "NAME", help_heading = "Cluster")]
    pub name: Option<String>,
    /// Zone; replicas are spread over zones first [default: default]
    #[arg(long, env = "HOLDFAST_ZONE", value_name = "ZONE", help_heading = "Cluster")]
    pub zone: Option<String>,
    /// Host; replicas are spread over hosts second [default: the host's name]
    #[arg(long, env = "HOLDFAST_HOST", value_name = "HOST", help_heading = "Cluster")]
    pub host: Option<String>,
    /// How much this node is willing to store, for example 2TB [default: the size of the disk]
    #[arg(long, env = "HOLDFAST_CAPACITY", value_name = "SIZE", help_heading = "Cluster")]
    pub capacity: Option<Capacity>,

    /// Address that all three ports listen on [default: 127.0.0.1]
    #[arg(long, env = "HOLDFAST_BIND", value_name = "IP", help_heading = "Addresses")]
    pub bind: Option<IpAddr>,
    /// Where the S3 port listens [default: port 9000 of --bind]
    #[arg(long, env = "HOLDFAST_S3_BIND", value_name = "IP:PORT", help_heading = "Addresses")]
    pub s3_bind: Option<SocketAddr>,
    /// Where the REST port listens [default: port 9001 of --bind]
    #[arg(long, env = "HOLDFAST_REST_BIND", value_name = "IP:PORT", help_heading = "Addresses")]
    pub rest_bind: Option<SocketAddr>,
    /// Where the node port listens [default: port 9002 of --bind]
    #[arg(long, env = "HOLDFAST_NODE_BIND", value_name = "IP:PORT", help_heading = "Addresses")]
    pub node_bind: Option<SocketAddr>,
    /// Host name or address under which others reach this node [default: that of --bind]
    #[arg(long, env = "HOLDFAST_ADVERTISE", value_name = "HOST", help_heading = "Addresses")]
    pub advertise: Option<String>,
    /// S3 endpoint as clients should use it [default: the S3 port at --advertise]
    #[arg(long, env = "HOLDFAST_S3_ADVERTISE", value_name = "URL", help_heading = "Addresses")]
    pub s3_advertise: Option<String>,
    /// REST endpoint as clients should use it [default: the REST port at --advertise]
    #[arg(
        long,
        env = "HOLDFAST_REST_ADVERTISE",
        value_name = "URL",
        help_heading = "Addresses"
    )]
    pub rest_advertise: Option<String>,
    /// Node address as the other nodes should dial it [default: the node port at --advertise]
    #[arg(
        long,
        env = "HOLDFAST_NODE_ADVERTISE",
        value_name = "HOST:PORT",
        help_heading = "Addresses"
    )]
    pub node_advertise: Option<String>,

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

    /// Certificate chain of the S3 and REST ports, in PEM; read again on SIGHUP
    #[arg(long, env = "HOLDFAST_TLS_CERT", value_name = "FILE", help_heading = "Security")]
    pub tls_cert: Option<PathBuf>,
    /// Key of that certificate, in PEM
    #[arg(long, env = "HOLDFAST_TLS_KEY", value_name = "FILE", help_heading = "Security")]
    pub tls_key: Option<PathBuf>,
    /// Administrator's token of the REST interface [default: made at founding, in DIR/admin-token]
    #[arg(
        long,
        env = "HOLDFAST_ADMIN_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        help_heading = "Security"
    )]
    pub admin_token: Option<String>,
    /// Id of the root access key [default: made at founding, in DIR/root-key]
    #[arg(long, env = "HOLDFAST_ROOT_ACCESS_KEY", value_name = "ID", help_heading = "Security")]
    pub root_access_key: Option<String>,
    /// Secret of the root access key
    #[arg(
        long,
        env = "HOLDFAST_ROOT_SECRET_KEY",
        value_name = "SECRET",
        hide_env_values = true,
        help_heading = "Security"
    )]
    pub root_secret_key: Option<String>,

    /// Acknowledge writes before they are on disk. Loses data in a power cut; for comparisons only
    #[arg(long, env = "HOLDFAST_UNSAFE_NO_SYNC", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Other")]
    pub unsafe_no_sync: Option<bool>,
    /// For one start after this node's store was lost: fill it from the other nodes, or give up what they do not have
    #[arg(long, env = "HOLDFAST_DISK_LOST", value_name = "WHAT", help_heading = "Other")]
    pub disk_lost: Option<DiskLost>,
    /// Seconds that the body of an overwritten or deleted object stays for readers under way [default: 3600]
    #[arg(long, env = "HOLDFAST_DEAD_WAIT_S", value_name = "SECONDS", help_heading = "Other")]
    pub dead_wait_s: Option<u64>,
    /// Seconds between two comparisons of what this node holds with the next of the other nodes [default: 60]
    #[arg(
        long,
        env = "HOLDFAST_COMPARE_EVERY_S",
        value_name = "SECONDS",
        help_heading = "Other"
    )]
    pub compare_every_s: Option<u64>,
    /// Seconds between two scrubs, which read the whole disk for damage [default: 2592000, 30 days]
    #[arg(long, env = "HOLDFAST_SCRUB_EVERY_S", value_name = "SECONDS", help_heading = "Other")]
    pub scrub_every_s: Option<u64>,
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
    /// For tests: seconds after which the body of a plain object can no longer become one
    #[arg(long, env = "HOLDFAST_COMMIT_WITHIN_S", value_name = "SECONDS", hide = true)]
    pub commit_within_s: Option<u64>,
    /// For tests: how long a message between nodes may live. Must be the same on every node
    #[arg(long, env = "HOLDFAST_MESSAGE_LIFE_MS", value_name = "MS", hide = true)]
    pub message_life_ms: Option<u64>,
    /// How log lines look [default: plain on a terminal, json elsewhere]
    #[arg(long, env = "HOLDFAST_LOG_FORMAT", value_name = "FORMAT", help_heading = "Other")]
    pub log_format: Option<LogFormat>,
    /// Which log lines there are, for example info or info,holdfast_node=debug [default: info]
    #[arg(long, env = "HOLDFAST_LOG", value_name = "FILTER", help_heading = "Other")]
    pub log: Option<String>,
}

/// What to do about a store that was lost.
#[derive(ValueEnum, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum DiskLost {
    /// The node fills up from the others, and answers for nothing until it holds all again.
    Fill,
    /// What no other node can give is done without: the node answers at once for what it has.
    GiveUp,
}

/// How log lines look.
#[derive(ValueEnum, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Plain,
    /// One JSON object per line.
    Json,
}

/// Bytes, written with or without a unit.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(try_from = "WrittenCapacity")]
pub struct Capacity(pub u64);

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenCapacity {
    Number(u64),
    Text(String),
}

impl TryFrom<WrittenCapacity> for Capacity {
    type Error = String;
    fn try_from(written: WrittenCapacity) -> Result<Self, String> {
        match written {
            WrittenCapacity::Number(bytes) => Ok(Self(bytes)),
            WrittenCapacity::Text(text) => text.parse(),
        }
    }
}

impl FromStr for Capacity {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        parse_bytes(text).map(Self)
    }
}

impl Settings {
    /// These settings, and what they do not say from `other`.
    pub fn or(self, other: Self) -> Self {
        Self {
            data: self.data.or(other.data),
            found: self.found.or(other.found),
            cluster_of: self.cluster_of.or(other.cluster_of),
            join: self.join.or(other.join),
            token: self.token.or(other.token),
            token_file: self.token_file.or(other.token_file),
            cluster_secret_file: self.cluster_secret_file.or(other.cluster_secret_file),
            name: self.name.or(other.name),
            zone: self.zone.or(other.zone),
            host: self.host.or(other.host),
            capacity: self.capacity.or(other.capacity),
            bind: self.bind.or(other.bind),
            s3_bind: self.s3_bind.or(other.s3_bind),
            rest_bind: self.rest_bind.or(other.rest_bind),
            node_bind: self.node_bind.or(other.node_bind),
            advertise: self.advertise.or(other.advertise),
            s3_advertise: self.s3_advertise.or(other.s3_advertise),
            rest_advertise: self.rest_advertise.or(other.rest_advertise),
            node_advertise: self.node_advertise.or(other.node_advertise),
            region: self.region.or(other.region),
            base_domains: self.base_domains.or(other.base_domains),
            tls_cert: self.tls_cert.or(other.tls_cert),
            tls_key: self.tls_key.or(other.tls_key),
            admin_token: self.admin_token.or(other.admin_token),
            root_access_key: self.root_access_key.or(other.root_access_key),
            root_secret_key: self.root_secret_key.or(other.root_secret_key),
            unsafe_no_sync: self.unsafe_no_sync.or(other.unsafe_no_sync),
            disk_lost: self.disk_lost.or(other.disk_lost),
            dead_wait_s: self.dead_wait_s.or(other.dead_wait_s),
            compare_every_s: self.compare_every_s.or(other.compare_every_s),
            scrub_every_s: self.scrub_every_s.or(other.scrub_every_s),
            connections_max: self.connections_max.or(other.connections_max),
            body_memory: self.body_memory.or(other.body_memory),
            message_life_ms: self.message_life_ms.or(other.message_life_ms),
            commit_within_s: self.commit_within_s.or(other.commit_within_s),
            log_format: self.log_format.or(other.log_format),
            log: self.log.or(other.log),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_source_that_speaks_wins() {
        let flags = Settings {
            zone: Some("a".to_owned()),
            ..Settings::default()
        };
        let file = Settings {
            zone: Some("b".to_owned()),
            name: Some("n".to_owned()),
            ..Settings::default()
        };
        let both = flags.or(file);
        assert_eq!((both.zone.as_deref(), both.name.as_deref()), (Some("a"), Some("n")));
    }
}
