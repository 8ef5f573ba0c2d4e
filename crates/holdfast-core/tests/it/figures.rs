//! What reading and writing cost. Ignored in tests, because a figure is no assertion:
//! `cargo test --release -p holdfast-core --test it -- --ignored --nocapture figures`.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the ban on clocks is for the core; this measures it from outside"
)]

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use holdfast_core::message::Message;
use holdfast_core::wire::message;
use holdfast_core::wire::record::{decode_record, decode_row, encode_record, encode_row, record_digest, row_digest};

use crate::samples;

/// Best of many short rounds, in nanoseconds: the others were disturbed.
fn print<T>(name: &str, mut work: impl FnMut() -> T) {
    const ROUNDS: usize = 1_000;
    const CALLS: u32 = 200;
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..CALLS {
            black_box(work());
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
    }
    println!("{name:<44} {best:>8.0} ns");
}

#[test]
#[ignore = "prints figures"]
fn figures() {
    for (name, record) in [
        ("plain", samples::plain_record()),
        ("siblings", samples::sibling_record()),
    ] {
        let bytes = encode_record(&record);
        let row = encode_row(samples::local(), &record);
        println!("record {name}: {} bytes, row {} bytes", bytes.len(), row.len());
        print("  encode_record", || encode_record(black_box(&record)));
        print("  decode_record", || decode_record(black_box(&bytes)));
        print("  encode_row", || encode_row(samples::local(), black_box(&record)));
        print("  decode_row", || decode_row(black_box(&row)));
        print("  row_digest", || row_digest(black_box(&row)));
        print("  record_digest", || record_digest(black_box(&record)));
    }
    for (name, mut envelope) in samples::messages() {
        if let Message::Write(write) = &mut envelope.message {
            write.copy.bodies[0].1 = Bytes::from(vec![1; 4096]);
            write.side.clear();
        }
        let (head, payload) = message::encode(&envelope);
        let head = Bytes::from(head);
        println!("{name}: {} bytes", head.len());
        print("  encode", || message::encode(black_box(&envelope)));
        print("  decode", || message::decode(head.clone(), payload.clone()));
    }
}
