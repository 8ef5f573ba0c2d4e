//! Carrying things: messages between nodes, answers to clients, syncs and chunk operations of disks, timers.

use holdfast_core::gossip::Soundness;
use holdfast_core::ids::{ChunkId, NodeId, Partition};
use holdfast_core::message::{Comparison, Envelope, Message, Refusal, ShardRows, WalkEnd, WritePurpose};
use holdfast_core::node::{ClientToken, Effect, Input, Node};
use holdfast_core::request::{Answer, ClientRequest, PutOutcome, Request};
use holdfast_core::storage::{ChunkToken, Space, Storage, WriteSeq};
use holdfast_core::wire::record::decode_row;
use holdfast_store::MemoryStore;
use holdfast_store::memory::{ChunkFault, Event as StoreEvent};

use super::disk::RowChange;
use super::lifecycle::LIVES_KEPT_FEW;
use super::{ClientEvent, Event, Process, Rare, World};
use crate::checkers::{Promise, clocks, dots, durable, forgotten};
use crate::coverage::Reached;
use crate::describe;
use crate::truth::NodeIx;
use crate::watch::{Cause, Watch};

/// The slowest disk takes this long: slower than every patience, but over when the cluster must be well again.
const DISK_US_MAX: u64 = 8_000_000;

/// A connection tries again after this long at least, in microseconds.
const RETRANSMIT_US: u64 = 200_000;

impl World {
    /// Everything that follows from a step of a node.
    pub(super) fn after_step(&mut self, watch: &mut Watch, member: usize, cause: Cause, effects: Vec<Effect>) {
        let of = &mut self.members[member];
        let (Process::Up(node) | Process::Starting(node, _) | Process::Stopping(node, _)) = &of.process else {
            return;
        };
        let actor = node.actor();
        for change in of.disk.take_changes() {
            for home in &change.struck_off {
                if let Some(home) = self.ids.iter().position(|id| id == home) {
                    watch.hint_struck_off(self.now_us, &change, NodeIx(home));
                }
            }
            if let Some(found) = self.begun_by_a_wrong_clock(watch, member, cause, &change) {
                watch.violated(self.now_us, Promise::RightClockFirst, found);
            }
            watch.row_written(self.now_us, NodeIx(member), actor, cause, &change);
        }
        for chunks in self.members[member].disk.take_removals() {
            self.judge_removal(watch, chunks);
        }
        for effect in effects {
            match effect {
                Effect::Send(to, envelope) => self.send(watch, member, to, envelope),
                Effect::Answer(token, answer) => self.answer(watch, member, token, answer),
                Effect::Datagram(to, bytes) => self.send_datagram(watch, member, to, &bytes),
                Effect::Event(event) => self.note_event(watch, member, event),
                Effect::PutDataAside => {
                    let incarnation = self.members[member].incarnation;
                    let at_us = self.now_us + 1_000;
                    self.queue.push(at_us, Event::PutAside { member, incarnation });
                }
                // The registry is asked for at the end, and compared with the disk.
                Effect::RegistryChanged(_) | Effect::Found(..) => {}
            }
        }
        self.plan_disk(member);
        self.plan_timer(member);
        self.plan_gossip(member);
    }

    /// What is wrong if a node whose clock is off has just begun a write.
    fn begun_by_a_wrong_clock(&self, watch: &Watch, member: usize, cause: Cause, change: &RowChange) -> Option<String> {
        let of = &self.members[member];
        let Process::Up(node) = &of.process else { return None };
        node.clock_off_ms()?;
        let by = match cause {
            Cause::Asked(_) => of.id,
            Cause::Handed(_, by) | Cause::Granted(by) => by,
            Cause::Other => return None,
        };
        let homes = watch.begun(node.actor(), change)?;
        let views = node.members(of.clock.read(self.now_us));
        let heard: Vec<i64> = views.iter().filter_map(|view| view.clock_ahead_ms).collect();
        let others = views.iter().filter(|view| view.node != of.id && view.node != by);
        let others: Vec<clocks::Other> = others
            .filter(|view| homes.contains(&view.node))
            .map(|view| clocks::Other::new(view, node.is_up(view.node)))
            .collect();
        clocks::check_begun(member, &heard, &others)
    }

    /// One look at all disks for all members, who are asked to remove the same chunks one after the other.
    fn judge_removal(&mut self, watch: &mut Watch, chunks: Vec<(Partition, ChunkId)>) {
        if self.removed_last == chunks {
            return;
        }
        let disks: Vec<&MemoryStore> = self.members.iter().map(|of| &of.disk.store).collect();
        let found = forgotten::check(&disks, &chunks);
        watch.judge(self.now_us, Promise::NamedKept, found);
        self.removed_last = chunks;
    }

    /// A chunk or a remnant that should have gone.
    pub fn dead_chunk(&self) -> Option<String> {
        let disks: Vec<&MemoryStore> = self.members.iter().map(|of| &of.disk.store).collect();
        let now_ms = crate::world::EPOCH_MS + self.now_us / 1_000;
        forgotten::check_gone(&disks, self.layout.partition_count(), now_ms)
            .or_else(|| forgotten::check_no_tombstone(&disks))
            .or_else(|| forgotten::check_no_closed_upload(&disks))
            .or_else(|| forgotten::check_no_old_lives(&disks, LIVES_KEPT_FEW))
    }

    fn plan_disk(&mut self, member: usize) {
        let of = &mut self.members[member];
        let incarnation = of.incarnation;
        for token in of.disk.take_chunk_operations() {
            let latency_us = self.plan.sync_us / 2 + self.rng.below(self.plan.sync_us * of.slowness);
            let latency_us = latency_us.min(DISK_US_MAX);
            self.queue.push(
                self.now_us + latency_us,
                Event::ChunkDone {
                    member,
                    incarnation,
                    token,
                },
            );
        }
        let seq = of.disk.last_write();
        if !of.syncing && seq > of.disk.store.last_synced() {
            of.syncing = true;
            let mut latency_us = (self.plan.sync_us + self.rng.below(self.plan.sync_us)) * of.slowness;
            if of.doomed_us.is_some() {
                // The last sync of a machine about to lose power takes long, so that more than one batch hangs on it.
                latency_us *= 1 + self.rng.below(100);
            }
            let latency_us = latency_us.min(DISK_US_MAX);
            let at_us = self.now_us + latency_us;
            self.queue.push(
                at_us,
                Event::SyncDone {
                    member,
                    incarnation,
                    seq,
                },
            );
            if of.doomed_us.is_some() {
                // What was written has perhaps been sent, and is not yet on disk.
                let fails_us = self.now_us + self.rng.below(latency_us);
                self.queue.push(fails_us, Event::PowerFails { member, incarnation });
            }
        }
    }

    pub(super) fn plan_timer(&mut self, member: usize) {
        let of = &mut self.members[member];
        let Process::Up(node) = &of.process else { return };
        let Some(wanted_us) = wanted_us(node, self.awaits_rare) else {
            return;
        };
        let planned_us = of.clock.true_us_of(wanted_us).max(self.now_us + 1);
        if of.timer_at_us.is_none_or(|at_us| planned_us < at_us) {
            of.timer_at_us = Some(planned_us);
            let incarnation = of.incarnation;
            self.queue.push(
                planned_us,
                Event::Timer {
                    member,
                    planned_us,
                    incarnation,
                },
            );
        }
    }

    pub(super) fn timer(&mut self, watch: &mut Watch, member: usize, planned_us: u64, incarnation: u32) {
        let of = &mut self.members[member];
        if of.incarnation != incarnation || of.timer_at_us != Some(planned_us) {
            return;
        }
        of.timer_at_us = None;
        let now = of.clock.read(self.now_us);
        let Process::Up(node) = &of.process else { return };
        if wanted_us(node, self.awaits_rare).is_some_and(|wanted_us| wanted_us <= now.mono_us) {
            self.feed(watch, member, Input::Timer);
        } else {
            self.plan_timer(member);
        }
    }

    pub(super) fn sync_done(&mut self, watch: &mut Watch, member: usize, incarnation: u32, seq: WriteSeq) {
        let of = &mut self.members[member];
        if of.incarnation != incarnation {
            return;
        }
        of.syncing = false;
        let Some(synced) = of.disk.store.sync_up_to(seq) else {
            return;
        };
        watch.truth.copies[member].synced(synced);
        watch.trace.mix([self.now_us, member as u64, 1, synced.0]);
        match &of.process {
            Process::Up(_) => self.feed(watch, member, Input::Synced(synced)),
            Process::Starting(_, until) if synced >= *until => self.serve(watch, member, synced),
            Process::Stopping(_, until) if synced >= *until => self.stopped(watch, member),
            _ => {}
        }
        self.plan_disk(member);
    }

    pub(super) fn chunk_done(&mut self, watch: &mut Watch, member: usize, incarnation: u32, token: ChunkToken) {
        let of = &mut self.members[member];
        if of.incarnation != incarnation {
            return;
        }
        let fails = self.rng.per_mille(of.chunk_errors);
        let fault = if fails { ChunkFault::Io } else { ChunkFault::None };
        match of.disk.store.complete_chunk_op(token, fault) {
            Some(StoreEvent::ChunkWritten(token, result)) => {
                self.feed(watch, member, Input::ChunkWritten(token, result));
            }
            Some(StoreEvent::ChunkRead(token, result)) => self.feed(watch, member, Input::ChunkRead(token, result)),
            Some(StoreEvent::ChunksRemoved(token, result)) => {
                watch.coverage.reach(Reached::ChunksForgotten);
                self.feed(watch, member, Input::ChunksRemoved(token, result));
            }
            Some(StoreEvent::Synced(_)) | None => {}
        }
    }

    pub(super) fn send(&mut self, watch: &mut Watch, from: usize, to: NodeId, envelope: Envelope) {
        let Some(to) = self.number_of(to) else {
            return;
        };
        let found = dots::check_message(&watch.truth, &envelope);
        watch.judge(self.now_us, Promise::OneDotOneValue, found);
        note_sent(watch, from, &envelope);
        let fate = self.network.send(&mut self.rng, self.now_us, from, to, self.plan.holds);
        watch.trace.line(self.now_us, || {
            let fate = match fate.arrival_us {
                None => "LOST".to_owned(),
                Some(at_us) => format!("+{} us", at_us - self.now_us),
            };
            format!("n{from} -> n{to} {fate}: {}", describe::envelope(&envelope))
        });
        let envelope = if self.uses_wire {
            describe::through_wire(watch, self.now_us, envelope)
        } else {
            envelope
        };
        let to_incarnation = self.incarnation_of(to);
        if fate.late {
            watch.coverage.reach(Reached::MessagesLate);
        }
        if let Some(at_us) = fate.again_us {
            watch.coverage.reach(Reached::MessagesDoubled);
            self.deliver_at(at_us, from, to, to_incarnation, envelope.clone());
        }
        match fate.arrival_us {
            None => watch.coverage.reach(Reached::MessagesLost),
            Some(at_us) => self.deliver_at(at_us, from, to, to_incarnation, envelope),
        }
    }

    fn deliver_at(&mut self, at_us: u64, from: usize, to: usize, to_incarnation: u32, envelope: Envelope) {
        let envelope = Box::new(envelope);
        let event = Event::Deliver {
            from,
            to,
            to_incarnation,
            envelope,
        };
        self.queue.push(at_us, event);
    }

    pub(super) fn deliver(
        &mut self,
        watch: &mut Watch,
        from: usize,
        to: usize,
        to_incarnation: u32,
        envelope: Envelope,
    ) {
        let takes = self.takes(to, to_incarnation);
        let is_cut = self.network.is_cut(from, to);
        if takes && is_cut && self.plan.holds {
            // The connection goes on trying, and nobody has told the receiver that the sender has given up.
            let at_us = self.now_us + self.rng.between(RETRANSMIT_US, 2 * RETRANSMIT_US);
            watch.coverage.reach(Reached::MessagesHeld);
            return self.deliver_at(at_us, from, to, to_incarnation, envelope);
        }
        if !takes || is_cut {
            watch.coverage.reach(Reached::MessagesLost);
            return;
        }
        watch
            .trace
            .mix([self.now_us, from as u64, to as u64, describe::kind(&envelope.message)]);
        watch.trace.line(self.now_us, || {
            format!("n{to} <- n{from}: {}", describe::envelope(&envelope))
        });
        if self.is_gate(to) {
            return self.gate_hears(watch, from, envelope);
        }
        self.feed(watch, to, Input::Peer(self.id_of(from), envelope));
    }

    pub(super) fn answer(&mut self, watch: &mut Watch, member: usize, token: ClientToken, answer: Answer) {
        let in_flight = self.in_flight.remove(&token);
        if let Answer::Put(outcome) = &answer
            && let Some((write, w)) = in_flight.and_then(|at| at.write)
        {
            self.check_ack(watch, write, w, outcome);
        }
        watch.trace.mix([self.now_us, member as u64, 2, token.0]);
        watch.trace.line(self.now_us, || {
            format!("n{member} answers {}: {}", token.0, describe::answer(&answer))
        });
        if self.rng.per_mille(self.lost_answers) {
            return;
        }
        let at_us = self.now_us + self.rng.between(50, 500);
        self.queue
            .push(at_us, Event::Client(ClientEvent::Answer(token, Box::new(answer))));
    }

    fn check_ack(&self, watch: &mut Watch, write: crate::truth::WriteIx, w: u8, outcome: &PutOutcome) {
        let key = watch.truth.write(write).key;
        let found = durable::check_ack(&watch.truth, key, outcome, w, &self.ids);
        watch.judge(self.now_us, Promise::SyncedAcks, found);
    }
}

/// Counts what an input shows.
pub(super) fn note_input(world: &World, watch: &mut Watch, member: usize, input: &Input) {
    watch.trace.line(world.now_us, || match input {
        Input::Peer(..) | Input::Datagram(..) | Input::Synced(_) | Input::Timer => {
            format!("n{member} takes {}", describe::input_kind(input))
        }
        _ => format!("n{member} takes {}", describe::input(input)),
    });
    let request = match input {
        Input::PeerDown(_) => {
            let node = world.ids[member];
            watch.gave_up_us.insert(node, world.now_us);
            return;
        }
        Input::Client(_, request) => request,
        Input::Peer(_, envelope) => match &envelope.message {
            Message::Forward { request, .. } => request,
            Message::CompareReply { result: Ok(result), .. } => {
                let reached = match result {
                    Comparison::Equal => Reached::ComparisonEqual,
                    Comparison::Pieces(_) => Reached::ComparisonInPieces,
                    Comparison::Rows(_) => Reached::ComparisonDiffered,
                };
                return watch.coverage.reach(reached);
            }
            Message::ReadReply {
                result: Err(Refusal::Abstains),
                ..
            } => {
                watch.gave_up_us.insert(world.ids[member], world.now_us);
                return;
            }
            Message::ListReply { result: Ok(shards), .. } => {
                let cut = |shard: &&ShardRows| {
                    matches!(
                        shard,
                        ShardRows::Rows {
                            end: WalkEnd::Cut(_),
                            ..
                        }
                    )
                };
                return watch
                    .coverage
                    .add(Reached::ListReplyCut, shards.iter().filter(cut).count() as u64);
            }
            _ => return,
        },
        _ => return,
    };
    note_request(world, watch, member, request);
}

fn note_request(world: &World, watch: &mut Watch, member: usize, request: &ClientRequest) {
    let Request::Put(_) = &request.what else { return };
    let Some(write) = watch.truth.write_of(request.request) else {
        return;
    };
    if watch.truth.write(write).dots.is_empty() {
        return;
    }
    let row = watch.truth.of(watch.truth.write(write).key).place.row_key();
    let row = world.members[member].disk.get(Space::Rows, &row).ok().flatten();
    let record = row.and_then(|row| decode_row(row).ok());
    if record.is_some_and(|(_, record)| record.find_request(request.request).is_some()) {
        watch.coverage.reach(Reached::RetryRecognised);
    }
}

/// Counts what a message shows.
fn note_sent(watch: &mut Watch, from: usize, envelope: &Envelope) {
    match &envelope.message {
        Message::Write(write) if write.purpose == WritePurpose::Repair => watch.coverage.reach(Reached::RepairSent),
        Message::WriteChunk { stands_for, .. } if !stands_for.is_empty() => {
            watch.coverage.reach(Reached::ChunksHandedOff);
        }
        Message::Forward { request, .. } => {
            watch.coverage.reach(Reached::Forwarded);
            if !watch.forwards.insert((from, request.request)) {
                watch.coverage.reach(Reached::ForwardRetried);
            }
        }
        _ => {}
    }
}

/// When a node wants to be woken, gossip apart. Looks and sweeps for what is dead happen in passing, whenever something else
/// wakes it; only in the end are they waited for.
fn wanted_us(node: &Node, rare: Rare) -> Option<u64> {
    let sweeps = [node.next_look_us(), node.next_sweep_us()].map(|at_us| at_us.filter(|_| rare.sweeps));
    let compares = rare.scrubs || node.soundness() == Soundness::Filling;
    let scrubs = [
        node.next_scrub_us().filter(|_| rare.scrubs),
        node.next_compare_us().filter(|_| compares),
    ];
    let rare = sweeps.into_iter().chain(scrubs).flatten();
    node.next_operation_us().into_iter().chain(rare).min()
}
