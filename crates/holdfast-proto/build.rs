//! Makes Rust of the `.proto` files, and a description of them for reflection.
//!
//! The compiler of `.proto` is a library (protox), so that building needs nothing that cargo cannot fetch.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

const FILES: [&str; 4] = [
    "proto/holdfast/v1/nodes.proto",
    "proto/holdfast/v1/buckets.proto",
    "proto/holdfast/v1/objects.proto",
    "proto/holdfast/v1/cluster.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let mut files = protox::compile(FILES, ["proto"])?;
    tonic_prost_build::configure()
        .build_transport(false)
        // Bodies must not be copied out of the buffer in which they came.
        .bytes(".holdfast.v1")
        // Headers of an object are told in order.
        .btree_map(".holdfast.v1")
        .compile_fds(files.clone())?;
    // Comments are for the readers of the files; clients that ask for a description want names and numbers.
    for file in &mut files.file {
        file.source_code_info = None;
    }
    std::fs::write(out.join("holdfast.v1.bin"), files.encode_to_vec())?;
    Ok(())
}
