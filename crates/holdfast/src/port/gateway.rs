//! What a gateway tells of itself: the few nodes it keeps connections to, and what it finds on its ways. It knows no states, facts or
//! events of members; whoever wants these asks a node.

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use holdfast_api::objects::{ClusterView, MemberView, NewsStream};
use holdfast_core::bucket::Settings;
use holdfast_core::dead::Forgetting;
use holdfast_core::gossip::{MemberState, Soundness};
use holdfast_core::ids::{NodeId, Position};
use holdfast_core::node::{Found, Load};
use holdfast_core::place::{shard_of, shard_position};
use holdfast_core::request::Location;
use holdfast_core::scrub::Checked;
use holdfast_node::desk::Desk;
use holdfast_node::gateway::{Admitted, Running};
use tokio::sync::watch;

/// A running gateway, and what people call it.
pub struct GatewaySide {
    running: Running,
    name: String,
    cluster: String,
    s3: String,
    rest: String,
    /// Whether it is about to end: then streams end.
    ends: watch::Receiver<bool>,
}

impl GatewaySide {
    /// Of a gateway that was admitted; its streams end when `ends` says so.
    pub fn new(
        running: Running,
        admitted: &Admitted,
        config: &crate::config::Config,
        ends: watch::Receiver<bool>,
    ) -> Self {
        Self {
            running,
            name: config.name.clone(),
            cluster: admitted.cluster.to_string(),
            s3: config.s3_advertise.clone(),
            rest: config.rest_advertise.clone(),
            ends,
        }
    }

    pub(super) const fn desk(&self) -> &Desk {
        self.running.desk()
    }

    pub(super) async fn find(&self, to: Position) -> Option<Found> {
        self.running.find(to).await
    }

    /// Where a key lives, as far as that was told already; whom it is handed to is found out with the request.
    pub(super) fn locate(&self, settings: &Settings, key: &str) -> Location {
        let shard = shard_of(key, settings.shards);
        let position = shard_position(settings.id, shard, settings.shards);
        let (partition, preference_list) = self.running.known(position).unwrap_or_default();
        Location {
            position,
            partition,
            preference_list,
            homes: settings.n,
        }
    }

    /// Nothing happens at a gateway that is an event of the cluster.
    pub(super) fn events(&self) -> NewsStream {
        let mut ends = self.ends.clone();
        let ended: BoxStream<'static, ()> = Box::pin(stream::once(async move {
            let _ = ends.wait_for(|ends| *ends).await;
        }));
        Box::pin(ended.filter_map(|()| async { None }))
    }

    /// Whether a node can be reached: without one, nothing can be served.
    pub(super) fn ready(&self) -> Result<(), String> {
        let hosts = self.running.hosts();
        if hosts.iter().any(|(.., up)| *up) {
            return Ok(());
        }
        Err(format!("none of the {} nodes it knows can be reached", hosts.len()))
    }

    /// The gateway, and the nodes that it keeps connections to.
    pub(super) fn view(&self) -> ClusterView {
        let me = self.running.id();
        let own = MemberView {
            name: self.name.clone(),
            s3: self.s3.clone(),
            rest: self.rest.clone(),
            up: true,
            state: MemberState::Up,
            ..unknown(me, String::new())
        };
        let hosts = self.running.hosts().into_iter().map(|(node, address, up)| MemberView {
            up,
            state: if up { MemberState::Up } else { MemberState::Unheard },
            ..unknown(node, address)
        });
        ClusterView {
            node: me,
            cluster: self.cluster.clone(),
            epoch: 0,
            partitions: self.running.sizes().map_or(0, |sizes| sizes.partitions as u32),
            members: std::iter::once(own).chain(hosts).collect(),
            unsafe_no_sync: false,
            clock_off_ms: None,
            forgetting: Forgetting::default(),
            checked: Checked::default(),
            soundness: Soundness::Sound,
            load: Load::default(),
            registered_with: None,
        }
    }
}

/// A node of which no more is known than where it is.
fn unknown(id: NodeId, address: String) -> MemberView {
    MemberView {
        id,
        name: id.to_string(),
        zone: String::new(),
        address,
        s3: String::new(),
        rest: String::new(),
        capacity_bytes: 0,
        up: false,
        state: MemberState::Unheard,
        since_ms: 0,
        maintenance: false,
        clock_ahead_ms: None,
        facts: None,
        hints_owed: 0,
    }
}
