//! Records and contexts (rules D1–D4), as small as they can be told: every write of a run has a number, and a context is
//! the set of the writes that it covers.
//!
//! That loses nothing: a context holds one tick for each actor and life, and the writes of one life are numbered in the order of their
//! ticks, so `{(A, 1): 7}` is the set of all writes of A's first life up to tick 7, also of those that its holder never had. That
//! claim is exactly what rule D2 is about. Beside what a node would know, a record carries what only the checker knows:
//! which writes really went into it.

/// A set of writes, one bit for each number.
pub type Writes = u8;

/// A run issues no more than so many.
pub const WRITES_MAX: usize = 5;

/// What one node knows of the key. A record that covers nothing stands for none at all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Record {
    pub context: Writes,
    pub versions: Writes,
    /// Not part of the record: the writes that it really grew from, which a context only claims.
    pub grown_from: Writes,
}

impl Record {
    pub const NONE: Self = Self {
        context: 0,
        versions: 0,
        grown_from: 0,
    };

    pub const fn is_none(self) -> bool {
        self.context == 0
    }

    /// Rule D3: a version lives on if both have it, or if the other's context does not cover it.
    pub const fn merge(self, other: Self) -> Self {
        let both = self.versions & other.versions;
        let mine = self.versions & !other.context;
        let others = other.versions & !self.context;
        Self {
            context: self.context | other.context,
            versions: both | mine | others,
            grown_from: self.grown_from | other.grown_from,
        }
    }

    /// What a digest shows: the record without what only the checker knows.
    pub const fn digest(self) -> (Writes, Writes) {
        (self.context, self.versions)
    }
}

/// One write under its dot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Write {
    pub actor: u8,
    pub life: u8,
    pub tick: u8,
    pub deletes: bool,
    pub state: Progress,
    /// The home that its coordinator's own copy stands for.
    pub own: u8,
    /// Homes that have it, or have a stand-in for it.
    pub held: u8,
    /// A stand-in is among those, so that it is concurrent with what homes do meanwhile.
    pub sloppy: bool,
    /// Contexts that replicas answered with, because they held what it did not know (rule D4).
    pub unknown: Record,
    /// What its coordinator knew, and so replaced.
    pub replaced: Writes,
    /// What was acknowledged before it began.
    pub after: Writes,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub enum Progress {
    /// Its coordinator waits for answers.
    #[default]
    Open,
    Acknowledged,
    /// Its coordinator has crashed, or has written once more.
    GivenUp,
}

/// Every write of a run so far.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct History {
    pub count: u8,
    pub writes: [Write; WRITES_MAX],
}

impl History {
    pub fn all(&self) -> impl Iterator<Item = (u8, &Write)> {
        (0..self.count).zip(&self.writes)
    }

    pub fn filter(&self, is_meant: impl Fn(&Write) -> bool) -> Writes {
        let meant = self.all().filter(|(_, write)| is_meant(write));
        meant.fold(0, |set, (number, _)| set | 1 << number)
    }

    /// What somebody who holds a write of this life claims to have.
    pub fn life(&self, actor: u8, life: u8) -> Writes {
        self.filter(|write| write.actor == actor && write.life == life)
    }

    pub fn acknowledged(&self) -> Writes {
        self.filter(|write| write.state == Progress::Acknowledged)
    }

    pub fn deletions(&self) -> Writes {
        self.filter(|write| write.deletes)
    }

    pub fn tick_max(&self, set: Writes) -> u8 {
        let ticks = self.all().filter(|(number, _)| set & 1 << number != 0);
        ticks.map(|(_, write)| write.tick).max().unwrap_or(0)
    }

    /// Which version a reader is shown (`newest`): the highest tick, ties broken by actor.
    pub fn newest(&self, versions: Writes) -> Option<u8> {
        let shown = self.all().filter(|(number, _)| versions & 1 << number != 0);
        shown
            .max_by_key(|(_, write)| (write.tick, write.actor, write.life))
            .map(|(number, _)| number)
    }

    /// Whether a later write that knew this one was begun.
    pub fn is_replaced(&self, number: u8) -> bool {
        self.all().any(|(_, write)| write.replaced & 1 << number != 0)
    }

    /// Writes that an acknowledged delete or put replaced.
    pub fn replaced_for_good(&self) -> Writes {
        let acknowledged = self.all().filter(|(_, write)| write.state == Progress::Acknowledged);
        acknowledged.fold(0, |set, (_, write)| set | write.replaced)
    }

    /// A new dot above `seen`, put on a copy of its coordinator: the copy's next record.
    pub fn issue(&mut self, base: Record, write: Write) -> Record {
        let number = self.count;
        let replaced = base.grown_from;
        self.writes[usize::from(number)] = Write { replaced, ..write };
        self.count += 1;
        Record {
            context: base.context | self.life(write.actor, write.life),
            versions: 1 << number,
            grown_from: base.grown_from | 1 << number,
        }
    }
}
