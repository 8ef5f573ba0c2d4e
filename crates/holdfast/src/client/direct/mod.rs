//! Transfers straight to and from the nodes that hold the data.
//!
//! One question to any node ([`ask`]) tells where the chunks of an object are, or who should take the parts of an upload, and
//! brings a grant for each part; the bytes then move between here and those nodes ([`download`], [`upload`]), several at a
//! time, each from or to whoever answers best ([`peers`]). What was moved is noted ([`journal`], [`resume`]), so that a
//! transfer that was interrupted goes on where it was.
//!
//! Everything here can be done without: where no REST endpoint is known, none answers, or the cluster grants nothing, bytes go
//! through one node over S3 as they do for small files. [`Direct::open`] and [`Outcome::NotDirect`] are where that is decided.

pub mod ask;
pub mod check;
pub mod download;
pub mod journal;
pub mod part;
pub mod peers;
pub mod plan;
pub mod resume;
pub mod upload;

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use crate::client::connection::{Endpoints, S3Args, choose};
use crate::client::direct::ask::Ask;
use crate::client::direct::peers::Peers;
use crate::failure::Failure;

/// Files of at least this much are worth the question where they lie.
pub const DIRECT_BYTES_MIN: u64 = 8 << 20;

/// How large files move.
#[derive(Args, Debug, Clone)]
pub struct DirectArgs {
    /// Send everything through one node, also large files
    #[arg(long, help_heading = "Connection")]
    pub via_one_node: bool,
    /// REST endpoint to ask where data lie; without one everything goes through one node
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
}

/// The way to the nodes themselves.
pub struct Direct {
    /// Where questions go.
    pub ask: Ask,
    /// How the nodes have answered so far.
    pub peers: Peers,
}

impl Direct {
    /// From the flags and the environment; `None` where there is no such way, or none is wanted.
    pub fn open(s3: &S3Args, direct: &DirectArgs) -> Result<Option<Self>, Failure> {
        let endpoints = choose(direct.rest_endpoint.as_deref(), direct.rest_endpoints.as_deref());
        let endpoints: Endpoints = match endpoints {
            Some(endpoints) if !direct.via_one_node => endpoints?,
            _ => return Ok(None),
        };
        let ask = Ask::new(s3, endpoints)?;
        let peers = Peers::new(ask.http().clone(), ask.endpoints());
        Ok(Some(Self { ask, peers }))
    }
}

/// What came of trying to move something directly.
pub enum Outcome<T> {
    /// It was moved.
    Done(T),
    /// It has to go through one node; nothing was changed.
    NotDirect,
}

/// How a file was moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// Its length.
    pub bytes: u64,
    /// Bytes that crossed the network for it.
    pub moved: u64,
    /// Bytes that an earlier try had moved already.
    pub resumed: u64,
    /// Bytes by node, where they went to or came from nodes directly.
    pub nodes: BTreeMap<String, u64>,
    /// By what the whole was checked, end to end.
    pub checked: &'static str,
    /// When the source of what was brought was last changed, as its metadata say.
    pub mtime: Option<String>,
}

impl Moved {
    /// Of a file that went through one node.
    pub fn through_one(bytes: u64, checked: &'static str) -> Self {
        Self {
            bytes,
            moved: bytes,
            checked,
            ..Self::default()
        }
    }

    /// Adds what another file took.
    pub fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.moved += other.moved;
        self.resumed += other.resumed;
        for (node, bytes) in &other.nodes {
            *self.nodes.entry(node.clone()).or_default() += bytes;
        }
    }

    /// Notes bytes that came from, or went to, a node.
    pub fn note(&mut self, node: &str, bytes: u64) {
        self.moved += bytes;
        *self.nodes.entry(node.to_owned()).or_default() += bytes;
    }

    /// For `--json`.
    pub fn told(&self) -> Value {
        json!({
            "bytes": self.bytes,
            "moved": self.moved,
            "resumed": self.resumed,
            "nodes": self.nodes,
        })
    }
}
