"""`holdfast repair`: bytes that flipped on disks are found and healed at once, counted, and whoever is down is named and left out.

A routine scrub comes every 30 days and nothing here reads the damaged objects before the repair has, so it alone heals them.
"""

import json
import os
import signal
import struct
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import harness
from harness import MIB, REST_ENDPOINTS, S3_ENDPOINTS, check, random_bytes, s3_client

BUCKET = "repair"
BINARY = os.environ["HOLDFAST_BIN"]
DATA = Path(os.environ["HOLDFAST_DATA"])
PIDS = [int(pid) for pid in os.environ["HOLDFAST_PIDS"].split(",")]
NODES = len(REST_ENDPOINTS)
LARGE = 9 * MIB
SMALL = 200
SOUND_S_MAX = 60
# Of a record in a segment (docs/format-store.md, "Segments").
ALIGN, KEY_LENGTH_AT, HEADER_LENGTH_AT, BODY_LENGTH_AT, KEY_AT = 4096, 6, 28, 52, 80


def chunks_of(node, key):
    """(file, where the body begins, its length) of every chunk of an object on a node's disk."""
    for segment in sorted(DATA.glob(f"node-{node}/**/segments/*.seg")):
        size = segment.stat().st_size
        with open(segment, "rb") as file:
            at = ALIGN
            while at + ALIGN <= size:
                file.seek(at)
                header = file.read(KEY_AT + 1024)
                if header[:4] != b"HFCK":
                    at += ALIGN
                    continue
                key_length, = struct.unpack_from("<H", header, KEY_LENGTH_AT)
                header_length, = struct.unpack_from("<I", header, HEADER_LENGTH_AT)
                body_length, = struct.unpack_from("<I", header, BODY_LENGTH_AT)
                if header[KEY_AT : KEY_AT + key_length].decode() == key:
                    yield segment, at + header_length, body_length
                at += -(-(header_length + body_length) // ALIGN) * ALIGN


def flip(node, key):
    """Flips a bit in every chunk of an object on one disk; returns how many."""
    found = list(chunks_of(node, key))
    for segment, start, length in found:
        at = start + length // 2
        with open(segment, "r+b") as file:
            file.seek(at)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ 4]))
            os.fsync(file.fileno())
    return len(found)


def repair(*flags, ok=(0,)):
    """Runs it, and returns what it says of each node and of all together, and what it complains of."""
    command = [BINARY, "repair", "--json", *flags, "--rest-endpoints", ",".join(REST_ENDPOINTS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode in ok, f"ended with {done.returncode}: {done.stdout} {done.stderr}"
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return [line for line in told if "node" in line], told[-1], done.stderr


def asked(node, path, method="GET"):
    request = urllib.request.Request(REST_ENDPOINTS[node] + path, method=method)
    request.add_header("Authorization", f"Bearer {harness.ADMIN_TOKEN}")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def report(node):
    return json.loads(asked(node, "/v1/repair"))["repair"]


def metric(node, name):
    page = asked(node, "/metrics").decode().splitlines()
    return [float(line.rsplit(" ", 1)[1]) for line in page if line.rsplit(" ", 1)[0] == name]


def members(node):
    return json.loads(asked(node, "/v1/cluster"))["members"]


def kill(node):
    os.kill(PIDS[node], signal.SIGKILL)
    time.sleep(1)


def start(node):
    with open(harness.WORK / f"start-node-{node}.log", "ab") as log:
        command = [BINARY, "dev", "start-node", str(node), "--data", str(DATA)]
        subprocess.run(command, check=True, timeout=120, stdout=log, stderr=log)
    PIDS[node] = json.loads((DATA / f"node-{node}/process.json").read_text())["pid"]


def wait_until_all_are_sound():
    began = time.monotonic()
    is_sound = lambda member: member["up"] and (member["facts"] or {}).get("soundness") == "sound"
    while not all(is_sound(member) for node in range(NODES) for member in members(node)):
        assert time.monotonic() - began < SOUND_S_MAX, members(0)
        time.sleep(0.2)


def large(node):
    return random_bytes(LARGE, seed=70 + node)


clients = [s3_client(endpoint) for endpoint in S3_ENDPOINTS]
clients[0].create_bucket(Bucket=BUCKET)
for node in range(NODES):
    clients[node].put_object(Bucket=BUCKET, Key=f"large-{node}", Body=large(node))
for number in range(SMALL):
    clients[number % NODES].put_object(Bucket=BUCKET, Key=f"small-{number:03}", Body=random_bytes(3_000, seed=number))
time.sleep(2)

with check("where nothing is wrong, a repair says so, and has read everything on every node"):
    nodes, total, _ = repair()
    assert total["status"].endswith("nothing was damaged, nothing differed."), total
    assert total["nodes"] == NODES and total["chunks"] == 3 * NODES * NODES, total
    assert total["bytes"] == NODES * NODES * LARGE and total["records"] >= NODES * (SMALL + NODES), total
    assert all(line["state"] == "over" and line["repair"]["percent"] == 100 for line in nodes), nodes

with check("bits that flipped in bodies on two disks are found and healed by one repair, under load, and nothing is left"):
    events = open(harness.WORK / "events", "wb")
    command = [BINARY, "cluster", "events", "--json", "--rest-endpoint", REST_ENDPOINTS[0]]
    listener = subprocess.Popen(command, stdout=events, stderr=subprocess.DEVNULL)
    time.sleep(1)
    flipped = [flip(0, "large-0"), flip(1, "large-1")]
    assert flipped == [3, 3], flipped
    stop = threading.Event()
    written = []

    def write():
        client = s3_client(S3_ENDPOINTS[2])
        while not stop.is_set():
            client.put_object(Bucket=BUCKET, Key=f"meanwhile-{len(written):05}", Body=b"x" * 500)
            written.append(len(written))

    writer = threading.Thread(target=write)
    writer.start()
    nodes, total, _ = repair()
    stop.set()
    writer.join()
    assert total["damaged"] == sum(flipped) and total["healed"]["chunks"] == sum(flipped), total
    assert total["unhealed"] == {"count": 0, "keys": []} and total["left_out"] == [], total
    by_node = [line["repair"]["healed"]["chunks"] for line in sorted(nodes, key=lambda line: line["node"])]
    assert by_node == flipped + [0], by_node
    assert written, "nothing was written meanwhile"
    print(f"              {len(written)} objects were written meanwhile")

with check("events and metrics tell of it"):
    time.sleep(1)
    listener.kill()
    events.close()
    told = [json.loads(line) for line in (harness.WORK / "events").read_text().splitlines()]
    assert {"repair_begun", "repair_ended", "mended"} <= {event["event"] for event in told}, told
    ended = next(event for event in told if event["event"] == "repair_ended")
    assert (ended["damaged"], ended["chunks_healed"], ended["unhealed"]) == (3, 3, 0), ended
    assert metric(0, "holdfast_chunks_repaired") == [3] and metric(2, "holdfast_chunks_repaired") == [0]
    assert metric(0, "holdfast_repair_running") == [0] and metric(0, "holdfast_repair_done_ratio") == [1]
    assert metric(0, 'holdfast_soundness{state="sound"}') == [1]
    assert metric(0, 'holdfast_soundness{state="filling"}') == [0]

with check("each replica by itself gives every object back: the others are killed meanwhile"):
    for alone in range(NODES):
        others = [node for node in range(NODES) if node != alone]
        for node in others:
            kill(node)
        for node in range(NODES):
            assert asked(alone, f"/v1/buckets/{BUCKET}/objects/large-{node}?r=1") == large(node), f"large-{node} at {alone}"
        assert asked(alone, f"/v1/buckets/{BUCKET}/objects/small-007?r=1") == random_bytes(3_000, seed=7)
        for node in others:
            start(node)
        wait_until_all_are_sound()

with check("a node that is down is named and left out; the others are repaired; the exit code tells it from success"):
    kill(2)
    assert flip(0, "large-2") == 3
    nodes, total, complaint = repair(ok=(6,))
    assert [line["state"] for line in sorted(nodes, key=lambda line: line["node"])] == ["over", "over", "down"], nodes
    assert total["healed"]["chunks"] == 3 and total["unhealed"]["count"] == 0, total
    assert len(total["left_out"]) == 1 and "cannot be reached" in total["left_out"][0], total
    assert "cannot be reached" in json.loads(complaint)["error"], complaint

with check("Ctrl-C ends the watching, not the repair; whoever asks meanwhile joins it"):
    command = [BINARY, "repair", "--rest-endpoints", ",".join(REST_ENDPOINTS)]
    watching = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    began = time.monotonic()
    number = report(0)["number"]
    while not report(0)["running"]:
        assert time.monotonic() - began < 10, "it does not begin"
        time.sleep(0.02)
    joined = json.loads(asked(0, "/v1/repair", method="POST"))
    assert joined["joined"] and joined["repair"]["running"], joined
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=20)
    assert watching.returncode == 130 and "goes on" in said, (watching.returncode, said)
    while report(0)["running"]:
        assert time.monotonic() - began < 60, report(0)
        time.sleep(0.1)
    assert report(0)["number"] == number + 1, "it was begun once"
    assert len(report(0)["left_out"]) == 1, report(0)

with check("one node alone can be asked, and --detach returns at once"):
    start(2)
    wait_until_all_are_sound()
    nodes, _, _ = repair("--detach", "--node", members(0)[1]["name"])
    assert len(nodes) == 1 and nodes[0]["state"] in ("running", "over"), nodes
    _, total, _ = repair()
    assert total["damaged"] == 0 and total["nodes"] == NODES, total
    refused = subprocess.run([BINARY, "repair", "--node", "nobody", *command[2:]], capture_output=True, text=True, timeout=30)
    assert refused.returncode == 3 and "no node nobody" in refused.stderr, refused

harness.finish()
