//! Lives and hints: what the rules keep, and what each of them keeps it by.

use crate::{assert_broken, assert_kept};
use holdfast_models::lives::{CHANGED, LOST, LOST_WITH_A_WRITE, Lives, Rules, Scope};

const COVERS: &str = "a copy covers every dot issued in its life";
const TWO_VALUES: &str = "no dot names two values";
const THERE: &str = "an acknowledged put is there until it is replaced";
const COMES_BACK: &str = "what an acknowledged write replaced does not come back";

const SOUND: Lives = Lives {
    scope: Scope {
        puts: 2,
        second_writes: 0,
        messages: 2,
        crashes: 0,
    },
    rules: Rules::SOUND,
    copies_looked_at: true,
};

/// Judged by what clients see alone.
fn planted(rules: Rules) -> Lives {
    Lives {
        rules,
        copies_looked_at: false,
        ..SOUND
    }
}

fn with_a_crash(lives: Lives) -> Lives {
    let scope = Scope {
        crashes: 1,
        ..lives.scope
    };
    Lives { scope, ..lives }
}

#[test]
fn two_puts_by_anybody_are_kept() {
    assert_kept(&SOUND, &[LOST, LOST_WITH_A_WRITE]);
}

#[test]
fn also_when_they_write_once_more() {
    let scope = Scope {
        second_writes: 1,
        messages: 1,
        ..SOUND.scope
    };
    assert_kept(&Lives { scope, ..SOUND }, &[CHANGED, LOST, LOST_WITH_A_WRITE]);
}

#[test]
fn also_when_a_node_starts_uncleanly() {
    let scope = Scope {
        second_writes: 1,
        messages: 1,
        ..SOUND.scope
    };
    assert_kept(&with_a_crash(Lives { scope, ..SOUND }), &[]);
}

/// A stand-in hands over its first write, and claims with its second one, which begins with nothing, to have replaced it.
#[test]
fn planted_a_life_outlives_its_copy() {
    let rules = Rules {
        new_life_without_copy: false,
        ..Rules::SOUND
    };
    assert_broken(&Lives { rules, ..SOUND }, COVERS, 4);
    assert_broken(&planted(rules), THERE, 5);
}

/// Clients do not see this one while the coordinator's own copy must be synced before it answers: each of the two rules
/// covers for the other.
#[test]
fn planted_a_life_outlives_an_unclean_start() {
    let rules = Rules {
        new_life_after_unclean_start: false,
        ..Rules::SOUND
    };
    assert_broken(&with_a_crash(Lives { rules, ..SOUND }), COVERS, 3);
}

#[test]
fn planted_the_coordinator_answers_before_its_own_sync() {
    let rules = Rules {
        own_synced: false,
        ..Rules::SOUND
    };
    assert_broken(&with_a_crash(planted(rules)), THERE, 3);
}

#[test]
fn planted_a_replica_answers_before_its_sync() {
    let rules = Rules {
        answers_synced: false,
        ..Rules::SOUND
    };
    assert_broken(&with_a_crash(planted(rules)), THERE, 3);
}

#[test]
fn planted_the_bound_on_ticks_is_lost() {
    let rules = Rules {
        bound_kept: false,
        ..Rules::SOUND
    };
    assert_broken(&with_a_crash(planted(rules)), TWO_VALUES, 3);
}

/// The hint has changed since it was sent, and the confirmation of what it was strikes the home off.
#[test]
fn planted_a_home_is_struck_off_for_an_older_hint() {
    let rules = Rules {
        struck_off_exactly: false,
        ..Rules::SOUND
    };
    assert_broken(&planted(rules), COMES_BACK, 5);
}

#[test]
fn planted_a_hint_goes_while_it_owes_another_home() {
    let rules = Rules {
        kept_while_owed: false,
        ..Rules::SOUND
    };
    assert_broken(&planted(rules), THERE, 5);
}

#[test]
fn planted_a_home_and_its_stand_in_count_twice() {
    let rules = Rules {
        stands_for_one: false,
        ..Rules::SOUND
    };
    assert_broken(&planted(rules), THERE, 4);
}
