//! Every decision Holdfast makes, as state machines.
//!
//! This crate must never know: a clock, a socket, a file, a thread, ambient randomness, a hash map's iteration order,
//! the bytes inside a body. Time and randomness are arguments. That is why the very code that serves requests also runs
//! in the simulator, thousands of times faster, and every failure there replays from its seed.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod bucket;
pub mod chord;
pub mod codec;
pub mod content;
pub mod context;
mod coordinate;
pub mod dead;
pub mod event;
pub mod fingerprint;
pub mod gateway;
pub mod gossip;
pub mod ids;
pub mod layout;
pub mod message;
pub mod node;
pub mod place;
pub mod planted;
pub mod quorum;
pub mod record;
pub mod registry;
pub mod repair;
pub mod request;
pub mod scrub;
pub mod storage;
pub mod time;
pub mod wire;
