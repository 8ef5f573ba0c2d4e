"""One class for each fault: what it does to hosts, links, processes, clocks and disks, and how it is lifted.

A fault tells the world (world.py) before it begins and after it was lifted, so that no request is held against the cluster
that was under way at either moment.
"""

from hosts import NODES

FULL_NOTICED_S = 3  # a node asks once a second how full its disk is


class Fault:
    node = None  # the one node that is not to be counted on, if there is one
    links = ()  # (sender, receiver) that are cut

    def begin(self, run):
        raise NotImplementedError

    def lift(self, run):
        raise NotImplementedError

    def __str__(self):
        return self.name


class Links(Fault):
    """Packets of some links are dropped; each direction is a link of its own."""

    kind = "cut"

    def begin(self, run):
        run.world.set_cut(self.links, True)
        for sender, receiver in self.links:
            run.hosts.drop(sender, receiver, self.kind)

    def lift(self, run):
        for sender, receiver in self.links:
            run.hosts.pass_again(sender, receiver, self.kind)
        run.world.set_cut(self.links, False)


class Partition(Links):
    """Two sides that do not hear each other: 2|3, where both go on, or 1|4."""

    def __init__(self, random, size):
        nodes = random.sample(range(NODES), NODES)
        self.sides = sorted(nodes[:size]), sorted(nodes[size:])
        pairs = [(one, other) for one in self.sides[0] for other in self.sides[1]]
        self.links = pairs + [(other, one) for one, other in pairs]
        self.name = "partition " + "|".join("".join(map(str, side)) for side in self.sides)


class OneWay(Links):
    """What one node sends to another is lost; what comes back arrives."""

    def __init__(self, random):
        sender, receiver = random.sample(range(NODES), 2)
        self.links = [(sender, receiver)]
        self.name = f"one-way {sender}>{receiver}"


class Triangle(Links):
    """Two nodes do not hear each other, and everybody else hears both: "can reach" is not transitive."""

    def __init__(self, random):
        one, other = random.sample(range(NODES), 2)
        self.links = [(one, other), (other, one)]
        self.name = f"triangle {one}-{other}"


class Loss(Links):
    """A fifth of the packets between two nodes is lost. Counted as a cut link: nobody promises how slow it may be."""

    kind = "lossy"

    def __init__(self, random):
        one, other = random.sample(range(NODES), 2)
        self.links = [(one, other), (other, one)]
        self.name = f"loss {one}-{other}"


class Pause(Fault):
    """SIGSTOP: the node holds its connections and answers nothing, and wakes up in a later time."""

    def __init__(self, random):
        self.node = random.randrange(NODES)
        self.name = f"pause {self.node}"

    def begin(self, run):
        run.world.mark(self.node, "paused")
        run.node(self.node).pause()

    def lift(self, run):
        run.node(self.node).resume()
        run.world.clear(self.node, "paused")


class Kill(Fault):
    """kill -9, and a start on the same data. It counts again once it says that it is ready."""

    def __init__(self, random, node=None):
        self.node = random.randrange(NODES) if node is None else node
        self.name = f"kill {self.node}"

    def begin(self, run):
        run.world.mark(self.node, "killed")
        run.node(self.node).kill()

    def lift(self, run):
        run.node(self.node).start()
        run.await_ready(self.node)


class Clock(Fault):
    """The wall clock of a node jumps, by less than the minute that clocks may differ, and jumps back."""

    def __init__(self, random, node):
        self.node = node
        self.offset_s = random.choice([-1, 1]) * random.randrange(5, 46)
        self.name = f"clock {node} {self.offset_s:+d}s"

    def begin(self, run):
        run.node(self.node).set_clock(self.offset_s)

    def lift(self, run):
        run.node(self.node).set_clock(0)


class FullDisk(Fault):
    """The disk fills up to a few MiB: the node refuses new data, and others must take it."""

    def __init__(self, random, node=None):
        self.node = random.randrange(NODES) if node is None else node
        self.name = f"full {self.node}"

    def begin(self, run):
        run.world.mark(self.node, "full")
        run.disks[self.node].fill()

    def lift(self, run):
        run.disks[self.node].free()
        run.world.fault(f"{self} until a moment ago", True)
        run.later(FULL_NOTICED_S, lambda: self.noticed(run))

    def noticed(self, run):
        run.world.clear(self.node, "full")
        run.world.fault(f"{self} until a moment ago", False)


class FlippedBits(Fault):
    """Bits of bodies change on the disk of a node, under it while it runs or while it is away."""

    def __init__(self, random, node):
        self.random, self.at, self.name = random, node, f"bits {node}"

    def begin(self, run):
        flipped = run.disks[self.at].flip(self.random, 8)
        run.flips += len(flipped)
        run.say(f"flipped bits on node {self.at}: {' '.join(flipped)}")

    def lift(self, run):
        pass
