//! Looks at every state that a model can reach, nearest first, so that the trace of a broken promise is a shortest one.
//!
//! Our own and not a library's: stateright, the one made for this, cannot be had without an HTTP server (45 crates, 46 s of
//! building on two cores), and what is needed of it is this file.
//! Invariant: a search that says `complete` has looked at every state; nothing is cut by depth, hashing or chance.
//! Weak: one thread, and all states in memory.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Something that moves by steps, each of them atomic.
pub trait Model {
    type State: Clone + Eq + Hash + Debug;
    type Step: Clone + Debug;

    fn starts(&self) -> Vec<Self::State>;

    /// Every step that may be taken next, with where it leads. The order must depend on the state alone.
    fn steps(&self, state: &Self::State, next: &mut Vec<(Self::Step, Self::State)>);

    /// The promise that does not hold here.
    fn broken(&self, state: &Self::State) -> Option<&'static str>;

    /// What a search must have met at least once to mean anything.
    fn sights(&self) -> &'static [&'static str];

    /// A bit for each of the sights that this step shows.
    fn seen(&self, before: &Self::State, step: &Self::Step, after: &Self::State) -> u32;

    /// Whether all is done. From every state such a one must be within reach, by steps that can be relied on.
    fn at_rest(&self, state: &Self::State) -> bool;

    /// Whether the step can always be taken when it helps: not what happens by luck, such as an order that was lost and arrives.
    fn can_be_relied_on(&self, step: &Self::Step) -> bool;
}

/// What a search found out.
#[derive(Debug)]
pub struct Found {
    pub states: usize,
    /// The number of steps to the state that is farthest from the start.
    pub depth: usize,
    /// Every state was looked at.
    pub complete: bool,
    /// Names of sights that nothing showed.
    pub unseen: Vec<&'static str>,
    pub broken: Option<Broken>,
}

/// A promise that does not hold, and the shortest way there.
#[derive(Debug)]
pub struct Broken {
    pub promise: &'static str,
    pub trace: Vec<String>,
}

/// The promise of [`Model::at_rest`].
pub const COMES_TO_REST: &str = "from everywhere there is a way to rest";

/// Looks at every state, until a promise is broken or there would be more than `states_max`.
pub fn search<M: Model>(model: &M, states_max: usize) -> Found {
    let mut search = Search::new(model);
    let mut complete = true;
    let mut level = search.begin();
    let mut depth = 0;
    let mut broken = None;
    while !level.is_empty() && complete && broken.is_none() {
        let mut next_level = Vec::new();
        for (state, number) in level {
            search.resting.push(model.at_rest(&state));
            if let Some(promise) = model.broken(&state) {
                broken = Some((promise, number));
                break;
            }
            search.expand(&state, number, &mut next_level);
        }
        complete = search.origins.len() <= states_max;
        depth += usize::from(!next_level.is_empty());
        level = next_level;
    }
    complete &= broken.is_none();
    if complete {
        broken = search.never_rests().map(|number| (COMES_TO_REST, number));
    }
    let sights = model.sights().iter().enumerate();
    Found {
        states: search.origins.len(),
        depth,
        complete,
        unseen: sights
            .filter(|(bit, _)| search.sights & (1 << bit) == 0)
            .map(|(_, name)| *name)
            .collect(),
        broken: broken.map(|(promise, number)| Broken {
            promise,
            trace: search.trace(number),
        }),
    }
}

/// How a state was reached first: from which one, by which of its steps. Starts name themselves.
#[derive(Clone, Copy)]
struct Origin {
    from: u32,
    by: u32,
}

struct Search<'a, M: Model> {
    model: &'a M,
    numbers: HashMap<M::State, u32, BuildHasherDefault<Mixer>>,
    origins: Vec<Origin>,
    /// By number, as far as states were looked at.
    resting: Vec<bool>,
    /// (to, from) of every step.
    edges: Vec<(u32, u32)>,
    sights: u32,
    steps: Vec<(M::Step, M::State)>,
}

impl<'a, M: Model> Search<'a, M> {
    fn new(model: &'a M) -> Self {
        Self {
            model,
            numbers: HashMap::default(),
            origins: Vec::new(),
            resting: Vec::new(),
            edges: Vec::new(),
            sights: 0,
            steps: Vec::new(),
        }
    }

    fn begin(&mut self) -> Vec<(M::State, u32)> {
        let mut level = Vec::new();
        for (index, state) in self.model.starts().into_iter().enumerate() {
            let number = number_of(self.origins.len());
            if self.numbers.insert(state.clone(), number).is_none() {
                let by = number_of(index);
                self.origins.push(Origin { from: number, by });
                level.push((state, number));
            }
        }
        level
    }

    fn expand(&mut self, state: &M::State, from: u32, next_level: &mut Vec<(M::State, u32)>) {
        let mut steps = std::mem::take(&mut self.steps);
        self.model.steps(state, &mut steps);
        for (by, (step, next)) in steps.drain(..).enumerate() {
            self.sights |= self.model.seen(state, &step, &next);
            let number = number_of(self.origins.len());
            let known = *self.numbers.entry(next.clone()).or_insert(number);
            if self.model.can_be_relied_on(&step) {
                self.edges.push((known, from));
            }
            if known == number {
                let by = number_of(by);
                self.origins.push(Origin { from, by });
                next_level.push((next, number));
            }
        }
        self.steps = steps;
    }

    /// The first state from which no state at rest can be reached.
    fn never_rests(&mut self) -> Option<u32> {
        let mut rests = self.resting.clone();
        self.edges.sort_unstable();
        let edges = &self.edges;
        let mut to_visit: Vec<u32> = (0..number_of(rests.len()))
            .filter(|number| rests[*number as usize])
            .collect();
        while let Some(to) = to_visit.pop() {
            let first = edges.partition_point(|edge| edge.0 < to);
            for (_, from) in edges[first..].iter().take_while(|edge| edge.0 == to) {
                if !std::mem::replace(&mut rests[*from as usize], true) {
                    to_visit.push(*from);
                }
            }
        }
        rests.iter().position(|rests| !rests).map(number_of)
    }

    /// Takes the same steps again and tells of them.
    fn trace(&self, number: u32) -> Vec<String> {
        let mut way = Vec::new();
        let mut at = number;
        while self.origins[at as usize].from != at {
            way.push(self.origins[at as usize].by);
            at = self.origins[at as usize].from;
        }
        let start = self.origins[at as usize].by as usize;
        let mut state = self.model.starts().swap_remove(start);
        let mut told = Vec::new();
        for by in way.into_iter().rev() {
            let mut steps = Vec::new();
            self.model.steps(&state, &mut steps);
            let (step, next) = steps.swap_remove(by as usize);
            told.push(format!("{step:?}"));
            state = next;
        }
        told.push(format!("{state:?}"));
        told
    }
}

fn number_of(index: usize) -> u32 {
    u32::try_from(index).expect("four milliards of states do not fit into memory")
}

/// States are small and nobody attacks this table: a multiplication per eight bytes is enough, and four times as fast as
/// the hash that the standard library chooses.
#[derive(Default)]
pub struct Mixer(u64);

impl Mixer {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
}

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        let folded = self.0 ^ (self.0 >> 32);
        folded.wrapping_mul(0xd6e8_feb8_6659_fd93)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.mix(u64::from(byte));
    }

    fn write_usize(&mut self, word: usize) {
        self.mix(word as u64);
    }
}
