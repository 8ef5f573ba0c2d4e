//! Forgetting dead bodies (rules D10, G1): the chunks of what was overwritten, deleted or never became an object go, and
//! their space comes back. Remnants go the same way (rule G3): records of deletions, rows of closed uploads, lives that are over.
//!
//! Each home collects what it noted itself; whoever stands first on the preference list begins first, and tells the other
//! homes what is done. One collection at a time, of many bodies, in this order:
//!
//! 1. Every home of each body's key is asked which of its parts a version or an open upload still names, synced. Those
//!    stay: whoever drops that version notes the body anew.
//! 2. Every member is asked whether it holds hints of the partitions; then nothing happens for a stretch longer than any
//!    message lives (rule G2); then every member is asked again, and must have held none in between.
//! 3. Step 1 once more. It should find nothing new, and costs little.
//! 4. Every member removes the chunks, and says so once that is on disk. Only then do the homes forget the bodies.
//!
//! A member that does not answer stops it, visibly ([`crate::node::Node::forgetting`]), and so does one whose clock is so
//! far off that its messages may live longer. Everything may be repeated, and is, after a crash.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use super::{Coordinate, Progress, RESEND_MS};
use crate::content::ManifestPart;
use crate::dead::{ChunkRange, Collect, Collected, DeadBody, HeldWhy, HintsHeld, Remnant};
use crate::event::ClusterEvent;
use crate::ids::{NodeId, PartId, Partition, Tick};
use crate::message::{Message, OpId, Refusal};
use crate::node::dead::{CHUNKS_AT_ONCE, KeptBody};
use crate::node::state::{About, ChunkWaiter, Step, Waiter};
use crate::place::Place;
use crate::planted::Planted;
use crate::registry::N_DEFAULT;
use crate::storage::{Batch, ChunkWriteError, WriteSeq};

/// Parts of one collection.
const PARTS_AT_ONCE: usize = 20_000;
/// Parts or rows named by one message: a key may be a kilobyte long.
const NAMES_AT_ONCE: usize = 64;
/// The stretch without hints, in message lives (rule G1): two for a message whose sender's clock is ahead, two more for a
/// receiver's that is behind, and one to spare.
const STRETCH_LIVES: u64 = 5;
/// A question unanswered so often ends the collection.
const ATTEMPTS_MAX: u32 = 40;
/// After a collection that was stopped, the next waits this long, in milliseconds.
const RETRY_MS: u64 = 60_000;
/// How many homes go before this one at most: each has the time of two collections.
const BEHIND_MAX: usize = 2;
/// Between two looks at a part of many dead bodies, in milliseconds.
const LOOK_MS: u64 = 50;
/// The longest sleep, in milliseconds.
const SLEEP_MS_MAX: u64 = 600_000;

/// Where a collection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Bodies that are due are looked for.
    Look,
    /// Homes are asked what they name.
    Named,
    /// Members are asked for hints, at the beginning of the stretch.
    HintsBefore,
    /// Every message that was under way dies.
    Stretch,
    /// And at its end.
    HintsAfter,
    /// Homes are asked once more.
    NamedAgain,
    /// Chunks go.
    Remove,
    /// The bodies are forgotten.
    Forget,
}

/// A dead body, with the parts of it that are to go.
struct Candidate {
    key: Vec<u8>,
    place: Place,
    parts: Vec<ManifestPart>,
    /// What is to go, when it is no body: it says only that something is over.
    remnant: Option<Remnant>,
    /// Whom to ask about it.
    asked: Vec<NodeId>,
}

impl Candidate {
    /// Nothing is left to be forgotten: all of it is named, or the object lives again.
    fn is_spared(&self) -> bool {
        self.parts.is_empty() && self.remnant.is_none()
    }
}

/// A collection in flight.
pub(crate) struct CollectOp {
    id: OpId,
    stage: Stage,
    candidates: Vec<Candidate>,
    /// Whom to ask what, one after the other; the first has been asked.
    asks: VecDeque<(NodeId, Collect)>,
    attempts: u32,
    /// What this node itself answered; it counts once it is on disk.
    own: Option<Collected>,
    before: BTreeMap<NodeId, HintsHeld>,
    /// Somebody who holds hints that concern some of the bodies.
    hints_at: Option<NodeId>,
    /// When the stretch ends.
    wake_us: u64,
}

impl CollectOp {
    /// Begins, if there are dead bodies and nobody collects them.
    pub(crate) fn spawn_if_wanted(step: &mut Step<'_>) {
        if step
            .state
            .dead
            .next_look_us()
            .is_none_or(|at_us| at_us > step.now.mono_us)
        {
            return;
        }
        step.state.dead.collecting = true;
        let op = Self {
            id: step.state.new_op(),
            stage: Stage::Look,
            candidates: Vec::new(),
            asks: VecDeque::new(),
            attempts: 0,
            own: None,
            before: BTreeMap::new(),
            hints_at: None,
            wake_us: 0,
        };
        step.spawned.push(Box::new(op));
    }

    /// Looks for bodies that are due.
    fn look(&mut self, step: &mut Step<'_>) -> Progress {
        let wait_ms = step.state.config.dead_wait_ms;
        let before_ms = step.now.wall_ms.saturating_sub(wait_ms);
        let (due, next) = step.dead_bodies(&step.state.dead.look_from, before_ms, PARTS_AT_ONCE);
        let is_turn = |(_, place, body): &KeptBody| {
            let (_, asked) = homes_of_dead(step, place, body);
            let behind = asked.iter().position(|home| *home == step.state.me()).unwrap_or(0);
            let later_ms = 2 * stretch_ms(step) * behind.min(BEHIND_MAX) as u64;
            body.since_ms.saturating_add(later_ms) <= before_ms
        };
        let due: Vec<_> = due.into_iter().filter(is_turn).collect();
        let due = due.into_iter().map(|(key, place, body)| {
            let (n, asked) = homes_of_dead(step, &place, &body);
            Candidate {
                remnant: step.remnant(&key, &place, n),
                asked,
                key,
                place,
                parts: body.manifest.parts,
            }
        });
        self.candidates.extend(due);
        let is_all = next.is_none();
        step.state.dead.look_from = next.unwrap_or_default();
        let parts: usize = self
            .candidates
            .iter()
            .map(|candidate| candidate.parts.len().max(1))
            .sum();
        if !is_all && parts < PARTS_AT_ONCE {
            Progress::Until(step.now.after_ms(LOOK_MS))
        } else if self.candidates.is_empty() {
            let life_ms = step.state.config.message_life_ms;
            end(step, wait_ms.min(SLEEP_MS_MAX).max(life_ms))
        } else {
            self.enter(step, Stage::Named)
        }
    }

    fn enter(&mut self, step: &mut Step<'_>, stage: Stage) -> Progress {
        self.stage = stage;
        self.asks = match stage {
            Stage::Look | Stage::Stretch => VecDeque::new(),
            Stage::Named | Stage::NamedAgain => self.naming(step),
            Stage::HintsBefore | Stage::HintsAfter => {
                let mut partitions: Vec<Partition> = self.candidates.iter().map(|one| one.place.partition).collect();
                partitions.sort_unstable();
                partitions.dedup();
                all_members(step, &Collect::Hints(partitions))
            }
            Stage::Remove => self.removing(step),
            Stage::Forget => self.bodies_to_forget(step),
        };
        self.ask(step)
    }

    /// Asks the next member, or goes on to the next stage.
    fn ask(&mut self, step: &mut Step<'_>) -> Progress {
        self.id = step.state.new_op();
        self.attempts = 0;
        let Some((node, _)) = self.asks.front() else {
            return self.next_stage(step);
        };
        if *node == step.state.me() {
            self.ask_self(step)
        } else {
            self.send(step)
        }
    }

    fn send(&mut self, step: &mut Step<'_>) -> Progress {
        let Some((node, ask)) = self.asks.front().cloned() else {
            return self.next_stage(step);
        };
        if !step.state.is_up(node) || self.attempts > ATTEMPTS_MAX {
            return stop(step, node, HeldWhy::Away);
        }
        step.send(node, Message::Collect { op: self.id, ask }, About::default());
        Progress::Until(step.now.after_ms(RESEND_MS))
    }

    fn ask_self(&mut self, step: &mut Step<'_>) -> Progress {
        let Some((_, ask)) = self.asks.front().cloned() else {
            return self.next_stage(step);
        };
        if let Collect::Remove(ranges) = &ask {
            step.remove_chunks(ChunkWaiter::Own(self.id), ranges);
            return own_patience(step);
        }
        match step.answer_collect(&ask) {
            Ok((collected, seq)) => self.note_own(step, collected, seq),
            Err(refusal) => stop(step, step.state.me(), why_refused(refusal)),
        }
    }

    fn note_own(&mut self, step: &mut Step<'_>, collected: Collected, seq: WriteSeq) -> Progress {
        self.own = Some(collected);
        step.wait(seq, Waiter::Own(self.id));
        own_patience(step)
    }

    fn take(&mut self, step: &mut Step<'_>, result: Result<Collected, Refusal>) -> Progress {
        let Some((node, ask)) = self.asks.pop_front() else {
            return self.next_stage(step);
        };
        match (ask, result) {
            (Collect::Named(_), Ok(Collected::Named(parts))) => self.spare(&parts),
            (Collect::Hints(_), Ok(Collected::Hints(held))) => {
                if let Err(why) = self.note_hints(step, node, held) {
                    return stop(step, node, why);
                }
            }
            (Collect::Remnants(_), Ok(_)) if step.state.is_planted(Planted::TombstonesTimed) => {}
            (Collect::Remnants(remnants), Ok(Collected::Otherwise(places))) => self.keep(&remnants, &places),
            (Collect::Remove(_) | Collect::Erase(_) | Collect::Forget(_), Ok(Collected::Done)) => {}
            (_, Err(refusal)) => return stop(step, node, why_refused(refusal)),
            _ => return stop(step, node, HeldWhy::Failed),
        }
        self.ask(step)
    }

    /// Parts that are named stay.
    fn spare(&mut self, named: &[PartId]) {
        if named.is_empty() {
            return;
        }
        for candidate in &mut self.candidates {
            candidate.parts.retain(|part| !named.contains(&part.id));
        }
    }

    /// Remnants that a home does not hold exactly so wait for another time: it has not heard of the end, or of more.
    fn keep(&mut self, asked: &[Remnant], otherwise: &[u32]) {
        if otherwise.is_empty() {
            return;
        }
        let kept: BTreeSet<_> = otherwise
            .iter()
            .filter_map(|at| asked.get(*at as usize))
            .map(|remnant| (&remnant.place, &remnant.over))
            .collect();
        let is_kept = |remnant: &Remnant| kept.contains(&(&remnant.place, &remnant.over));
        self.candidates
            .retain(|candidate| !candidate.remnant.as_ref().is_some_and(is_kept));
    }

    /// Bodies of partitions of which somebody holds hints wait for another time. An error when this member's word is no good.
    fn note_hints(&mut self, step: &Step<'_>, node: NodeId, held: HintsHeld) -> Result<(), HeldWhy> {
        if held.wall_ms.abs_diff(step.now.wall_ms) > step.state.config.message_life_ms {
            return Err(HeldWhy::ClockOff);
        }
        let before = self.before.get(&node);
        if self.stage == Stage::HintsAfter && before.is_none_or(|before| before.run != held.run) {
            return Err(HeldWhy::Restarted);
        }
        let begun = |partition: Partition| {
            let known = before.and_then(|before| before.partitions.iter().find(|(known, ..)| *known == partition));
            known.map(|(_, _, begun)| *begun)
        };
        let has_hints = |partition: Partition| {
            let told = held.partitions.iter().find(|(told, ..)| *told == partition);
            told.is_none_or(|(_, holds, now)| *holds || begun(partition).is_some_and(|before| before != *now))
        };
        let all = self.candidates.len();
        self.candidates
            .retain(|candidate| !has_hints(candidate.place.partition));
        if self.candidates.len() < all {
            self.hints_at = Some(node);
        }
        if self.stage == Stage::HintsBefore {
            self.before.insert(node, held);
        }
        Ok(())
    }

    fn next_stage(&mut self, step: &mut Step<'_>) -> Progress {
        match self.stage {
            Stage::Look => end(step, 0),
            Stage::Forget => self.finish(step),
            Stage::Named if step.state.is_planted(Planted::GateLeftOut) => self.enter(step, Stage::Remove),
            Stage::Named => self.enter(step, Stage::HintsBefore),
            Stage::HintsBefore => {
                if self.candidates.is_empty() {
                    return self.wait_for_hints(step);
                }
                self.stage = Stage::Stretch;
                self.wake_us = step.now.after_ms(stretch_ms(step));
                Progress::Until(self.wake_us)
            }
            Stage::Stretch => self.enter(step, Stage::HintsAfter),
            Stage::HintsAfter if self.candidates.is_empty() => self.wait_for_hints(step),
            Stage::HintsAfter => {
                step.state.dead.held = None;
                self.enter(step, Stage::NamedAgain)
            }
            Stage::NamedAgain => self.enter(step, Stage::Remove),
            Stage::Remove => self.enter(step, Stage::Forget),
        }
    }

    /// Nothing is left but bodies that hints may name.
    fn wait_for_hints(&self, step: &mut Step<'_>) -> Progress {
        match self.hints_at {
            Some(node) => stop(step, node, HeldWhy::Hints),
            None => end(step, retry_ms(step)),
        }
    }

    /// All of it is done.
    fn finish(&self, step: &mut Step<'_>) -> Progress {
        let removed = self.candidates.iter().filter(|candidate| !candidate.parts.is_empty());
        let (bodies, bytes) = removed.fold((0, 0_u64), |(bodies, bytes), candidate| {
            let size: u64 = candidate.parts.iter().map(|part| part.size).sum();
            (bodies + 1, bytes.saturating_add(size))
        });
        if bodies > 0 {
            step.tell(ClusterEvent::Forgotten { bodies, bytes });
        }
        end(step, 0)
    }

    fn naming(&self, step: &Step<'_>) -> VecDeque<(NodeId, Collect)> {
        let mut names: BTreeMap<NodeId, Vec<(Place, PartId)>> = BTreeMap::new();
        for candidate in &self.candidates {
            for home in candidate.asked.iter().copied() {
                if step.state.is_planted(Planted::DeadUnasked) && home != step.state.me() {
                    continue;
                }
                let names = names.entry(home).or_default();
                names.extend(candidate.parts.iter().map(|part| (candidate.place.clone(), part.id)));
            }
        }
        let mut asks = batched(names, Collect::Named);
        asks.extend(self.of_remnants(step, Collect::Remnants));
        asks
    }

    /// A question to every home of each remnant that is to go.
    fn of_remnants(&self, step: &Step<'_>, ask: impl Fn(Vec<Remnant>) -> Collect) -> VecDeque<(NodeId, Collect)> {
        let mut remnants: BTreeMap<NodeId, Vec<Remnant>> = BTreeMap::new();
        for candidate in &self.candidates {
            let Some(remnant) = &candidate.remnant else { continue };
            for home in candidate.asked.iter().copied() {
                if step.state.is_planted(Planted::DeadUnasked) && home != step.state.me() {
                    continue;
                }
                remnants.entry(home).or_default().push(remnant.clone());
            }
        }
        batched(remnants, ask)
    }

    /// Every member may hold chunks: as a home, for one that was away, or because it once was a home.
    fn removing(&self, step: &Step<'_>) -> VecDeque<(NodeId, Collect)> {
        let mut batches: Vec<Vec<ChunkRange>> = Vec::new();
        let mut room = 0;
        for part in self.candidates.iter().flat_map(|candidate| &candidate.parts) {
            let count = part.size.div_ceil(u64::from(part.chunk_bytes.max(1))).max(1) as u32;
            let mut from = 0;
            while from < count {
                if room == 0 {
                    batches.push(Vec::new());
                    room = CHUNKS_AT_ONCE as u32;
                }
                let to = count.min(from.saturating_add(room));
                let part = part.id;
                batches
                    .last_mut()
                    .into_iter()
                    .for_each(|batch| batch.push(ChunkRange { part, from, to }));
                room -= to - from;
                from = to;
            }
        }
        let asks = batches
            .into_iter()
            .flat_map(|batch| all_members(step, &Collect::Remove(batch)));
        let mut asks: VecDeque<_> = asks.collect();
        asks.extend(self.of_remnants(step, Collect::Erase));
        asks
    }

    fn bodies_to_forget(&self, step: &Step<'_>) -> VecDeque<(NodeId, Collect)> {
        let mut keys: BTreeMap<NodeId, Vec<Vec<u8>>> = BTreeMap::new();
        // What is filed of a remnant goes with it, home by home.
        for candidate in self.candidates.iter().filter(|candidate| candidate.remnant.is_none()) {
            let me = step.state.me();
            let mut homes = candidate.asked.clone();
            if candidate.is_spared() {
                // All of it is named, or lives again. Another home may have let go of it since, and noted that.
                homes.clear();
            }
            // What this node found by sweeping need not be of a key that it is a home of.
            let own = (!homes.contains(&me)).then_some(me);
            for home in homes.into_iter().chain(own) {
                keys.entry(home).or_default().push(candidate.key.clone());
            }
        }
        batched(keys, Collect::Forget)
    }
}

/// This collection is over; another look follows after so long.
fn end(step: &mut Step<'_>, then_after_ms: u64) -> Progress {
    let at_us = step.now.after_ms(then_after_ms);
    step.state.dead.look_again(at_us);
    Progress::Done
}

/// A member does not answer, or not as it should: all stays as it is.
fn stop(step: &mut Step<'_>, by: NodeId, why: HeldWhy) -> Progress {
    step.state.dead.held = Some((by, why));
    step.tell(ClusterEvent::GateHeld { by, why });
    let retry_ms = retry_ms(step);
    end(step, retry_ms)
}

/// This node's own disk is waited for as long as another member.
const fn own_patience(step: &Step<'_>) -> Progress {
    Progress::Until(step.now.after_ms(ATTEMPTS_MAX as u64 * RESEND_MS))
}

fn retry_ms(step: &Step<'_>) -> u64 {
    RETRY_MS.min(stretch_ms(step))
}

const fn stretch_ms(step: &Step<'_>) -> u64 {
    step.state.config.message_life_ms * STRETCH_LIVES
}

/// The homes of a key; all members when its bucket is not known any more, and neither is how many homes it has.
pub(crate) fn homes_of(step: &Step<'_>, place: &Place) -> Vec<NodeId> {
    let known = step.state.registry.bucket_by_id(place.bucket);
    let n = known.map_or(u8::MAX, |bucket| bucket.settings.n.max(N_DEFAULT));
    step.state.layout().homes(place.partition, n).collect()
}

/// How many homes the key of a dead body or a remnant has, and whom to ask: also who may have been taken for a home by a node
/// that did not know the bucket yet.
fn homes_of_dead(step: &Step<'_>, place: &Place, body: &DeadBody) -> (u8, Vec<NodeId>) {
    if body.homes == 0 {
        return (u8::MAX, homes_of(step, place));
    }
    let known = step.state.registry.bucket_by_id(place.bucket);
    let n = known.map_or(body.homes, |bucket| bucket.settings.n);
    let asked = n.max(body.homes).max(N_DEFAULT);
    (n, step.state.layout().homes(place.partition, asked).collect())
}

/// One question for every member.
fn all_members(step: &Step<'_>, ask: &Collect) -> VecDeque<(NodeId, Collect)> {
    let members = step.state.layout().members().iter();
    members.map(|member| (member.id, ask.clone())).collect()
}

/// As many questions for each node as its names need.
fn batched<T: Clone>(names: BTreeMap<NodeId, Vec<T>>, ask: impl Fn(Vec<T>) -> Collect) -> VecDeque<(NodeId, Collect)> {
    let mut asks = VecDeque::new();
    for (node, names) in names {
        asks.extend(names.chunks(NAMES_AT_ONCE).map(|some| (node, ask(some.to_vec()))));
    }
    asks
}

impl Coordinate for CollectOp {
    fn id(&self) -> OpId {
        self.id
    }

    fn start(&mut self, step: &mut Step<'_>) -> Progress {
        self.look(step)
    }

    fn reply(&mut self, step: &mut Step<'_>, from: NodeId, message: Message) -> Progress {
        let asked = self.asks.front().map(|(node, _)| *node);
        match message {
            Message::CollectReply { result, .. } if asked == Some(from) => self.take(step, result),
            _ => Progress::Until(step.now.after_ms(RESEND_MS)),
        }
    }

    fn timer(&mut self, step: &mut Step<'_>) -> Progress {
        match self.stage {
            Stage::Look => self.look(step),
            Stage::Stretch if step.now.mono_us < self.wake_us => Progress::Until(self.wake_us),
            Stage::Stretch => self.next_stage(step),
            _ if self.asks.front().is_some_and(|(node, _)| *node == step.state.me()) => {
                // This node's own disk has not answered for long.
                stop(step, step.state.me(), HeldWhy::Failed)
            }
            _ => {
                self.attempts += 1;
                self.send(step)
            }
        }
    }

    fn own_synced(&mut self, step: &mut Step<'_>) -> Progress {
        match self.own.take() {
            Some(collected) => self.take(step, Ok(collected)),
            None => Progress::Until(step.now.after_ms(RESEND_MS)),
        }
    }

    fn own_chunks_removed(&mut self, step: &mut Step<'_>, result: Result<(), ChunkWriteError>) -> Progress {
        match result {
            Ok(()) => {
                // That they are not indexed any more is on disk once anything later is.
                let seq = step.write(Batch::default(), Tick(0));
                self.note_own(step, Collected::Done, seq)
            }
            Err(_) => stop(step, step.state.me(), HeldWhy::Failed),
        }
    }

    fn peer_down(&mut self, step: &mut Step<'_>, node: NodeId) -> Progress {
        match self.stage {
            Stage::Look | Stage::Stretch => Progress::Until(self.wake_us),
            _ => match self.asks.front() {
                Some((asked, _)) if *asked == node => stop(step, node, HeldWhy::Away),
                Some((asked, _)) if *asked == step.state.me() => own_patience(step),
                _ => Progress::Until(step.now.after_ms(RESEND_MS)),
            },
        }
    }
}

const fn why_refused(refusal: Refusal) -> HeldWhy {
    match refusal {
        Refusal::Abstains => HeldWhy::Filling,
        _ => HeldWhy::Failed,
    }
}
