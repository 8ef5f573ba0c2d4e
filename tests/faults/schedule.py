"""Which fault comes when: drawn from the seed, so that a run that failed can be had again.

Invariant: two nodes that can be counted on and hear each other are left at every moment, whatever overlaps. A clock jumps
alone: what two sides of a partition write is concurrent, and `newest` then chooses by clocks (docs/protocol.md).
"""

import random as random_module
from dataclasses import dataclass
from itertools import combinations

from faults import Clock, FlippedBits, FullDisk, Kill, Loss, OneWay, Partition, Pause, Triangle
from hosts import NODES
from world import linked


@dataclass
class Entry:
    begins: float
    lifts: float
    fault: object


class Schedule:
    def __init__(self, seed, clock_nodes):
        self.random = random_module.Random(seed)
        self.clock_nodes = clock_nodes
        self.bad_disk = self.random.randrange(NODES)
        self.entries = []

    def draw(self, seconds):
        at = 5.0
        while at < seconds - 8:
            fault = self.draw_fault()
            lifts = min(at + self.random.uniform(4, 16), seconds)
            self.entries.append(Entry(at, lifts, fault))
            if not isinstance(fault, Clock):
                lifts = max(lifts, self.overlap(fault, at, lifts, seconds))
            if self.random.random() < 0.3:
                self.entries.append(Entry(at + 1, at + 1, FlippedBits(self.random, self.bad_disk)))
            at = lifts + self.random.choice([0.5, 2, 4, 12])
        return self.entries

    def draw_fault(self):
        kinds = [
            (5, lambda: Partition(self.random, 2)),
            (3, lambda: Partition(self.random, 1)),
            (2, lambda: OneWay(self.random)),
            (2, lambda: Triangle(self.random)),
            (1, lambda: Loss(self.random)),
            (3, lambda: Pause(self.random)),
            (5, lambda: Kill(self.random)),
            (2, lambda: FullDisk(self.random)),
            (2 if self.clock_nodes else 0, lambda: Clock(self.random, self.random.choice(self.clock_nodes))),
        ]
        return self.random.choices([make for _, make in kinds], [weight for weight, _ in kinds])[0]()

    def overlap(self, first, began, lifts, end):
        """With luck a second fault in the middle of the first, which may outlive it; returns when it is lifted."""
        if self.random.random() < 0.4:
            return lifts
        for _ in range(20):
            second = self.draw_fault()
            if not isinstance(second, Clock) and leaves_a_pair([first, second]) and not collide(first, second):
                begins = self.random.uniform(began + 1, (began + lifts) / 2 + 1)
                second_lifts = min(begins + self.random.uniform(4, 14), end)
                self.entries.append(Entry(begins, second_lifts, second))
                return second_lifts
        return lifts


def leaves_a_pair(faults):
    good = set(range(NODES)) - {fault.node for fault in faults}
    cut = {link for fault in faults for link in fault.links}
    return any(linked(cut, *pair) for pair in combinations(sorted(good), 2))


def collide(first, second):
    """Whether lifting one would lift a part of the other."""
    same_node = first.node is not None and first.node == second.node
    return same_node and {type(first), type(second)} != {FullDisk, Kill} or bool(set(first.links) & set(second.links))


def smoke(seed, clock_nodes):
    """A few faults of the most telling kinds within half a minute, for each change."""
    schedule = Schedule(seed, clock_nodes)
    random = schedule.random
    partition = Partition(random, 2)
    larger = partition.sides[1]
    schedule.entries = [
        Entry(3, 13, partition),
        Entry(6, 12, Kill(random, larger[0])),
        Entry(8, 8, FlippedBits(random, schedule.bad_disk)),
        Entry(16, 23, Pause(random)),
        Entry(25, 32, FullDisk(random)),
    ]
    if clock_nodes:
        schedule.entries.append(Entry(34, 38, Clock(random, clock_nodes[0])))
    return schedule
