"""Direct transfers of the command line, and `sync`, on five nodes of which three hold each chunk.

300 MiB go up and come down straight to and from the nodes that hold them, also while one of these is killed, also when the
client itself is killed and begins again, also when it can reach one node alone. What was moved once is not moved again: the
nodes' own counters say so. Grants are for what they say, and no longer.
"""

import base64
import hashlib
import http.client
import http.server
import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import harness
from harness import MIB, REST_ENDPOINTS, S3_ENDPOINTS, check, file_digest, random_bytes, run, write_file
from nodes import BINARY, kill, start

BUCKET = "transfer"
WORK = harness.WORK
SIZE = 300 * MIB
PART = 8 * MIB
PIECE = 4 * MIB
PARTS = -(-SIZE // PART)
# Some parts may be under way when a client is killed, and a part may be sent twice when a node is.
PARALLEL = 4
# A debug build's own needs, and the pieces under way.
RSS_BYTES_MAX = 160 * MIB
NODES = len(REST_ENDPOINTS)

os.environ["XDG_STATE_HOME"] = str(WORK / "state")


def holdfast(*words, **more):
    return run(BINARY, *words, **more)


def told(*words, **more):
    """What a verb says with --json: one value for each line."""
    return [json.loads(line) for line in holdfast(*words, "--json", **more).splitlines()]


def asked(node, path, method="GET", headers=None, body=None, rest=None):
    """(status, body) of a REST request, as the administrator unless headers say otherwise."""
    headers = headers or {"Authorization": f"Bearer {harness.ADMIN_TOKEN}"}
    request = urllib.request.Request((rest or REST_ENDPOINTS[node]) + path, headers=headers, method=method, data=body)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def counted(operation="transfer", ok=("200", "206")):
    """Requests of an operation that went well, at each node that answers."""
    counts = []
    for node in range(NODES):
        try:
            page = asked(node, "/metrics")[1].decode()
        except OSError:
            counts.append(0)
            continue
        lines = [line for line in page.splitlines() if line.startswith("holdfast_requests_total{")]
        lines = [line for line in lines if f'operation="{operation}"' in line]
        counts.append(sum(int(line.split()[-1]) for line in lines if any(f'status="{code}"' in line for code in ok)))
    return counts


def wait_for_transfers(before, count, process):
    """Until so many more parts or pieces have moved than before."""
    began = time.monotonic()
    while sum(counted()) - sum(before) < count:
        assert process.poll() is None, f"it had ended before: {process.communicate()}"
        assert time.monotonic() - began < 120, "nothing moves"
        time.sleep(0.05)


def begun(*words):
    return subprocess.Popen(
        [BINARY, *map(str, words), "--json"], cwd=WORK, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process):
    out, complaints = process.communicate(timeout=300)
    assert process.returncode == 0, f"{process.returncode}: {out[-500:]} {complaints[-1500:]}"
    return [json.loads(line) for line in out.splitlines()]


def rss_max(process):
    """The most memory that a process had while it ran, in bytes."""
    most = 0
    while process.poll() is None:
        try:
            found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        except OSError:
            break
        most = max(most, int(found.group(1)) * 1024 if found else 0)
        time.sleep(0.05)
    return most


def same(path, other):
    assert file_digest(path) == file_digest(other), f"{path} is not {other}"


def brought_through_one(key, name):
    """The object by way of S3 alone, so that what went up directly is checked by another way down."""
    path = WORK / name
    one = told("cp", f"hf://{BUCKET}/{key}", path, "--via-one-node")[0]
    assert one["via"] == "one node", one
    return path


run(BINARY, "mb", f"hf://{BUCKET}")
# In two halves: Python draws no more than 256 MiB at once.
source = write_file(WORK / "source", random_bytes(SIZE // 2) + random_bytes(SIZE // 2, seed=1))

with check("300 MiB go straight to the nodes that hold them, in bounded memory"):
    before = counted()
    process = begun("cp", source, f"hf://{BUCKET}/up")
    most = rss_max(process)
    up = ended(process)[0]
    after = counted()
    assert (up["via"], up["bytes"], up["moved"], up["resumed"]) == ("nodes", SIZE, SIZE, 0), up
    assert sum(after) - sum(before) == PARTS, (before, after)
    assert sum(count > old for count, old in zip(after, before)) == NODES, f"not all nodes took part: {before} {after}"
    assert len(up["nodes"]) == NODES and up["checked"] == "crc64nvme", up
    assert most < RSS_BYTES_MAX, f"{most / MIB:.0f} MiB"
    print(f"             upload: {most / MIB:.0f} MiB of memory at most", flush=True)
    same(brought_through_one("up", "up-by-s3"), source)

with check("a part lies on the node that was chosen for it, and is taken by any other"):
    s3 = harness.s3_client()
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="by-hand")["UploadId"]
    path = f"/v1/buckets/{BUCKET}/transfers/by-hand"
    granted = json.loads(asked(0, f"{path}?upload={upload}&part=1&count=8&part_bytes={PART}", "POST")[1])
    bodies = [random_bytes(PART, seed=number) for number in range(8)]
    parts, chosen = [], []
    for part, body in zip(granted["parts"], bodies):
        is_last = part["number"] == 8
        node = granted["nodes"][part["node"]]
        # The last one goes to another node than the one it was meant for.
        rest = next(rest for rest in REST_ENDPOINTS if (rest == node["rest"]) != is_last)
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        headers = {"Authorization": f"Grant {part['grant']}", "x-amz-checksum-sha256": digest}
        status, answer = asked(0, "/v1/transfers/part", "PUT", headers, body, rest=rest)
        answer = json.loads(answer)
        assert status == 200 and answer["chosen"] != is_last and answer["checksum"] == digest, answer
        parts.append({"PartNumber": part["number"], "ETag": answer["etag"]})
        chosen.append(node["id"])
    s3.complete_multipart_upload(Bucket=BUCKET, Key="by-hand", UploadId=upload, MultipartUpload={"Parts": parts})
    plan = json.loads(asked(0, path)[1])
    assert plan["direct"] and plan["next"] is None and len(plan["parts"]) == 8, plan
    for part, node in list(zip(plan["parts"], chosen))[:-1]:
        assert len(part["homes"]) == 2
        for homes in part["homes"]:
            assert node in [plan["nodes"][home]["id"] for home in homes], (part["number"], node)
    assert s3.get_object(Bucket=BUCKET, Key="by-hand")["Body"].read() == b"".join(bodies)

with check("where each chunk lies is told"):
    first, *chunks = told("locate", f"hf://{BUCKET}/up", "--chunks")
    assert len(first["preference_list"]) == NODES and len(chunks) == SIZE // PIECE, (first, len(chunks))
    assert all(len(set(chunk["homes"])) == 3 and chunk["bytes"] == PIECE for chunk in chunks), chunks[0]
    assert [chunk["offset"] for chunk in chunks] == list(range(0, SIZE, PIECE))

with check("they come down from several nodes at once, in bounded memory"):
    before = counted()
    process = begun("cp", f"hf://{BUCKET}/up", WORK / "down")
    most = rss_max(process)
    down = ended(process)[0]
    after = counted()
    assert (down["via"], down["moved"], down["resumed"], down["checked"]) == ("nodes", SIZE, 0, "crc64nvme"), down
    assert sum(after) - sum(before) == SIZE // PIECE and len(down["nodes"]) == NODES, (before, after, down)
    assert most < RSS_BYTES_MAX, f"{most / MIB:.0f} MiB"
    print(f"             download: {most / MIB:.0f} MiB of memory at most", flush=True)
    same(WORK / "down", source)
    assert not list(WORK.glob(".*hfpart*")), "something is left over"

with check("an object that another client put is checked by its ETag"):
    # In parts of another length, without a checksum.
    s3 = harness.s3_client()
    parts = []
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="other")["UploadId"]
    body = random_bytes(25 * MIB, seed=7)
    for number, at in enumerate(range(0, len(body), 10 * MIB), 1):
        part = s3.upload_part(
            Bucket=BUCKET, Key="other", UploadId=upload, PartNumber=number, Body=body[at : at + 10 * MIB]
        )
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    s3.complete_multipart_upload(Bucket=BUCKET, Key="other", UploadId=upload, MultipartUpload={"Parts": parts})
    other = told("cp", f"hf://{BUCKET}/other", WORK / "other")[0]
    assert other["via"] == "nodes" and other["checked"] in ("etag", "crc64nvme"), other
    assert (WORK / "other").read_bytes() == body

with check("a client that is killed while it sends goes on, and sends nothing twice"):
    before = counted()
    process = begun("cp", source, f"hf://{BUCKET}/killed", "--parallel", PARALLEL)
    wait_for_transfers(before, 10, process)
    process.kill()
    process.communicate()
    time.sleep(2)
    sent = sum(counted()) - sum(before)
    assert 10 <= sent < PARTS, f"{sent} parts were sent before the kill"
    again = told("cp", source, f"hf://{BUCKET}/killed", "--parallel", PARALLEL)[0]
    assert again["resumed"] >= (sent - PARALLEL) * PART and again["moved"] + again["resumed"] == SIZE, (sent, again)
    moved = sum(counted()) - sum(before)
    assert moved <= PARTS + PARALLEL, f"{moved} parts were sent for {PARTS}"
    print(f"             {sent} parts before the kill, {moved - sent} after it", flush=True)
    same(brought_through_one("killed", "killed-by-s3"), source)
    assert not list((WORK / "state").rglob("*.json")), "the note on the upload is left"

with check("a client that is killed while it receives goes on, and receives nothing twice"):
    before = counted()
    process = begun("cp", f"hf://{BUCKET}/up", WORK / "taken-up", "--parallel", PARALLEL)
    wait_for_transfers(before, 20, process)
    process.kill()
    process.communicate()
    assert not (WORK / "taken-up").exists(), "half a file has the name of a whole one"
    journal = (WORK / ".taken-up.hfpart.journal").read_text().splitlines()[1:]
    assert 10 <= len(journal) < SIZE // PIECE, len(journal)
    again = told("cp", f"hf://{BUCKET}/up", WORK / "taken-up", "--parallel", PARALLEL)[0]
    assert again["resumed"] == len(journal) * PIECE and again["moved"] == SIZE - again["resumed"], (len(journal), again)
    assert sum(counted()) - sum(before) <= SIZE // PIECE + PARALLEL
    print(f"             {len(journal)} pieces before the kill", flush=True)
    same(WORK / "taken-up", source)

with check("a node is killed while it takes parts: the others take them"):
    before = counted()
    process = begun("cp", source, f"hf://{BUCKET}/survives")
    wait_for_transfers(before, 8, process)
    kill(4)
    survived = ended(process)[0]
    assert (survived["bytes"], survived["via"]) == (SIZE, "nodes"), survived
    same(brought_through_one("survives", "survives-by-s3"), source)
    start(4)

with check("a node is killed while it gives pieces: the others give them"):
    before = counted()
    process = begun("cp", f"hf://{BUCKET}/up", WORK / "survived")
    wait_for_transfers(before, 10, process)
    kill(3)
    survived = ended(process)[0]
    assert survived["via"] == "nodes" and survived["moved"] < SIZE + 8 * PIECE, survived
    same(WORK / "survived", source)
    start(3)

with check("a node stands still while it gives pieces: the others give them"):
    pid = int(json.loads(Path(f"{os.environ['HOLDFAST_DATA']}/node-2/process.json").read_text())["pid"])
    before = counted()
    process = begun("cp", f"hf://{BUCKET}/up", WORK / "unfrozen")
    wait_for_transfers(before, 10, process)
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        ended(process)
        assert time.monotonic() - began < 60
    finally:
        os.kill(pid, signal.SIGCONT)
    same(WORK / "unfrozen", source)


class OneNode(http.server.BaseHTTPRequestHandler):
    """A node behind an address translator: it can be reached, and what it says of the others' addresses leads nowhere."""

    protocol_version = "HTTP/1.1"
    # How many parts and pieces are still to be damaged on the way.
    damage = 0

    def damaged(self, data):
        if not data or OneNode.damage == 0 or self.path != "/v1/transfers/part" or data[:1] == b"{":
            return data
        OneNode.damage -= 1
        return data[:-1] + bytes([data[-1] ^ 1])

    def answer(self):
        length = int(self.headers.get("content-length", 0))
        body = self.damaged(self.rfile.read(length)) if length else None
        node = http.client.HTTPConnection(REST_ENDPOINTS[0].split("//")[1], timeout=60)
        node.request(self.command, self.path, body, dict(self.headers))
        reply = node.getresponse()
        data = reply.read()
        data = self.damaged(data)
        if "json" in reply.getheader("content-type", ""):
            for port, rest in enumerate(REST_ENDPOINTS, 1):
                data = data.replace(rest.encode(), f"http://127.0.0.1:{port}".encode())
        self.send_response(reply.status)
        for name, value in reply.getheaders():
            if name.lower() in ("content-type", "content-range"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *arguments):
        pass


proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), OneNode)
threading.Thread(target=proxy.serve_forever, daemon=True).start()
one_node = ["--endpoint", S3_ENDPOINTS[0], "--rest-endpoint", f"http://127.0.0.1:{proxy.server_port}"]
small = write_file(WORK / "smaller", random_bytes(60 * MIB, seed=3))

with check("all nodes but one cannot be reached: everything goes through that one"):
    before = counted()
    up = told("cp", small, f"hf://{BUCKET}/through", *one_node)[0]
    down = told("cp", f"hf://{BUCKET}/through", WORK / "through", *one_node)[0]
    after = counted()
    assert up["moved"] == down["moved"] == 60 * MIB and len(up["nodes"]) == 1, (up, down)
    assert [after[node] - before[node] for node in range(1, NODES)] == [0] * (NODES - 1), (before, after)
    same(WORK / "through", small)

with check("what is damaged on the way is moved again, and only that"):
    OneNode.damage = 1
    up = told("cp", small, f"hf://{BUCKET}/through", *one_node)[0]
    assert OneNode.damage == 0 and up["moved"] == 60 * MIB, up
    OneNode.damage = 1
    (WORK / "through").unlink()
    down = told("cp", f"hf://{BUCKET}/through", WORK / "through", *one_node)[0]
    assert OneNode.damage == 0 and 60 * MIB < down["moved"] <= 60 * MIB + PART, down
    same(WORK / "through", small)

with check("no REST endpoint answers, or none is known: everything goes over S3"):
    for rest in (["--rest-endpoint", "http://127.0.0.1:9"], ["--rest-endpoint", "", "--rest-endpoints", ""]):
        up = told("cp", small, f"hf://{BUCKET}/s3", *rest)[0]
        (WORK / "s3").unlink(missing_ok=True)
        down = told("cp", f"hf://{BUCKET}/s3", WORK / "s3", *rest)[0]
        assert up["via"] == down["via"] == "one node", (up, down)
        same(WORK / "s3", small)

with check("grants that expired, were changed, or are for something else are refused"):
    path = f"/v1/buckets/{BUCKET}/transfers/up"
    error = lambda answer: (answer[0], json.loads(answer[1])["error"])

    def use(node, grant, **more):
        headers = {"Authorization": f"Grant {grant}", "Range": "bytes=0-9"}
        return asked(node, "/v1/transfers/part", headers=headers, **more)

    with open(source, "rb") as file:
        whole = file.read(10)
    brief = json.loads(asked(0, path + "?expires_s=5")[1])["parts"][0]["grant"]
    for node in range(NODES):
        assert use(node, brief) == (206, whole), f"node {node} takes the grant of another"
    grant = json.loads(asked(0, path)[1])["parts"][0]["grant"]
    forged = grant[:40] + ("0" if grant[40] != "0" else "1") + grant[41:]
    assert error(use(1, forged)) == (403, "grant_refused")
    assert error(use(1, grant, method="PUT", body=b"x")) == (403, "grant_refused")
    assert error(asked(1, "/v1/transfers/part")) == (401, "unauthorized")
    assert error(asked(1, path, headers={"Authorization": f"Grant {grant}"}))[0] == 403
    time.sleep(5.5)
    assert error(use(1, brief)) == (403, "grant_expired")

TREE = WORK / "tree"
for name, size in {"a": 10, "b/c": 5_000, "b/d e+f": 100_000, "big": 20 * MIB, "ü/empty": 0}.items():
    write_file(TREE / name, random_bytes(size, seed=name))
PLACE = f"hf://{BUCKET}/synced"


def synced(*words, ok=(0,)):
    return told("sync", *words, ok=ok)[-1]["summary"]


def keys(prefix="synced/"):
    return {line["key"].removeprefix(prefix) for line in told("ls", "-r", f"hf://{BUCKET}/{prefix}")}


with check("a directory goes up, and what has not changed does not go again"):
    first = synced(TREE, PLACE)
    assert (first["copied"], first["unchanged"], first["deleted"]) == (5, 0, 0), first
    assert len(first["nodes"]) >= 1, "the large file did not go directly"
    assert keys() == {"a", "b/c", "b/d e+f", "big", "ü/empty"}
    again = synced(TREE, PLACE)
    assert (again["copied"], again["moved"], again["unchanged"]) == (0, 0, 5), again
    mtime = (TREE / "a").stat().st_mtime_ns
    kept = told("stat", f"{PLACE}/a")[0]["x-amz-meta-mtime"]
    seconds, _, decimals = kept.partition(".")
    assert int(seconds) * 10**9 + int(decimals.ljust(9, "0")) == mtime, (kept, mtime)

with check("what has changed goes up, and nothing else"):
    write_file(TREE / "a", random_bytes(10, seed="changed"))
    write_file(TREE / "new", b"new")
    (TREE / "b/c").unlink()
    planned = synced(TREE, PLACE, "--delete", "--dry-run")
    assert (planned["would_copy"], planned["would_delete"], planned["copied"]) == (2, 1, 0), planned
    assert "new" not in keys() and "b/c" in keys(), "a dry run did something"
    second = synced(TREE, PLACE)
    assert (second["copied"], second["deleted"]) == (2, 0) and "b/c" in keys(), second
    third = told("sync", TREE, PLACE, "--delete")
    assert {"action": "deleting", "path": "b/c"} in third and third[-1]["summary"]["deleted"] == 1, third
    assert keys() == {"a", "b/d e+f", "big", "new", "ü/empty"}

with check("the same way down, with times, and back again: nothing moves"):
    down = synced(PLACE, WORK / "back")
    assert down["copied"] == 5, down
    harness.assert_same_tree(TREE, WORK / "back")
    assert (WORK / "back/big").stat().st_mtime_ns == (TREE / "big").stat().st_mtime_ns
    assert synced(PLACE, WORK / "back")["moved"] == 0
    assert synced(WORK / "back", PLACE)["moved"] == 0
    write_file(WORK / "back/extra", b"extra")
    (WORK / "back/a").unlink()
    down = synced(PLACE, WORK / "back", "--delete")
    assert (down["copied"], down["deleted"], down["unchanged"]) == (1, 1, 4), down
    harness.assert_same_tree(TREE, WORK / "back")

with check("contents are compared when asked, and where times tell nothing"):
    times = (TREE / "a").stat()
    write_file(TREE / "a", random_bytes(10, seed="changed again"))
    os.utime(TREE / "a", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert synced(TREE, PLACE)["copied"] == 0, "time and length are the same"
    assert synced(TREE, PLACE, "--checksum")["copied"] == 1
    # Another tool stores no time.
    harness.s3_client().put_object(Bucket=BUCKET, Key="synced/new", Body=b"new")
    assert synced(TREE, PLACE)["copied"] == 0
    harness.s3_client().put_object(Bucket=BUCKET, Key="synced/new", Body=b"wen")
    assert synced(TREE, PLACE)["copied"] == 1
    assert (TREE / "new").read_bytes() == b"new" and synced(TREE, PLACE)["moved"] == 0

with check("what is excluded is neither copied nor deleted"):
    write_file(TREE / "x.tmp", b"x")
    write_file(TREE / "keep.tmp", b"x")
    assert synced(TREE, PLACE, "--exclude", "*.tmp", "--include", "keep*")["copied"] == 1
    (TREE / "big").rename(WORK / "big-aside")
    assert synced(TREE, PLACE, "--delete", "--exclude", "big", "--exclude", "x.tmp")["deleted"] == 0
    assert "big" in keys()
    (WORK / "big-aside").rename(TREE / "big")

with check("nothing is deleted when a side cannot be listed, or is empty by mistake"):
    before = keys()
    (WORK / "empty").mkdir()
    for words in (
        [WORK / "empty", PLACE],
        [WORK / "not-there", PLACE],
        [f"hf://{BUCKET}/not-there", TREE],
        ["hf://not-there", TREE],
    ):
        done = subprocess.run([BINARY, "sync", *map(str, words), "--delete"], capture_output=True, text=True, timeout=60)
        assert done.returncode in (1, 2, 3), (words, done)
    assert keys() == before and (TREE / "big").exists()

harness.finish()
