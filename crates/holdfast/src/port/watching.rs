//! What people who watch are told beside the members: the ring, the connections, and what other front ends whisper.

use futures_util::stream;
use holdfast_api::objects::{Link, RING_DEPTH, Ring, WhisperStream};
use holdfast_core::ids::{NodeId, Partition};
use holdfast_node::shell::Shell;
use tokio::sync::broadcast::error::RecvError;

/// Whom each partition prefers.
pub(super) fn ring(shell: &Shell) -> Ring {
    let layout = &shell.cluster().layout;
    let members: Vec<NodeId> = layout.members().iter().map(|member| member.id).collect();
    let index = |id: NodeId| members.binary_search(&id).unwrap_or_default() as u16;
    let lists = (0..layout.partition_count()).map(|partition| {
        let list = layout.preference_list(Partition(partition as u16));
        list.take(RING_DEPTH).map(index).collect()
    });
    Ring {
        epoch: layout.epoch(),
        partition_bits: layout.partition_bits(),
        lists: lists.collect(),
        members,
    }
}

/// Says something to one other member, or to all.
pub(super) fn whisper(shell: &Shell, to: Option<NodeId>, words: &[u8]) {
    let members = shell.cluster().layout.members().iter().map(|member| member.id);
    for member in members.filter(|member| *member != shell.node() && to.is_none_or(|to| to == *member)) {
        if !shell.whisper(member, words) {
            tracing::debug!(bytes = words.len(), "too long to be whispered");
            return;
        }
    }
}

/// What others say.
pub(super) fn whispers(shell: &Shell) -> WhisperStream {
    let next = |mut whispers: tokio::sync::broadcast::Receiver<_>| async {
        loop {
            match whispers.recv().await {
                Ok(heard) => return Some((heard, whispers)),
                // Whispers may be lost anyway.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    };
    Box::pin(stream::unfold(shell.whispers(), next))
}

/// The connections to the others.
pub(super) fn links(shell: &Shell) -> Vec<Link> {
    let links = shell.peers().into_iter().map(|peer| Link {
        member: peer.id,
        up: peer.up,
        round_trip_us: peer.round_trip_us,
        sent_bytes: peer.sent_bytes,
        received_bytes: peer.received_bytes,
        dropped: peer.dropped_full + peer.dropped_down,
    });
    links.collect()
}
