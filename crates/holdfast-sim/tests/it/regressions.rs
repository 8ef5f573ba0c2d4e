//! What the simulator has found in the nodes, each with its story. The seed is one that showed it when it was found; a
//! change of the workload gives the seed another story, which does no harm: the story is for the reader, the run is kept
//! because it costs little.

use holdfast_core::planted::Planted;
use holdfast_sim::run::{Options, run};

use crate::{must_hold, tell};

/// Every start began its tick bound 20 s above the last one, used or not. After four restarts within a minute a node's
/// ticks lay more than 60 s ahead, and every other node refused its writes (rule S4). Bounds now go ahead of the clock
/// only, and creep where they are ahead of it already.
#[test]
fn restarts_do_not_push_ticks_into_the_future() {
    must_hold(12);
    must_hold(25);
}

/// A retried `Create` gave the same upload two times of creation, and homes kept whichever came first: merging upload
/// rows did not commute, and homes differed for ever.
#[test]
fn upload_rows_merge_the_same_on_every_home() {
    must_hold(27);
    must_hold(36);
}

/// A forwarder handed a write to a second home after the first fell silent, and passed on the second's *nothing changed*
/// although the first had written it.
#[test]
fn a_write_handed_over_twice_is_not_said_to_have_changed_nothing() {
    must_hold(7);
    must_hold(157);
}

/// A hand-over that was delivered twice was executed twice: the second execution put a write back above those that had
/// replaced it. Nodes now remember for a while what was replaced.
#[test]
fn a_write_delivered_again_does_not_come_back_above_later_ones() {
    must_hold(22);
    must_hold(38);
}

/// The first round of a blind write ended late, after its version had been replaced; its second round then covered what
/// had replaced it.
#[test]
fn a_second_round_is_not_run_for_a_version_that_is_gone() {
    must_hold(14);
}

/// The first remedy for the two above took versions back. A blind write has already dropped what it replaced from the
/// coordinator's copy, so taking it back left a context without any version, which then emptied the other homes.
#[test]
fn what_was_replaced_in_one_copy_is_not_taken_back() {
    must_hold(1002);
}

/// A blind write's first round was met by a home and a stand-in, which together had not heard of a write that two homes had
/// acknowledged; its second round was met by homes, one of which showed that write, and ended there all the same. The fault
/// planted is only what makes this seed's messages meet so.
#[test]
fn a_round_that_stand_ins_met_is_not_the_only_one() {
    let options = Options {
        planted: Some(Planted::GateLeftOut),
        ..Options::default()
    };
    let report = run(75, options);
    let told: Vec<String> = report.violations.iter().map(tell).collect();
    assert!(!told.iter().any(|line| line.starts_with("BlindReplaces")), "{told:?}");
}

/// A retry that proved to have been replaced was answered with everything its coordinator knew as context: whoever wrote
/// with that context would silently have replaced writes that he had never seen.
#[test]
fn an_answer_shows_only_what_its_write_left() {
    must_hold(1001);
}

/// A collector looked at a key whose object had come back to life, and crossed it off its list half a minute later; by then
/// the object was deleted again, and its deletion was never looked at any more.
#[test]
fn what_is_deleted_again_is_not_crossed_off() {
    must_hold(1017);
}

/// A node whose clock had been set back by more than two message lives went on coordinating: the other homes took its writes for
/// messages from long ago and dropped them. Whoever had handed it a write gave that to another home after two seconds; and
/// the dot that the first had issued, and could give to nobody, stood beside what replaced the write once it could. Such a
/// node now leaves writes to the other homes (rule S4).
#[test]
fn a_node_whose_clock_is_off_leaves_writes_to_others() {
    must_hold(189);
    must_hold(335);
}

/// What a stand-in owes of a chunk is noted before the chunk is written. A handoff that came in between met a chunk that was
/// not there, took it for one that had never been stored, and struck the home off the list: the chunk was acknowledged
/// and never got to its home.
#[test]
fn a_chunk_that_is_being_written_is_still_owed() {
    must_hold(2664);
}

/// A replica whose copy of a key has rotted refuses a write of it, and heals; a write that needs it asks again instead of
/// ending. At first only writes that stand-ins cannot take did so; but where all others are homes already, nobody can stand in.
#[test]
fn a_write_waits_for_a_damaged_replica_to_heal() {
    must_hold(1246);
    must_hold(1983);
    must_hold(5473);
}

/// A home to which a write was handed could reach no other for two seconds; the write was then given to another home, and two
/// versions of it lay side by side. The first now says that it is still at it.
#[test]
fn a_home_that_is_still_at_it_is_waited_for() {
    must_hold(610);
}

/// A home whose copy had rotted asked the others, one of which had just started and did not say anything yet; that was taken for an
/// answer. The home then counted as a replica again without what the other held, and a blind write through it replaced less than
/// had been acknowledged. Who has nothing to say is waited for now, and who fills a lost disk says what it has.
#[test]
fn who_has_just_started_is_not_taken_to_have_nothing() {
    must_hold(19_793);
}

/// A stand-in coordinated for a home whose clock was off, and later stood in for the other home, too, which had fallen silent: it counted
/// itself for both, but its hint named only the first. That one was handed the hint, the hint went, and a write was acknowledged that lay
/// on one disk. A stand-in's hint now names whom it stands for, on its disk, before that counts.
#[test]
fn a_stand_in_counts_for_those_whom_its_hint_names() {
    must_hold(25_265);
}

/// A node met a damaged chunk at a moment at which the only other home that had it was being connected to, and then left it alone for five
/// minutes, as if all had been asked.
#[test]
fn a_chunk_is_tried_again_soon_if_somebody_was_away() {
    must_hold(31_728);
}

/// Power failed before a home had synced its first write of a new life, which others had. Its copy was of the earlier life again, which
/// no later write could belong to; it refused to forget it all the same, and nothing was forgotten of that key.
#[test]
fn a_life_that_ended_with_the_power_may_be_forgotten() {
    must_hold(21_363);
}

/// A home found that a body of its copy had rotted and asked the others; meanwhile it took new writes of the key. What the
/// others said then replaced its copy, and the new writes with it. It is merged now.
#[test]
fn healing_a_body_does_not_undo_what_was_written_meanwhile() {
    must_hold(283);
}

/// A node on a new disk counts its starts anew, and took its first generation in gossip for the first ever. The others, who had
/// known it in that very generation, went on believing what it had told of its old disk.
#[test]
fn what_a_lost_disk_had_told_in_gossip_is_disowned() {
    must_hold(13);
}

/// In another run the others had been started anew themselves, and knew of the node's old disk only what a third had passed on of
/// its facts: no claim of gossip said so, and the node never learnt that its generation was taken. Facts say so now, too.
#[test]
fn what_others_tell_of_a_lost_disk_is_disowned() {
    must_hold(6129);
}

/// A node that had put a record in the place of a damaged one mended its count of objects in a batch of its own. Power failed
/// between the two, and one object was counted twice from then on.
#[test]
fn a_healed_row_and_its_count_are_one_batch() {
    must_hold(7814);
}

/// A row was healed while another of its bucket had rotted, which nothing but a scrub would have found. What the healed row had
/// counted as was a guess, and wrong, and the bucket's bytes were off until then. Such rows are looked for at once now, and
/// comparisons heal them.
#[test]
fn what_keeps_a_count_from_being_certain_is_looked_for() {
    must_hold(39482);
}

/// Of three homes one had lost its disk and one its clock, and they stayed so until the simulated clients had done their work,
/// which took them longer than they had: a run asked for more than a cluster owes. It heals after a while now, and goes on.
#[test]
fn a_run_does_not_ask_for_the_impossible() {
    must_hold(7246);
}

/// Its operations, too, were numbered from the beginning: another node took a write that was handed to it for one that it had
/// been handed before.
#[test]
fn operations_of_a_node_on_a_new_disk_have_numbers_of_their_own() {
    must_hold(92);
}

/// Rows of uploads are pushed by those that have them, when they compare: a node that fills its disk waited for that for ever
/// where nobody else compared. It fetches them now.
#[test]
fn a_node_that_fills_its_disk_fetches_rows_of_uploads() {
    must_hold(1413);
}

/// The body of a bucket's entry had rotted when a node started. It did not know the bucket, took itself for no home of its keys,
/// and nothing healed the entry before the next scrub. In another run the healed entry was not taken note of.
#[test]
fn an_entry_of_the_registry_whose_body_rotted_is_had_from_others_at_once() {
    must_hold(1439);
    must_hold(210);
}

/// A put with an old context was replaced while it was tried again, by one that had seen its siblings. The context that it answered
/// covered its own dot, and with that all that was earlier in that dot's life: siblings that its client had never seen.
#[test]
fn a_put_that_was_replaced_tells_no_context_that_covers_what_its_client_has_not_seen() {
    must_hold(159);
}

/// A stand-in owed a home a chunk, and its copy rotted. It tried to hand it over for ever, and nothing of that partition could be
/// forgotten.
#[test]
fn a_rotten_chunk_is_owed_no_longer() {
    must_hold(488);
}

/// A home that had been granted a write issued a dot for it and was cut off; the next home did the write again, and a later one
/// replaced that. What the first had made stood beside it, for ever. It is covered now by whoever does the write next (D7).
#[test]
fn what_a_home_left_behind_is_covered_by_the_next() {
    must_hold(1569);
}

/// The first remedy covered the dot that was left behind by its dot, which covers all earlier ones of its life: versions that the
/// client of the write had never seen went with it.
#[test]
fn an_attempt_is_covered_and_nothing_else_of_its_life() {
    must_hold(1419);
    must_hold(1565);
}

/// A retry found its write replaced, beside a version that the write itself should have replaced, and was answered.
#[test]
fn a_write_that_was_replaced_is_not_answered_beside_what_it_should_have_replaced() {
    must_hold(1496);
}

/// A retry of a completion found the object, which a comparison had brought, but not the row of the upload beside it; it was
/// answered, and the upload stayed open on that disk.
#[test]
fn completing_once_more_closes_the_row_beside_the_object() {
    must_hold(1507);
}

/// A home held nothing but an earlier attempt at the very write that it was sent, and showed nothing. What that attempt had
/// replaced was never covered by the write that was acknowledged.
#[test]
fn what_an_attempt_had_replaced_is_shown() {
    must_hold(2853);
}

/// The same, one step later: the home had merged the attempt away when the next home's version came, which the home after that
/// carried on. Whoever carried a write on claimed its dot alone, so it was not shown what that attempt had replaced.
#[test]
fn what_an_attempt_had_replaced_is_shown_to_whoever_carries_the_write_on() {
    must_hold(17474);
}

/// The first remedy showed him the attempts themselves, too: a retry that found nothing else was written a second time.
#[test]
fn attempts_alone_are_no_reason_to_write_again() {
    must_hold(21199);
}

/// The second remedy showed him all that these attempts had replaced. Where his own copy was quorum enough, and held his version and
/// nothing else, that was what his version itself had replaced: he wrote it a second time on account of it.
#[test]
fn what_a_write_has_replaced_is_no_reason_to_write_it_again() {
    must_hold(35688);
    must_hold(78261);
    must_hold(88835);
    must_hold(94864);
}

/// A gateway looked for who answers for a position, could not reach him, and never asked the node before him, who knows as well
/// where the position lives.
#[test]
fn a_gateway_needs_nobody_on_its_way_in_particular() {
    must_hold(530);
}

/// A row of the registry had rotted at a home, which then did not know how many homes the bucket has. It asked the others once, when
/// some of them could not speak for their disks yet, and refused that bucket's writes until the next comparison.
#[test]
fn who_lost_a_row_of_the_registry_asks_for_it_until_it_is_there() {
    must_hold(23849);
    must_hold(26060);
}

/// A node whose clock is off carried an earlier attempt on while nobody else could. Its second round asked for a higher tick and was
/// granted it when another home had come back, and that was taken for its beginning.
#[test]
fn what_a_wrong_clock_has_begun_it_carries_through() {
    must_hold(33998);
}

/// A stand-in answered a write that covers an attempt which the home alone held, before the home could say what that attempt had
/// replaced. The next write built on it, reached the home, and was shown nothing: the version it covered was all the home held.
#[test]
fn what_an_attempt_had_replaced_is_shown_to_whoever_builds_on_it() {
    must_hold(52145);
}

/// Two of three homes did not speak for their disks yet, so a stand-in was asked; one of them did a moment later, and its answer and
/// the stand-in's were there before the third home's. The checker took the stand-in for needless.
#[test]
fn a_home_that_abstained_may_answer_after_all() {
    must_hold(56260);
}
