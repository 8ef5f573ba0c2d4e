//! Bytes that nobody wrote: cut short, flipped, or drawn at random. A reader may refuse them or read another value; it
//! may not panic, ask for much memory, or read a value that would be written differently.

use bytes::Bytes;
use holdfast_core::wire::message;
use holdfast_core::wire::record::{decode_record, row_digest};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};

use crate::allocations::bytes_asked_by;
use crate::{forms, samples};

/// Memory that reading `length` bytes may ask for: the densest list is one of empty answers for shards, whose one byte
/// each becomes a value of some tens of bytes.
fn bytes_allowed(length: usize) -> u64 {
    4096 + 128 * length as u64
}

/// Checks what every reader of rows promises about any bytes; says whether they were read.
fn check_row(rewrite: forms::Rewrite, bytes: &[u8]) -> bool {
    let (rewritten, asked) = bytes_asked_by(|| rewrite(bytes));
    // The rewriting is counted too, and at most doubles what there was.
    assert!(
        asked <= bytes_allowed(bytes.len()) * 2,
        "{asked} bytes asked for {}",
        bytes.len()
    );
    if let Ok(rewritten) = &rewritten {
        assert_eq!(rewritten, bytes, "read from a form that is not canonical");
    }
    rewritten.is_ok()
}

/// Checks what the reader of messages promises about any bytes; says whether they were read.
fn check_message(head: &[u8], payload: &[u8]) -> bool {
    let (head, payload) = (Bytes::copy_from_slice(head), Bytes::copy_from_slice(payload));
    let (read, asked) = bytes_asked_by(|| message::decode(head.clone(), payload.clone()));
    assert!(
        asked <= bytes_allowed(head.len()),
        "{asked} bytes asked for {}",
        head.len()
    );
    if let Ok(envelope) = &read {
        assert_eq!(
            message::encode(envelope),
            (head.to_vec(), payload),
            "read from a form that is not canonical"
        );
    }
    read.is_ok()
}

#[test]
fn rows_cut_short_or_too_long_are_refused() {
    for (rewrite, samples) in forms::rows() {
        for (name, mut bytes) in samples {
            for length in 0..bytes.len() {
                assert!(!check_row(rewrite, &bytes[..length]), "{name} cut to {length}");
            }
            bytes.push(0);
            assert!(!check_row(rewrite, &bytes), "{name} with a byte more");
        }
    }
}

#[test]
fn rows_with_any_bit_flipped_are_refused_or_read_as_another_value() {
    for (rewrite, samples) in forms::rows() {
        for (name, bytes) in samples {
            assert!(check_row(rewrite, &bytes), "{name}");
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                // That it is another value follows from its being written as other bytes, which is checked inside.
                check_row(rewrite, &flipped);
            }
        }
    }
}

#[test]
fn messages_cut_short_or_too_long_are_refused() {
    for (name, envelope) in samples::messages() {
        let (mut head, payload) = message::encode(&envelope);
        for length in 0..head.len() {
            assert!(!check_message(&head[..length], &payload), "{name} cut to {length}");
        }
        let longer = [&payload[..], b"x"].concat();
        assert!(!check_message(&head, &longer), "{name} with a longer payload");
        if !payload.is_empty() {
            assert!(!check_message(&head, &payload[1..]), "{name} with a shorter payload");
            assert!(!check_message(&head, &[]), "{name} without its payload");
        }
        head.push(0);
        assert!(!check_message(&head, &payload), "{name} with a byte more");
    }
}

#[test]
fn messages_with_any_bit_flipped_are_refused_or_read_as_another_message() {
    for (name, envelope) in samples::messages() {
        let (head, payload) = message::encode(&envelope);
        assert!(check_message(&head, &payload), "{name}");
        for bit in 0..head.len() * 8 {
            let mut flipped = head.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            check_message(&flipped, &payload);
        }
    }
}

#[test]
fn the_densest_list_asks_for_bounded_memory() {
    // A reply to a listing whose every shard is a single byte.
    let mut envelope = samples::messages().remove(0).1;
    envelope.message = holdfast_core::message::Message::ListReply {
        op: holdfast_core::message::OpId(1),
        result: Ok(vec![holdfast_core::message::ShardRows::Same; 60_000]),
    };
    let (head, payload) = message::encode(&envelope);
    assert!(check_message(&head, &payload));
}

#[test]
fn announced_lengths_are_not_believed() {
    // A record of 2^60 context entries, then one of 2^60 versions.
    for record in [
        &b"\x01\x80\x80\x80\x80\x80\x80\x80\x80\x10"[..],
        b"\x01\x00\x80\x80\x80\x80\x80\x80\x80\x80\x10",
    ] {
        let (read, asked) = bytes_asked_by(|| decode_record(record));
        assert!(read.is_err());
        assert!(asked < 1024, "{asked}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_rows_never_panic(mut bytes in vec(any::<u8>(), 0..400), versioned in any::<bool>()) {
        if let (true, Some(first)) = (versioned, bytes.first_mut()) {
            *first = 1;
        }
        for (rewrite, _) in forms::rows() {
            check_row(rewrite, &bytes);
        }
        let _ = row_digest(&bytes);
    }

    #[test]
    fn arbitrary_messages_never_panic(
        tag in 0_u8..24,
        rest in vec(0_u8..4, 0..400),
        noise in vec(any::<u8>(), 0..100),
        payload in vec(any::<u8>(), 0..4),
    ) {
        // Small numbers make plausible tags, flags and counts, so that readers get far.
        let mut head = vec![1];
        head.extend([7; 64]);
        head.push(tag);
        head.extend(&rest);
        head.extend(&noise);
        check_message(&head, &payload);
        check_message(&noise, &payload);
    }

    #[test]
    fn spliced_samples_never_panic(
        which in any::<proptest::sample::Index>(),
        at in any::<proptest::sample::Index>(),
        removed in 0_usize..12,
        inserted in vec(any::<u8>(), 0..12),
    ) {
        let messages = samples::messages();
        let (mut head, payload) = message::encode(&which.get(&messages).1);
        let at = at.index(head.len());
        let end = (at + removed).min(head.len());
        head.splice(at..end, inserted.iter().copied());
        check_message(&head, &payload);
        for (rewrite, samples) in forms::rows() {
            let mut bytes = which.get(&samples).1.clone();
            let at = at % bytes.len();
            let end = (at + removed).min(bytes.len());
            bytes.splice(at..end, inserted.iter().copied());
            check_row(rewrite, &bytes);
        }
    }
}
