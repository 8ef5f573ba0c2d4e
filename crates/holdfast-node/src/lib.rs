//! The running shell of a node: its identity, its peers, its founding, and what drives the core.
//!
//! This crate must never decide anything that two nodes have to agree on: that is the core's part.
#![forbid(unsafe_code)]

mod buffers;
pub mod desk;
pub mod founding;
pub mod gateway;
pub mod gossip;
pub mod identity;
pub mod peer;
pub mod shell;
