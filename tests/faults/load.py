"""Writers and readers on every side, and a log of what each write was, who took it, and whether it was acknowledged.

Each writer owns its keys, so "the acknowledged value, or a later one" can be checked. A write that got no success in any
attempt is *unknown*: it may show or not. Two things are left out, because docs/protocol.md says that they are not
promised ("What users may rely on, and what not"): a request that a frozen or cut-off node may still carry out is given its
30 s before its key is written again, and a key written while a clock is ahead waits until the others have passed it.
"""

import json
import random
import threading
import time
import uuid

import bodies
from client import Refused
from hosts import NODES

BUCKET = "faults"
KEYS_PER_WRITER = 60  # of all writers together less than one page of a listing
ATTEMPTS = 3
ATTEMPT_S_MAX = 10
PAUSES_S = [2, 6]
LATE_S = 33  # a request lives 30 s
CLOCK_S = 60
PART = 5 << 20


class Log:
    """What was written, one line for each write; flushed line by line, so that it outlives the run."""

    def __init__(self, path):
        self.lock, self.file, self.writes = threading.Lock(), open(path, "w"), []

    def add(self, **write):
        with self.lock:
            self.writes.append(write)
            self.file.write(json.dumps(write) + "\n")
            self.file.flush()


class Writer(threading.Thread):
    def __init__(self, number, front, world, addresses, log, stop, seed, pace_s, fenced=True):
        super().__init__(daemon=True, name=f"w{number}")
        self.number, self.node, self.front = number, number % NODES, front
        self.world, self.addresses, self.log, self.stop_at, self.fenced = world, addresses, log, stop, fenced
        self.random = random.Random(f"{seed}/{number}")
        self.pace_s = pace_s
        self.seq = {f"w{number}/k{index}": 0 for index in range(KEYS_PER_WRITER)}
        self.not_before = dict.fromkeys(self.seq, 0.0)
        self.reads, self.reads_failed, self.corrupt, self.first_attempts_failed = 0, 0, [], 0
        self.broken = None

    def run(self):
        try:
            while not self.stop_at.is_set():
                self.step()
                self.stop_at.wait(self.random.uniform(0.3, 1.7) * self.pace_s)
        except Exception as error:  # a writer that ends early would make the run prove less than it says
            self.broken = f"{self.name}: {type(error).__name__}: {error}"
            raise

    def step(self):
        action = self.random.choices(["write", "delete", "read", "list"], [50, 8, 40, 2])[0]
        if action == "read":
            return self.read(self.random.choice(sorted(self.seq)))
        if action == "list":
            return self.try_read(lambda address: self.list(address))
        now = time.monotonic()
        free = [key for key in self.seq if self.not_before[key] <= now]
        if not free:
            return None
        key = self.random.choice(free)
        if action == "delete" and self.seq[key]:
            return self.write(key, "delete", 0)
        kind, size = self.shape(key)
        return self.write(key, kind, size)

    def shape(self, key):
        """A key keeps its class, so that large bodies are overwritten by large ones and a few are always there."""
        index = int(key.rsplit("k", 1)[1])
        if index % 20 == 0 and self.front.name == "s3":
            return "multipart", PART + self.random.randrange(bodies.SIZE_MIN, 3 << 20)
        if index % 10 == 1:
            return "put", self.random.randrange(1 << 20, 6 << 20)
        if index % 5 == 2:
            return "put", self.random.randrange(32 << 10, 300 << 10)
        return "put", self.random.randrange(bodies.SIZE_MIN, 32 << 10)

    def write(self, key, kind, size):
        self.seq[key] += 1
        seq, write_id = self.seq[key], str(uuid.uuid4())
        body = bodies.make(self.name, key, seq, size) if kind != "delete" else b""
        began, attempts, acked = time.monotonic(), [], False
        for attempt in range(ATTEMPTS):
            node = self.choose_node([tried["node"] for tried in attempts])
            attempt_began = time.monotonic()
            error = self.try_write(self.addresses[node], key, kind, body, write_id)
            attempts.append({"node": node, "s": round(time.monotonic() - attempt_began, 2), "error": error})
            if error is None:
                acked = True
                break
            self.first_attempts_failed += attempt == 0
            if attempt < ATTEMPTS - 1:
                time.sleep(PAUSES_S[attempt])
        ended = time.monotonic()
        self.fence(key, began, ended, attempts)
        span = self.world.during(began, ended)
        self.log.add(
            at=round(began, 3), s=round(ended - began, 3), bucket=BUCKET, writer=self.name, node=self.node,
            front=self.front.name, key=key, seq=seq, kind=kind, size=len(body), acked=acked, attempts=attempts,
            faults=sorted(set().union(*(faults for _, _, faults in span))),
            pair=None if acked else self.world.pair_for(self.node, began, ended),
        )

    def choose_node(self, tried):
        """The own node if it takes connections, then the next of its side, as a client with all endpoints would."""
        nodes = self.world.reachable(self.node) or [self.node]
        return next((node for node in nodes if node not in tried), nodes[len(tried) % len(nodes)])

    def try_write(self, address, key, kind, body, write_id):
        try:
            if kind == "delete":
                self.front.delete(address, BUCKET, key, write_id, timeout=ATTEMPT_S_MAX)
            elif kind == "multipart":
                parts = [body[:PART], body[PART:]]
                self.front.put_in_parts(address, BUCKET, key, parts, write_id, timeout=ATTEMPT_S_MAX)
            else:
                self.front.put(address, BUCKET, key, body, write_id, timeout=ATTEMPT_S_MAX)
        except Refused as error:
            return str(error)
        except Exception as error:  # no answer
            return f"{type(error).__name__}: {error}"
        return None

    def fence(self, key, began, ended, attempts):
        if not self.fenced:
            return
        span = self.world.during(began, ended)
        faults = set().union(*(faults for _, _, faults in span))
        if len(attempts) > 1 or attempts[-1]["error"] or any(fault.split()[0] in LATE_FAULTS for fault in faults):
            self.not_before[key] = ended + LATE_S
        if any(fault.startswith("clock") for fault in faults):
            self.not_before[key] = ended + CLOCK_S

    def read(self, key):
        body = self.try_read(lambda address: self.front.get(address, BUCKET, key, timeout=ATTEMPT_S_MAX))
        if body is not None:
            seq, wrong = bodies.parse(body, key)
            if wrong or seq > self.seq[key]:
                self.corrupt.append(f"a read of {key} beside the load: {wrong or f'number {seq}, never written'}")

    def list(self, address):
        for key in self.front.list(address, BUCKET, f"{self.name}/") if self.front.name == "s3" else []:
            if key not in self.seq:
                self.corrupt.append(f"a listing names {key}, which nobody wrote")

    def try_read(self, ask):
        """Reads may fail while what they ask for is on the other side; that is not counted, wrong bytes are."""
        self.reads += 1
        node = self.choose_node([])
        try:
            return ask(self.addresses[node])
        except Exception:
            self.reads_failed += 1
            return None


# Faults under which a request may reach a node late: it waits in a queue of somebody who is frozen or cannot be heard.
LATE_FAULTS = {"pause", "partition", "one-way", "triangle", "loss", "kill"}
