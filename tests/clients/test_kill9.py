"""kill -9 of each node in turn under mixed load: nobody who asks another node notices, and nothing acknowledged is lost.

Each worker owns its keys, so it always knows what the last acknowledged write of a key was. Workers on the two nodes
that live must never see a failed request nor a wrong answer. A worker on the victim may fail while the victim is
down; what such a request did is then unknown, and its key may hold the old or the new body until the next write.
"""

import json
import os
import random
import signal
import ssl
import subprocess
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import harness
from harness import S3_ENDPOINTS, check, error_of, md5, s3_client

BUCKET = "kill9"
BINARY = os.environ["HOLDFAST_BIN"]
DATA = os.environ["HOLDFAST_DATA"]
PIDS = [int(pid) for pid in os.environ["HOLDFAST_PIDS"].split(",")]
SIZES = [0, 100, 4_096, 4_096, 20_000, 100_000, 700_000, 5_000_000]
KEYS_PER_WORKER = 12
CONVERGING_KEYS = 200
BEFORE_KILL_S, DOWN_S, AFTER_RETURN_S = 4, 7, 6


def body_for(key, version):
    """A body that says which key and version it is in every one of its 4 KiB."""
    chooser = random.Random(f"{key}#{version}")
    size = chooser.choice(SIZES)
    line = f"{key}#{version}#".encode()
    return (line * (size // len(line) + 1))[:size]


class Worker:
    """Puts, gets and deletes its own keys through one node, and remembers what each must hold."""

    def __init__(self, name, node):
        self.name, self.node = name, node
        self.client = s3_client(S3_ENDPOINTS[node])
        self.random = random.Random(name)
        # key -> the versions it may hold; None stands for absent. More than one only after an unanswered write.
        self.may_hold = {f"{name}/{index}": {None} for index in range(KEYS_PER_WORKER)}
        self.version = 0
        self.done = 0
        self.failed = []
        self.wrong = []

    def step(self):
        key = self.random.choice(sorted(self.may_hold))
        action = self.random.choices(["put", "get", "delete", "list"], [5, 5, 1, 1])[0]
        before = self.may_hold[key]
        self.version += 1
        intended = {"put": {self.version}, "delete": {None}}.get(action)
        try:
            if action == "put":
                self.client.put_object(Bucket=BUCKET, Key=key, Body=body_for(key, self.version))
            elif action == "delete":
                self.client.delete_object(Bucket=BUCKET, Key=key)
            elif action == "get":
                self.judge(key, read(self.client, key), "get")
            else:
                self.judge_listing()
        except Exception as error:  # no answer, or a refusal
            if intended:
                self.may_hold[key] = before | intended
            self.failed.append((time.monotonic(), f"{action} {key}: {error}"))
            time.sleep(0.2)
        else:
            if intended:
                self.may_hold[key] = intended
            self.done += 1

    def judge(self, key, body, where):
        allowed = [None if version is None else body_for(key, version) for version in self.may_hold[key]]
        if body not in allowed:
            found = "nothing" if body is None else repr(body[:60])
            self.wrong.append(f"{where} {key}: {found}, allowed {sorted(map(str, self.may_hold[key]))}")

    def judge_listing(self):
        rows = self.client.list_objects_v2(Bucket=BUCKET, Prefix=f"{self.name}/").get("Contents", [])
        etags = {row["Key"]: row["ETag"].strip('"') for row in rows}
        for key, versions in self.may_hold.items():
            allowed = {None if version is None else md5(body_for(key, version)) for version in versions}
            if etags.get(key) not in allowed:
                self.wrong.append(f"list {key}: {etags.get(key)}, allowed versions {sorted(map(str, versions))}")


def read(client, key):
    try:
        return client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    except client.exceptions.NoSuchKey:
        return None


def start_node(index):
    log = open(harness.WORK / f"start-node-{index}.log", "wb")
    subprocess.run([BINARY, "dev", "start-node", str(index), "--data", DATA], check=True, timeout=120, stdout=log, stderr=log)


def wait_until_it_answers(client, seconds_max=60):
    began = time.monotonic()
    while True:
        try:
            client.list_objects_v2(Bucket=BUCKET, MaxKeys=1)
            return time.monotonic() - began
        except Exception:
            assert time.monotonic() - began < seconds_max, "the restarted node does not answer"
            time.sleep(0.05)


def overwrite_and_delete_through(victim, alive, tag):
    """What was written while the node was away, changed through it the moment it is back."""
    back, elsewhere = s3_client(S3_ENDPOINTS[victim]), s3_client(S3_ENDPOINTS[alive])
    for index in range(40):
        replaced, removed = f"{tag}/replaced/{index}", f"{tag}/removed/{index}"
        back.put_object(Bucket=BUCKET, Key=replaced, Body=b"new")
        back.delete_object(Bucket=BUCKET, Key=removed)
        assert read(elsewhere, replaced) == b"new", f"an overwrite through node {victim} did not take effect: {replaced}"
        assert read(elsewhere, removed) is None, f"a delete through node {victim} did not take effect: {removed}"


def replica_clocks(node, key):
    """What each replica knows of a key, asked of all three at once; the asking itself repairs what was stale."""
    trust = ssl.create_default_context(cafile=harness.CA_FILE) if harness.CA_FILE else None
    url = f"{harness.REST_ENDPOINTS[node]}/v1/buckets/{BUCKET}/objects/{key}?meta&r=3"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {harness.ADMIN_TOKEN}"})
    with urllib.request.urlopen(request, timeout=30, context=trust) as answer:
        return [json.dumps(replica["clock"], sort_keys=True) for replica in json.load(answer)["clocks"]]


def wait_until_converged(node, tag):
    """Keys written while a replica was away, each asked for once: only what the cluster repaired by itself counts."""
    began, in_step = time.monotonic(), 0
    for index in range(CONVERGING_KEYS):
        clocks = replica_clocks(node, f"{tag}/converging/{index}")
        in_step = in_step + 1 if len(clocks) == 3 and len(set(clocks)) == 1 else 0
        if in_step == 20:
            return time.monotonic() - began
        time.sleep(0.1)
    raise AssertionError(f"replicas still differ after {time.monotonic() - began:.0f} s: {clocks}")


def one_round(victim, number):
    tag = f"round-{number}"
    others = [node for node in range(len(S3_ENDPOINTS)) if node != victim]
    workers = [Worker(f"{tag}/node-{node}/{i}", node) for node in others for i in range(4)]
    on_victim = [Worker(f"{tag}/victim/{i}", victim) for i in range(2)]
    stop = threading.Event()

    def work(worker):
        while not stop.is_set():
            worker.step()

    with ThreadPoolExecutor(len(workers) + len(on_victim)) as pool:
        running = [pool.submit(work, worker) for worker in workers + on_victim]
        try:
            time.sleep(BEFORE_KILL_S)
            os.kill(PIDS[victim], signal.SIGKILL)
            killed = time.monotonic()
            away = s3_client(S3_ENDPOINTS[others[0]])
            for index in range(40):
                away.put_object(Bucket=BUCKET, Key=f"{tag}/replaced/{index}", Body=b"old")
                away.put_object(Bucket=BUCKET, Key=f"{tag}/removed/{index}", Body=b"old")
            for index in range(CONVERGING_KEYS):
                away.put_object(Bucket=BUCKET, Key=f"{tag}/converging/{index}", Body=b"while a replica was away")
            time.sleep(max(0.0, DOWN_S - (time.monotonic() - killed)))
            start_node(victim)
            took = wait_until_it_answers(s3_client(S3_ENDPOINTS[victim]))
            returned = time.monotonic()
            print(f"             node {victim} answered {took:.1f} s after it was started", flush=True)
            with check(f"round {number}: overwrites and deletes through the node that just returned take effect"):
                overwrite_and_delete_through(victim, others[-1], tag)
            with check(f"round {number}: the node that returned converges without being read"):
                print(f"             in step after {wait_until_converged(others[0], tag):.1f} s", flush=True)
            time.sleep(AFTER_RETURN_S)
        finally:
            stop.set()
        for one in running:
            one.result()

    done = sum(worker.done for worker in workers)
    with check(f"round {number}: none of {done} requests through the living nodes failed or was answered wrongly"):
        failed = [failure for worker in workers for _, failure in worker.failed]
        wrong = [answer for worker in workers for answer in worker.wrong]
        assert done > 100, f"only {done} requests in all that time"
        assert not failed, f"{len(failed)} failed, the first: {failed[:2]}"
        assert not wrong, f"{len(wrong)} wrong, the first: {wrong[:2]}"

    with check(f"round {number}: the victim's own clients were answered rightly, and without a failure once it was back"):
        wrong = [answer for worker in on_victim for answer in worker.wrong]
        late = [failure for worker in on_victim for when, failure in worker.failed if when < killed - 0.1 or when > returned + 1]
        assert not wrong, f"{len(wrong)} wrong, the first: {wrong[:2]}"
        assert not late, f"{len(late)} failed, the first: {late[:2]}"

    with check(f"round {number}: every acknowledged object is there and correct through every node"):
        for node, endpoint in enumerate(S3_ENDPOINTS):
            client = s3_client(endpoint)
            for worker in workers + on_victim:
                worker.wrong.clear()
                for key in worker.may_hold:
                    worker.judge(key, read(client, key), f"node {node}")
                assert not worker.wrong, worker.wrong[:3]
            for index in range(40):
                assert read(client, f"{tag}/replaced/{index}") == b"new"
                assert read(client, f"{tag}/removed/{index}") is None


assert len(S3_ENDPOINTS) >= 3, "one node of three is killed"
s3_client().create_bucket(Bucket=BUCKET)
for number, victim in enumerate([2, 1, 0], start=1):
    with check(f"round {number}: node {victim} is killed and returns"):
        one_round(victim, number)

with check("all of it is still there once all three nodes have been killed once"):
    listings = []
    for endpoint in S3_ENDPOINTS:
        pages = s3_client(endpoint).get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        listings.append([(row["Key"], row["ETag"]) for page in pages for row in page.get("Contents", [])])
    assert listings[0] == listings[1] == listings[2], "the nodes list different versions"
    assert not [key for key, _ in listings[0] if "/removed/" in key]
    assert error_of(s3_client().get_object, Bucket=BUCKET, Key="round-1/removed/0")[0] == "NoSuchKey"

harness.finish()
