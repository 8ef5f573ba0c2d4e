//! The `holdfast` binary: server, local clusters and client verbs in one.
//!
//! This crate wires the others together and talks to people; it decides nothing about data. What it must never know:
//! records, quorums, the layout of files in a store.
#![deny(unsafe_code)]

mod allocator;
mod cli;
mod client;
mod config;
mod dev;
mod failure;
mod gateway;
mod port;
mod quantity;
mod serve;
mod shell;

use std::process::ExitCode;

use clap::Parser;

/// Idle nodes must be small and busy ones must not fight over locks; `allocator.rs` has the measurement.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    allocator::settle();
    let cli = cli::Cli::parse();
    let json = cli.json;
    match cli::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report(json);
            ExitCode::from(failure.exit as u8)
        }
    }
}
