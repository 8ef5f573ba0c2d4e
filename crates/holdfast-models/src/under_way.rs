//! Messages under way. Each is delivered any number of times, late or never; how many there may be at once bounds a scope.

/// Room for so many in every model.
pub const ROOM: usize = 4;

/// Sorted, once normalised: what was sent first makes no difference.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UnderWay<M> {
    slots: [Option<M>; ROOM],
}

impl<M: Copy + Ord> UnderWay<M> {
    pub const NOTHING: Self = Self { slots: [None; ROOM] };

    pub fn iter(&self) -> impl Iterator<Item = &M> {
        self.slots.iter().flatten()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut M> {
        self.slots.iter_mut().flatten()
    }

    /// What is under way once `message` is sent, too. Any message may be lost; which one, only matters when there is no more
    /// room, because one that is never delivered does nothing.
    pub fn with(&self, message: M, count_max: u8) -> Vec<Self> {
        let slots = &self.slots[..usize::from(count_max)];
        if slots.contains(&Some(message)) {
            return vec![*self];
        }
        let free = slots.iter().position(Option::is_none);
        let choices = free.map_or(0..slots.len(), |free| free..free + 1);
        let placed = choices.map(|slot| {
            let mut after = *self;
            after.slots[slot] = Some(message);
            after
        });
        placed.collect()
    }

    pub fn retain(&mut self, stays: impl Fn(&M) -> bool) {
        for slot in &mut self.slots {
            *slot = slot.filter(&stays);
        }
    }

    pub fn normalise(&mut self) {
        self.slots.sort_unstable_by(|one, other| other.cmp(one));
        for index in 1..ROOM {
            if self.slots[index] == self.slots[index - 1] {
                self.slots[index - 1] = None;
            }
        }
        self.slots.sort_unstable_by(|one, other| other.cmp(one));
    }
}
