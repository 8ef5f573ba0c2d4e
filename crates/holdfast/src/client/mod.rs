//! The client verbs: everything a person or a script does with a running cluster.
//!
//! Objects go over S3 (`s3.rs`), what only the REST interface knows over `/v1` (`rest.rs`). The verbs print to standard
//! output either for people or, with `--json`, one JSON value per line; progress and failures go to standard error, so
//! that output can be piped.

pub mod answer;
pub mod bucket;
pub mod cluster;
pub mod connection;
pub mod copy;
pub mod direct;
pub mod download;
pub mod env;
pub mod health;
pub mod here;
pub mod key;
pub mod list;
pub mod mover;
pub mod mtime;
pub mod object;
pub mod place;
pub mod print;
pub mod progress;
pub mod remove;
pub mod repair;
pub mod repair_told;
pub mod rest;
pub mod s3;
pub mod sync;
pub mod tree;
pub mod upload;
