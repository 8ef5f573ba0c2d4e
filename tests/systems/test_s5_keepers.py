"""A tracker and data keepers: big files that go straight to and from the nodes that hold them, several ranges at once; a client that is
killed and goes on; a node, or a gateway, that dies meanwhile; replicas that are checked and restored; and who came and went, as it happens.
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
from gateway import Gateway  # noqa: E402
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


def by(*gateways):
    """For a client that cannot reach the nodes: all that it moves goes by these doors."""
    s3, rest = (",".join(getattr(gateway, side) for gateway in gateways) for side in ("s3", "rest"))
    return "--endpoints", s3, "--rest-endpoints", rest


def killed_midway(gateway, is_midway, *words):
    """Begins a copy and kills the gateway that it goes by, once that is in the middle of it; how the copy ends, and what it says."""
    copy = subprocess.Popen([nodes.BINARY, "cp", *words], cwd=WORK, stderr=subprocess.PIPE, text=True)
    while not is_midway():
        assert copy.poll() is None, "it was over before"
    gateway.kill()
    return copy.wait(timeout=300), copy.stderr.read()


def some_parts_are_in():
    page = first.api.bytes("GET", "/metrics").decode()
    counts = [line.split()[-1] for line in page.splitlines() if line.startswith("holdfast_requests_total") and '"UploadPart"' in line]
    return sum(map(int, counts)) >= 3


def a_third_has_come():
    return sum(file.stat().st_size for file in WORK.glob(".gate.mkv.*.partial")) > SIZE // 3


first, second = Gateway(0), Gateway(1)
with check("a gateway is killed while a file goes up by it, the client's only door: it is told so, and nothing of the file is there"):
    ended, said = killed_midway(first, some_parts_are_in, str(source), "hf://films/gate.mkv", *by(first))
    assert ended == 4 and "no node could be reached" in said, (ended, said)
    holdfast("stat", "hf://films/gate.mkv", ok=3)

with check("a client that knows another door goes on by that, and the file is there, whole"):
    first.start()
    ended, said = killed_midway(first, some_parts_are_in, str(source), "hf://films/gate.mkv", *by(first, second))
    assert ended == 0, (ended, said)
    told = holdfast("cp", "hf://films/gate.mkv", "gate-checked.mkv")[-1]
    assert told["checked"] == "crc64nvme" and file_digest(WORK / "gate-checked.mkv") == file_digest(source), told

with check("killed while it comes down: by one door it fails, and leaves no file that is a part; with another it comes, whole"):
    first.start()
    ended, said = killed_midway(first, a_third_has_come, "hf://films/gate.mkv", "gate.mkv", *by(first))
    assert ended == 4 and not (WORK / "gate.mkv").exists() and not a_third_has_come(), (ended, said)
    first.start()
    ended, said = killed_midway(first, a_third_has_come, "hf://films/gate.mkv", "gate.mkv", *by(first, second))
    assert ended == 0 and file_digest(WORK / "gate.mkv") == file_digest(source), (ended, said)

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
