//! The front ends, over one port.
//!
//! This crate must never know: nodes' sockets, disks, quorums. It turns HTTP into calls of [`objects::Objects`] and
//! outcomes into HTTP.
//!
//! The map: [`serve`] owns sockets, TLS, limits and the access log; [`s3`], [`rest`] and [`grpc`] are the languages spoken on
//! them, and `console` shows people what REST tells; `watch` gathers what all nodes see; [`intake`] takes a body in, hashing it
//! while it is written; [`memory`] is a cluster in a `Mutex`, for tests.
#![forbid(unsafe_code)]

pub mod answer_body;
mod bucket_wish;
mod caller;
pub mod checksum;
mod claims;
pub mod conditions;
mod console;
mod dots;
pub mod grpc;
pub mod intake;
pub mod limits;
pub mod memory;
pub mod object_headers;
pub mod objects;
mod problem;
pub mod request_id;
pub mod rest;
pub mod s3;
pub mod serve;
pub mod signature;
mod watch;
