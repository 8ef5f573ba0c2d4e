"""Single stories, told on purpose and not drawn: each found by a run of drawn faults, then boiled down until it shows every time.

`cargo xtask faults --scenario NAME`. They are no part of `ci`, because they tell of what is not promised or not mended yet;
whoever mends it sees it here first.
"""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import bodies
import load
import settle
import verify

KEYS = 100
LATE_CUT_S = 5
TIMEOUT_S = 35


def write_all(run, prefix, seq, nodes, size=2000, then=None):
    """Writes every key through these nodes in turn, all at once, and maybe once more; returns the log of it."""

    def write(index, seq):
        key, began, error = f"{prefix}/{index}", time.monotonic(), None
        body = bodies.make("scenario", key, seq, size)
        try:
            run.rest.put(run.addresses[nodes[index % len(nodes)]], load.BUCKET, key, body, str(uuid.uuid4()), timeout=TIMEOUT_S)
        except Exception as failure:
            error = str(failure)
        return {"key": key, "seq": seq, "kind": "put", "acked": error is None, "error": error, "s": time.monotonic() - began}

    def write_each(index):
        return [write(index, number) for number in ([seq, then] if then else [seq])]

    with ThreadPoolExecutor(KEYS) as pool:
        writes = [write for both in pool.map(write_each, range(KEYS)) for write in both]
    acked = sum(write["acked"] for write in writes)
    run.say(f"{len(writes)} writes of {size} bytes: {acked} acknowledged, the slowest after {max(write['s'] for write in writes):.1f} s")
    return writes


def late(run):
    """Two sides of a partition for five seconds; one side writes each key twice, with nothing unanswered.

    A write is handed to a home on the other side, and after two seconds to another one, which does it; the second write follows at
    once. What was handed over first waits in the kernel meanwhile, is sent again when the cut is over, and is carried out.
    """
    sides = (0, 1), (2, 3, 4)
    links = [(one, other) for one in sides[0] for other in sides[1]]
    links += [(other, one) for one, other in links]
    for sender, receiver in links:
        run.hosts.drop(sender, receiver)
    cut = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        both = pool.submit(lambda: write_all(run, "late", 1, sides[0], then=2))
        time.sleep(LATE_CUT_S)
        for sender, receiver in links:
            run.hosts.pass_again(sender, receiver)
        run.say(f"lifted {time.monotonic() - cut:.1f} s after the cut")
        writes = both.result()
    settle.wait(run.rest, run.addresses)
    time.sleep(10)
    return writes, []


def full(run):
    """The disks of two of five nodes are full; the other three take writes, and afterwards all homes should have them."""
    for node in (1, 3):
        run.disks[node].fill()
    time.sleep(2)
    writes = write_all(run, "small", 1, [0, 2, 4]) + write_all(run, "large", 1, [0, 2, 4], size=200_000)
    for node in (1, 3):
        run.disks[node].free()
    time.sleep(5)
    settle.wait(run.rest, run.addresses)
    time.sleep(10)
    behind, _ = verify.replicas(run.rest, run.addresses, load.BUCKET, [write["key"] for write in writes if write["acked"]])
    return writes, [f"a home of {key} had not caught up: {clocks}" for key, clocks in behind]


def behind(run):
    """The clock of a node is 45 s behind, less than the minute by which clocks may differ; it takes writes."""
    node = run.clock_nodes[0]
    run.node(node).set_clock(-45)
    time.sleep(2.5)
    writes = write_all(run, "behind", 1, [node])
    run.node(node).set_clock(0)
    slow = [write for write in writes if write["s"] > 4]
    return writes, [f"{len(slow)} of {len(writes)} writes took more than 4 s through a node whose clock is behind"] if slow else []


SCENARIOS = {"late": late, "full": full, "behind": behind}


def play(run, name):
    """(the last line, whether all was well)."""
    run.say(f"{name}: {SCENARIOS[name].__doc__.splitlines()[0]}")
    writes, broken = SCENARIOS[name](run)
    seen = verify.read_all(run.s3, run.addresses, load.BUCKET, sorted({write["key"] for write in writes}))
    verdict = verify.judge(writes, seen)
    refused = [f"{write['key']}: {write['error']}" for write in writes if not write["acked"]]
    run.show("refused", refused)
    run.show("LOST", verdict.lost)
    run.show("CORRUPT", verdict.corrupt)
    run.show("BROKEN", broken + verdict.broken)
    acked = sum(write["acked"] for write in writes)
    counts = f"acked={acked} lost={len(verdict.lost)} corrupt={len(verdict.corrupt)} failed_requests={len(refused)}"
    return counts, not (verdict.lost or verdict.corrupt or refused or broken or verdict.broken)
