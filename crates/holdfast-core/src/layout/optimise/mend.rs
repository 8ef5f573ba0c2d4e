//! Makes up for quotas that dealing missed, by changing a few lists so that everything else stays as dealt.
//!
//! A miss is a rank at which one column stands in one list too many and another in one too few. If a list has the first
//! there and lacks the second, it takes the second, and the miss is gone. Otherwise a list can pass the miss on: it takes
//! a third column there, which is then the one too many; or it swaps the two columns between two of its ranks, and the
//! miss is at the other rank. So a path of such steps is sought, shortest first, that ends the miss or leads it to
//! where it and another miss cancel out in part.
//!
//! Each path lowers the sum of what is overdrawn, so this ends. Weak spot: the search is bounded, and a quota for
//! which it finds no path stays missed.

use alloc::vec::Vec;

use super::deal::{Hand, RANKS_MAX};

/// Lists looked at for the misses of one deal. Enough to go a few thousand times through 1,024 lists; for 65,536, where
/// a list more or less is nothing, it keeps the search to milliseconds.
const LOOKS_MAX: usize = 1 << 22;

/// At a rank, a column dealt once too often and one dealt once too rarely.
#[derive(Clone, Copy)]
struct Miss {
    rank: usize,
    over: u16,
    under: u16,
}

/// A miss that can be reached from the one to be mended.
#[derive(Clone, Copy)]
struct Reached {
    miss: Miss,
    /// From which, by number, and by changing which list.
    from: Option<(usize, usize)>,
}

/// How one list changes.
#[derive(Clone, Copy)]
struct Change {
    list: usize,
    miss: Miss,
    /// What becomes of the miss; nothing if this ends it.
    next: Option<Miss>,
}

/// Mends what can be mended. `excess` says by column, then rank, how far its quota is overdrawn (negative: missed).
pub(super) fn mend(hands: &mut [Hand], excess: &mut [[i32; RANKS_MAX]]) {
    let mut looks_left = LOOKS_MAX;
    while misses(excess)
        .iter()
        .any(|miss| mend_one(hands, excess, *miss, &mut looks_left))
    {}
}

/// One miss for every two columns that are off in opposite ways.
fn misses(excess: &[[i32; RANKS_MAX]]) -> Vec<Miss> {
    let mut misses = Vec::new();
    for rank in 0..RANKS_MAX {
        for (over, _) in (0..).zip(excess).filter(|(_, ranks)| ranks[rank] > 0) {
            let unders = (0..).zip(excess).filter(|(_, ranks)| ranks[rank] < 0);
            misses.extend(unders.map(|(under, _)| Miss { rank, over, under }));
        }
    }
    misses
}

/// Counts a miss in, or out with a negative amount.
fn count(excess: &mut [[i32; RANKS_MAX]], miss: Miss, amount: i32) {
    excess[usize::from(miss.over)][miss.rank] += amount;
    excess[usize::from(miss.under)][miss.rank] -= amount;
}

/// Whether a miss could be mended, at least in part.
fn mend_one(hands: &mut [Hand], excess: &mut [[i32; RANKS_MAX]], miss: Miss, looks_left: &mut usize) -> bool {
    count(excess, miss, -1);
    let path = find_path(hands, excess, miss, looks_left);
    let walked = path.as_ref().is_some_and(|path| walk(hands, path));
    let rest = match path.as_ref().and_then(|path| path.last()) {
        Some(last) if walked => last.next,
        _ => Some(miss),
    };
    if let Some(rest) = rest {
        count(excess, rest, 1);
    }
    walked
}

/// The changes by which a miss ends or meets another.
fn find_path(hands: &[Hand], excess: &[[i32; RANKS_MAX]], miss: Miss, looks_left: &mut usize) -> Option<Vec<Change>> {
    let meets_another =
        |miss: Miss| excess[usize::from(miss.over)][miss.rank] < 0 || excess[usize::from(miss.under)][miss.rank] > 0;
    let mut seen = alloc::vec![[false; RANKS_MAX]; excess.len()];
    seen[usize::from(miss.over)][miss.rank] = true;
    let mut reached = alloc::vec![Reached { miss, from: None }];
    let mut at = 0;
    while let Some(Reached { miss, from }) = reached.get(at).copied() {
        if from.is_some() && meets_another(miss) {
            return Some(path_to(&reached, at, None));
        }
        *looks_left = looks_left.checked_sub(hands.len())?;
        let Miss { rank, over, under } = miss;
        for (list, hand) in hands.iter().enumerate().filter(|(_, hand)| hand[rank] == over) {
            let mut reach = |rank: usize, over: u16| {
                if !core::mem::replace(&mut seen[usize::from(over)][rank], true) {
                    let miss = Miss { rank, over, under };
                    let from = Some((at, list));
                    reached.push(Reached { miss, from });
                }
            };
            match hand.iter().position(|column| *column == under) {
                Some(other) => reach(other, over),
                None => return Some(path_to(&reached, at, Some(list))),
            }
            for third in (0..excess.len() as u16).filter(|third| !hand.contains(third)) {
                reach(rank, third);
            }
        }
        at += 1;
    }
    None
}

/// The changes that lead to a miss, and the one that ends it, if it ends.
fn path_to(reached: &[Reached], mut at: usize, end: Option<usize>) -> Vec<Change> {
    let mut path = Vec::new();
    if let Some(list) = end {
        let miss = reached[at].miss;
        path.push(Change { list, miss, next: None });
    }
    while let Some((from, list)) = reached[at].from {
        let next = Some(reached[at].miss);
        at = from;
        let miss = reached[at].miss;
        path.push(Change { list, miss, next });
    }
    path.reverse();
    path
}

/// Makes the changes of a path, all or none: a list that occurs twice may no longer allow its second change.
fn walk(hands: &mut [Hand], path: &[Change]) -> bool {
    let before: Vec<Hand> = path.iter().map(|change| hands[change.list]).collect();
    for (done, change) in path.iter().enumerate() {
        if !change.make(&mut hands[change.list]) {
            for (change, hand) in path.iter().zip(before).take(done).rev() {
                hands[change.list] = hand;
            }
            return false;
        }
    }
    true
}

impl Change {
    /// Changes a list, if it allows that.
    fn make(&self, hand: &mut Hand) -> bool {
        let Miss { rank, over, under } = self.miss;
        if hand[rank] != over {
            return false;
        }
        match self.next {
            Some(next) if next.rank != rank => {
                if hand[next.rank] != under {
                    return false;
                }
                hand.swap(rank, next.rank);
            }
            next => {
                let column = next.map_or(under, |next| next.over);
                if hand.contains(&column) {
                    return false;
                }
                hand[rank] = column;
            }
        }
        true
    }
}
