"""What came back, judged by the log of what was written. The judging is pure, so that it can be shown what it must see.

For each key there is one writer, so its writes have an order. The last acknowledged one must be there, through every node;
or a later one, which nobody acknowledged and which took effect all the same. Anything older is a loss, a deleted object
that is back included. A body that is not exactly what its writer made for that key is corrupt.
"""

import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import bodies

ATTEMPTS = 3
IN_STEP_S_MAX = 30


@dataclass(frozen=True)
class Seen:
    """What one node gave for a key: a sequence number, nothing at all, or a failure."""

    seq: int | None = None
    wrong: str | None = None
    failed: str | None = None

    def __str__(self):
        return self.failed or self.wrong or ("nothing" if self.seq is None else f"number {self.seq}")


@dataclass
class Verdict:
    lost: list = field(default_factory=list)
    corrupt: list = field(default_factory=list)
    broken: list = field(default_factory=list)  # other promises


def judge(writes, seen):
    """`writes`: the log; `seen`: {key: {node: Seen}}. One loss for each key, however many nodes show it."""
    by_key = defaultdict(list)
    for write in writes:
        by_key[write["key"]].append(write)
    verdict = Verdict()
    for key, history in sorted(by_key.items()):
        history.sort(key=lambda write: write["seq"])
        complaints = [(node, judge_one(history, what), what) for node, what in sorted(seen.get(key, {}).items())]
        if key not in seen:
            complaints = [("any", "lost", Seen(failed="never asked for"))]
        for kind, into in [("lost", verdict.lost), ("corrupt", verdict.corrupt)]:
            found = [f"node {node} gave {what}" for node, complaint, what in complaints if complaint == kind]
            if found:
                into.append(f"{key}: {described(history)}; {'; '.join(found)}")
        if len(set(seen.get(key, {}).values())) > 1:
            gave = "; ".join(f"node {node} gave {what}" for node, what in sorted(seen[key].items()))
            verdict.broken.append(f"{key}: the nodes differ: {gave}")
    return verdict


def judge_one(history, what):
    acked = max((write["seq"] for write in history if write["acked"]), default=0)
    if what.wrong:
        return "corrupt"
    if what.failed:
        return "lost" if acked else None
    allowed = [write for write in history if write["seq"] >= acked]
    if what.seq is None:
        return None if acked == 0 or any(write["kind"] == "delete" for write in allowed) else "lost"
    puts = {write["seq"] for write in history if write["kind"] != "delete"}
    if what.seq not in puts:
        return "corrupt"
    return None if what.seq in {write["seq"] for write in allowed} else "lost"


def described(history):
    tail = [f"{write['seq']} {write['kind']} {'acked' if write['acked'] else 'unknown'}" for write in history[-4:]]
    return "written " + ", ".join(tail)


def read_all(front, addresses, bucket, keys):
    """{key: {node: Seen}}, every key through every node."""
    seen = {key: {} for key in keys}

    def ask(node, key):
        for attempt in range(ATTEMPTS):
            try:
                body = front.get(addresses[node], bucket, key, timeout=30)
                seen[key][node] = Seen() if body is None else Seen(*bodies.parse(body, key))
                return
            except Exception as error:
                seen[key][node] = Seen(failed=f"{type(error).__name__}: {error}")
                time.sleep(0.5 * attempt)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda pair: ask(*pair), [(node, key) for key in keys for node in range(len(addresses))]))
    return seen


def listings(front, addresses, bucket, seen):
    """What is wrong with the listing of each node, by what reading every key through it gave."""
    wrong = []
    for node, address in enumerate(addresses):
        there = {key for key, nodes in seen.items() if nodes[node].seq is not None}
        listed = set(front.list(address, bucket, "", timeout=30))
        if listed != there:
            wrong.append(f"node {node} lists {sorted(listed - there)[:5]} that it has not, and leaves out {sorted(there - listed)[:5]}")
    return wrong


def replicas(rest, addresses, bucket, keys):
    """(keys whose homes differed when first asked, keys whose homes still do). Asking repairs, so the first says more."""
    lock, first, still = threading.Lock(), [], []

    def ask(key):
        began, asked = time.monotonic(), 0
        while True:
            try:
                clocks = rest.clocks(addresses[asked % len(addresses)], bucket, key, timeout=30)
            except Exception as error:
                clocks = [str(error)]
            if len(clocks) == 3 and len(set(clocks)) == 1:
                return
            with lock:
                if asked == 0:
                    first.append((key, clocks))
                if time.monotonic() - began > IN_STEP_S_MAX:
                    still.append((key, clocks))
                    return
            asked += 1
            time.sleep(1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, keys))
    return first, still


def siblings(rest, addresses, bucket, pairs):
    """What is wrong with keys written on both sides; each is then merged by a write with the context of both."""
    wrong = []
    for key, written in pairs:
        for node, address in enumerate(addresses):
            found, context = rest.siblings(address, bucket, key, timeout=30)
            if sorted(found) != sorted(written):
                names = [bodies.writer_of(body) for body in found]
                wrong.append(f"{key}: both sides were acknowledged, and node {node} has {names}")
        merged = bodies.make("merged", key, 2, 500)
        rest.put(addresses[0], bucket, key, merged, f"merge-{key}", timeout=30, context=context)
        found, _ = rest.siblings(addresses[-1], bucket, key, timeout=30)
        if found != [merged]:
            wrong.append(f"{key}: {len(found)} versions after both were replaced by one")
    return wrong
