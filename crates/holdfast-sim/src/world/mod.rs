//! The cluster: machines, links and the one clock of true time that orders everything.
//!
//! The world feeds nodes and carries out their effects. It decides nothing about what clients do and nothing about what
//! is right: clients get [`ClientEvent`]s, and every step is shown to the [`Watch`]. Messages pass as values; in seeds
//! that say so they are encoded and decoded on their way.

mod carry;
mod chatter;
mod clock;
mod disk;
mod disks;
mod faults;
mod gate;
mod lifecycle;
mod member;
mod network;
pub(crate) mod queue;
mod rot;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use holdfast_core::gateway;
use holdfast_core::ids::{ChunkId, ClusterId, NodeId, Partition};
use holdfast_core::layout::Layout;
use holdfast_core::message::Envelope;
use holdfast_core::node::{ClientToken, Effect, Input};
use holdfast_core::planted::Planted;
use holdfast_core::request::{Answer, ClientRequest};
use holdfast_core::storage::{ChunkToken, WriteSeq};

use crate::plan::Plan;
use crate::rng::{Rng, Stream};
use crate::truth::WriteIx;
use crate::watch::Watch;

pub use clock::EPOCH_MS;
pub use disk::{Disk, RowChange};
pub use faults::Relief;
pub use member::{Member, Process};
pub use network::Network;
use queue::Queue;

/// A client, by its number in the run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ClientIx(pub usize);

/// What happens to a client.
#[derive(Clone, Debug)]
pub enum ClientEvent {
    /// It wanted to be woken.
    Wake(ClientIx),
    /// A node answers.
    Answer(ClientToken, Box<Answer>),
    /// The node was not there, or is not any more; whether it had done anything is another matter.
    Disconnected(ClientToken, Reached),
    /// It has waited long enough.
    Timeout(ClientToken),
}

/// How far a request came before its connection broke.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reached {
    /// Nobody was listening.
    Nobody,
    /// A node may have begun.
    Node,
}

/// What nodes do rarely, and are woken for only when it is waited for: a run would never fall silent.
#[derive(Clone, Copy, Debug, Default)]
struct Rare {
    sweeps: bool,
    /// And comparisons.
    scrubs: bool,
}

/// What is planned.
enum Event {
    Deliver {
        from: usize,
        to: usize,
        to_incarnation: u32,
        envelope: Box<Envelope>,
    },
    Timer {
        member: usize,
        planned_us: u64,
        incarnation: u32,
    },
    Datagram {
        from: usize,
        to: usize,
        bytes: Bytes,
    },
    GossipTimer {
        member: usize,
        planned_us: u64,
        incarnation: u32,
    },
    /// Somebody looks whether members see each other as they are.
    Inspect,
    GateTimer {
        planned_us: u64,
        incarnation: u32,
    },
    GateDies,
    SyncDone {
        member: usize,
        incarnation: u32,
        seq: WriteSeq,
    },
    ChunkDone {
        member: usize,
        incarnation: u32,
        token: ChunkToken,
    },
    Arrive {
        member: usize,
        token: ClientToken,
        request: Box<ClientRequest>,
    },
    HangUp {
        member: usize,
        token: ClientToken,
    },
    Client(ClientEvent),
    Detect {
        from: usize,
        to: usize,
    },
    Start {
        member: usize,
    },
    Strike,
    Relent(Box<Relief>),
    /// A copy of a disk is put back, if it can be.
    PutBack,
    /// A node's data are put aside, if this is still the same process.
    PutAside {
        member: usize,
        incarnation: u32,
    },
    /// Power fails, if this is still the same process.
    PowerFails {
        member: usize,
        incarnation: u32,
    },
}

/// A request under way: where, and for which write.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    member: usize,
    write: Option<(WriteIx, u8)>,
}

/// What became of one step of the world.
pub enum Step {
    /// Something happened among nodes.
    Inside,
    /// Something happened to a client.
    Client(ClientEvent),
    /// Nothing is planned any more.
    Quiet,
}

/// The cluster.
pub struct World {
    /// True time.
    pub now_us: u64,
    /// Machines.
    pub members: Vec<Member>,
    /// Their ids, in the order of their numbers.
    pub ids: Vec<NodeId>,
    /// Members and preference lists.
    pub layout: Arc<Layout>,
    plan: Plan,
    /// Chunks that a member was last asked to remove.
    removed_last: Vec<(Partition, ChunkId)>,
    /// Nodes are woken for what they do rarely, too, even if nothing else happens.
    awaits_rare: Rare,
    cluster: ClusterId,
    planted: Option<Planted>,
    rng: Rng,
    fault_rng: Rng,
    gossip_rng: Rng,
    queue: Queue<Event>,
    /// What gossip plans; it does not count when the run waits for silence.
    chatter: Queue<Event>,
    network: Network,
    gate: Option<gate::Gate>,
    in_flight: BTreeMap<ClientToken, InFlight>,
    next_token: u64,
    lost_answers: u64,
    uses_wire: bool,
    healed: bool,
    faults_left: u64,
    /// A copy of the victim's disk, to be put back.
    old_copy: Option<disks::OldCopy>,
    /// Events processed, to notice a run that would never end.
    pub events: u64,
}

impl World {
    /// A cluster of machines that are switched on at time 0.
    #[must_use]
    pub fn new(plan: &Plan, layout: Arc<Layout>, planted: Option<Planted>) -> Self {
        let mut rng = Rng::new(plan.seed, Stream::World);
        let ids: Vec<NodeId> = layout.members().iter().map(|member| member.id).collect();
        let members = ids
            .iter()
            .map(|id| {
                let mut member = Member::new(*id, ids.len());
                member.clock.offset_ms = rng.around_zero(plan.clock_offset_ms);
                member.clock.drift_ppm = rng.around_zero(200);
                member.kernel = rng.next_u128().to_be_bytes();
                member
            })
            .collect();
        let mut world = Self {
            now_us: 0,
            members,
            layout,
            cluster: ClusterId(rng.next_u128()),
            planted,
            fault_rng: Rng::new(plan.seed, Stream::Faults),
            gossip_rng: Rng::new(plan.seed, Stream::Gossip),
            queue: Queue::new(),
            chatter: Queue::new(),
            network: Network::new(ids.len() + 1, plan.latency_us),
            gate: None,
            in_flight: BTreeMap::new(),
            next_token: 0,
            lost_answers: 0,
            uses_wire: rng.per_mille(250),
            healed: false,
            faults_left: plan.fault_count,
            old_copy: None,
            events: 0,
            ids,
            plan: plan.clone(),
            removed_last: Vec::new(),
            awaits_rare: Rare::default(),
            rng,
        };
        for member in 0..world.members.len() {
            let at = world.rng.below(200_000);
            world.queue.push(at, Event::Start { member });
        }
        world.plan_inspections();
        world.open_gate(plan);
        world
    }

    /// When the next event is due, gossip apart: `None` when the cluster is silent.
    #[must_use]
    pub fn next_at_us(&self) -> Option<u64> {
        self.queue.next_at_us()
    }

    /// What members still wait for, for whoever looks for the reason.
    #[must_use]
    pub fn awaited(&self) -> String {
        let of = |(at, member): (usize, &Member)| match &member.process {
            Process::Up(node) if node.operations() > 0 => {
                let wake_us = node.next_operation_us().map(|at_us| member.clock.true_us_of(at_us));
                Some(format!(
                    ", n{at} has {} operations and wakes at {wake_us:?} us",
                    node.operations()
                ))
            }
            _ => None,
        };
        self.members.iter().enumerate().filter_map(of).collect()
    }

    /// How long a plain body may take to be committed, in milliseconds.
    #[must_use]
    pub fn plain_commit_ms(&self) -> u64 {
        self.plan.plain_commit_ms()
    }

    /// From now on nodes sweep even if nothing else wakes them.
    pub fn await_sweeps(&mut self) {
        self.awaits_rare.sweeps = true;
        self.plan_timers();
    }

    /// From now on, or no longer, nodes scrub and compare even if nothing else wakes them.
    pub fn await_scrubs(&mut self, on: bool) {
        self.awaits_rare.scrubs = on;
        self.plan_timers();
    }

    fn plan_timers(&mut self) {
        for member in 0..self.members.len() {
            self.plan_timer(member);
        }
    }

    /// Lets a client be woken later.
    pub fn wake(&mut self, client: ClientIx, after_us: u64) {
        self.queue
            .push(self.now_us + after_us, Event::Client(ClientEvent::Wake(client)));
    }

    /// A client sends a request to a member and will wait so long for the answer. `write` says which write it is, and
    /// how many synced copies it needs.
    pub fn submit(
        &mut self,
        member: usize,
        request: ClientRequest,
        write: Option<(WriteIx, u8)>,
        patience_us: u64,
    ) -> ClientToken {
        self.next_token += 1;
        let token = ClientToken(self.next_token);
        self.in_flight.insert(token, InFlight { member, write });
        let request = Box::new(request);
        let arrival_us = self.now_us + self.rng.between(50, 500);
        self.queue.push(arrival_us, Event::Arrive { member, token, request });
        self.queue
            .push(self.now_us + patience_us, Event::Client(ClientEvent::Timeout(token)));
        token
    }

    /// A client no longer wants an answer.
    pub fn hang_up(&mut self, token: ClientToken) {
        if let Some(InFlight { member, .. }) = self.in_flight.get(&token).copied() {
            let at_us = self.now_us + self.rng.between(50, 500);
            self.queue.push(at_us, Event::HangUp { member, token });
        }
    }

    /// The next thing that happens.
    pub fn step(&mut self, watch: &mut Watch) -> Step {
        let next_us = self.queue.next_at_us();
        let gossips = self
            .chatter
            .next_at_us()
            .is_some_and(|at_us| next_us.is_none_or(|next_us| at_us < next_us));
        let queue = if gossips { &mut self.chatter } else { &mut self.queue };
        let Some((at_us, event)) = queue.pop() else {
            return Step::Quiet;
        };
        self.now_us = at_us;
        self.events += 1;
        if let Some(member) = addressee(&event)
            && let Some(of) = self.members.get(member)
            && of.is_paused(self.now_us)
            && !of.is_down()
        {
            queue.push(of.paused_until_us, event);
            return Step::Inside;
        }
        match event {
            Event::Client(event) => return Step::Client(event),
            Event::Deliver {
                from,
                to,
                to_incarnation,
                envelope,
            } => {
                self.deliver(watch, from, to, to_incarnation, *envelope);
            }
            Event::Timer {
                member,
                planned_us,
                incarnation,
            } => self.timer(watch, member, planned_us, incarnation),
            Event::Datagram { from, to, bytes } => self.deliver_datagram(watch, from, to, bytes),
            Event::GossipTimer {
                member,
                planned_us,
                incarnation,
            } => self.gossip_timer(watch, member, planned_us, incarnation),
            Event::Inspect => self.inspect(watch),
            Event::GateTimer {
                planned_us,
                incarnation,
            } => self.gate_timer(watch, planned_us, incarnation),
            Event::GateDies => self.gate_dies(watch),
            Event::SyncDone {
                member,
                incarnation,
                seq,
            } => self.sync_done(watch, member, incarnation, seq),
            Event::ChunkDone {
                member,
                incarnation,
                token,
            } => self.chunk_done(watch, member, incarnation, token),
            Event::Arrive { member, token, request } => self.arrive(watch, member, token, *request),
            Event::HangUp { member, .. } if self.is_gate(member) => {}
            Event::HangUp { member, token } => self.feed(watch, member, Input::ClientGone(token)),
            Event::Detect { from, to } => self.detect(watch, from, to),
            Event::Start { member } => self.start(watch, member),
            Event::Strike => self.strike(watch),
            Event::Relent(relief) => self.relent(watch, &relief),
            Event::PutBack => self.put_back(watch),
            Event::PutAside { member, incarnation } => self.put_aside(watch, member, incarnation),
            Event::PowerFails { member, incarnation } => self.power_fails(watch, member, incarnation),
        }
        Step::Inside
    }

    fn arrive(&mut self, watch: &mut Watch, member: usize, token: ClientToken, request: ClientRequest) {
        if self.is_gate(member) {
            self.feed_gate(watch, gateway::Input::Client(token, request));
        } else if self.members[member].is_up() {
            self.feed(watch, member, Input::Client(token, request));
        } else {
            let at_us = self.now_us + self.rng.between(50, 500);
            self.queue
                .push(at_us, Event::Client(ClientEvent::Disconnected(token, Reached::Nobody)));
        }
    }

    /// Connections of clients to a process that has just died.
    fn disconnect_clients(&mut self, member: usize) {
        let tokens: Vec<ClientToken> = self
            .in_flight
            .iter()
            .filter(|(_, at)| at.member == member)
            .map(|(token, _)| *token)
            .collect();
        for token in tokens {
            self.in_flight.remove(&token);
            let at_us = self.now_us + self.rng.between(50, 2_000);
            self.queue
                .push(at_us, Event::Client(ClientEvent::Disconnected(token, Reached::Node)));
        }
    }

    /// Gives a node an input and does what it wants done.
    fn feed(&mut self, watch: &mut Watch, member: usize, input: Input) {
        let Process::Up(node) = &self.members[member].process else {
            return;
        };
        let cause = crate::watch::Cause::of(&input, node);
        carry::note_input(self, watch, member, &input);
        let of = &mut self.members[member];
        let now = of.clock.read(self.now_us);
        let mut effects: Vec<Effect> = Vec::new();
        if let Process::Up(node) = &mut of.process {
            node.handle(now, input, &mut of.disk, &mut effects);
        }
        self.after_step(watch, member, cause, effects);
    }
}

fn addressee(event: &Event) -> Option<usize> {
    match event {
        Event::Deliver { to: member, .. }
        | Event::Datagram { to: member, .. }
        | Event::Timer { member, .. }
        | Event::GossipTimer { member, .. }
        | Event::SyncDone { member, .. }
        | Event::ChunkDone { member, .. }
        | Event::Arrive { member, .. }
        | Event::HangUp { member, .. }
        | Event::Detect { from: member, .. } => Some(*member),
        Event::Client(_)
        | Event::Start { .. }
        | Event::Strike
        | Event::Relent(_)
        | Event::PutBack
        | Event::PutAside { .. }
        | Event::PowerFails { .. }
        | Event::GateTimer { .. }
        | Event::GateDies
        | Event::Inspect => None,
    }
}
