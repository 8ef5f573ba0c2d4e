//! The real executable, run as a user runs it: what it says when something is wrong, and a cluster from start to stop.

mod cluster;
mod command_line;
mod joining;
mod scratch;
mod server;
