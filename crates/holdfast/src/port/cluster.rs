//! What this node says of itself and the others.

use std::collections::BTreeMap;

use futures_util::stream;
use holdfast_api::objects::{ClusterView, MemberView, News, NewsStream};
use holdfast_core::event::ClusterEvent;
use holdfast_core::gossip::{MemberState, MemberView as Seen};
use holdfast_core::ids::NodeId;
use holdfast_node::founding::RegisteredWith;
use holdfast_node::shell::Shell;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// The cluster as this node sees it.
pub(super) fn view(shell: &Shell, unsafe_no_sync: bool, registered_with: Option<&RegisteredWith>) -> ClusterView {
    let cluster = shell.cluster();
    let owed: BTreeMap<NodeId, u64> = shell.hints().into_iter().collect();
    let seen: BTreeMap<NodeId, Seen> = shell.members().into_iter().map(|seen| (seen.node, seen)).collect();
    let members = cluster.layout.members().iter().map(|member| {
        let seen = seen.get(&member.id);
        let addresses = cluster.addresses.iter().find(|addresses| addresses.node == member.id);
        let address = |pick: fn(&holdfast_node::shell::Addresses) -> &String| {
            addresses.map(|addresses| pick(addresses).clone()).unwrap_or_default()
        };
        MemberView {
            id: member.id,
            name: member.name.clone(),
            zone: member.zone.clone(),
            address: address(|addresses| &addresses.peer),
            s3: address(|addresses| &addresses.s3),
            rest: address(|addresses| &addresses.rest),
            capacity_bytes: member.capacity_bytes,
            up: shell.is_up(member.id),
            state: seen.map_or(MemberState::Unheard, |seen| seen.state),
            since_ms: seen.map_or(0, |seen| seen.since_ms),
            maintenance: seen.is_some_and(|seen| seen.maintenance.is_some()),
            hints_owed: owed.get(&member.id).copied().unwrap_or(0),
            clock_ahead_ms: seen.and_then(|seen| seen.clock_ahead_ms),
            facts: seen.and_then(|seen| seen.facts.clone()),
        }
    });
    ClusterView {
        node: shell.node(),
        cluster: shell.identity().cluster.to_string(),
        epoch: cluster.layout.epoch(),
        partitions: cluster.layout.partition_count() as u32,
        members: members.collect(),
        registered_with: registered_with.map(|with| (with.founder, with.address.clone())),
        unsafe_no_sync,
        clock_off_ms: shell.clock_off_ms(),
        forgetting: shell.forgetting(),
        checked: shell.checked(),
        soundness: shell.soundness(),
        load: shell.load(),
    }
}

/// What happens from now on.
pub(super) fn events(shell: &Shell) -> NewsStream {
    let next = |mut news: Receiver<(u64, ClusterEvent)>| async {
        let told = match news.recv().await {
            Ok((at_ms, event)) => News::Happened { at_ms, event },
            Err(RecvError::Lagged(count)) => News::Missed(count),
            Err(RecvError::Closed) => return None,
        };
        Some((told, news))
    };
    Box::pin(stream::unfold(shell.events(), next))
}

/// Marks a member as down on purpose, or no longer.
pub(super) fn maintain(shell: &Shell, node: NodeId, on: bool) -> bool {
    let is_member = shell.cluster().layout.members().iter().any(|member| member.id == node);
    if is_member {
        shell.maintain(node, on);
    }
    is_member
}

/// Whether this node can serve: it must reach a majority of the members, without which most writes would fail.
pub(super) fn ready(shell: &Shell) -> Result<(), String> {
    let members = shell.cluster().layout.members();
    let up = members.iter().filter(|member| shell.is_up(member.id)).count();
    let needed = members.len() / 2 + 1;
    if up < needed {
        return Err(format!(
            "only {up} of {} members can be reached, {needed} are needed",
            members.len()
        ));
    }
    if shell.is_full() {
        return Err("the reserve of free disk space has been reached: writes are refused until there is room".into());
    }
    Ok(())
}
