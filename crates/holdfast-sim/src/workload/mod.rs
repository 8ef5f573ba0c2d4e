//! Clients: what they ask, through which nodes, how they try again, and what they remember.
//!
//! A client does one thing at a time. A *task* is a story of several operations (a session on one key, an upload, a
//! listing page by page); an *operation* is one request with its retries, which keep the request id and mostly go through
//! other nodes (rule D7). Every answer is judged before the task sees it.

mod chunked;
mod judge;
mod listing;
mod operation;
mod registry;
mod session;
mod setting;
mod upload;

use std::collections::BTreeMap;

use holdfast_core::ids::{BucketId, RequestId};
use holdfast_core::node::ClientToken;
use holdfast_core::request::{Answer, ClientRequest, Count, Request};

use crate::checkers::Promise;
use crate::coverage::Reached;
use crate::plan::Plan;
use crate::rng::{Rng, Stream};
use crate::truth::WriteIx;
use crate::watch::Watch;
use crate::world::{ClientEvent, ClientIx, Reached as Came, World};

pub use operation::{Ask, Outcome};
use operation::{Operation, Verdict};
pub use setting::{Memory, Setting, Target};

/// Of a thousand requests so many go through the gateway, where there is one.
const THROUGH_GATEWAY: u64 = 400;

/// What clients have to do with.
pub(crate) struct Context<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) watch: &'a mut Watch,
    pub(crate) rng: &'a mut Rng,
    pub(crate) setting: &'a Setting,
    pub(crate) memory: &'a mut Memory,
}

/// A story of several operations.
enum Task {
    Session(session::Session),
    Chunked(chunked::ChunkedPut),
    Upload(Box<upload::Upload>),
    Listing(Box<listing::Listing>),
    Count(Option<Target>),
    Registry(registry::RegistryChange),
}

impl Task {
    fn next(&mut self, cx: &mut Context<'_>, outcome: Option<Outcome>) -> Option<Ask> {
        match self {
            Self::Session(task) => task.next(cx, outcome),
            Self::Chunked(task) => task.next(cx, outcome),
            Self::Upload(task) => task.next(cx, outcome),
            Self::Listing(task) => task.next(cx, outcome),
            Self::Count(target) => target
                .take()
                .map(|target| Ask::read(cx, Request::Count(target.settings))),
            Self::Registry(task) => task.next(cx, outcome),
        }
    }
}

#[derive(Default)]
struct Client {
    task: Option<Task>,
    operation: Option<Operation>,
}

/// What clients are for at present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Only the buckets are made.
    Preparing,
    /// Everything.
    Working,
    /// What is under way is finished, nothing is begun.
    Finishing,
    /// Everything must succeed at once.
    Probing,
}

/// All clients.
pub struct Workload {
    clients: Vec<Client>,
    tokens: BTreeMap<ClientToken, ClientIx>,
    rng: Rng,
    gate_rng: Rng,
    setting: Setting,
    memory: Memory,
    phase: Phase,
    think_us_max: u64,
    probes: Vec<Task>,
    /// Answers to the probes that count a bucket.
    pub counts: BTreeMap<BucketId, Count>,
}

impl Workload {
    /// Clients that will first make the buckets.
    #[must_use]
    pub fn new(plan: &Plan, world: &World) -> Self {
        let mut rng = Rng::new(plan.seed, Stream::Workload);
        let setting = Setting::new(plan, world, &mut rng);
        Self {
            clients: (0..plan.clients).map(|_| Client::default()).collect(),
            tokens: BTreeMap::new(),
            rng,
            gate_rng: Rng::new(!plan.seed, Stream::Gateway),
            setting,
            memory: Memory::default(),
            phase: Phase::Preparing,
            think_us_max: plan.think_us_max,
            probes: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    /// The first client begins to make the buckets.
    pub fn begin(&mut self, world: &mut World) {
        world.wake(ClientIx(0), 400_000);
    }

    /// The other clients begin.
    pub fn begin_all(&mut self, world: &mut World) {
        for client in 1..self.clients.len() {
            world.wake(ClientIx(client), 1_000);
        }
    }

    /// Whether all buckets are made, after which clients work.
    pub fn is_working(&self) -> bool {
        self.phase == Phase::Working
    }

    /// Whether any client waits for anything.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.clients
            .iter()
            .all(|client| client.task.is_none() && client.operation.is_none())
    }

    /// Whether all probes are done.
    #[must_use]
    pub fn has_probed(&self) -> bool {
        self.probes.is_empty() && self.is_idle()
    }

    /// Nothing new is begun from now on.
    pub fn finish(&mut self) {
        self.phase = Phase::Finishing;
    }

    /// From now on every request must succeed at once: writes, then reads of them, through nodes chosen at random.
    pub fn probe_writes(&mut self, world: &mut World) {
        let buckets = self.setting.buckets();
        let sessions = (0..3 * world.members.len()).map(|_| {
            let target = self.rng.pick(buckets).clone();
            Task::Session(session::Session::writing(&mut self.rng, target))
        });
        self.probes = sessions.collect();
        self.probe(world);
    }

    /// From now on every request must succeed at once: each bucket is counted, listed in full and read.
    pub fn probe_reads(&mut self, world: &mut World) {
        self.probes.clear();
        for target in self.setting.targets() {
            self.probes.push(Task::Listing(Box::new(listing::Listing::in_full(
                &mut self.rng,
                target.clone(),
            ))));
            self.probes
                .push(Task::Session(session::Session::reading(&mut self.rng, target.clone())));
            if !target.is_system {
                self.probes.push(Task::Count(Some(target.clone())));
            }
        }
        self.probe(world);
    }

    fn probe(&mut self, world: &mut World) {
        self.phase = Phase::Probing;
        for client in 0..self.clients.len() {
            world.wake(ClientIx(client), 1_000);
        }
    }

    /// Something happened to a client.
    pub fn on(&mut self, event: ClientEvent, world: &mut World, watch: &mut Watch) {
        match event {
            ClientEvent::Wake(client) => match self.clients[client.0].operation.take() {
                Some(operation) if operation.token.is_none() => self.submit(client, operation, world, watch),
                Some(operation) => self.clients[client.0].operation = Some(operation),
                None => self.go_on(client, None, world, watch),
            },
            ClientEvent::Answer(token, answer) => {
                let Some(client) = self.tokens.remove(&token) else {
                    return;
                };
                self.answered(client, *answer, world, watch);
            }
            ClientEvent::Disconnected(token, came) => {
                let Some(client) = self.tokens.remove(&token) else {
                    return;
                };
                self.unanswered(client, came == Came::Node, world, watch);
            }
            ClientEvent::Timeout(token) => {
                let Some(client) = self.tokens.remove(&token) else {
                    return;
                };
                if self.rng.per_mille(700) {
                    world.hang_up(token);
                }
                watch.trace.line(world.now_us, || {
                    format!("c{} gives up waiting for {}", client.0, token.0)
                });
                self.unanswered(client, true, world, watch);
            }
        }
    }

    fn context<'a>(&'a mut self, world: &'a mut World, watch: &'a mut Watch) -> Context<'a> {
        Context {
            world,
            watch,
            rng: &mut self.rng,
            setting: &self.setting,
            memory: &mut self.memory,
        }
    }

    /// The task takes its next step, or the client its next task.
    fn go_on(&mut self, client: ClientIx, outcome: Option<Outcome>, world: &mut World, watch: &mut Watch) {
        let task = self.clients[client.0].task.take();
        let Some(mut task) = task.or_else(|| self.choose()) else {
            return;
        };
        let ask = task.next(&mut self.context(world, watch), outcome);
        let Some(ask) = ask else {
            if let (Task::Registry(task), Phase::Preparing) = (&task, self.phase)
                && !task.done
            {
                world.wake(client, 50_000);
                return;
            }
            return self.rest(client, world);
        };
        self.clients[client.0].task = Some(task);
        watch.coverage.reach(Reached::Operations);
        let operation = Operation::new(ask, &mut self.rng, self.phase == Phase::Probing);
        self.submit(client, operation, world, watch);
    }

    fn rest(&mut self, client: ClientIx, world: &mut World) {
        match self.phase {
            Phase::Finishing => {}
            Phase::Preparing | Phase::Probing => world.wake(client, 1_000),
            Phase::Working => {
                let hurry = self.rng.per_mille(100);
                let pause_us = if hurry {
                    1
                } else {
                    self.rng.between(1_000, self.think_us_max)
                };
                world.wake(client, pause_us);
            }
        }
    }

    fn choose(&mut self) -> Option<Task> {
        match self.phase {
            Phase::Finishing => None,
            Phase::Preparing => match self.setting.next_bucket_to_make(&self.memory) {
                Some(bucket) => Some(Task::Registry(registry::RegistryChange::make_bucket(bucket))),
                None => {
                    self.phase = Phase::Working;
                    Some(self.any_task())
                }
            },
            Phase::Probing => self.probes.pop(),
            Phase::Working => Some(self.any_task()),
        }
    }

    fn any_task(&mut self) -> Task {
        let target = self.rng.pick(self.setting.buckets()).clone();
        let rng = &mut self.rng;
        match rng.weighted(&[60, 9, 6, 14, 3, 4, 4]) {
            0 => Task::Session(session::Session::new(rng, target)),
            1 => Task::Chunked(chunked::ChunkedPut::new(rng, target)),
            2 => Task::Upload(Box::new(upload::Upload::new(rng, target))),
            3 => Task::Listing(Box::new(listing::Listing::new(rng, target))),
            4 => Task::Count(Some(target)),
            5 => Task::Session(session::Session::new(rng, self.setting.system.clone())),
            _ => Task::Registry(registry::RegistryChange::of_access_key()),
        }
    }

    fn submit(&mut self, client: ClientIx, mut operation: Operation, world: &mut World, watch: &mut Watch) {
        let member = operation.choose_member(&mut self.rng, world);
        let gate = world.gate_number().filter(|_| self.gate_rng.per_mille(THROUGH_GATEWAY));
        let member = gate.unwrap_or(member);
        if operation.attempts > 0 {
            watch.coverage.reach(Reached::Retries);
        }
        operation.attempts += 1;
        operation.asked_us = world.now_us;
        let patience_us = u64::from(operation.ask.deadline_ms) * 1_000 + self.rng.between(100_000, 1_500_000);
        let request = ClientRequest {
            request: operation.ask.request,
            deadline_ms: operation.ask.deadline_ms,
            what: operation.ask.what.clone(),
        };
        let token = world.submit(member, request, operation.ask.write, patience_us);
        operation.token = Some(token);
        watch.trace.mix([world.now_us, 5, client.0 as u64, member as u64]);
        watch.trace.line(world.now_us, || {
            format!("c{} asks n{member} {}", client.0, operation.describe())
        });
        self.tokens.insert(token, client);
        self.clients[client.0].operation = Some(operation);
    }

    fn answered(&mut self, client: ClientIx, answer: Answer, world: &mut World, watch: &mut Watch) {
        let Some(mut operation) = self.clients[client.0].operation.take() else {
            return;
        };
        watch.trace.line(world.now_us, || {
            format!("c{} has its answer: {}", client.0, crate::describe::answer(&answer))
        });
        match operation.verdict(&answer) {
            Verdict::Done => {
                judge::answer(world.now_us, watch, &operation, &answer);
                self.memory.learn(&watch.truth, &operation.ask, &answer);
                if let (Request::Count(settings), Answer::Counted(count)) = (&operation.ask.what, &answer) {
                    self.counts.insert(settings.id, *count);
                }
                let asked_us = operation.asked_us;
                self.go_on(client, Some(Outcome::Answered { answer, asked_us }), world, watch);
            }
            Verdict::Failed { may_have_changed } => {
                if operation.must_succeed {
                    let what = format!("{} is answered {answer:?}", operation.describe());
                    watch.violated(world.now_us, Promise::Lively, what);
                }
                operation.may_have_changed |= may_have_changed;
                judge::failure(watch, &answer);
                if may_have_changed {
                    judge::uncertain(watch, &operation);
                }
                let pointless = operation::is_final(&answer);
                self.failed(client, operation, pointless, world, watch);
            }
        }
    }

    fn unanswered(&mut self, client: ClientIx, may_have_changed: bool, world: &mut World, watch: &mut Watch) {
        let Some(mut operation) = self.clients[client.0].operation.take() else {
            return;
        };
        if operation.must_succeed {
            let what = format!("{} is not answered", operation.describe());
            watch.violated(world.now_us, Promise::Lively, what);
        }
        operation.may_have_changed |= may_have_changed;
        if may_have_changed {
            judge::uncertain(watch, &operation);
        }
        self.failed(client, operation, false, world, watch);
    }

    fn failed(
        &mut self,
        client: ClientIx,
        mut operation: Operation,
        pointless: bool,
        world: &mut World,
        watch: &mut Watch,
    ) {
        if !pointless && operation.attempts < operation.attempts_max {
            operation.token = None;
            let soon = self.rng.per_mille(600);
            let pause_us = if soon {
                self.rng.between(1, 2_000)
            } else {
                self.rng.spread(2_000, 1_000_000)
            };
            self.clients[client.0].operation = Some(operation);
            return world.wake(client, pause_us);
        }
        judge::given_up(world.now_us, watch, &operation);
        self.go_on(client, Some(Outcome::GaveUp), world, watch);
    }
}

/// Which write an operation is, and how many copies it needs.
pub(crate) type WriteOf = Option<(WriteIx, u8)>;

/// A fresh request id.
pub(crate) fn fresh_request(rng: &mut Rng) -> RequestId {
    RequestId(rng.next_u128())
}
