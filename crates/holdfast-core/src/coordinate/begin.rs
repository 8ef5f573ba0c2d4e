//! Where a request goes: which operation begins, and on which node.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::chunk::{ReadChunkOp, WriteChunkOp};
use super::claim::ClaimOp;
use super::count::CountOp;
use super::forward::ForwardOp;
use super::get::GetOp;
use super::list::ListOp;
use super::put::{Incoming, NotBegun, PutOp};
use super::repair::RepairOp;
use super::stand_ins::may_stand_in;
use super::upload::UploadOp;
use super::upload_list::{UploadListOp, UploadPage};
use super::{Origin, unavailable_write, unchanged};
use crate::bucket::Settings;
use crate::ids::{NodeId, ObjectKey, Tick};
use crate::node::clock::BoundNotDurable;
use crate::node::state::{Parked, Step, Waiter};
use crate::place::Place;
use crate::planted::Planted;
use crate::quorum::{Tally, Vote};
use crate::request::{ClientRequest, Put, Request, UploadStep, WriteFault};

impl Step<'_> {
    /// Begins what a client, or a node that forwards for one, asks.
    pub(crate) fn begin(&mut self, origin: Origin, request: ClientRequest) {
        let deadline_ms = request.deadline_ms;
        match request.what {
            Request::Put(_) => self.route_put(origin, request),
            Request::Get(get) => {
                let op = GetOp::new(self, origin, deadline_ms, &get);
                self.spawned.push(Box::new(op));
            }
            Request::List(list) => {
                let op = ListOp::new(self, origin, deadline_ms, list);
                self.spawned.push(op);
            }
            Request::WriteChunk(write) => {
                let op = WriteChunkOp::new(self, origin, deadline_ms, write);
                self.spawned.push(Box::new(op));
            }
            Request::ReadChunk(read) => {
                let op = ReadChunkOp::new(self, origin, deadline_ms, &read);
                self.spawned.push(Box::new(op));
            }
            Request::Upload(ref upload) if matches!(upload.step, UploadStep::Complete { .. }) => {
                let (settings, key) = (upload.settings, upload.key.clone());
                if let Some(request) = self.hand_over(origin, request, &settings, &key) {
                    self.begin_upload(origin, request);
                }
            }
            Request::Upload(ref upload) if matches!(origin, Origin::Client(_)) => {
                let (settings, key) = (upload.settings, upload.key.clone());
                let place = self.state.place(&settings, &key);
                let is_list = matches!(upload.step, UploadStep::List { .. });
                if !is_list && self.leaves_to_others(origin, &place, settings.n) {
                    let homes = self.state.layout().homes(place.partition, settings.n).collect();
                    self.hand_to_homes(origin, request, homes);
                } else {
                    self.begin_upload(origin, request);
                }
            }
            Request::Upload(_) => self.begin_upload(origin, request),
            Request::Count(settings) => {
                let op = CountOp::new(self, origin, deadline_ms, settings);
                self.spawned.push(Box::new(op));
            }
        }
    }

    fn begin_upload(&mut self, origin: Origin, request: ClientRequest) {
        let Request::Upload(upload) = request.what else { return };
        if let UploadStep::List {
            prefix,
            after,
            count_max,
        } = upload.step
        {
            let page = UploadPage {
                settings: upload.settings,
                prefix,
                after,
                count_max,
            };
            let op = UploadListOp::new(self, origin, request.deadline_ms, page);
            self.spawned.push(Box::new(op));
        } else if let Some(op) = UploadOp::new(self, origin, request.deadline_ms, upload) {
            self.spawned.push(Box::new(op));
        }
    }

    /// Coordinates a write here if this node is a home of its key, or if no home can be reached; else hands it to one.
    fn route_put(&mut self, origin: Origin, request: ClientRequest) {
        let Request::Put(put) = &request.what else { return };
        let (settings, key) = (put.settings, put.key.clone());
        if let Some(request) = self.hand_over(origin, request, &settings, &key) {
            self.coordinate(origin, request, self.content_ms, false, origin.above());
        }
    }

    /// Coordinates a write here, as a home or as a stand-in. Another node may have begun it before, and, if it was granted
    /// it, done it up to a tick.
    pub(crate) fn coordinate(
        &mut self,
        origin: Origin,
        request: ClientRequest,
        content_ms: u64,
        may_have_begun: bool,
        above: Tick,
    ) {
        let Request::Put(put) = request.what else { return };
        let (deadline_ms, request) = (request.deadline_ms, request.request);
        self.begin_put(Incoming {
            origin,
            request,
            deadline_ms,
            content_ms,
            put,
            side: Vec::new(),
            may_have_begun,
            above,
        });
    }

    /// Hands a request to a home of its key. It is given back if this node is one and trusts its clock, or may stand in since
    /// none can be reached.
    fn hand_over(
        &mut self,
        origin: Origin,
        request: ClientRequest,
        settings: &Settings,
        key: &ObjectKey,
    ) -> Option<ClientRequest> {
        let place = self.state.place(settings, key);
        if self
            .state
            .layout()
            .is_home(self.state.me(), place.partition, settings.n)
        {
            if !self.leaves_to_others(origin, &place, settings.n) {
                return Some(request);
            }
            if matches!(origin, Origin::Forwarded { .. }) {
                let fault = if self.state.abstains() {
                    nobody_home(self, self.state.layout().homes(place.partition, settings.n).collect())
                } else {
                    WriteFault::ClockRefused
                };
                origin.answer(self, unchanged(fault));
                return None;
            }
        }
        let homes: Vec<NodeId> = self.state.layout().homes(place.partition, settings.n).collect();
        if may_stand_in(&request) && !homes.iter().any(|home| self.state.is_up(*home)) {
            return Some(request);
        }
        if matches!(origin, Origin::Forwarded { .. }) {
            // Whoever forwarded believes in another layout; it will try somebody else.
            origin.answer(self, unchanged(nobody_home(self, homes)));
            return None;
        }
        self.hand_to_homes(origin, request, homes);
        None
    }

    fn hand_to_homes(&mut self, origin: Origin, request: ClientRequest, homes: Vec<NodeId>) {
        let op = ForwardOp::new(self, origin, request, self.content_ms, homes);
        self.spawned.push(Box::new(op));
    }

    /// Rule S4: whoever's clock is off does not coordinate while another home can. Which a home that hands a write over
    /// cannot. Nor does a node whose disk may have forgotten what it acknowledged (rules S1, S2).
    pub(crate) fn leaves_to_others(&mut self, origin: Origin, place: &Place, n: u8) -> bool {
        let is_off = self.state.gossip.is_clock_off(self.now, self.effects)
            && !self.state.is_planted(Planted::ClockOffCoordinates);
        if !is_off && !self.state.abstains() {
            return false;
        }
        let state = &*self.state;
        let by = match origin {
            Origin::Forwarded { by, .. } => by,
            Origin::Client(_) | Origin::Nobody => state.me(),
        };
        let can = |home: NodeId| {
            home != state.me() && home != by && state.is_up(home) && state.gossip.is_clock_right(self.now, home)
        };
        state.layout().homes(place.partition, n).any(can)
    }

    /// Coordinates a write.
    pub(crate) fn begin_put(&mut self, incoming: Incoming) {
        match PutOp::begin(self, &incoming) {
            Ok(op) => self.spawned.push(op),
            Err(NotBegun::Answered) => {}
            Err(NotBegun::Bound(bound, seen)) => self.park(incoming, bound, seen),
            Err(NotBegun::Unclaimed(tick)) => ClaimOp::spawn_again(self, incoming, tick),
            Err(NotBegun::Damaged) => self.hand_to_another_home(incoming),
        }
    }

    /// Waits for the tick bound to be durable, then begins again.
    fn park(&mut self, incoming: Incoming, bound: BoundNotDurable, seen: Tick) {
        let seq = self.await_bound(bound, seen);
        self.wait(seq, Waiter::Unpark(Parked::Put(Box::new(incoming))));
    }

    /// This node's copy is damaged: it counts neither as replica nor as coordinator for this key (rule D2).
    fn hand_to_another_home(&mut self, incoming: Incoming) {
        let Incoming {
            origin,
            request,
            deadline_ms,
            content_ms,
            put,
            may_have_begun,
            above,
            ..
        } = incoming;
        let place = self.state.place(&put.settings, &put.key);
        RepairOp::spawn(self, &place, put.settings.n);
        if matches!(origin, Origin::Forwarded { .. }) || !incoming.side.is_empty() {
            return origin.answer(self, unchanged(WriteFault::Damaged));
        }
        let homes: Vec<NodeId> = self.state.layout().homes(place.partition, put.settings.n).collect();
        let request = ClientRequest {
            request,
            deadline_ms,
            what: Request::Put(Put { ..put }),
        };
        let op = ForwardOp::new(self, origin, request, content_ms, homes).of_damaged(may_have_begun, above);
        self.spawned.push(Box::new(op));
    }
}

/// The fault of a write that reached a node which is no home.
fn nobody_home(step: &Step<'_>, homes: Vec<NodeId>) -> WriteFault {
    let mut tally = Tally::new(homes, 1);
    for home in tally.homes().collect::<Vec<_>>() {
        tally.set(
            home,
            if step.state.is_up(home) {
                Vote::Spare
            } else {
                Vote::Down
            },
        );
    }
    unavailable_write(&tally)
}
