"""The checker, shown what it must see: each fault is planted into a log and an answer that were right before.

A checker that finds nothing is worth what its own test is. This runs before every run of the faults, in no time.
"""

import unittest

import bodies
import schedule
from verify import Seen, judge
from world import World

KEY = "w1/k1"


def write(seq, kind="put", acked=True, key=KEY):
    return {"key": key, "seq": seq, "kind": kind, "acked": acked}


def everywhere(seen, key=KEY):
    return {key: dict.fromkeys(range(5), seen)}


def counts(writes, seen):
    verdict = judge(writes, seen)
    return len(verdict.lost), len(verdict.corrupt), len(verdict.broken)


class Judged(unittest.TestCase):
    history = [write(1), write(2), write(3, acked=False)]

    def test_what_is_right_passes(self):
        for seen in [Seen(2), Seen(3)]:
            self.assertEqual(counts(self.history, everywhere(seen)), (0, 0, 0))
        self.assertEqual(counts([write(1), write(2, "delete")], everywhere(Seen())), (0, 0, 0))
        self.assertEqual(counts([write(1, acked=False)], everywhere(Seen())), (0, 0, 0))

    def test_an_acknowledged_write_that_is_missing_is_lost(self):
        self.assertEqual(counts(self.history, everywhere(Seen())), (1, 0, 0))

    def test_an_older_value_is_a_loss(self):
        self.assertEqual(counts(self.history, everywhere(Seen(1))), (1, 0, 0))

    def test_one_node_that_has_the_older_value_is_enough(self):
        seen = {KEY: {**everywhere(Seen(2))[KEY], 3: Seen(1)}}
        self.assertEqual(counts(self.history, seen), (1, 0, 1))

    def test_a_deleted_object_that_is_back_is_a_loss(self):
        self.assertEqual(counts([write(1), write(2, "delete")], everywhere(Seen(1))), (1, 0, 0))

    def test_a_delete_that_nobody_acknowledged_allows_both(self):
        for seen in [Seen(1), Seen()]:
            self.assertEqual(counts([write(1), write(2, "delete", acked=False)], everywhere(seen)), (0, 0, 0))

    def test_nodes_that_differ_break_a_promise_even_if_each_is_allowed(self):
        seen = {KEY: {**everywhere(Seen(2))[KEY], 0: Seen(3)}}
        self.assertEqual(counts(self.history, seen), (0, 0, 1))

    def test_a_number_that_was_never_written_is_corrupt(self):
        self.assertEqual(counts(self.history, everywhere(Seen(9))), (0, 1, 0))

    def test_what_cannot_be_read_or_was_not_asked_for_is_lost(self):
        self.assertEqual(counts(self.history, everywhere(Seen(failed="503"))), (1, 0, 0))
        self.assertEqual(counts(self.history, {}), (1, 0, 0))


class Parsed(unittest.TestCase):
    body = bodies.make("w1", KEY, 7, 50_000)

    def test_a_whole_body_says_its_number(self):
        for size in [0, 256, 4096, 4097, 50_000]:
            self.assertEqual(bodies.parse(bodies.make("w1", KEY, 7, size), KEY), (7, None))

    def wrong(self, body, key=KEY):
        self.assertIsNotNone(bodies.parse(bytes(body), key)[1])

    def test_one_bit_anywhere_is_seen(self):
        for at in [0, 20, 4095, 4096, 30_000, len(self.body) - 1]:
            body = bytearray(self.body)
            body[at] ^= 1
            self.wrong(body)

    def test_a_body_mixed_of_two_writes_is_seen(self):
        self.wrong(self.body[:8192] + bodies.make("w1", KEY, 8, 50_000)[8192:])

    def test_a_body_cut_short_or_of_another_key_is_seen(self):
        self.wrong(self.body[:-1])
        self.wrong(b"")
        self.wrong(self.body, "w1/k2")


class Fair(unittest.TestCase):
    """Which failures are held against the cluster."""

    def world(self, *steps):
        world = World()
        for at, step in enumerate(steps, start=1):
            step(world)
            world.history[-1] = (at, world.history[-1][1])
        world.history[0] = (0, world.history[0][1])
        return world

    def test_two_of_two_on_the_small_side_count_and_one_alone_does_not(self):
        two = [(one, other) for one in (0, 1) for other in (2, 3, 4)]
        world = self.world(lambda world: world.set_cut(two + [(b, a) for a, b in two], True))
        self.assertEqual(world.pair_for(0, 2, 9), (0, 1))
        world = self.world(lambda world: world.set_cut([(0, other) for other in range(1, 5)], True))
        self.assertIsNone(world.pair_for(0, 2, 9))

    def test_the_pair_must_have_been_there_all_the_time(self):
        world = self.world(*(lambda world, node=node: world.mark(node, "killed") for node in (0, 1, 2)), lambda world: world.mark(3, "paused"))
        self.assertEqual(world.pair_for(4, 3, 3.5), (3, 4))
        self.assertIsNone(world.pair_for(4, 3, 5))

    def test_what_ended_before_a_request_began_does_not_excuse_it(self):
        world = self.world(
            lambda world: [world.mark(node, "killed") for node in range(4)], lambda world: [world.clear(node, "killed") for node in range(4)]
        )
        self.assertEqual(world.pair_for(0, 3, 4), (0, 1))


class Drawn(unittest.TestCase):
    def test_a_seed_gives_one_schedule_and_every_schedule_leaves_two_nodes(self):
        for seed in range(200):
            drawn = [schedule.Schedule(seed, [1]).draw(600) for _ in range(2)]
            texts = [[(entry.begins, entry.lifts, str(entry.fault)) for entry in entries] for entries in drawn]
            self.assertEqual(*texts)
            for moment in {entry.begins for entry in drawn[0]}:
                on = [entry.fault for entry in drawn[0] if entry.begins <= moment < entry.lifts]
                self.assertTrue(schedule.leaves_a_pair(on), (seed, moment, [str(fault) for fault in on]))


if __name__ == "__main__":
    unittest.main()
