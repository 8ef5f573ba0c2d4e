//! The closed loop: a number of clients, each sending its next request when the last is answered.

use crate::histogram::Histogram;
use crate::s3::{Body, Client, RequestFailure};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

pub const SMALL_BYTES: usize = 4 * 1024;
pub const MEDIUM_BYTES: usize = 1024 * 1024;
/// The aws command line's part size.
pub const PART_BYTES: usize = 8 * 1024 * 1024;
pub const PARTS: u32 = 8;
/// Different bodies, so that nothing can profit from all being equal; few, so that they are hashed once.
const SMALL_BODIES: u64 = 64;
const MEDIUM_BODIES: u64 = 8;

/// What the clients of one step do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Each key once, for the steps that follow.
    Load,
    /// Half of the puts replace one of the loaded keys, half make a new one.
    PutSmall,
    GetSmall,
    ListPage,
    PutMedium,
    GetMedium,
    PutParts,
    GetParts,
}

/// When a step ends: whichever comes first.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    pub time: Duration,
    pub operations_max: u64,
}

/// What the clients share: bodies, and how many objects of each kind there are.
pub struct Stock {
    small: Vec<Body>,
    medium: Vec<Body>,
    part: Body,
    loaded: u64,
    next_new_small: Cell<u64>,
    medium_stored: Cell<u64>,
    parts_stored: Cell<u64>,
}

impl Stock {
    pub fn new(loaded: u64) -> Self {
        Self {
            small: (0..SMALL_BODIES)
                .map(|seed| Body::random(SMALL_BYTES, seed + 1))
                .collect(),
            medium: (0..MEDIUM_BODIES)
                .map(|seed| Body::random(MEDIUM_BYTES, seed + 101))
                .collect(),
            part: Body::random(PART_BYTES, 201),
            loaded,
            next_new_small: Cell::new(loaded),
            medium_stored: Cell::new(0),
            parts_stored: Cell::new(0),
        }
    }

    /// Whether there is anything for this work to read.
    pub fn has_what_it_needs(&self, work: Work) -> bool {
        match work {
            Work::GetMedium => self.medium_stored.get() > 0,
            Work::GetParts => self.parts_stored.get() > 0,
            Work::GetSmall | Work::ListPage => self.loaded > 0,
            Work::Load | Work::PutSmall | Work::PutMedium | Work::PutParts => true,
        }
    }
}

pub struct Measured {
    pub operations: u64,
    pub bytes: u64,
    pub errors: u64,
    pub first_error: Option<String>,
    pub elapsed: Duration,
    pub latencies: Histogram,
}

struct Tally {
    started: Cell<u64>,
    bytes: Cell<u64>,
    errors: Cell<u64>,
    first_error: RefCell<Option<String>>,
    latencies: RefCell<Histogram>,
}

/// Runs `work` on all clients until the limit. The clients come back, their connections open.
pub async fn drive(clients: &mut Vec<Client>, work: Work, limit: Limit, stock: &Rc<Stock>) -> Measured {
    let tally = Rc::new(Tally {
        started: Cell::new(0),
        bytes: Cell::new(0),
        errors: Cell::new(0),
        first_error: RefCell::new(None),
        latencies: RefCell::new(Histogram::new()),
    });
    let tasks = tokio::task::LocalSet::new();
    let began = Instant::now();
    let running: Vec<_> = clients
        .drain(..)
        .enumerate()
        .map(|(number, client)| {
            let (tally, stock) = (Rc::clone(&tally), Rc::clone(stock));
            tasks.spawn_local(one_client(client, number as u64, work, limit, began, tally, stock))
        })
        .collect();
    tasks.await;
    let elapsed = began.elapsed();
    for task in running {
        // A task that panicked took its client along; the others still count.
        if let Ok(client) = task.await {
            clients.push(client);
        }
    }
    let latencies = tally.latencies.replace(Histogram::new());
    Measured {
        operations: latencies.total(),
        bytes: tally.bytes.get(),
        errors: tally.errors.get(),
        first_error: tally.first_error.take(),
        elapsed,
        latencies,
    }
}

async fn one_client(
    mut client: Client,
    number: u64,
    work: Work,
    limit: Limit,
    began: Instant,
    tally: Rc<Tally>,
    stock: Rc<Stock>,
) -> Client {
    let mut chooser = Chooser::new(number * 1_000 + work as u64 + 1);
    while began.elapsed() < limit.time {
        let index = tally.started.get();
        if index >= limit.operations_max {
            break;
        }
        tally.started.set(index + 1);
        let asked = Instant::now();
        match perform(&mut client, work, index, &mut chooser, &stock).await {
            Ok(bytes) => {
                tally.latencies.borrow_mut().record(asked.elapsed());
                tally.bytes.set(tally.bytes.get() + bytes);
            }
            Err(RequestFailure(what)) => {
                tally.errors.set(tally.errors.get() + 1);
                tally.first_error.borrow_mut().get_or_insert(what);
                // A refused connection must not turn the loop into a spin.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    client
}

async fn perform(
    client: &mut Client,
    work: Work,
    index: u64,
    chooser: &mut Chooser,
    stock: &Stock,
) -> Result<u64, RequestFailure> {
    match work {
        Work::Load => client.put(&small_key(index), chooser.pick(&stock.small)).await,
        Work::PutSmall => {
            let replaces = stock.loaded > 0 && chooser.below(2) == 0;
            let key = if replaces {
                chooser.below(stock.loaded)
            } else {
                take_next(&stock.next_new_small)
            };
            client.put(&small_key(key), chooser.pick(&stock.small)).await
        }
        Work::GetSmall => {
            client
                .get(&small_key(chooser.below(stock.loaded)), SMALL_BYTES as u64)
                .await
        }
        Work::ListPage => client.list(&small_key(chooser.below(stock.loaded))).await,
        Work::PutMedium => {
            let sent = client
                .put(&format!("medium/{index:08}"), chooser.pick(&stock.medium))
                .await?;
            // Clients end out of order; the largest index below which all are stored is found well enough by count.
            stock.medium_stored.set(stock.medium_stored.get() + 1);
            Ok(sent)
        }
        Work::GetMedium => {
            let key = format!("medium/{:08}", chooser.below(stock.medium_stored.get()));
            client.get(&key, MEDIUM_BYTES as u64).await
        }
        Work::PutParts => {
            let sent = client
                .put_in_parts(&format!("parts/{index:08}"), &stock.part, PARTS)
                .await?;
            stock.parts_stored.set(stock.parts_stored.get() + 1);
            Ok(sent)
        }
        Work::GetParts => {
            let key = format!("parts/{:08}", chooser.below(stock.parts_stored.get()));
            client.get(&key, PART_BYTES as u64 * u64::from(PARTS)).await
        }
    }
}

fn take_next(counter: &Cell<u64>) -> u64 {
    let next = counter.get();
    counter.set(next + 1);
    next
}

/// Scattered over the key space, so that neither loading nor reading runs along it; `mix` never repeats. The first
/// digit makes sixteen folders for listings with a delimiter.
fn small_key(index: u64) -> String {
    let scattered = mix(index);
    format!("small/{:x}/{:015x}", scattered >> 60, scattered & (u64::MAX >> 4))
}

/// The finaliser of splitmix64, a bijection.
fn mix(index: u64) -> u64 {
    let mut z = index.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Seeded choices: the same run asks for the same keys.
struct Chooser {
    state: u64,
}

impl Chooser {
    fn new(seed: u64) -> Self {
        Self { state: mix(seed) | 1 }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(1);
        mix(self.state) % bound.max(1)
    }

    fn pick<'a>(&mut self, bodies: &'a [Body]) -> &'a Body {
        &bodies[self.below(bodies.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn keys_do_not_repeat_and_are_scattered() {
        let keys: Vec<String> = (0..10_000).map(small_key).collect();
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
        let rising = keys.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!((4_500..5_500).contains(&rising), "{rising} of 9,999 neighbours rise");
    }

    #[test]
    fn choices_stay_below_their_bound_and_repeat_with_their_seed() {
        let (mut one, mut again) = (Chooser::new(3), Chooser::new(3));
        for _ in 0..1_000 {
            let chosen = one.below(17);
            assert!(chosen < 17);
            assert_eq!(chosen, again.below(17));
        }
    }
}
