//! A seeded cluster in one thread: real nodes (`holdfast_core::node::Node`), simulated machines, network and clients, and
//! one checker per promise.
//!
//! The whole run is a function of its seed: no clock, no thread, no ambient randomness, no hash map. Whatever fails is
//! replayed by `cargo xtask sim --seed S --trace`. `docs/simulator.md` tells how to read that trace and how to add a
//! fault, a checker or a planted bug.
//!
//! Weak spots: layouts do not change; one shard per node. They come with the rules that deal with them.
#![forbid(unsafe_code)]

pub mod checkers;
pub mod chord;
pub mod coverage;
pub mod describe;
pub mod hunt;
pub mod plan;
pub mod rng;
pub mod run;
pub mod trace;
pub mod truth;
pub mod watch;
pub mod workload;
pub mod world;
