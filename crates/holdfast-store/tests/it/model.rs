//! Random histories: the engine and its in-memory twin against one plain model.

use std::collections::BTreeMap;

use bytes::Bytes;
use holdfast_core::storage::{Batch, ChunkHeader, Space, Visit};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::test_runner::TestCaseError;

use crate::subject::{InMemory, OnDisk, Subject, chunk};

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<(Space, Vec<u8>, Option<Vec<u8>>)>),
    Get(Space, Vec<u8>),
    /// Bounds, and how far each visit seeks: appended to the key seen; the length is how many visits there are.
    Scan(Space, Vec<u8>, Vec<u8>, Vec<Option<Vec<u8>>>),
    WriteChunk(u32, usize),
    ReadChunk(u32, u32, u32),
    ListChunks(u32, usize),
    Reopen,
}

fn space() -> impl Strategy<Value = Space> {
    prop_oneof![Just(Space::Rows), Just(Space::Bodies), Just(Space::Counts)]
}

/// Few keys, many of them prefixes of others.
fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(0_u8), Just(1), Just(b'a'), Just(255)], 1..4)
}

fn step() -> impl Strategy<Value = Step> {
    let value = proptest::option::weighted(0.7, vec(any::<u8>(), 0..40));
    let seek = proptest::option::of(vec(any::<u8>(), 1..3));
    prop_oneof![
        8 => vec((space(), key(), value), 0..6).prop_map(Step::Write),
        4 => (space(), key()).prop_map(|(space, key)| Step::Get(space, key)),
        4 => (space(), key(), key(), vec(seek, 0..12)).prop_map(|(space, a, b, seeks)| Step::Scan(space, a, b, seeks)),
        2 => (0_u32..6, 0_usize..200_000).prop_map(|(number, length)| Step::WriteChunk(number, length)),
        3 => (0_u32..6, 0_u32..210_000, 0_u32..210_000).prop_map(|(n, from, length)| Step::ReadChunk(n, from, length)),
        1 => (0_u32..6, 0_usize..4).prop_map(|(number, count)| Step::ListChunks(number, count)),
        1 => Just(Step::Reopen),
    ]
}

#[derive(Default)]
struct Model {
    rows: BTreeMap<(Space, Vec<u8>), Vec<u8>>,
    chunks: BTreeMap<u32, (ChunkHeader, Bytes)>,
}

/// Runs one step and tells what was observed, in words, so that stores and model can be compared.
fn run(subject: &mut dyn Subject, step: &Step) -> String {
    match step {
        Step::Write(changes) => {
            let changes = changes
                .iter()
                .map(|(space, key, value)| (*space, key.clone(), value.clone().map(Bytes::from)))
                .collect();
            subject.storage().write(Batch { changes });
            String::new()
        }
        Step::Get(space, key) => format!(
            "{:?}",
            subject.storage().get(*space, key).map(|row| row.map(|v| v.to_vec()))
        ),
        Step::Scan(space, from, to, seeks) => {
            let mut seen = Vec::new();
            let result = subject.storage().scan(*space, from, to, &mut |key, value| {
                let next = seeks.get(seen.len());
                seen.push((key.to_vec(), value.to_vec()));
                match next {
                    None => Visit::Stop,
                    Some(None) => Visit::Next,
                    Some(Some(more)) => Visit::SeekTo([key, more].concat()),
                }
            });
            format!("{result:?} {seen:?}")
        }
        Step::WriteChunk(number, length) => {
            let (header, body) = chunk(*number, *length);
            format!("{:?}", subject.write_chunk(&header, &body))
        }
        Step::ReadChunk(number, from, length) => {
            let (header, _) = chunk(*number, 0);
            format!(
                "{:?}",
                subject
                    .read_chunk(&header, *from, *length)
                    .map(|b| b.map(|b| digest(&b)))
            )
        }
        Step::ListChunks(number, count) => {
            let (header, _) = chunk(*number, 0);
            format!("{:?}", subject.storage().chunks(header.partition, None, *count))
        }
        Step::Reopen => {
            subject.reopen();
            String::new()
        }
    }
}

/// What the trait promises, said with a map.
fn expect(model: &mut Model, step: &Step) -> String {
    match step {
        Step::Write(changes) => {
            for (space, key, value) in changes {
                match value {
                    Some(value) => model.rows.insert((*space, key.clone()), value.clone()),
                    None => model.rows.remove(&(*space, key.clone())),
                };
            }
            String::new()
        }
        Step::Get(space, key) => {
            let row = model.rows.get(&(*space, key.clone())).cloned();
            format!("{:?}", Ok::<_, ()>(row))
        }
        Step::Scan(space, from, to, seeks) => {
            let mut seen = Vec::new();
            let mut at_least = from.clone();
            for ((of, key), value) in &model.rows {
                if of != space || *key < at_least || key >= to {
                    continue;
                }
                let next = seeks.get(seen.len());
                seen.push((key.clone(), value.clone()));
                match next {
                    None => break,
                    Some(None) => {}
                    Some(Some(more)) => at_least = [key.as_slice(), more].concat(),
                }
            }
            format!("{:?} {seen:?}", Ok::<_, ()>(()))
        }
        Step::WriteChunk(number, length) => {
            model.chunks.entry(*number).or_insert_with(|| chunk(*number, *length));
            format!("{:?}", Ok::<_, ()>(()))
        }
        Step::ReadChunk(number, from, length) => {
            let read = model.chunks.get(number).map(|(_, body)| {
                let begin = (*from as usize).min(body.len());
                digest(&body[begin..(begin + *length as usize).min(body.len())])
            });
            format!("{:?}", Ok::<_, ()>(read))
        }
        Step::ListChunks(number, count) => {
            let (like, _) = chunk(*number, 0);
            let mut headers: Vec<_> = model.chunks.values().map(|(header, _)| header.clone()).collect();
            headers.retain(|header| header.partition == like.partition);
            headers.sort_by_key(|header| header.id);
            headers.truncate(*count);
            format!("{:?}", Ok::<_, ()>(headers))
        }
        Step::Reopen => String::new(),
    }
}

fn digest(bytes: &[u8]) -> (usize, u64) {
    (
        bytes.len(),
        crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes),
    )
}

fn check(subject: &mut dyn Subject, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut model = Model::default();
    for (place, step) in steps.iter().enumerate() {
        let (got, expected) = (run(subject, step), expect(&mut model, step));
        if got != expected {
            return Err(TestCaseError::fail(format!(
                "step {place} {step:?}: got {got}, expected {expected}"
            )));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_twin_does_what_the_model_does(steps in vec(step(), 0..60)) {
        check(&mut InMemory::default(), &steps)?;
    }
}

proptest! {
    // Each case opens a database several times, which syncs.
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_engine_does_what_the_model_does(steps in vec(step(), 0..60)) {
        check(&mut OnDisk::new("model"), &steps)?;
    }
}
