//! Deals columns (zones, hosts or members) to the ranks of many lists, so that no list gets a column twice and each
//! rank gets each column exactly as often as its quota says.
//!
//! When every list has the same ranks to fill this always succeeds: see the quotas as a bipartite multigraph of ranks
//! and columns in which no degree exceeds the number of lists left. By König's theorem it has a matching that serves
//! every rank and every column of full degree; dealing that matching to the next list leaves such a graph again.
//! Among the columns that a rank could get chance decides, in proportion to what is left of their quotas, so that lists
//! differ and the work of a failed member falls on many others.
//!
//! Weak spot: when lists fill different ranks (the second visits of zones that come in different orders) the theorem
//! does not apply, and a rank may find nothing left but what its list already has. It then overdraws a quota, and
//! [`mend`] makes up for it afterwards where it can.

use alloc::vec::Vec;

use super::chance::Chance;
use super::mend::mend;

/// Ranks beyond these are not dealt: a set of ranks is a `u8`.
pub(super) const RANKS_MAX: usize = 8;

/// The ranks of one list that are to be filled, as bits.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) partition: u32,
    pub(super) ranks: u8,
}

/// The column of each rank; [`NONE`] where nothing was dealt.
pub(super) type Hand = [u16; RANKS_MAX];

/// No column.
pub(super) const NONE: u16 = u16::MAX;

/// What is left to deal, and the hand being dealt.
struct Table {
    /// Quotas left, by column, then rank.
    left: Vec<[u32; RANKS_MAX]>,
    /// Quotas left, by column.
    left_sum: Vec<u32>,
    /// How far quotas were overdrawn, or missed if negative, by column, then rank.
    excess: Vec<[i32; RANKS_MAX]>,
    /// Lists left, the present one included.
    lists_left: u32,
    /// The ranks of the present list.
    ranks: u8,
    /// What it has got.
    hand: Hand,
    /// Whether it has got a column.
    held: Vec<bool>,
    /// Columns that the present search has seen.
    seen: Vec<bool>,
}

/// Deals every slot its hand. `quotas` are by column, then rank; those of a rank sum to the number of slots with it.
pub(super) fn deal(slots: &[Slot], quotas: Vec<[u32; RANKS_MAX]>, chance: &mut Chance) -> Vec<Hand> {
    let (mut hands, mut excess) = deal_in_turn(slots, quotas, chance);
    mend(&mut hands, &mut excess);
    hands
}

/// The hands, and by column, then rank, how far each quota was overdrawn, or missed if negative.
fn deal_in_turn(
    slots: &[Slot],
    quotas: Vec<[u32; RANKS_MAX]>,
    chance: &mut Chance,
) -> (Vec<Hand>, Vec<[i32; RANKS_MAX]>) {
    let columns_count = quotas.len();
    let mut table = Table {
        left_sum: quotas.iter().map(|ranks| ranks.iter().sum()).collect(),
        left: quotas,
        excess: alloc::vec![[0; RANKS_MAX]; columns_count],
        lists_left: slots.len() as u32,
        ranks: 0,
        hand: [NONE; RANKS_MAX],
        held: alloc::vec![false; columns_count],
        seen: alloc::vec![false; columns_count],
    };
    let mut hands: Vec<Hand> = Vec::with_capacity(slots.len());
    for slot in slots {
        table.take_up(slot.ranks);
        table.draw(chance);
        table.serve_every_rank();
        table.serve_full_columns();
        for rank in ranks_of(slot.ranks) {
            match table.hand[rank] {
                NONE => table.overdraw(rank),
                column => table.spend(column, rank),
            }
        }
        hands.push(table.hand);
        table.lists_left -= 1;
    }
    (hands, table.excess)
}

/// The ranks in a set, ascending.
pub(super) fn ranks_of(set: u8) -> impl Iterator<Item = usize> + Clone {
    (0..RANKS_MAX).filter(move |rank| set >> rank & 1 == 1)
}

impl Table {
    /// Begins the hand of the next list.
    fn take_up(&mut self, ranks: u8) {
        for column in self.hand {
            if column != NONE {
                self.held[usize::from(column)] = false;
            }
        }
        self.hand = [NONE; RANKS_MAX];
        self.ranks = ranks;
    }

    /// Gives a rank a column.
    fn give(&mut self, rank: usize, column: usize) {
        self.hand[rank] = column as u16;
        self.held[column] = true;
    }

    /// Takes one from a quota.
    fn spend(&mut self, column: u16, rank: usize) {
        let column = usize::from(column);
        self.left[column][rank] -= 1;
        self.left_sum[column] -= 1;
    }

    /// Draws a column for each rank, in proportion to the quotas left. A rank may get none.
    fn draw(&mut self, chance: &mut Chance) {
        for rank in ranks_of(self.ranks) {
            let weight = |column: usize| if self.held[column] { 0 } else { self.left[column][rank] };
            let total: u32 = (0..self.left.len()).map(weight).sum();
            if total == 0 {
                continue;
            }
            let mut drawn = chance.below(total);
            let chosen = (0..self.left.len()).find(|column| {
                let found = drawn < weight(*column);
                drawn = drawn.saturating_sub(weight(*column));
                found
            });
            if let Some(column) = chosen {
                self.give(rank, column);
            }
        }
    }

    /// Lets ranks that got nothing take columns of others that can take another (augmenting paths).
    fn serve_every_rank(&mut self) {
        for rank in ranks_of(self.ranks) {
            if self.hand[rank] == NONE {
                self.seen.fill(false);
                self.serve(rank);
            }
        }
    }

    /// Finds a column for a rank; whether it did.
    fn serve(&mut self, rank: usize) -> bool {
        for column in 0..self.left.len() {
            if self.left[column][rank] == 0 || self.seen[column] {
                continue;
            }
            self.seen[column] = true;
            let holder = ranks_of(self.ranks).find(|other| usize::from(self.hand[*other]) == column);
            if holder.is_none_or(|holder| self.serve(holder)) {
                self.give(rank, column);
                return true;
            }
        }
        false
    }

    /// Sees to it that a column which every list from here on needs is in this one too.
    fn serve_full_columns(&mut self) {
        for column in 0..self.left.len() {
            if self.is_full(column) && !self.held[column] {
                self.place(column, 0);
            }
        }
    }

    /// Whether every list that is left needs a column.
    fn is_full(&self, column: usize) -> bool {
        self.left_sum[column] >= self.lists_left
    }

    /// Finds a rank for a column at the expense of one that is not full; `tried` are ranks not to be tried again.
    /// The ranks tried, or nothing if it succeeded.
    fn place(&mut self, column: usize, mut tried: u8) -> Option<u8> {
        for rank in ranks_of(self.ranks) {
            if tried >> rank & 1 == 1 || self.left[column][rank] == 0 {
                continue;
            }
            tried |= 1 << rank;
            let other = self.hand[rank];
            if other != NONE && self.is_full(usize::from(other)) {
                if let Some(more) = self.place(usize::from(other), tried) {
                    tried = more;
                    continue;
                }
            } else if other != NONE {
                self.held[usize::from(other)] = false;
            }
            self.give(rank, column);
            return None;
        }
        Some(tried)
    }

    /// Fills a rank for which nothing is left but columns that the list has, with a column beyond its quota; that of
    /// another is missed for it.
    fn overdraw(&mut self, rank: usize) {
        let columns = 0..self.left.len();
        let free = columns.clone().filter(|column| !self.held[*column]);
        if let Some(over) = free.max_by_key(|column| self.left_sum[*column]) {
            self.give(rank, over);
            self.excess[over][rank] += 1;
        }
        if let Some(under) = columns.clone().find(|column| self.left[*column][rank] > 0) {
            self.spend(under as u16, rank);
            self.excess[under][rank] -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{Chance, Hand, RANKS_MAX, Slot, deal, deal_in_turn, ranks_of};

    /// Slots with the same ranks.
    fn slots(count: u32, ranks: u8) -> Vec<Slot> {
        (0..count).map(|partition| Slot { partition, ranks }).collect()
    }

    /// Quotas of the first few ranks.
    fn quotas<const RANKS: usize>(columns: &[[u32; RANKS]]) -> Vec<[u32; RANKS_MAX]> {
        let widen = |quota: &[u32; RANKS]| {
            let mut wide = [0; RANKS_MAX];
            wide[..RANKS].copy_from_slice(quota);
            wide
        };
        columns.iter().map(widen).collect()
    }

    fn assert_dealt(slots: &[Slot], hands: &[Hand], quotas: &[[u32; RANKS_MAX]]) {
        for (column, quota) in (0..).zip(quotas) {
            for (rank, quota) in quota.iter().enumerate() {
                let dealt = hands.iter().filter(|hand| hand[rank] == column).count();
                assert_eq!(dealt as u32, *quota, "column {column} at rank {rank}");
            }
            for hand in hands {
                assert!(hand.iter().filter(|held| **held == column).count() <= 1, "{hand:?}");
            }
        }
        for (slot, hand) in slots.iter().zip(hands) {
            assert!(
                ranks_of(slot.ranks).all(|rank| usize::from(hand[rank]) < quotas.len()),
                "{hand:?}"
            );
        }
    }

    #[test]
    fn lists_with_the_same_ranks_are_dealt_without_a_miss() {
        // The first two columns stand in every list; a list that drew the other two first could not have both.
        let two_full = quotas(&[[450, 450, 100], [450, 450, 100], [50, 50, 400], [50, 50, 400]]);
        let all_full = quotas(&[[700, 200, 100], [200, 100, 700], [100, 700, 200]]);
        let one_to_spare = quotas(&[[999, 0], [1, 999], [0, 1]]);
        for (quotas, ranks) in [(two_full, 0b111), (all_full, 0b111), (one_to_spare, 0b11)] {
            let slots = slots(1_000, ranks);
            let (hands, excess) = deal_in_turn(&slots, quotas.clone(), &mut Chance::new(1));
            assert!(excess.iter().all(|ranks| *ranks == [0; RANKS_MAX]), "{excess:?}");
            assert_dealt(&slots, &hands, &quotas);
        }
    }

    #[test]
    fn misses_between_lists_with_other_ranks_are_mended() {
        // Two zones take turns in any order, twice; both members of this one are in every list.
        let slot = |partition: u32| Slot {
            partition,
            ranks: [0b0101, 0b1001, 0b0110, 0b1010][partition as usize % 4],
        };
        let slots: Vec<Slot> = (0..1_000).map(slot).collect();
        let quotas = quotas(&[[250; 4]; 2]);
        let (_, excess) = deal_in_turn(&slots, quotas.clone(), &mut Chance::new(1));
        assert!(
            excess.iter().any(|ranks| *ranks != [0; RANKS_MAX]),
            "nothing to mend: choose harder quotas"
        );
        assert_dealt(&slots, &deal(&slots, quotas.clone(), &mut Chance::new(1)), &quotas);
    }

    #[test]
    fn quotas_that_cannot_be_met_are_missed_without_harm() {
        // Both ranks want the same column in every list, and the quotas of rank 1 are too few.
        let slots = slots(10, 0b11);
        let hands = deal(&slots, quotas(&[[10, 8], [0, 0]]), &mut Chance::new(1));
        assert!(
            hands
                .iter()
                .all(|hand| hand[0] != hand[1] && hand[0] < 2 && hand[1] < 2),
            "{hands:?}"
        );
    }
}
