"""A tracker and data keepers: big files that go straight to and from the nodes that hold them, several ranges at once; a client that is
killed and goes on; a node that dies meanwhile; replicas that are checked and restored; and who came and went, as it happens.
"""

import sys

sys.path.insert(0, __file__.rsplit("/", 2)[0] + "/clients")

import json  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import urllib.request  # noqa: E402

import harness  # noqa: E402
import nodes  # noqa: E402
from harness import MIB, REST_ENDPOINTS, WORK, check, file_digest, random_bytes, write_file  # noqa: E402
from rest import Rest  # noqa: E402

api = [Rest(endpoint) for endpoint in REST_ENDPOINTS]
SIZE = 96 * MIB


def holdfast(*words, ok=0):
    done = subprocess.run([nodes.BINARY, "--json", *words], capture_output=True, text=True, timeout=300, cwd=WORK)
    assert done.returncode == ok, f"{words}: {done.returncode}: {done.stdout[-500:]} {done.stderr[-500:]}"
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def listen(node, kinds):
    headers = {"Authorization": f"Bearer {harness.ADMIN_TOKEN}"}
    request = urllib.request.Request(REST_ENDPOINTS[node] + "/v1/cluster/events", headers=headers)
    with urllib.request.urlopen(request, timeout=600) as answer:
        for line in answer:
            if line.startswith(b"data: "):
                kinds.append(json.loads(line[len(b"data: "):])["event"])


events = []
threading.Thread(target=listen, args=(0, events), daemon=True).start()
source = write_file(WORK / "film.mkv", random_bytes(SIZE, "film"))

with check("one question tells where a file's pieces go, and they go there directly; the client is told that all is well"):
    harness.run(nodes.BINARY, "mb", "hf://films")
    told = holdfast("cp", str(source), "hf://films/film.mkv")[-1]
    assert told["via"] == "nodes" and len(told["nodes"]) >= 3, told

with check("it comes back from several nodes at once, and is whole"):
    told = holdfast("cp", "hf://films/film.mkv", "back.mkv")[-1]
    assert told["via"] == "nodes" and len(told["nodes"]) >= 2, told
    assert file_digest(WORK / "back.mkv") == file_digest(source)

with check("several transfers at a time, while a node dies: all arrive"):
    copies = [
        subprocess.Popen([nodes.BINARY, "cp", str(source), f"hf://films/copy-{number}"], cwd=WORK) for number in range(3)
    ]
    time.sleep(0.5)
    os.kill(nodes.PIDS[4], signal.SIGKILL)
    assert [copy.wait(timeout=300) for copy in copies] == [0, 0, 0]
    for number in range(3):
        holdfast("cp", f"hf://films/copy-{number}", "again.mkv")
        assert file_digest(WORK / "again.mkv") == file_digest(source), number

with check("a node stands still for a while in the middle: the others give what it does not"):
    copy = subprocess.Popen([nodes.BINARY, "cp", "hf://films/film.mkv", "slow.mkv"], cwd=WORK)
    time.sleep(0.1)
    with nodes.frozen(1):
        assert copy.wait(timeout=300) == 0
    assert file_digest(WORK / "slow.mkv") == file_digest(source)

with check("a client that is killed goes on where it was"):
    copy = subprocess.Popen([nodes.BINARY, "cp", "hf://films/film.mkv", "late.mkv"], cwd=WORK)
    time.sleep(0.15)
    copy.kill()
    copy.wait()
    holdfast("cp", "hf://films/film.mkv", "late.mkv")
    assert file_digest(WORK / "late.mkv") == file_digest(source)

with check("everybody is told that the node went, and that it came back"):
    began = time.monotonic()
    while "down" not in events:
        assert time.monotonic() - began < 60, events
        time.sleep(0.2)
    nodes.start(4)
    while "up" not in events[events.index("down"):]:
        assert time.monotonic() - began < 120, events
        time.sleep(0.2)

with check("replicas are checked, and what the node missed is restored"):
    began = time.monotonic()
    while any(member["hints_owed"] for node in api for member in node.json("GET", "/v1/cluster")["members"]):
        assert time.monotonic() - began < 120, "hints are still owed"
        time.sleep(0.5)
    harness.run(nodes.BINARY, "repair", timeout=300)
    for node in range(len(api)):
        report = api[node].json("GET", "/v1/repair")["repair"]
        assert report["stage"] == "over" and report["unhealed"]["count"] == 0, report
    for other in (0, 1):
        os.kill(nodes.PIDS[other], signal.SIGKILL)
    remaining = REST_ENDPOINTS[2], harness.S3_ENDPOINTS[2]
    harness.run(
        nodes.BINARY, "cp", "hf://films/copy-0", str(WORK / "kept.mkv"),
        "--rest-endpoint", remaining[0], "--endpoint", remaining[1], timeout=300,
    )
    assert file_digest(WORK / "kept.mkv") == file_digest(source), "two of five are gone, and every chunk has three homes"

harness.finish()
