//! Every format behind one shape: bytes in, bytes out. What all formats promise is then tested for all of them.

use holdfast_core::codec::DecodeError;
use holdfast_core::wire::context::{decode_context, encode_context};
use holdfast_core::wire::dead::{decode_dead, encode_dead};
use holdfast_core::wire::hint::{decode_chunk_hint, decode_hint, encode_chunk_hint, encode_hint};
use holdfast_core::wire::record::{
    decode_counts, decode_entry_row, decode_manifest, decode_part, decode_record, decode_row, decode_upload,
    encode_counts, encode_entry_with, encode_manifest, encode_part, encode_record, encode_row, encode_upload,
};

use crate::samples;

/// Reads bytes and writes again what was read.
pub type Rewrite = fn(&[u8]) -> Result<Vec<u8>, DecodeError>;

/// Bytes of samples, each with the name of its golden file.
pub type Samples = Vec<(&'static str, Vec<u8>)>;

/// Every kind of row: its [`Rewrite`] and samples.
pub fn rows() -> Vec<(Rewrite, Samples)> {
    let (record, siblings) = (samples::plain_record(), samples::sibling_record());
    let entries = samples::entries()
        .into_iter()
        .map(|(name, row)| (name, encode_entry_with(&row.entry, &row.extensions)))
        .collect();
    vec![
        (
            |bytes| Ok(encode_record(&decode_record(bytes)?)),
            vec![
                ("record-plain", encode_record(&record)),
                ("record-siblings", encode_record(&siblings)),
            ],
        ),
        (
            |bytes| decode_row(bytes).map(|(local, record)| encode_row(local, &record).to_vec()),
            vec![
                ("row-plain", encode_row(samples::local(), &record).to_vec()),
                ("row-siblings", encode_row(samples::local(), &siblings).to_vec()),
            ],
        ),
        (
            |bytes| Ok(encode_hint(&decode_hint(bytes)?).to_vec()),
            vec![("hint", encode_hint(&samples::hint()).to_vec())],
        ),
        (
            |bytes| Ok(encode_chunk_hint(&decode_chunk_hint(bytes)?).to_vec()),
            vec![("chunk-hint", encode_chunk_hint(&samples::hint().owed).to_vec())],
        ),
        (
            |bytes| Ok(encode_dead(&decode_dead(bytes)?)),
            vec![("dead", encode_dead(&samples::dead_body()))],
        ),
        (
            |bytes| Ok(encode_manifest(&decode_manifest(bytes)?)),
            vec![("manifest", encode_manifest(&samples::manifest()))],
        ),
        (
            |bytes| Ok(encode_upload(&decode_upload(bytes)?)),
            vec![("upload", encode_upload(&samples::upload()))],
        ),
        (
            |bytes| Ok(encode_part(&decode_part(bytes)?)),
            vec![("part", encode_part(&samples::part()))],
        ),
        (
            |bytes| decode_entry_row(bytes).map(|row| encode_entry_with(&row.entry, &row.extensions)),
            entries,
        ),
        (
            |bytes| Ok(encode_counts(decode_counts(bytes)?)),
            vec![("counts", encode_counts(samples::count()))],
        ),
        (
            |bytes| Ok(encode_context(&decode_context(bytes)?)),
            vec![("context", encode_context(&samples::context()))],
        ),
    ]
}
