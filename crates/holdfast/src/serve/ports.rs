//! The three ports, opened before anything else: a port in use must not be found out after a cluster was founded.
//!
//! The node port is kept; it is needed for the founding. Those of S3 and REST are closed again at once: a founding may
//! take days, and a client must be refused in the meantime rather than left waiting. Should somebody else take them
//! until the front ends open, that is told then.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::config::Config;
use crate::failure::Failure;
use crate::serve::NodeListener;

/// Opens the node port, and makes sure that the other two can be.
pub async fn open(config: &Config) -> Result<NodeListener, Failure> {
    probe("S3", "s3_bind", config.s3_bind)?;
    probe("REST", "rest_bind", config.rest_bind)?;
    let node = TcpListener::bind(config.node_bind).await;
    node.map(Arc::new)
        .map_err(|error| cannot("node", "node_bind", config.node_bind, &error))
}

fn probe(what: &str, setting: &str, address: SocketAddr) -> Result<(), Failure> {
    let opened = StdListener::bind(address).map(drop);
    opened.map_err(|error| cannot(what, setting, address, &error))
}

fn cannot(what: &str, setting: &str, address: SocketAddr, error: &std::io::Error) -> Failure {
    let flag = setting.replace('_', "-");
    let advice = match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!("stop what listens there (see `ss -ltnp`), or choose another port with --{flag}")
        }
        std::io::ErrorKind::PermissionDenied => {
            format!("ports below 1024 need a privilege: choose a higher one with --{flag}")
        }
        std::io::ErrorKind::AddrNotAvailable => {
            format!("no interface of this machine has that address (see `ip addr`): correct --{flag} or --bind")
        }
        _ => format!("correct --{flag} or --bind"),
    };
    Failure::new(format!("the {what} port {address} cannot be opened: {error}"), advice)
}
