//! Load generator for any S3 endpoint over plain HTTP, and the table it prints.
//!
//! It shares its cores with the servers it measures, so it is built to cost little: one thread, its own HTTP/1.1 on
//! kept-alive connections, request bodies made and hashed once, signatures from one cached key. What the *servers*
//! spent is read from `/proc` for the process ids it is given, because CPU per operation is the figure that holds
//! on any machine; rates and latencies depend on who else was running.
//!
//! Weak: closed loop (a client sends its next request when the last is answered), so latencies under a fixed rate
//! of arrivals are not measured. No TLS: clients frame bodies differently there, and the generator's own
//! encryption would drown the figure.
#![forbid(unsafe_code)]

mod connection;
mod histogram;
mod load;
mod options;
mod procfs;
mod report;
mod s3;
mod sign;
mod steps;

use clap::Parser;
use options::Options;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("holdfast-bench: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(steps::run(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("holdfast-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}
