//! Chance, from a seed: xoshiro256** (Blackman and Vigna, 2018), seeded through SplitMix64 as its authors advise.
//!
//! Invariant: nothing else in this crate is random, and each stream belongs to one purpose, so that a change in how the
//! workload draws leaves the network of the same seed as it was. Probabilities are integers (per mille, per million):
//! no float decides a branch.

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

/// What a stream is for; part of its seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Stream {
    /// What the seed's cluster, faults and workload are like.
    Plan = 1,
    /// Latencies, losses, disks.
    World = 2,
    /// When which fault strikes.
    Faults = 3,
    /// What clients do.
    Workload = 4,
    /// What gossip chooses, and what becomes of its datagrams.
    Gossip = 5,
    /// Whether the cluster forgets within the run.
    Forgetting = 6,
    /// Whether connections hold what they cannot deliver.
    Holding = 7,
    /// Whether a bucket has fewer homes than usual.
    FewHomes = 8,
    /// Whether a disk rots, and what of it.
    Rot = 9,
    /// Whether a disk is lost, or put back from an old copy.
    Disks = 10,
    /// Whether there is a gateway, when it dies, and which clients use it.
    Gateway = 11,
}

impl Rng {
    /// The stream of a seed for one purpose.
    #[must_use]
    pub fn new(seed: u64, stream: Stream) -> Self {
        let mut mixed = seed ^ (stream as u64).wrapping_mul(0xd134_2543_de82_ef95);
        let mut next = || {
            mixed = mixed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = mixed;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Self {
            state: [next(), next(), next(), next()],
        }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// 128 bits, for ids.
    pub fn next_u128(&mut self) -> u128 {
        (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64())
    }

    /// A number below `bound` (0 when the bound is 0). The bias of the multiply-shift method is below 2⁻³².
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// A signed number in `-bound..=bound`.
    pub fn around_zero(&mut self, bound: u64) -> i64 {
        self.between(0, 2 * bound) as i64 - bound as i64
    }

    /// True in so many of a thousand cases.
    pub fn per_mille(&mut self, chance: u64) -> bool {
        self.below(1_000) < chance
    }

    /// True in so many of a million cases.
    pub fn per_million(&mut self, chance: u64) -> bool {
        self.below(1_000_000) < chance
    }

    /// One of a list that is not empty.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }

    /// An index, each with the weight given.
    pub fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            if left < *weight {
                return index;
            }
            left -= weight;
        }
        weights.len() - 1
    }

    /// A number whose logarithm is spread evenly over `low..=high`: delays differ by factors, not by sums.
    pub fn spread(&mut self, low: u64, high: u64) -> u64 {
        let (low, high) = (low.max(1), high.max(1));
        let octaves = u64::from(high.ilog2() - low.ilog2()) + 1;
        let base = low << self.below(octaves);
        self.between(base, base.saturating_mul(2)).clamp(low, high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_and_another_seed_or_stream_others() {
        let draw = |seed, stream| {
            let mut rng = Rng::new(seed, stream);
            [rng.next_u64(), rng.next_u64(), rng.next_u64()]
        };
        assert_eq!(draw(1, Stream::Plan), draw(1, Stream::Plan));
        assert_ne!(draw(1, Stream::Plan), draw(2, Stream::Plan));
        assert_ne!(draw(1, Stream::Plan), draw(1, Stream::World));
    }

    #[test]
    fn bounds_hold_and_are_reached() {
        let mut rng = Rng::new(7, Stream::World);
        let mut seen = [0u32; 5];
        for _ in 0..1_000 {
            seen[rng.below(5) as usize] += 1;
            assert!((3..=9).contains(&rng.between(3, 9)));
            assert!((-4..=4).contains(&rng.around_zero(4)));
            assert!((100..=5_000).contains(&rng.spread(100, 5_000)));
        }
        assert!(seen.iter().all(|count| *count > 120), "{seen:?}");
        assert_eq!(rng.weighted(&[0, 0, 3]), 2);
    }
}
