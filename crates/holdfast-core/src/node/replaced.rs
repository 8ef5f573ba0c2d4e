//! Writes that took effect here and were replaced since (rule D7).
//!
//! A version keeps the id of its client write, so a retry recognises itself while the version lives. This remembers a
//! while longer: a request that sat in a frozen node, or a second attempt that was overtaken, must not be written again
//! above what has replaced it. In memory and bounded: what it has forgotten, a restart included, may be written twice,
//! which is the double effect that unanswered requests are documented to have.

use alloc::collections::{BTreeMap, VecDeque};

use crate::ids::{Dot, RequestId};

/// Writes remembered: some tens of seconds of a busy node, which is what a request's deadline allows; about 3 MiB.
const REMEMBERED_MAX: usize = 32_768;

/// The last writes that were replaced, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Replaced {
    dots: BTreeMap<RequestId, Dot>,
    order: VecDeque<RequestId>,
}

impl Replaced {
    /// Remembers a write that was replaced.
    pub(crate) fn insert(&mut self, request: RequestId, dot: Dot) {
        if self.dots.insert(request, dot).is_none() {
            self.order.push_back(request);
        }
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.dots.remove(&oldest);
        }
    }

    /// The dot under which a write took effect before it was replaced.
    pub(crate) fn find(&self, request: RequestId) -> Option<Dot> {
        self.dots.get(&request).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ActorId, Tick};

    #[test]
    fn the_oldest_are_forgotten_first() {
        let dot = Dot {
            actor: ActorId(1),
            life: Tick(1),
            tick: Tick(1),
        };
        let mut replaced = Replaced::default();
        for id in 0..=REMEMBERED_MAX as u128 {
            replaced.insert(RequestId(id), dot);
        }
        assert_eq!(replaced.find(RequestId(0)), None);
        assert_eq!(replaced.find(RequestId(1)), Some(dot));
        assert_eq!(replaced.dots.len(), REMEMBERED_MAX);
    }
}
