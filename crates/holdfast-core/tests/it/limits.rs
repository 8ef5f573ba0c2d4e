//! Refusals, by name: what is too long, unknown, unsupported, or not in its one form.

use bytes::Bytes;
use holdfast_core::codec::{DecodeError, Reader, Writer};
use holdfast_core::content::BodyForm;
use holdfast_core::message::Message;
use holdfast_core::wire::context::decode_context;
use holdfast_core::wire::encoded::EncodedRecord;
use holdfast_core::wire::limit::{ETAG_BYTES_MAX, HEADER_BYTES_MAX, OBJECT_KEY_BYTES_MAX};
use holdfast_core::wire::message;
use holdfast_core::wire::record::{
    decode_counts, decode_entry, decode_manifest, decode_part, decode_record, decode_row, decode_upload, encode_record,
    encode_row, encode_upload, row_digest,
};

use crate::samples;

/// Offset of the first version within the encoding of [`samples::plain_record`]: version, one entry, one version.
const VERSION_AT: usize = 1 + 1 + 24 + 1;
/// Offset of the storage class within a version: dot, request, kind.
const ROOM_AT: usize = 24 + 16 + 1;

fn varint_of(bytes: &[u8]) -> Result<u64, DecodeError> {
    Reader::over_slice(bytes).varint()
}

#[test]
fn numbers_have_one_form() {
    let overlong = Err(DecodeError::NotCanonical { what: "number" });
    assert_eq!(varint_of(&[0x80, 0x00]), overlong);
    assert_eq!(varint_of(&[0xff, 0x80, 0x00]), overlong);
    // The tenth byte has one bit of a u64; an eleventh none.
    let largest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(varint_of(&largest), Ok(u64::MAX));
    let mut larger = largest;
    larger[9] = 0x02;
    assert_eq!(varint_of(&larger), overlong);
    larger[9] = 0x81;
    assert_eq!(varint_of(&larger), overlong);
    assert_eq!(varint_of(&[0x80]), Err(DecodeError::Truncated));
}

#[test]
fn unknown_versions_are_named() {
    let unknown = |what| DecodeError::UnknownVersion { what, version: 2 };
    let bytes = [2, 0, 0, 0];
    assert_eq!(decode_record(bytes), Err(unknown("record")));
    assert_eq!(decode_row(bytes), Err(unknown("row")));
    assert_eq!(row_digest(&bytes), Err(unknown("row")));
    assert_eq!(decode_manifest(bytes), Err(unknown("manifest")));
    assert_eq!(decode_upload(bytes), Err(unknown("upload")));
    assert_eq!(decode_part(bytes), Err(unknown("part")));
    assert_eq!(decode_entry(bytes), Err(unknown("registry entry")));
    assert_eq!(decode_counts(bytes), Err(unknown("counts")));
    assert_eq!(decode_context(&bytes), Err(unknown("context")));
    let head = Bytes::copy_from_slice(&bytes);
    assert_eq!(message::decode(head, Bytes::new()), Err(unknown("message")));
    assert_eq!(decode_record([]), Err(DecodeError::Truncated));
}

#[test]
fn a_row_with_a_record_of_a_later_version_still_has_a_digest() {
    // Digests compare bytes; only reading the record needs to know its version.
    let mut row = encode_row(samples::local(), &samples::plain_record()).to_vec();
    row[17] = 2;
    assert!(row_digest(&row).is_ok());
    let unknown = DecodeError::UnknownVersion {
        what: "record",
        version: 2,
    };
    assert_eq!(decode_row(row), Err(unknown));
}

#[test]
fn what_only_newer_programs_write_is_refused_by_name() {
    let names = [
        "storage class",
        "data chunks of the chunk code",
        "parity chunks of the chunk code",
        "encryption",
    ];
    for (at, what) in names.into_iter().enumerate() {
        let mut bytes = encode_record(&samples::plain_record());
        bytes[VERSION_AT + ROOM_AT + at] = 1;
        assert_eq!(decode_record(bytes), Err(DecodeError::Unsupported { what }));
    }
    let mut bytes = encode_record(&samples::plain_record());
    // Size and stored length are both 4096, two bytes each.
    bytes[VERSION_AT + ROOM_AT + 4 + 2] ^= 1;
    let what = "stored length";
    assert_eq!(decode_record(bytes), Err(DecodeError::Unsupported { what }));
}

#[test]
fn records_out_of_order_are_refused() {
    let bytes = encode_record(&samples::sibling_record());
    // Three entries of 24 bytes after version and count: exchange the first two, or repeat one.
    let mut exchanged = bytes.clone();
    exchanged[2..26].copy_from_slice(&bytes[26..50]);
    exchanged[26..50].copy_from_slice(&bytes[2..26]);
    let context = Err(DecodeError::NotCanonical { what: "context" });
    assert_eq!(decode_record(&exchanged), context);
    let mut repeated = bytes;
    repeated.copy_within(2..26, 26);
    assert_eq!(decode_record(&repeated), context);
}

#[test]
fn a_version_outside_its_context_is_refused() {
    let mut bytes = encode_record(&samples::plain_record());
    // The last byte of the tick in the dot.
    bytes[VERSION_AT + 23] += 1;
    let refused = DecodeError::NotCanonical { what: "record" };
    assert_eq!(decode_record(&bytes), Err(refused));
    // The first fault is the one that is told, decoded or not: here the kind of the version is nonsense too.
    bytes[VERSION_AT + ROOM_AT - 1] = 0xff;
    assert_eq!(decode_record(&bytes), Err(refused));
    assert_eq!(EncodedRecord::read_all(bytes.into()).err(), Some(refused));
}

#[test]
fn the_longest_strings_are_read_and_longer_ones_are_not() {
    let with = |etag: usize, header: usize| {
        let mut version = samples::plain_version(1);
        version.content.etag = "e".repeat(etag);
        version.content.headers = vec![("x-amz-meta-a".to_string(), "v".repeat(header))];
        version.content.body = BodyForm::Empty;
        let record = holdfast_core::record::Record::from_parts(Default::default(), vec![version]);
        decode_record(encode_record(&record)).map(|read| read == record)
    };
    assert_eq!(with(ETAG_BYTES_MAX, HEADER_BYTES_MAX), Ok(true));
    assert_eq!(with(ETAG_BYTES_MAX + 1, 1), Err(DecodeError::TooLong { what: "etag" }));
    let what = "value of a header";
    assert_eq!(with(1, HEADER_BYTES_MAX + 1), Err(DecodeError::TooLong { what }));
    let mut upload = samples::upload();
    upload.info.key = "k".repeat(OBJECT_KEY_BYTES_MAX);
    assert_eq!(decode_upload(encode_upload(&upload)), Ok(upload.clone()));
    upload.info.key.push('k');
    assert_eq!(
        decode_upload(encode_upload(&upload)),
        Err(DecodeError::TooLong { what: "key" })
    );
}

#[test]
fn strings_are_utf8() {
    let mut writer = Writer::default();
    writer.bytes(&[0xff, 0xfe]);
    let bytes = writer.into_vec();
    assert_eq!(Reader::over_slice(&bytes).str("key", 10), Err(DecodeError::BadUtf8));
}

#[test]
fn tags_without_meaning_are_named() {
    let (_, envelope) = samples::messages()
        .into_iter()
        .find(|(_, envelope)| matches!(envelope.message, Message::CountReply { .. }))
        .expect("a sample");
    let (mut head, payload) = message::encode(&envelope);
    head[message::HEAD_BYTES_MIN - 1] = 0;
    let read = message::decode(Bytes::from(head), payload);
    assert_eq!(
        read,
        Err(DecodeError::BadTag {
            what: "message",
            tag: 0
        })
    );
}

#[test]
fn errors_can_be_told_to_people() {
    let error = DecodeError::UnknownVersion {
        what: "row",
        version: 9,
    };
    assert_eq!(
        error.to_string(),
        "row is in format version 9, which this program does not know"
    );
    let error = DecodeError::Unsupported { what: "encryption" };
    assert_eq!(
        error.to_string(),
        "encryption has a value that this program does not support"
    );
}
