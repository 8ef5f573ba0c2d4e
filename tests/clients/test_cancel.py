"""Clients that go away: 5,000 overwriting puts are cut off at random moments, before, within and after their bodies.

A put that was cut off may take effect or not, now or a little later: nobody was told. What must never be seen is half of one, a
mixture of two, or an acknowledged version that an acknowledged one has replaced; and nothing acknowledged may be lost.
"""

import json
import random
import socket
import struct
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

from harness import KIB, MIB, S3_ENDPOINTS, check, finish, s3_client

BUCKET = "cancel"
CANCELLED = 5_000
WORKERS = 8
KEYS_EACH = 6
# Most in a row beside the record, some in one chunk, a few in two.
SIZES = [(60, 1, 20 * KIB), (35, 40 * KIB, 400 * KIB), (5, 4 * MIB + 1, 5 * MIB)]


def body_of(key, version, size):
    """Bytes that say what they are, and are checked against that."""
    head = json.dumps({"key": key, "version": version, "size": size}).encode() + b"\n"
    return head + random.Random(f"{key}/{version}").randbytes(size)


def version_in(key, body):
    said = json.loads(body[: body.index(b"\n")])
    assert said["key"] == key, f"{key} holds the body of {said['key']}"
    assert body == body_of(key, said["version"], said["size"]), f"{key}: version {said['version']} is not what was sent"
    return said["version"]


def cut_off(url, body, chooser):
    """Begins a put and goes away: within the head, within the body, or while the answer is on its way."""
    parts = urllib.parse.urlsplit(url)
    head = f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    moment = chooser.random()
    if moment < 0.1:
        sent = head[: chooser.randrange(len(head))]
    elif moment < 0.55:
        sent = head + body[: chooser.randrange(len(body))]
    else:
        sent = head + body
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        if chooser.random() < 0.5:
            # The connection is reset, not closed.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(sent)
        time.sleep(chooser.choice([0, 0, 0.001, 0.003, 0.01]))


class Worker:
    """One client with keys of its own, so that it knows in which order they were written."""

    def __init__(self, number):
        self.chooser = random.Random(number)
        self.clients = [s3_client(endpoint) for endpoint in S3_ENDPOINTS]
        self.keys = [f"worker-{number}/{index}" for index in range(KEYS_EACH)]
        self.acknowledged = dict.fromkeys(self.keys, 0)
        self.replaced = {key: set() for key in self.keys}
        self.version = 0
        self.reads = 0

    def size(self):
        low, high = self.chooser.choices([(low, high) for _, low, high in SIZES], [weight for weight, _, _ in SIZES])[0]
        return self.chooser.randint(low, high)

    def put(self, key):
        self.version += 1
        client = self.chooser.choice(self.clients)
        client.put_object(Bucket=BUCKET, Key=key, Body=body_of(key, self.version, self.size()))
        self.replaced[key].add(self.acknowledged[key])
        self.acknowledged[key] = self.version

    def cancel(self, key):
        self.version += 1
        client = self.chooser.choice(self.clients)
        url = client.generate_presigned_url("put_object", {"Bucket": BUCKET, "Key": key}, ExpiresIn=600)
        cut_off(url, body_of(key, self.version, self.size()), self.chooser)

    def read(self, key):
        body = self.chooser.choice(self.clients).get_object(Bucket=BUCKET, Key=key)["Body"].read()
        version = version_in(key, body)
        self.reads += 1
        assert version not in self.replaced[key], f"{key} shows version {version}, which {self.acknowledged[key]} has replaced"

    def work(self, left):
        for key in self.keys:
            self.put(key)
        while left.take():
            key = self.chooser.choice(self.keys)
            self.cancel(key)
            if self.chooser.random() < 0.3:
                self.read(key)
            if self.chooser.random() < 0.2:
                self.put(key)
                self.read(key)


class Left:
    """How many are still to be cut off."""

    def __init__(self, count):
        self.count = count
        self.lock = threading.Lock()

    def take(self):
        with self.lock:
            self.count -= 1
            return self.count >= 0


s3_client().create_bucket(Bucket=BUCKET)
workers = [Worker(number) for number in range(WORKERS)]

with check(f"{CANCELLED} puts cut off at random moments leave every object whole, and none older than what was acknowledged"):
    left = Left(CANCELLED)
    with ThreadPoolExecutor(WORKERS) as pool:
        for done in [pool.submit(worker.work, left) for worker in workers]:
            done.result()
    assert left.count < 0
    print(f"              {sum(worker.reads for worker in workers)} reads meanwhile, {sum(worker.version for worker in workers)} versions")

with check("once they are over, the last acknowledged put of each key is what every node shows"):
    # What was cut off may still take effect as long as its request could have been waited for.
    time.sleep(12)
    for worker in workers:
        for key in worker.keys:
            worker.put(key)
    for worker in workers:
        for key in worker.keys:
            for client in worker.clients:
                version = version_in(key, client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
                assert version == worker.acknowledged[key], f"{key}: {version} instead of {worker.acknowledged[key]}"
        listed = worker.clients[0].list_objects_v2(Bucket=BUCKET, Prefix=worker.keys[0].split("/")[0] + "/")
        assert listed["KeyCount"] == KEYS_EACH, listed["KeyCount"]

finish()
