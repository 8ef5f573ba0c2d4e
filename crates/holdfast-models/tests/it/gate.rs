//! How a tombstone leaves: what the direct algorithm keeps, what it keeps it by, and what the roads not taken cost.

use crate::{assert_broken, assert_kept};
use holdfast_models::gate::{AWAY, Before, Bound, Gate, PUT_BETWEEN, Promises, Rules, Scope};
use holdfast_models::search::COMES_TO_REST;

const COMES_BACK: &str = "what an acknowledged write replaced does not come back";
const TOO_EARLY: &str = "nothing is removed while somebody holds what it would bring back";
const RETURNS: &str = "a tombstone that was removed stays away";
const LATER_WINS: &str = "a later write wins over an earlier one, whatever the clocks";

const DIRECT: Gate = Gate {
    scope: Scope::SMALL,
    rules: Rules::DIRECT,
    promises: Promises::KEPT,
};

fn planted(rules: Rules) -> Gate {
    Gate {
        rules,
        promises: Promises::DATA,
        ..DIRECT
    }
}

#[test]
fn asking_waiting_and_removing_is_enough() {
    assert_kept(&DIRECT, &[PUT_BETWEEN, AWAY]);
}

#[test]
fn also_with_a_put_while_the_tombstone_goes() {
    let scope = Scope::WITH_A_LATER_PUT;
    assert_kept(&Gate { scope, ..DIRECT }, &[AWAY]);
}

#[test]
fn also_with_a_guest_that_is_away_and_a_home_that_starts_uncleanly() {
    let scope = Scope {
        leaves: 1,
        crashes: 1,
        ..Scope::SMALL
    };
    assert_kept(&Gate { scope, ..DIRECT }, &[PUT_BETWEEN]);
}

#[test]
fn also_with_two_collectors() {
    let scope = Scope {
        collectors: 2,
        ..Scope::SMALL
    };
    assert_kept(&Gate { scope, ..DIRECT }, &[PUT_BETWEEN, AWAY]);
}

#[test]
fn also_with_three_homes_of_which_two_have_a_write() {
    let scope = Scope {
        homes: 3,
        r: 2,
        ..Scope::SMALL
    };
    assert_kept(&Gate { scope, ..DIRECT }, &[PUT_BETWEEN, AWAY]);
}

#[test]
fn planted_the_stretch_is_left_out() {
    let rules = Rules {
        stretch: false,
        ..Rules::DIRECT
    };
    assert_broken(&planted(rules), COMES_BACK, 8);
}

#[test]
fn planted_nobody_asks_about_hints() {
    let rules = Rules {
        hints_asked: false,
        ..Rules::DIRECT
    };
    assert_broken(&planted(rules), COMES_BACK, 9);
}

/// A hint that comes and goes within the stretch is read and sent anew, and so lives longer than what brought it.
#[test]
fn planted_hints_are_asked_about_at_the_ends_only() {
    let rules = Rules {
        between_asked: false,
        ..Rules::DIRECT
    };
    assert_broken(&planted(rules), COMES_BACK, 12);
}

#[test]
fn planted_a_member_that_is_away_is_not_waited_for() {
    let rules = Rules {
        away_waited_for: false,
        ..Rules::DIRECT
    };
    let scope = Scope {
        leaves: 1,
        ..Scope::SMALL
    };
    assert_broken(
        &Gate {
            scope,
            ..planted(rules)
        },
        COMES_BACK,
        10,
    );
}

#[test]
fn planted_a_message_outlives_the_stretch() {
    let rules = Rules {
        messages_die: false,
        ..Rules::DIRECT
    };
    assert_broken(&planted(rules), COMES_BACK, 9);
}

#[test]
fn planted_one_home_is_asked_instead_of_all() {
    let rules = Rules {
        all_asked: false,
        ..Rules::DIRECT
    };
    assert_broken(&planted(rules), COMES_BACK, 10);
}

/// Nor is it enough to ask all homes once the stretch is over: within it, one that still held the old version sent it on.
#[test]
fn planted_all_homes_are_asked_after_the_stretch_only() {
    let rules = Rules {
        all_asked: false,
        ..Rules::STAGED
    };
    assert_broken(&planted(rules), COMES_BACK, 14);
}

#[test]
fn planted_a_home_confirms_what_it_has_not_synced() {
    let rules = Rules {
        asked_synced: false,
        ..Rules::DIRECT
    };
    let scope = Scope {
        crashes: 1,
        ..Scope::SMALL
    };
    let gate = Gate { scope, rules, ..DIRECT };
    assert_broken(&gate, TOO_EARLY, 10);
}

/// Who never had the tombstone has nothing, too, and what it would have covered may still be on its way there.
#[test]
fn planted_having_nothing_counts_as_having_the_tombstone() {
    let rules = Rules {
        nothing_is_a_no: false,
        ..Rules::DIRECT
    };
    assert_broken(&Gate { rules, ..DIRECT }, TOO_EARLY, 8);
    assert_broken(&planted(rules), COMES_BACK, 11);
}

/// A home removes the tombstone and takes a put under a clock that stands behind the deletion's; the tombstone comes back from a
/// home that had not removed it yet, and hides the put.
#[test]
fn planted_a_node_forgets_the_ticks_of_what_it_removed() {
    let rules = Rules {
        bound: Bound::Never,
        ..Rules::DIRECT
    };
    let scope = Scope::WITH_A_LATER_PUT;
    assert_broken(
        &Gate {
            scope,
            ..planted(rules)
        },
        LATER_WINS,
        13,
    );
}

/// What the direct algorithm does not promise: a home that removes late gives the tombstone back to the others, to be
/// collected once more.
#[test]
fn a_removed_tombstone_may_come_back_for_another_round() {
    let promises = Promises {
        stays_gone: true,
        ..Promises::KEPT
    };
    assert_broken(&Gate { promises, ..DIRECT }, RETURNS, 8);
}

/// Marks on disk between stretch and removal lose no data, and neither do their variations …
#[test]
fn marks_are_as_safe_whatever_their_order() {
    let staged = Rules::STAGED;
    let variations = [
        staged,
        Rules {
            settles: false,
            ..staged
        },
        Rules {
            condemns: false,
            ..staged
        },
        Rules {
            all_settled_first: false,
            ..staged
        },
        Rules {
            all_condemned_first: false,
            ..staged
        },
        Rules {
            condemned_for_good: false,
            ..staged
        },
        Rules {
            settled_not_sent: false,
            ..staged
        },
    ];
    for rules in variations {
        let promises = Promises {
            nothing_left: true,
            ..Promises::DATA
        };
        assert_kept(
            &Gate {
                rules,
                promises,
                ..DIRECT
            },
            &[PUT_BETWEEN, AWAY],
        );
    }
}

/// … but a collector that stops after its first removal leaves a condemned tombstone for ever: whoever comes next is told
/// that one home holds nothing, and what is condemned is sent to nobody.
#[test]
fn marks_get_stuck_when_the_collector_stops() {
    let rules = Rules::STAGED;
    assert_broken(&Gate { rules, ..DIRECT }, COMES_TO_REST, 13);
}

/// Nor does it help to go on from what is condemned: a late order settles a tombstone that had come back to one home only.
#[test]
fn marks_get_stuck_by_late_orders() {
    let rules = Rules {
        condemned_proves: true,
        ..Rules::STAGED
    };
    assert_broken(&Gate { rules, ..DIRECT }, COMES_TO_REST, 16);
}

/// With nothing settled, going on from what is condemned, and a second stretch, it never comes back: that is what such
/// marks would buy.
#[test]
fn condemning_and_waiting_twice_keeps_it_away() {
    let rules = Rules {
        settles: false,
        condemned_proves: true,
        before_removal: Before::Stretch,
        ..Rules::STAGED
    };
    let promises = Promises {
        stays_gone: true,
        ..Promises::KEPT
    };
    assert_kept(
        &Gate {
            rules,
            promises,
            ..DIRECT
        },
        &[PUT_BETWEEN, AWAY],
    );
}
