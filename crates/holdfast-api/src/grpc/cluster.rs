//! The service `Cluster`: who is there, where a key lives, and what happens.

use std::sync::Arc;

use futures_core::stream::BoxStream;
use holdfast_core::dead::HeldWhy;
use holdfast_core::gossip::MemberState;
use holdfast_core::gossip::facts::{Hinted, NodeFacts, Soundness};
use holdfast_core::scrub::Checked;
use holdfast_proto::v1;
use holdfast_proto::v1::cluster_server::Cluster;
use tonic::{Request, Response, Status};

use super::shape::{Names, time};
use super::{Shared, events};
use crate::claims::check_key;
use crate::objects::{ClusterView, MemberView};
use crate::problem::{Answer, Problem};
use crate::serve::Stopping;

pub(super) struct Service(pub(super) Arc<Shared>);

#[tonic::async_trait]
impl Cluster for Service {
    type WatchStream = BoxStream<'static, Result<v1::Event, Status>>;

    async fn view(&self, _: Request<v1::ViewRequest>) -> Result<Response<v1::ClusterView>, Status> {
        let names = Names::of(&*self.0.objects);
        Ok(Response::new(view(&self.0.objects.cluster(), &names)))
    }

    async fn locate(&self, request: Request<v1::LocateRequest>) -> Result<Response<v1::Location>, Status> {
        Ok(Response::new(locate(&self.0, request.into_inner()).await?))
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Problem::unless_node(self.0.objects.role(), "events")?;
        let stopping = request.extensions().get::<Stopping>().cloned();
        Ok(Response::new(events::watch(Arc::clone(&self.0.objects), stopping)))
    }
}

async fn locate(app: &Shared, asked: v1::LocateRequest) -> Answer<v1::Location> {
    check_key(&asked.key)?;
    let bucket = app.bucket(&asked.bucket).await?;
    let location = app.objects.locate(&bucket, &asked.key).await;
    let location = location.map_err(|fault| Problem::read(&fault))?;
    let names = Names::of(&*app.objects);
    Ok(v1::Location {
        bucket: asked.bucket,
        key: asked.key,
        position: location.position.to_string(),
        partition: location.partition.0.into(),
        homes: location.homes.into(),
        preference_list: names.nodes(&location.preference_list),
    })
}

fn view(view: &ClusterView, names: &Names) -> v1::ClusterView {
    let forgetting = view.forgetting;
    v1::ClusterView {
        node: Some(names.node(view.node)),
        cluster: view.cluster.clone(),
        epoch: view.epoch,
        partitions: view.partitions,
        members: view.members.iter().map(|known| member(known, view, names)).collect(),
        unsafe_no_sync: view.unsafe_no_sync,
        clock_off_ms: view.clock_off_ms,
        forgetting: Some(v1::Forgetting {
            bodies: forgetting.bodies,
            bytes: forgetting.bytes,
            held_by: forgetting.held.map(|(node, _)| names.node(node)),
            held_because: forgetting
                .held
                .map_or(v1::HeldWhy::Unspecified, |(_, why)| held_why(why))
                .into(),
        }),
        checked: Some(checked(&view.checked)),
        soundness: soundness(view.soundness).into(),
    }
}

fn member(member: &MemberView, view: &ClusterView, names: &Names) -> v1::Member {
    v1::Member {
        node: Some(names.node(member.id)),
        zone: member.zone.clone(),
        address: member.address.clone(),
        s3: member.s3.clone(),
        rest: member.rest.clone(),
        capacity_bytes: member.capacity_bytes,
        is_self: member.id == view.node,
        up: member.up,
        state: member_state(member.state).into(),
        since: Some(time(member.since_ms)),
        maintenance: member.maintenance,
        clock_ahead_ms: member.clock_ahead_ms,
        hints_owed: member.hints_owed,
        facts: member.facts.as_ref().map(facts),
    }
}

fn facts(facts: &NodeFacts) -> v1::MemberFacts {
    let hinted_partitions = match &facts.hinted {
        Hinted::Only(partitions) => partitions.iter().map(|partition| partition.0.into()).collect(),
        Hinted::Many => Vec::new(),
    };
    v1::MemberFacts {
        actor: facts.actor.to_string(),
        boot: facts.boot,
        epoch: facts.epoch,
        format_level: facts.format_level.into(),
        disk_used_bytes: facts.disk_used_bytes,
        disk_total_bytes: facts.disk_total_bytes,
        hinted_partitions,
        hinted_many: matches!(facts.hinted, Hinted::Many),
        soundness: soundness(facts.soundness).into(),
    }
}

fn checked(checked: &Checked) -> v1::Checked {
    let scrub = &checked.scrub;
    v1::Checked {
        read_through: checked.is_read,
        differences: checked.differences,
        fingerprints_wrong: checked.fingerprints_wrong,
        scrub: Some(v1::Scrub {
            running: scrub.is_running,
            ended: (scrub.ended_ms > 0).then(|| time(scrub.ended_ms)),
            records: scrub.records,
            chunks: scrub.chunks,
            bytes: scrub.bytes,
            damaged: scrub.damaged,
        }),
        records_repaired: checked.records_repaired,
        chunks_repaired: checked.chunks_mended,
    }
}

pub(super) const fn member_state(state: MemberState) -> v1::MemberState {
    match state {
        MemberState::Up => v1::MemberState::Up,
        MemberState::Suspect => v1::MemberState::Suspect,
        MemberState::Unheard => v1::MemberState::Unheard,
        MemberState::Down => v1::MemberState::Down,
        MemberState::Stopped => v1::MemberState::Stopped,
    }
}

pub(super) const fn held_why(why: HeldWhy) -> v1::HeldWhy {
    match why {
        HeldWhy::Away => v1::HeldWhy::Away,
        HeldWhy::Restarted => v1::HeldWhy::Restarted,
        HeldWhy::ClockOff => v1::HeldWhy::ClockOff,
        HeldWhy::Hints => v1::HeldWhy::Hints,
        HeldWhy::Filling => v1::HeldWhy::Filling,
        HeldWhy::Failed => v1::HeldWhy::Failed,
    }
}

const fn soundness(soundness: Soundness) -> v1::Soundness {
    match soundness {
        Soundness::Sound => v1::Soundness::Sound,
        Soundness::Unvouched => v1::Soundness::Unvouched,
        Soundness::Filling => v1::Soundness::Filling,
    }
}
