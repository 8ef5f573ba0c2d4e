//! One suite for both stores, and what only a real disk can suffer: damage, kills, power cuts, wrong directories.
//!
//! - `suite`: what the `Storage` trait promises, asked of the engine and of its in-memory twin.
//! - `model`: random histories, both stores against one model.
//! - `damage`: flipped bytes and torn tails.
//! - `kill`: `kill -9` at random moments.
//! - `power_cut`: recovery from what completed syncs covered, and proof that each sync is needed.
//! - `no_sync`: what `unsafe_no_sync` leaves out, and what not.
//! - `rest`: what the engine's threads give back when it comes to rest.
//! - `open`: data directories that cannot be used, and what is said about them.

mod damage;
mod kill;
mod model;
mod no_sync;
mod open;
mod power_cut;
mod remove;
mod rest;
mod subject;
mod suite;
mod workload;
