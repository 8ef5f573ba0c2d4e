//! The front ends on real sockets, over a cluster in memory.

mod access_log;
mod bad_input;
mod client;
mod console;
mod grpc;
mod http2;
mod limits;
mod rest;
mod s3_bodies;
mod s3_objects;
mod server;
mod sign;
mod tls;
mod transfers;
