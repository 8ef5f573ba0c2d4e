//! The front ends, over one port.
//!
//! This crate must never know: nodes' sockets, disks, quorums. It turns HTTP into calls of [`objects::Objects`] and
//! outcomes into HTTP.
//!
//! The map: [`serve`] owns sockets, TLS, limits and the access log; [`s3`] and [`rest`] are the two languages spoken on
//! them, and `console` shows people what REST tells; `watch` gathers what all nodes see; [`intake`] takes a body in, hashing it while it is written; [`memory`] is a cluster in a `Mutex`, for tests.
#![forbid(unsafe_code)]

pub mod answer_body;
pub mod checksum;
pub mod conditions;
mod console;
pub mod intake;
pub mod limits;
pub mod memory;
pub mod object_headers;
pub mod objects;
pub mod request_id;
pub mod rest;
pub mod s3;
pub mod serve;
mod signature;
mod watch;
