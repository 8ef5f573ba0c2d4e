"""What is true of hosts and links at each moment, and by that: which requests may fail, and which may not.

The promise is that a client which can reach two nodes that can reach each other has all its writes accepted. So a write
that failed is held against the cluster exactly if two such nodes existed, the same two, for all the time it was tried.
"""

import threading
import time
from itertools import combinations

from hosts import NODES


class World:
    def __init__(self):
        self.lock = threading.Lock()
        self.bad = {node: set() for node in range(NODES)}  # why a node is not to be counted on: killed, paused, full …
        self.cut = set()  # (sender, receiver)
        self.faults = set()  # names of what is on, for the log
        self.history = [(time.monotonic(), self.snapshot())]

    def snapshot(self):
        good = frozenset(node for node in range(NODES) if not self.bad[node])
        return good, frozenset(self.cut), frozenset(self.faults)

    def note(self):
        self.history.append((time.monotonic(), self.snapshot()))

    def mark(self, node, why):
        with self.lock:
            self.bad[node].add(why)
            self.note()

    def clear(self, node, why):
        with self.lock:
            self.bad[node].discard(why)
            self.note()

    def set_cut(self, links, on):
        with self.lock:
            self.cut = self.cut | set(links) if on else self.cut - set(links)
            self.note()

    def fault(self, name, on):
        with self.lock:
            (self.faults.add if on else self.faults.discard)(name)
            self.note()

    def now(self):
        return self.history[-1][1]

    def during(self, began, ended):
        """All that was true at some moment of a span."""
        with self.lock:
            history = list(self.history)
        later = [snapshot for at, snapshot in history if began < at <= ended]
        before = [snapshot for at, snapshot in history if at <= began]
        return before[-1:] + later

    def was_quiet(self, began, ended):
        return all(not faults for _, _, faults in self.during(began, ended))

    def pair_for(self, client_node, began, ended):
        """Two nodes that a client of this side could count on all the time, or None."""
        span = self.during(began, ended)
        for pair in combinations(range(NODES), 2):
            if all(self.may_count_on(client_node, pair, snapshot) for snapshot in span):
                return pair
        return None

    @staticmethod
    def may_count_on(client_node, pair, snapshot):
        good, cut, _ = snapshot
        return set(pair) <= good and linked(cut, *pair) and set(pair) <= side(client_node, cut)

    def reachable(self, client_node):
        """The nodes of a client's side that take connections now, its own first."""
        with self.lock:
            nodes = [node for node in side(client_node, self.cut) if not self.bad[node] & {"killed", "paused"}]
        return sorted(nodes, key=lambda node: (node - client_node) % NODES)

    def nodes_linked(self, excluding=()):
        """For drawing faults: whether two good nodes that hear each other would be left."""
        good, cut, _ = self.snapshot()
        good = good - set(excluding)
        return any(linked(cut, *pair) for pair in combinations(sorted(good), 2))


def linked(cut, one, other):
    return (one, other) not in cut and (other, one) not in cut


def side(client_node, cut):
    """Clients of a node are beside it: a link that is cut for it is cut for them."""
    return {node for node in range(NODES) if node == client_node or linked(cut, client_node, node)}
