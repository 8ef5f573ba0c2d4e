//! What the engine's threads give back when the engine comes to rest.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use holdfast_store::Options;

use crate::subject::{OnDisk, Subject, chunk};

/// Names of the threads that gave back.
static GAVE_BACK: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn give_back() {
    let name = thread::current().name().unwrap_or_default().to_owned();
    GAVE_BACK.lock().unwrap_or_else(PoisonError::into_inner).push(name);
}

/// How often threads of a name gave back, once it is as often as expected or some seconds have passed.
fn count_of(name: &str, expected: usize) -> usize {
    let begun = Instant::now();
    loop {
        let names = GAVE_BACK.lock().unwrap_or_else(PoisonError::into_inner);
        let count = names.iter().filter(|gave| *gave == name).count();
        if count >= expected || begun.elapsed() > Duration::from_secs(10) {
            return count;
        }
        drop(names);
        thread::sleep(Duration::from_millis(1));
    }
}

fn rest(store: &OnDisk) {
    store.engine.as_ref().expect("open").rest();
}

#[test]
fn threads_that_worked_give_back_once() {
    let mut store = OnDisk::with_options(
        "rest",
        Options {
            read_threads: 3,
            on_rest: give_back,
            ..Options::default()
        },
    );
    rest(&store);
    let (header, body) = chunk(1, 40_000);
    assert_eq!(store.write_chunk(&header, &body), Ok(()));
    for _ in 0..3 {
        rest(&store);
    }
    assert_eq!(count_of("store-append", 1), 1);
    assert_eq!(store.read_chunk(&header, 0, u32::MAX), Ok(Some(body.clone())));
    for _ in 0..3 {
        rest(&store);
    }
    assert_eq!(count_of("store-read", 3), 3);
    let (header, body) = chunk(2, 40_000);
    assert_eq!(store.write_chunk(&header, &body), Ok(()));
    rest(&store);
    assert_eq!(count_of("store-append", 2), 2);
    assert_eq!(count_of("store-read", 3), 3, "nothing was read");
}
