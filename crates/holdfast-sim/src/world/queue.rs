//! Events in order of time; of one instant, in the order in which they were planned. That total order is what makes a
//! run the same every time.
//!
//! The heap holds small keys only; the events lie in slots that are used again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Future events.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    slots: Vec<Option<T>>,
    free: Vec<u32>,
    planned: u64,
}

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            planned: 0,
        }
    }

    /// Plans an event at an instant.
    pub(crate) fn push(&mut self, at_us: u64, event: T) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(event);
                slot
            }
            None => {
                self.slots.push(Some(event));
                (self.slots.len() - 1) as u32
            }
        };
        self.planned += 1;
        self.heap.push(Reverse((at_us, self.planned, slot)));
    }

    /// When the next event is due.
    pub(crate) fn next_at_us(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }

    /// The next event and when it is due.
    pub(crate) fn pop(&mut self) -> Option<(u64, T)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        let event = self.slots[slot as usize].take()?;
        Some((at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_order_of_time_and_then_of_planning() {
        let mut queue = Queue::new();
        for (at, name) in [(5, "c"), (1, "a"), (5, "d"), (3, "b"), (5, "e")] {
            queue.push(at, name);
        }
        assert_eq!(queue.next_at_us(), Some(1));
        let mut order = Vec::new();
        while let Some((at, name)) = queue.pop() {
            order.push(name);
            if name == "c" {
                queue.push(at, "f");
            }
        }
        assert_eq!(order, ["a", "b", "c", "d", "e", "f"]);
    }
}
