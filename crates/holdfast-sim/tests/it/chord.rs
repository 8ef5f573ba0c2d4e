//! Chord in Zave's form: her invariant holds after every step however nodes come and go, every operation as it was published first is
//! noticed, and lookups take what the papers measured.

use holdfast_core::chord::Flaw;
use holdfast_sim::chord::{figures, invariant};

#[test]
fn the_invariant_holds_after_every_step_and_the_ring_heals() {
    for seed in 0..20 {
        assert_eq!(invariant::storm(seed, None), None, "seed {seed}");
    }
}

#[test]
fn every_operation_as_it_was_published_first_is_noticed() {
    for flaw in Flaw::ALL {
        let noticed = (0..100).find_map(|seed| Some((seed, invariant::storm(seed, Some(flaw))?)));
        let (seed, found) = noticed.unwrap_or_else(|| panic!("{flaw:?} is not noticed"));
        println!("{flaw:?}: seed {seed}, {found}");
    }
}

/// SIGCOMM 2001, Figure 10: half the binary logarithm of the number of nodes.
#[test]
fn a_path_is_half_the_logarithm_of_the_number_of_nodes() {
    for power in 6..=14 {
        let (row, half) = (figures::paths(1 << power, 1, 1_000), f64::from(power) / 2.0);
        let ratio = row.mean_hops() / half;
        assert!((0.9..=1.1).contains(&ratio), "2^{power} nodes: {ratio:.3} of it");
        assert_eq!((row.wrong, row.timeouts), (0, 0));
    }
}

/// ToN 2003, Table II: with lists of 20, no lookup is lost though half of the nodes died a moment ago.
#[test]
fn no_lookup_is_lost_where_half_of_the_nodes_have_just_died() {
    let whole = figures::failures(1_000, 20, 0, 2_000);
    assert!(
        (3.4..=4.2).contains(&whole.mean_hops()),
        "{whole:?}: the paper has 3.84"
    );
    for percent in [10, 30, 50] {
        let row = figures::failures(1_000, 20, percent, 2_000);
        assert_eq!(row.wrong, 0, "{percent} %");
        assert!(
            row.mean_hops() < 6.5 && row.mean_timeouts() < 8.0,
            "{percent} %: {row:?}"
        );
    }
}

/// ToN 2003, Table III, one row of it: two nodes join and two die every five seconds.
#[test]
fn lookups_go_on_while_nodes_come_and_go() {
    let row = figures::churn(1_000, 20, 400, 400);
    assert!(row.wrong <= 2, "{row:?}: the paper has 15 in 10,000");
    assert!(row.mean_hops() < 4.6 && row.mean_timeouts() < 0.8, "{row:?}");
}
