"""Keys of a `siblings` bucket, written on both sides of a partition: afterwards both versions must be there, and no third.

A pair of writes counts only if the partition held for all the time of both; else the later one may rightly replace the
earlier one.
"""

import threading
import time
import uuid

import bodies

BUCKET = "faults-siblings"


class SiblingWrites:
    def __init__(self, rest, world, addresses):
        self.rest, self.world, self.addresses = rest, world, addresses
        self.pairs = []  # (key, {body: who acknowledged})
        self.left_out = 0
        self.threads = []

    def write_both(self, sides):
        thread = threading.Thread(target=self.run, args=(sides,), daemon=True)
        self.threads.append(thread)
        thread.start()

    def run(self, sides):
        key = f"s{len(self.threads)}-{uuid.uuid4().hex[:6]}"
        began, written = time.monotonic(), []
        for number, side in enumerate(sides):
            body = bodies.make(f"side{number}", key, 1, 3000 + 60_000 * number)
            for node in side:
                if self.world.now()[0] >= {node} and self.put(node, key, body):
                    written.append(body)
                    break
        links = {(one, other) for one in sides[0] for other in sides[1]}
        span = self.world.during(began, time.monotonic())
        if len(written) == 2 and all(links <= cut for _, cut, _ in span):
            self.pairs.append((key, written))
        else:
            self.left_out += 1

    def put(self, node, key, body):
        """One attempt: a second one might be the second write of this side."""
        try:
            self.rest.put(self.addresses[node], BUCKET, key, body, str(uuid.uuid4()))
            return True
        except Exception:
            return False
