//! What has happened lately on this node, for those who come to look later.
//!
//! Kept as it happened: putting an event into words asks the whole cluster for names, and most of them nobody ever reads.

use std::collections::VecDeque;

use holdfast_core::event::ClusterEvent;

use crate::objects::News;

/// Events kept of each sort.
const KEPT_MAX: usize = 100;

/// The latest events. Those of single keys are many, and must not push out those of nodes.
#[derive(Default)]
pub(super) struct Past {
    count: u64,
    of_nodes: VecDeque<(u64, News)>,
    of_keys: VecDeque<(u64, News)>,
}

impl Past {
    pub(super) fn keep(&mut self, news: News) {
        let kept = if is_of_key(&news) {
            &mut self.of_keys
        } else {
            &mut self.of_nodes
        };
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back((self.count, news));
        self.count += 1;
    }

    /// Oldest first.
    pub(super) fn all(&self) -> Vec<News> {
        let mut all: Vec<_> = self.of_nodes.iter().chain(&self.of_keys).collect();
        all.sort_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, news)| news.clone()).collect()
    }
}

/// Whether an event is about one key, of which there may be thousands a second.
const fn is_of_key(news: &News) -> bool {
    use ClusterEvent::{CopiesLost, HintDelivered, HintStored, Mended, Repaired, SiblingsMade, SiblingsResolved};
    matches!(
        news,
        News::Happened {
            event: HintStored { .. }
                | HintDelivered { .. }
                | Repaired { .. }
                | Mended { .. }
                | CopiesLost { .. }
                | SiblingsMade { .. }
                | SiblingsResolved { .. },
            ..
        }
    )
}

#[cfg(test)]
mod tests {
    use holdfast_core::event::ClusterEvent;
    use holdfast_core::ids::{BucketId, NodeId, ObjectKey};

    use super::{KEPT_MAX, Past};
    use crate::objects::News;

    fn happened(event: ClusterEvent) -> News {
        News::Happened { at_ms: 1, event }
    }

    fn stored(key: usize) -> News {
        let of = ObjectKey {
            bucket: BucketId(1),
            key: key.to_string(),
        };
        happened(ClusterEvent::HintStored { home: NodeId(2), of })
    }

    #[test]
    fn many_keys_do_not_push_out_what_happened_to_nodes() {
        let down = happened(ClusterEvent::MemberDown(NodeId(2)));
        let mut past = Past::default();
        past.keep(down.clone());
        for key in 0..KEPT_MAX + 50 {
            past.keep(stored(key));
        }
        past.keep(happened(ClusterEvent::Rejoined));
        let all = past.all();
        assert_eq!(all.len(), KEPT_MAX + 2);
        assert_eq!((&all[0], &all[1]), (&down, &stored(50)));
        assert_eq!(all.last(), Some(&happened(ClusterEvent::Rejoined)));
    }
}
