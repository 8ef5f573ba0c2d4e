//! One node's durable state: the answer to `holdfast_core::storage::Storage`.
//!
//! Two implementations pass one suite (`tests/it`): an engine on a real disk, and [`memory::MemoryStore`], which loses
//! what was not synced, exactly and on command, so that the simulator can crash a node between any two steps.
//!
//! This crate must never know: the network, tokio, what a row means, which keys belong together. It sees ordered bytes
//! and immutable chunks, and promises three things: what was acknowledged survives a power cut; what is returned has
//! passed its checksum; damage is never reported as absence.
#![forbid(unsafe_code)]

mod chunks;
mod completions;
mod data_dir;
mod disk;
mod engine;
mod journal;
pub mod memory;
mod open_error;
mod options;
mod row;
mod rows;
mod space;
mod sync;

pub use completions::{Completions, StoreFailure};
pub use data_dir::is_there;
pub use engine::{Engine, Statistics};
pub use memory::MemoryStore;
pub use open_error::OpenError;
pub use options::Options;
pub use space::DiskBytes;

#[cfg(feature = "planted")]
pub use disk::{Observer, SharedObserver, WhichSync};
