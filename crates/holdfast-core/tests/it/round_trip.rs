//! What is written is read back, whatever it was; and equal records have equal bytes, so digests may stand for them.

use bytes::Bytes;
use holdfast_core::codec::{Reader, Writer};
use holdfast_core::message::{Copy, Envelope, Message};
use holdfast_core::record::Record;
use holdfast_core::wire::encoded::EncodedRecord;
use holdfast_core::wire::message;
use holdfast_core::wire::record::{
    decode_counts, decode_entry, decode_entry_row, decode_manifest, decode_part, decode_record, decode_row,
    decode_row_local, decode_upload, encode_counts, encode_entry, encode_entry_with, encode_manifest, encode_part,
    encode_record, encode_row, encode_upload, record_digest, record_in_row, row_digest,
};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

use crate::arbitrary::{context, count, entry, local, manifest, number, part, record, text, upload};
use crate::arbitrary_messages::envelope;
use crate::samples;

proptest! {
    #[test]
    fn numbers(value in number()) {
        let mut writer = Writer::default();
        writer.varint(value);
        let bytes = writer.into_vec();
        prop_assert!(bytes.len() <= 10);
        let mut reader = Reader::over_slice(&bytes);
        prop_assert_eq!(reader.varint(), Ok(value));
        prop_assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn strings(value in text(), after in any::<u64>()) {
        let mut writer = Writer::default();
        writer.str(&value);
        writer.u64(after);
        let bytes = writer.into_vec();
        let mut reader = Reader::over_slice(&bytes);
        prop_assert_eq!(reader.str("text", 1024), Ok(value));
        prop_assert_eq!(reader.u64(), Ok(after));
    }

    #[test]
    fn records(record in record()) {
        prop_assert_eq!(decode_record(encode_record(&record)), Ok(record));
    }

    #[test]
    fn a_record_shows_the_same_whether_decoded_or_not(record in record()) {
        let encoded = EncodedRecord::of(&record);
        prop_assert_eq!(encoded.is_visible(), record.visible().is_some());
        match (encoded.visible(), record.visible()) {
            (Some(view), Some(version)) => {
                let headers = version.content.headers.iter();
                prop_assert_eq!(view.dot, version.dot);
                prop_assert_eq!(view.content.size, version.content.size);
                prop_assert_eq!(view.content.etag, &version.content.etag);
                prop_assert_eq!(&view.content.body, &version.content.body);
                prop_assert!(view.content.headers().eq(headers.map(|(name, value)| (name.as_str(), value.as_str()))));
            }
            (view, version) => prop_assert!(view.is_none() && version.is_none()),
        }
        prop_assert_eq!(encoded.decode(), record);
    }

    #[test]
    fn a_damaged_record_is_refused_whether_decoded_or_not(record in record(), at in any::<usize>(), flip in any::<u8>()) {
        let mut bytes = encode_record(&record);
        let at = at % bytes.len();
        bytes[at] ^= flip;
        let decoded = decode_record(&bytes);
        prop_assert_eq!(EncodedRecord::read_all(Bytes::from(bytes.clone())).map(|encoded| encoded.decode()), decoded);
        bytes.truncate(at);
        prop_assert_eq!(EncodedRecord::read_all(Bytes::from(bytes.clone())).err(), decode_record(&bytes).err());
    }

    #[test]
    fn rows_hold_the_record_as_their_suffix(local in local(), record in record()) {
        let row = encode_row(local, &record);
        prop_assert_eq!(record_in_row(&row), Ok(&encode_record(&record)[..]));
        prop_assert_eq!(decode_row_local(&row), Ok(local));
        prop_assert_eq!(row_digest(&row), Ok(record_digest(&record)));
        prop_assert_eq!(decode_row(row), Ok((local, record)));
    }

    #[test]
    fn digests_are_equal_exactly_for_equal_records(a in record(), b in record(), seen in context()) {
        prop_assert_eq!(record_digest(&a) == record_digest(&b), a == b);
        // Two ways to one record: merged from either side.
        let (mut left, mut right) = (a.clone(), b.clone());
        left.merge(&b);
        right.merge(&a);
        if left == right {
            prop_assert_eq!(encode_record(&left), encode_record(&right));
        }
        // A record that knows more is another one, though its versions are the same.
        let mut context = a.context().clone();
        context.merge(&seen);
        let wiser = Record::from_parts(context, a.versions().to_vec());
        prop_assert_eq!(record_digest(&a) == record_digest(&wiser), a == wiser);
    }

    #[test]
    fn manifests(manifest in manifest()) {
        prop_assert_eq!(decode_manifest(encode_manifest(&manifest)), Ok(manifest));
    }

    #[test]
    fn uploads(upload in upload()) {
        prop_assert_eq!(decode_upload(encode_upload(&upload)), Ok(upload));
    }

    #[test]
    fn parts(part in part()) {
        prop_assert_eq!(decode_part(encode_part(&part)), Ok(part));
    }

    #[test]
    fn entries_keep_what_newer_programs_added(row in entry()) {
        let bytes = encode_entry_with(&row.entry, &row.extensions);
        prop_assert_eq!(decode_entry(&bytes), Ok(row.entry.clone()));
        prop_assert_eq!(decode_entry(encode_entry(&row.entry)), Ok(row.entry.clone()));
        prop_assert_eq!(decode_entry_row(bytes), Ok(row));
    }

    #[test]
    fn counts(count in count()) {
        prop_assert_eq!(decode_counts(encode_counts(count)), Ok(count));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn messages(envelope in envelope()) {
        let (head, payload) = message::encode(&envelope);
        prop_assert_eq!(message::decode(Bytes::from(head), payload), Ok(envelope));
    }
}

/// Whether `part` lies within the memory of `whole`.
fn is_slice_of(part: &Bytes, whole: &Bytes) -> bool {
    whole.as_ptr_range().contains(&part.as_ptr())
}

#[test]
fn inline_bodies_are_slices_of_the_head() {
    let body = Bytes::from(vec![7; 4096]);
    let (_, mut envelope) = samples::messages().remove(0);
    let Message::Write(write) = &mut envelope.message else {
        panic!("the first sample is a write");
    };
    write.copy = Copy {
        record: samples::plain_record(),
        bodies: vec![(samples::dot(1), body)],
    };
    let (head, payload) = message::encode(&envelope);
    let head = Bytes::from(head);
    assert!(payload.is_empty());
    let Ok(Envelope {
        message: Message::Write(read),
        ..
    }) = message::decode(head.clone(), payload)
    else {
        panic!("a write is read as a write");
    };
    assert!(is_slice_of(&read.copy.bodies[0].1, &head));
    assert!(is_slice_of(&read.side[0].value, &head));
}

#[test]
fn chunks_are_never_copied() {
    let chunks = samples::messages()
        .into_iter()
        .filter(|(_, envelope)| !message::encode(envelope).1.is_empty());
    let mut names = Vec::new();
    for (name, envelope) in chunks {
        let (head, payload) = message::encode(&envelope);
        let read = message::decode(Bytes::from(head), payload.clone()).expect("own encoding");
        let (_, again) = message::encode(&read);
        assert_eq!(again.as_ptr(), payload.as_ptr(), "{name}");
        names.push(name);
    }
    assert_eq!(
        names,
        [
            "message-write-chunk",
            "message-read-chunk-reply",
            "message-forward-write-chunk",
            "message-forward-reply-chunk-read"
        ]
    );
}
