"""Temporary failures in a cluster of five with three homes per key: writes go on, and what stand-ins took finds its home.

One home down, two down, and at last three of five nodes killed, so that some keys have no home left at all: every write
is taken, said to be where it is, and read back. When the nodes return they get what they missed, from hints and, where
both nodes that were left are homes themselves, by comparison: in the end those two are killed, and everything is still there.
"""

import json
import os
import signal
import ssl
import subprocess
import threading
import time
import urllib.request

import harness
from harness import MIB, REST_ENDPOINTS, S3_ENDPOINTS, check, md5, random_bytes, s3_client

BUCKET = "stand-ins"
BINARY = os.environ["HOLDFAST_BIN"]
DATA = os.environ["HOLDFAST_DATA"]
PIDS = [int(pid) for pid in os.environ["HOLDFAST_PIDS"].split(",")]
NODES = len(REST_ENDPOINTS)
KEYS = 120
HANDOFF_S_MAX = 60


def asked(node, path, method="GET", body=None):
    trust = ssl.create_default_context(cafile=harness.CA_FILE) if harness.CA_FILE else None
    headers = {"Authorization": f"Bearer {harness.ADMIN_TOKEN}"}
    request = urllib.request.Request(REST_ENDPOINTS[node] + path, headers=headers, method=method, data=body)
    with urllib.request.urlopen(request, timeout=30, context=trust) as answer:
        return answer.read().decode()


def put(node, key, body):
    return json.loads(asked(node, f"/v1/buckets/{BUCKET}/objects/{key}?wait=all", "PUT", body))


def number(node):
    """The number of a node as an answer names it."""
    return int(node["name"].rsplit("-", 1)[1])


def kill(node):
    os.kill(PIDS[node], signal.SIGKILL)


def start(node):
    with open(harness.WORK / f"start-node-{node}.log", "wb") as log:
        command = [BINARY, "dev", "start-node", str(node), "--data", DATA]
        subprocess.run(command, check=True, timeout=120, stdout=log, stderr=log)
    PIDS[node] = json.loads((open(f"{DATA}/node-{node}/process.json")).read())["pid"]


def wait_until_down(node, down):
    """Until a node knows who is down."""
    began = time.monotonic()
    while {number(member) for member in json.loads(asked(node, "/v1/cluster"))["down"]} != down:
        assert time.monotonic() - began < 60, f"node {node} does not see that {down} are down"
        time.sleep(0.1)


def hints_owed(node):
    lines = asked(node, "/metrics").splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("holdfast_hints_owed{"))


def is_in_step(node, key):
    """Whether all homes of a key know the same."""
    meta = json.loads(asked(node, f"/v1/buckets/{BUCKET}/objects/{key}?meta&r=3"))
    clocks = [json.dumps(replica["clock"], sort_keys=True) for replica in meta["clocks"]]
    return len(clocks) == 3 and len(set(clocks)) == 1


def body_of(key):
    return f"body of {key}".encode() * 100


def listen(node, kinds):
    """Notes the kinds of events that a node tells, as they come."""
    trust = ssl.create_default_context(cafile=harness.CA_FILE) if harness.CA_FILE else None
    request = urllib.request.Request(
        REST_ENDPOINTS[node] + "/v1/cluster/events", headers={"Authorization": f"Bearer {harness.ADMIN_TOKEN}"}
    )
    with urllib.request.urlopen(request, timeout=60, context=trust) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        for line in answer:
            if line.startswith(b"data: "):
                kinds.add(json.loads(line[len(b"data: "):])["event"])


with check("all homes up: all of them write, nobody stands in"):
    asked(0, f"/v1/buckets/{BUCKET}", "PUT")
    outcome = put(0, "first", b"1")
    homes = [number(node) for node in outcome["preference_list"]]
    assert len(homes) == 3 and len(outcome["replicas_written"]) == 3, outcome
    assert outcome["down"] == [] and outcome["hinted"] == [], outcome

others = [node for node in range(NODES) if node not in homes]
kinds = set()
threading.Thread(target=listen, args=(others[0], kinds), daemon=True).start()
with check("one home down: a stand-in takes its copy, and the answer says so"):
    kill(homes[2])
    wait_until_down(homes[0], {homes[2]})
    outcome = put(homes[0], "first", b"2")
    assert [number(node) for node in outcome["down"]] == [homes[2]], outcome
    assert [number(hint["for"]) for hint in outcome["hinted"]] == [homes[2]], outcome
    assert number(outcome["hinted"][0]["at"]) in others, outcome

with check("two homes down: the third and two stand-ins write"):
    kill(homes[1])
    wait_until_down(homes[0], {homes[1], homes[2]})
    outcome = put(homes[0], "first", b"3")
    assert sorted(number(hint["for"]) for hint in outcome["hinted"]) == sorted(homes[1:]), outcome
    assert sorted(number(hint["at"]) for hint in outcome["hinted"]) == others, outcome

with check("no home left: a stand-in coordinates"):
    kill(homes[0])
    for node in others:
        wait_until_down(node, set(homes))
    outcome = put(others[0], "first", b"4")
    assert number(outcome["node"]) in others and outcome["replicas_written"] == [], outcome
    assert asked(others[1], f"/v1/buckets/{BUCKET}/objects/first") == "4"

large = random_bytes(20 * MIB, seed=4)
with check("two of five nodes take every write, large ones too, and read and list them"):
    clients = [s3_client(S3_ENDPOINTS[node]) for node in others]
    for index in range(KEYS):
        key = f"key-{index:03}"
        clients[index % 2].put_object(Bucket=BUCKET, Key=key, Body=body_of(key))
    clients[0].put_object(Bucket=BUCKET, Key="large", Body=large)
    for client in clients:
        listed = [row["Key"] for row in client.list_objects_v2(Bucket=BUCKET, Prefix="key-")["Contents"]]
        assert listed == [f"key-{index:03}" for index in range(KEYS)], listed
        assert client.get_object(Bucket=BUCKET, Key="key-007")["Body"].read() == body_of("key-007")
        assert md5(client.get_object(Bucket=BUCKET, Key="large")["Body"].read()) == md5(large)
    assert all(hints_owed(node) > 0 for node in others)

with check("the homes return and get what they missed; no hint is left"):
    for home in homes:
        start(home)
    began = time.monotonic()
    while any(hints_owed(node) for node in others):
        assert time.monotonic() - began < HANDOFF_S_MAX, f"hints are left: {[hints_owed(node) for node in others]}"
        time.sleep(0.2)
    for key in ["first", "large", *(f"key-{index:03}" for index in range(KEYS))]:
        while not is_in_step(others[0], key):
            assert time.monotonic() - began < HANDOFF_S_MAX, f"the homes of {key} still differ"
            time.sleep(0.1)
    print(f"              in step {time.monotonic() - began:.1f} s after the last node answered")

with check("a stand-in told of its hints as it took them and handed them over"):
    assert {"hint_stored", "hint_delivered"} <= kinds, kinds

with check("the stand-ins are killed: the homes have it all"):
    for node in others:
        kill(node)
    for home in homes:
        wait_until_down(home, set(others))
    assert asked(homes[1], f"/v1/buckets/{BUCKET}/objects/first") == "4"
    client = s3_client(S3_ENDPOINTS[homes[2]])
    for index in range(KEYS):
        key = f"key-{index:03}"
        assert client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == body_of(key), key
    assert md5(client.get_object(Bucket=BUCKET, Key="large")["Body"].read()) == md5(large)

harness.finish()
