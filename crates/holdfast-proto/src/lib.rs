//! `holdfast.v1`: the gRPC interface as `.proto` files, and the Rust made of them when this is built.
//!
//! A crate of its own because what is generated is long and hardly ever changes: it compiles beside the core, and no edit of a
//! front end compiles it again. It must never know anything else of ours. Servers are in [`v1`] as traits (the front end in
//! `holdfast-api` has them), clients as types over any channel.
#![forbid(unsafe_code)]

/// What is made of the files in `proto/holdfast/v1`, whose comments stand here.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    rustdoc::all,
    reason = "generated"
)]
pub mod v1 {
    tonic::include_proto!("holdfast.v1");
}

/// All files and what they import, as reflection tells them: an encoded `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTION: &[u8] = tonic::include_file_descriptor_set!("holdfast.v1");

#[cfg(test)]
mod tests {
    use prost::Message;

    #[test]
    fn the_description_names_the_services() {
        let set = prost_types::FileDescriptorSet::decode(super::DESCRIPTION).expect("a description");
        let services: Vec<&str> = set
            .file
            .iter()
            .flat_map(|file| &file.service)
            .map(|service| service.name())
            .collect();
        assert_eq!(services, ["Buckets", "Objects", "Cluster"]);
    }
}
