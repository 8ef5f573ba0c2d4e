//! Golden files: the bytes of one of everything, as they are and will be.
//!
//! A format that was ever released is for ever: nodes of the next version read the disks and the messages of this one.
//! So a file in `tests/golden` is *never* changed after a release. Who changes a format adds a new version of it, with
//! new golden files beside the old ones, which must still be read. Before the first release, and for new files, run
//! the tests with `HOLDFAST_WRITE_GOLDEN=1` and read the difference before committing it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use holdfast_core::message::Message;
use holdfast_core::wire::context::decode_context;
use holdfast_core::wire::dead::decode_dead;
use holdfast_core::wire::hint::{decode_chunk_hint, decode_hint};
use holdfast_core::wire::message;
use holdfast_core::wire::record::{
    decode_counts, decode_entry_row, decode_manifest, decode_part, decode_record, decode_row, decode_upload,
};

use crate::{forms, samples};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        for byte in line {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    text
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

/// The bytes in the golden file, after making sure that they are the ones given. A payload stands below a line `--`.
fn check(name: &str, bytes: &[u8], payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let path = folder().join(format!("{name}.hex"));
    let separator = if payload.is_empty() { "" } else { "--\n" };
    let text = format!("{}{separator}{}", hex(bytes), hex(payload));
    if std::env::var_os("HOLDFAST_WRITE_GOLDEN").is_some() {
        fs::create_dir_all(folder()).expect("folder of golden files");
        fs::write(&path, &text).expect("golden file");
    }
    let golden = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(golden, text, "{name}: the format changed; see the head of this file");
    let (head, payload) = golden.split_once("--").unwrap_or((&golden, ""));
    (unhex(head), unhex(payload))
}

#[test]
fn rows_are_written_as_the_golden_files_say() {
    for (rewrite, samples) in forms::rows() {
        for (name, bytes) in samples {
            let (golden, _) = check(name, &bytes, &[]);
            assert_eq!(rewrite(&golden).expect(name), golden, "{name}");
        }
    }
}

#[test]
fn golden_rows_are_read_as_the_values_they_were_made_of() {
    let read = |name: &str| unhex(&fs::read_to_string(folder().join(format!("{name}.hex"))).expect(name));
    let (plain, siblings) = (samples::plain_record(), samples::sibling_record());
    assert_eq!(decode_record(read("record-plain")), Ok(plain.clone()));
    assert_eq!(decode_record(read("record-siblings")), Ok(siblings.clone()));
    assert_eq!(decode_row(read("row-plain")), Ok((samples::local(), plain)));
    assert_eq!(decode_row(read("row-siblings")), Ok((samples::local(), siblings)));
    assert_eq!(decode_hint(read("hint")), Ok(samples::hint()));
    assert_eq!(decode_chunk_hint(&read("chunk-hint")), Ok(samples::hint().owed));
    assert_eq!(decode_dead(read("dead")), Ok(samples::dead_body()));
    assert_eq!(decode_manifest(read("manifest")), Ok(samples::manifest()));
    assert_eq!(decode_upload(read("upload")), Ok(samples::upload()));
    assert_eq!(decode_part(read("part")), Ok(samples::part()));
    assert_eq!(decode_counts(read("counts")), Ok(samples::count()));
    assert_eq!(decode_context(&read("context")), Ok(samples::context()));
    for (name, row) in samples::entries() {
        assert_eq!(decode_entry_row(read(name)), Ok(row), "{name}");
    }
}

#[test]
fn messages_are_written_and_read_as_the_golden_files_say() {
    for (name, envelope) in samples::messages() {
        let (head, payload) = message::encode(&envelope);
        let (head, payload) = check(&name, &head, &payload);
        let read = message::decode(Bytes::from(head), Bytes::from(payload));
        assert_eq!(read, Ok(envelope), "{name}");
    }
}

/// Number of a variant. When the compiler complains here, add the variant with a sample, and raise [`VARIANTS`].
const fn number_of(message: &Message) -> usize {
    match message {
        Message::Write(_) => 0,
        Message::WriteReply { .. } => 1,
        Message::Read { .. } => 2,
        Message::ReadReply { .. } => 3,
        Message::Forward { .. } => 4,
        Message::ForwardReply { .. } => 5,
        Message::WriteChunk { .. } => 6,
        Message::WriteChunkReply { .. } => 7,
        Message::ReadChunk { .. } => 8,
        Message::ReadChunkReply { .. } => 9,
        Message::List { .. } => 10,
        Message::ListReply { .. } => 11,
        Message::WriteSide { .. } => 12,
        Message::WriteSideReply { .. } => 13,
        Message::ReadSide { .. } => 14,
        Message::ReadSideReply { .. } => 15,
        Message::Count { .. } => 16,
        Message::CountReply { .. } => 17,
        Message::Compare { .. } => 18,
        Message::CompareReply { .. } => 19,
        Message::Collect { .. } => 20,
        Message::CollectReply { .. } => 21,
        Message::Claim { .. } => 22,
        Message::ClaimReply { .. } => 23,
        Message::Announce { .. } => 24,
        Message::Announced { .. } => 25,
        Message::Find { .. } => 26,
        Message::FindReply { .. } => 27,
    }
}

const VARIANTS: usize = 28;

#[test]
fn every_message_has_a_golden_file() {
    let sampled: BTreeSet<usize> = samples::messages()
        .iter()
        .map(|(_, envelope)| number_of(&envelope.message))
        .collect();
    assert_eq!(sampled, (0..VARIANTS).collect());
}

#[test]
fn every_golden_file_has_a_sample() {
    let mut names: BTreeSet<String> = samples::messages().into_iter().map(|(name, _)| name).collect();
    for (_, samples) in forms::rows() {
        names.extend(samples.into_iter().map(|(name, _)| name.to_string()));
    }
    let files: BTreeSet<String> = fs::read_dir(folder())
        .expect("folder of golden files")
        .filter_map(|file| file.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".hex").map(ToString::to_string))
        .collect();
    let orphans: Vec<_> = files.difference(&names).collect();
    assert!(orphans.is_empty(), "golden files that nothing reads: {orphans:?}");
}
