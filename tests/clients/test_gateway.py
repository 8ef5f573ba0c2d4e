"""`holdfast gateway` before five real nodes, two of them side by side: everything a node does for clients, through processes that hold nothing.

What is written through one is read through the other and through nodes, over S3, REST and gRPC. Then both are under load while a node is
killed, another frozen, and one gateway killed and started again: no client of the gateway that lives may notice, and nothing that was
acknowledged is lost.
"""

import atexit
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import boto3
import grpc
from botocore.config import Config

import harness
import nodes
from harness import KIB, MIB, REST_ENDPOINTS, S3_ENDPOINTS, WORK, check, error_of, file_digest, md5, random_bytes, run, s3_client, write_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "python"))
from holdfast_grpc import Holdfast, problem  # noqa: E402

BUCKET = "gateway"
PORT_BASE = int(S3_ENDPOINTS[0].rsplit(":", 1)[1])
# Nodes take ten ports each from there on; what follows is free.
FREE_PORTS = PORT_BASE + 10 * len(S3_ENDPOINTS)
TOKEN_FILE = Path(nodes.DATA) / "node-0/data/gateway-token"
KEYS_BELIEVED_S = 60
FROZEN_S = 10
# A gateway gives back what it keeps 12 to 17 s after the last request.
AT_REST_S = 19
# A request may wait for a frozen node, then for the next; on a busy machine also for its turn.
SLOWEST_S_MAX = 15
RSS_BYTES_MAX = 60 * MIB


def node_address(node):
    return f"127.0.0.1:{PORT_BASE + 10 * node + 2}"


class Gateway:
    """One gateway: a process in an empty directory, and where it listens."""

    def __init__(self, name, slot, via, token_file=TOKEN_FILE):
        self.name = name
        s3, rest = FREE_PORTS + 10 * slot, FREE_PORTS + 10 * slot + 1
        self.s3, self.rest = f"http://127.0.0.1:{s3}", f"http://127.0.0.1:{rest}"
        self.words = ["--via", via, "--token-file", str(token_file), "--name", name]
        self.words += ["--s3-bind", f"127.0.0.1:{s3}", "--rest-bind", f"127.0.0.1:{rest}", "--log-format", "plain"]
        self.home = WORK / f"{name}.home"
        self.home.mkdir()
        self.home.chmod(0o555)
        self.log = WORK / f"{name}.log"

    def start(self):
        # Nothing of the nodes' surroundings reaches it but the administrator's token.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "AWS_"))}
        environment["HOLDFAST_ADMIN_TOKEN"] = harness.ADMIN_TOKEN
        with open(self.log, "ab") as log:
            # However this script ends, none is left behind.
            atexit.register(self.kill)
            self.process = subprocess.Popen(
                [nodes.BINARY, "gateway", *self.words], cwd=self.home, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def ready(self):
        """Status of /health/ready; 0 while nobody listens."""
        try:
            with urllib.request.urlopen(self.rest + "/health/ready", timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def wait_ready(self, status=200, seconds=40):
        began = time.monotonic()
        while self.ready() != status:
            assert self.process.poll() is None, f"{self.name} ended: {self.said()}"
            assert time.monotonic() - began < seconds, f"{self.name} says {self.ready()}, not {status}: {self.said()}"
            time.sleep(0.1)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self):
        """Ends it in order; its exit code."""
        self.process.terminate()
        return self.process.wait(timeout=40)

    def said(self):
        return self.log.read_text(errors="replace")[-1500:]

    def resident_bytes(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * KIB

    def files(self):
        """Ordinary files that it holds open, its log apart."""
        links = [os.readlink(link) for link in Path(f"/proc/{self.process.pid}/fd").iterdir()]
        return [link for link in links if link.startswith("/") and not link.startswith("/dev/") and Path(link) != self.log]


def asked(endpoint, path, method="GET", headers=None, body=None):
    """(status, headers, body) of a REST request, as the administrator unless headers say otherwise."""
    headers = {"Authorization": f"Bearer {harness.ADMIN_TOKEN}", **(headers or {})}
    request = urllib.request.Request(endpoint + path, headers=headers, method=method, data=body)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def told(endpoint, path, expect=200, **how):
    status, _, body = asked(endpoint, path, **how)
    assert status == expect, (endpoint, path, status, body[:400])
    return json.loads(body)


def object_path(key, bucket=BUCKET):
    return f"/v1/buckets/{bucket}/objects/{urllib.parse.quote(key)}"


def read(client, key, bucket=BUCKET, **how):
    return client.get_object(Bucket=bucket, Key=key, **how)["Body"].read()


def client_of(key, endpoint):
    """A client that signs with another key than the root's."""
    return boto3.client(
        "s3", endpoint_url=endpoint, region_name=harness.REGION, aws_access_key_id=key["access_key_id"],
        aws_secret_access_key=key["secret_access_key"], config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )


def ends(*words, timeout=60):
    """Runs a gateway that is expected to end by itself; its exit code and what it said."""
    bind = ["--s3-bind", f"127.0.0.1:{FREE_PORTS + 40}", "--rest-bind", f"127.0.0.1:{FREE_PORTS + 41}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    done = subprocess.run(
        [nodes.BINARY, "gateway", *map(str, words), *bind, "--log-format", "plain"],
        capture_output=True, text=True, timeout=timeout, env=environment, cwd=WORK,
    )
    return done.returncode, done.stderr


def wrong_token():
    """Of the same cluster and well formed, but with another secret: what nodes joined with, dressed up as a gateway token."""
    config = (Path(nodes.DATA) / "node-1/config.toml").read_text()
    return re.search(r'token = "hf1-([0-9a-f]+)"', config).group(1).join(["hfg1-", ""])


assert len(S3_ENDPOINTS) == 5, "the story needs five nodes"
# A knows one node that is not there, and one that is; B knows another.
A = Gateway("gate-a", 0, f"127.0.0.1:{FREE_PORTS + 49},{node_address(1)}")
B = Gateway("gate-b", 1, node_address(2))

with check("two gateways come up side by side, one of them told of a dead node first"):
    for gateway in (A, B):
        gateway.start()
    for gateway in (A, B):
        gateway.wait_ready()
    views = [told(gateway.rest, "/v1/cluster") for gateway in (A, B)]
    for view, gateway in zip(views, (A, B)):
        own = [member for member in view["members"] if member["self"]]
        assert len(own) == 1 and own[0]["name"] == gateway.name, view["members"]
    assert len({member["id"] for view in views for member in view["members"] if member["self"]}) == 2

a, b = s3_client(A.s3), s3_client(B.s3)
node = s3_client(S3_ENDPOINTS[4])

with check("a bucket made through one gateway is there for the other, and for every node"):
    a.create_bucket(Bucket=BUCKET)
    for endpoint in [B.s3, *S3_ENDPOINTS]:
        s3_client(endpoint).head_bucket(Bucket=BUCKET)
    assert BUCKET in [bucket["Name"] for bucket in b.list_buckets()["Buckets"]]
    assert error_of(b.head_bucket, Bucket="no-such-bucket")[1] == 404

with check("S3: objects are written, read, overwritten, copied and deleted through either, and nodes see the same"):
    for index, size in enumerate([0, 1, 5_000, 32 * KIB, 300_000, 6 * MIB]):
        body = random_bytes(size, "gateway")
        for writer, readers in [(a, (b, node)), (node, (a, b))]:
            key = f"crud/{index}/{'gateway' if writer is a else 'node'}"
            put = writer.put_object(Bucket=BUCKET, Key=key, Body=body, Metadata={"by": "kelp"}, ContentType="x/y")
            assert put["ETag"].strip('"') == md5(body)
            for reader in readers:
                got = reader.get_object(Bucket=BUCKET, Key=key)
                assert got["Body"].read() == body and got["Metadata"] == {"by": "kelp"} and got["ContentType"] == "x/y"
    for number in range(6):
        (a, b, node)[number % 3].put_object(Bucket=BUCKET, Key="crud/again", Body=f"version {number}".encode())
        assert read((a, b, node)[(number + 1) % 3], "crud/again") == f"version {number}".encode()
    b.copy_object(Bucket=BUCKET, Key="crud/copied", CopySource={"Bucket": BUCKET, "Key": "crud/5/gateway"})
    assert read(a, "crud/copied") == random_bytes(6 * MIB, "gateway")
    a.delete_object(Bucket=BUCKET, Key="crud/copied")
    assert error_of(b.get_object, Bucket=BUCKET, Key="crud/copied") == ("NoSuchKey", 404)
    assert error_of(node.get_object, Bucket=BUCKET, Key="crud/copied") == ("NoSuchKey", 404)

with check("S3: ranges and conditions"):
    body = random_bytes(6 * MIB, "gateway")
    for first, last in [(0, 0), (100, 70_000), (4 * MIB - 3, 4 * MIB + 3), (6 * MIB - 1, 6 * MIB - 1)]:
        got = a.get_object(Bucket=BUCKET, Key="crud/5/node", Range=f"bytes={first}-{last}")
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206 and got["Body"].read() == body[first : last + 1], (first, last)
    assert read(b, "crud/5/node", Range="bytes=-10") == body[-10:]
    assert error_of(a.get_object, Bucket=BUCKET, Key="crud/5/node", Range=f"bytes={6 * MIB}-")[1] == 416
    assert error_of(b.get_object, Bucket=BUCKET, Key="crud/5/node", IfNoneMatch=f'"{md5(body)}"')[1] == 304

with check("S3: 40 MiB in parts, some through each gateway and one through a node"):
    large = random_bytes(40 * MIB, "parts")
    upload = a.create_multipart_upload(Bucket=BUCKET, Key="large", Metadata={"in": "parts"})["UploadId"]
    parts = []
    for number in range(1, 6):
        through = (a, b, node, a, b)[number - 1]
        piece = large[(number - 1) * 8 * MIB : number * 8 * MIB]
        etag = through.upload_part(Bucket=BUCKET, Key="large", UploadId=upload, PartNumber=number, Body=piece)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    assert len(b.list_parts(Bucket=BUCKET, Key="large", UploadId=upload)["Parts"]) == 5
    assert [open["UploadId"] for open in b.list_multipart_uploads(Bucket=BUCKET)["Uploads"]] == [upload]
    b.complete_multipart_upload(Bucket=BUCKET, Key="large", UploadId=upload, MultipartUpload={"Parts": parts})
    for client in (a, b, node):
        assert read(client, "large") == large
    assert read(a, "large", Range="bytes=8388600-8388620") == large[8388600:8388621]
    aborted = a.create_multipart_upload(Bucket=BUCKET, Key="aborted")["UploadId"]
    a.upload_part(Bucket=BUCKET, Key="aborted", UploadId=aborted, PartNumber=1, Body=b"x")
    b.abort_multipart_upload(Bucket=BUCKET, Key="aborted", UploadId=aborted)
    assert error_of(a.list_parts, Bucket=BUCKET, Key="aborted", UploadId=aborted)[0] == "NoSuchUpload"

with check("S3: listings are the same through gateways and nodes"):
    for number in range(30):
        (a, b, node)[number % 3].put_object(Bucket=BUCKET, Key=f"list/{number % 3}/{number:02}", Body=b"x")
    expected = sorted(f"list/{number % 3}/{number:02}" for number in range(30))
    for client in (a, b, node):
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="list/", PaginationConfig={"PageSize": 7})
        assert [row["Key"] for page in pages for row in page["Contents"]] == expected
        grouped = client.list_objects_v2(Bucket=BUCKET, Prefix="list/", Delimiter="/")
        assert [group["Prefix"] for group in grouped["CommonPrefixes"]] == ["list/0/", "list/1/", "list/2/"], grouped
    gone = b.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in expected]})
    assert len(gone["Deleted"]) == 30 and a.list_objects_v2(Bucket=BUCKET, Prefix="list/")["KeyCount"] == 0

with check("REST: a put through a gateway tells all that its node knows"):
    answer = told(A.rest, object_path("rest"), method="PUT", body=b"Hold fast.", expect=201)
    assert answer["etag"] == md5(b"Hold fast.") and len(answer["replicas_written"]) >= 2 and answer["clocks"] and answer["context"], answer
    for rest in (A.rest, B.rest, REST_ENDPOINTS[0]):
        status, headers, body = asked(rest, object_path("rest"))
        assert (status, body, headers["holdfast-siblings"]) == (200, b"Hold fast.", "1"), (rest, status, body)
    assert asked(B.rest, object_path("rest"), headers={"Range": "bytes=5-8"})[2] == b"fast"
    meta = told(B.rest, object_path("rest") + "?meta&r=3")
    assert meta["exists"] and len(meta["clocks"]) == 3, meta

with check("REST: contexts pass between gateways and nodes, both ways, and are bound to their key"):
    told(B.rest, "/v1/buckets/gateway-siblings?conflict=siblings", method="PUT", expect=201)
    cart = object_path("cart", "gateway-siblings")
    seen = told(REST_ENDPOINTS[3], cart, method="PUT", body=b"[]", expect=201)["context"]
    told(A.rest, cart, method="PUT", body=b"[milk]", headers={"Holdfast-Context": seen}, expect=201)
    told(REST_ENDPOINTS[1], cart, method="PUT", body=b"[tea]", headers={"Holdfast-Context": seen}, expect=201)
    choices = told(B.rest, cart, expect=300)
    assert choices["siblings"] == 2, choices
    bodies = {asked(A.rest, f"{cart}?sibling={version['dot']}")[2] for version in choices["versions"]}
    assert bodies == {b"[milk]", b"[tea]"}, bodies
    # Made by a gateway, taken by a node.
    both = {"Holdfast-Context": choices["context"]}
    told(REST_ENDPOINTS[0], cart, method="PUT", body=b"[milk, tea]", headers=both, expect=201)
    for rest in (A.rest, B.rest, REST_ENDPOINTS[2]):
        assert asked(rest, cart)[::2] == (200, b"[milk, tea]")
    told(A.rest, object_path("other", "gateway-siblings"), method="PUT", body=b"x", headers=both, expect=400)

with check("REST: the same request id through both gateways is one write"):
    once = {"Holdfast-Request-Id": "00112233445566778899aabbccddeeff"}
    dots = [told(rest, object_path("once"), method="PUT", body=b"only", headers=once, expect=201)["dot"] for rest in (A.rest, B.rest)]
    assert dots[0] == dots[1], dots

with check("gRPC: objects as streams, listings, stat, delete, and health"):
    over = [Holdfast(gateway.rest.split("//")[1], harness.ADMIN_TOKEN) for gateway in (A, B)]
    at_node = Holdfast(REST_ENDPOINTS[0].split("//")[1], harness.ADMIN_TOKEN)
    written = over[0].put(BUCKET, "grpc/large", large[: 12 * MIB], size=12 * MIB)
    assert written.etag == md5(large[: 12 * MIB]) and len(written.replicas_written) >= 2, written
    for client in (over[1], at_node):
        header, pieces = client.get(BUCKET, "grpc/large")
        assert header.length == 12 * MIB and b"".join(pieces) == large[: 12 * MIB]
    assert b"".join(over[1].get(BUCKET, "grpc/large", offset=5 * MIB, length=9)[1]) == large[5 * MIB : 5 * MIB + 9]
    seen = at_node.put(BUCKET, "grpc/small", b"one").context
    over[1].put(BUCKET, "grpc/small", b"two", context=seen)
    stat = over[0].Objects.Stat(bucket=BUCKET, key="grpc/small", r=3)
    assert stat.exists and len(stat.versions) == 1, stat
    assert [row.key for page in over[0].Objects.List(bucket=BUCKET, prefix="grpc/") for row in page.objects] == ["grpc/large", "grpc/small"]
    over[1].Objects.Delete(bucket=BUCKET, key="grpc/small")
    try:
        over[0].get(BUCKET, "grpc/small")
        raise AssertionError("it was deleted")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND and problem(error)["error"] == "no_such_object", error
    assert over[0].service("grpc.health.v1.Health").Check().status == 1
    assert BUCKET in [bucket.name for bucket in over[1].Buckets.List()]
    for client in (*over, at_node):
        client.close()

with check("holdfast cp moves everything through a gateway, which grants no direct transfers"):
    source = write_file(WORK / "source", large[: 20 * MIB])
    through = ["--endpoint", A.s3, "--rest-endpoint", A.rest, "--json"]
    up = json.loads(run(nodes.BINARY, "cp", source, f"hf://{BUCKET}/cp", *through).splitlines()[-1])
    down = json.loads(run(nodes.BINARY, "cp", f"hf://{BUCKET}/cp", WORK / "back", *through).splitlines()[-1])
    assert up["via"] == down["via"] == "one node", (up, down)
    assert file_digest(source) == file_digest(WORK / "back")

with check("what only a node can tell, a gateway says it cannot; what it can, it tells"):
    located = [told(rest, f"/v1/locate?bucket={BUCKET}&key=large") for rest in (A.rest, REST_ENDPOINTS[0])]
    assert [one["id"] for one in located[0]["preference_list"]][:3] == [one["id"] for one in located[1]["preference_list"]][:3], located
    view = told(B.rest, "/v1/cluster")
    assert sum(member["up"] and not member["self"] for member in view["members"]) == 5, view["members"]
    assert view["role"] == "gateway" and "reaches 5 of the 5 nodes" in view["sentence"], view["sentence"]
    for method, path in [("POST", "/v1/repair"), ("GET", "/v1/repair"), ("GET", "/v1/layout"), ("GET", "/v1/cluster/events")]:
        refusal = told(A.rest, path, method=method, expect=501)
        assert (refusal["error"], refusal["what_to_do"]) == ("not_implemented", "ask a node of the cluster"), refusal
    assert "reaches 5 of the 5" in run(nodes.BINARY, "cluster", "status", "--rest-endpoint", A.rest)
    assert asked(A.rest, "/metrics")[0] == 200 and asked(A.rest, "/health/live")[0] == 200

with check("keys: made and used anywhere; one that was disabled before its first use is refused at once, and so where it is disabled"):
    made = [told(REST_ENDPOINTS[0], "/v1/keys", method="POST", body=json.dumps({"name": name}).encode(), expect=201) for name in ("unused", "used")]
    unused, used = made
    assert read(client_of(used, A.s3), "crud/again") == b"version 5" and read(client_of(used, B.s3), "crud/again") == b"version 5"
    told(REST_ENDPOINTS[1], f"/v1/keys/{unused['access_key_id']}/disable", method="POST")
    for gateway in (A, B):
        assert error_of(client_of(unused, gateway.s3).list_buckets)[1] == 403
    told(A.rest, f"/v1/keys/{used['access_key_id']}/disable", method="POST")
    assert error_of(client_of(used, A.s3).list_buckets)[1] == 403
    # B has read it, and believes that for a minute at most; looked at again below.
    disabled = time.monotonic()
    wrong = {**used, "secret_access_key": "x" * 40, "access_key_id": harness.ACCESS_KEY}
    assert error_of(client_of(wrong, A.s3).list_buckets)[0] == "SignatureDoesNotMatch"


class Load:
    """Puts of bodies that are all different, through one gateway; which were acknowledged, and what failed when."""

    def __init__(self, gateway, number):
        self.gateway, self.prefix = gateway, f"load/{gateway.name}/{number}"
        self.client = s3_client(gateway.s3)
        self.acknowledged, self.failed, self.took, self.count = {}, [], [], 0

    def body(self, number):
        return random_bytes((1_500_000 if number % 40 == 0 else [100, 4_000, 40_000, 200_000][number % 4]), f"{self.prefix}/{number}")

    def work(self, stop):
        while not stop.is_set():
            self.count += 1
            key, body = f"{self.prefix}/{self.count}", self.body(self.count)
            began = time.monotonic()
            try:
                self.client.put_object(Bucket=BUCKET, Key=key, Body=body)
            except Exception as error:  # no answer, or a refusal
                self.failed.append((began, time.monotonic(), f"{key}: {error}"))
                time.sleep(0.1)
            else:
                self.acknowledged[key] = (len(body), md5(body))
                self.took.append(time.monotonic() - began)
                # All of it is read three times below.
                time.sleep(0.05)


loads = [Load(gateway, number) for gateway in (A, B) for number in range(3)]
stop = threading.Event()
workers = [threading.Thread(target=load.work, args=(stop,)) for load in loads]

with check(f"both under load: a node is killed, another frozen for {FROZEN_S} s, and one gateway is killed and comes back"):
    for worker in workers:
        worker.start()
    try:
        time.sleep(4)
        nodes.kill(4)
        time.sleep(6)
        os.kill(nodes.PIDS[3], signal.SIGSTOP)
        try:
            time.sleep(FROZEN_S)
        finally:
            os.kill(nodes.PIDS[3], signal.SIGCONT)
        time.sleep(2)
        killed = time.monotonic()
        before = told(A.rest, "/v1/cluster")["node"]
        A.kill()
        time.sleep(3)
        A.start()
        A.wait_ready()
        returned = time.monotonic()
        assert told(A.rest, "/v1/cluster")["node"] != before, "a gateway that starts again is another one"
        nodes.start(4)
        time.sleep(5)
    finally:
        stop.set()
        for worker in workers:
            worker.join()

with check("no request through the gateway that lived failed, and none through the other but while it was gone"):
    acknowledged = {key: told for load in loads for key, told in load.acknowledged.items()}
    took = sorted((seconds for load in loads for seconds in load.took), reverse=True)
    print(f"             {len(acknowledged)} puts, the slowest {', '.join(f'{seconds:.1f} s' for seconds in took[:3])}", flush=True)
    unexpected = [
        why for load in loads for began, ended, why in load.failed
        if load.gateway is B or ended < killed or began > returned
    ]
    assert not unexpected, f"{len(unexpected)} failed, the first: {unexpected[:2]}"
    assert all(len(load.acknowledged) > 5 for load in loads), [len(load.acknowledged) for load in loads]
    assert took[0] < SLOWEST_S_MAX, took[:3]

with check("every acknowledged object is there, through a node and through both gateways"):
    for name, client in {"node 0": s3_client(S3_ENDPOINTS[0]), "gate-a": s3_client(A.s3), "gate-b": s3_client(B.s3)}.items():
        wrong = []
        for key, (size, digest) in acknowledged.items():
            body = read(client, key)
            if (len(body), md5(body)) != (size, digest):
                wrong.append(key)
        assert not wrong, f"{name}: {len(wrong)} wrong, the first {wrong[:3]}"
    pages = s3_client(B.s3).get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="load/")
    listed = {row["Key"]: row["ETag"].strip('"') for page in pages for row in page["Contents"]}
    missing = [key for key, (_, digest) in acknowledged.items() if listed.get(key) != digest]
    assert not missing, missing[:3]

with check(f"a key that was disabled elsewhere is refused after {KEYS_BELIEVED_S} s at the latest"):
    time.sleep(max(0.0, disabled + KEYS_BELIEVED_S + 1 - time.monotonic()))
    for endpoint in (A.s3, B.s3):
        assert error_of(client_of(used, endpoint).list_buckets)[1] == 403

resting = time.monotonic()
token = TOKEN_FILE.read_text()
with check("wrong tokens end it with what to do; every node's file has the same token, for its owner alone"):
    for node_number in range(5):
        file = Path(nodes.DATA) / f"node-{node_number}/data/gateway-token"
        assert file.read_text() == token and file.stat().st_mode & 0o077 == 0, file
    code, said = ends("--via", node_address(0), "--token", "nonsense")
    assert code == 2 and "not a gateway token" in said and "hfg1-" in said, (code, said)
    # Also when others of its seeds are down: what one node of the cluster refuses, all do.
    for via in (node_address(0), f"127.0.0.1:{FREE_PORTS + 49},{node_address(0)}"):
        code, said = ends("--via", via, "--token", wrong_token())
        assert code == 5 and "the gateway token is not valid" in said and "gateway-token" in said, (code, said)
    code, said = ends("--via", "", "--token", token.strip())
    assert code == 2 and "--via" in said, (code, said)

late = Gateway("gate-late", 2, f"127.0.0.1:{FREE_PORTS + 32}", token_file=WORK / "late/node-0/data/gateway-token")
with check("a gateway that is started first waits for the token file, and for the cluster"):
    late.start()
    time.sleep(2)
    assert late.process.poll() is None and late.ready() == 0 and "gateway-token cannot be read" in late.said(), late.said()
    dev = ["dev", "--data", WORK / "late"]
    run(nodes.BINARY, *dev, "--nodes", "1", "--port-base", FREE_PORTS + 30, "--env-file", WORK / "late.env", "--detach")
    try:
        late.wait_ready()
        code, said = ends("--via", f"127.0.0.1:{FREE_PORTS + 32}", "--token", token.strip())
        assert code == 5 and "not of the cluster" in said, (code, said)
        with check("it says that it is not ready while no node can be reached, and goes on once one can"):
            run(nodes.BINARY, "dev", "stop", "--data", WORK / "late")
            late.wait_ready(503)
            status, _, body = asked(late.rest, "/health/ready")
            assert status == 503 and json.loads(body)["error"] == "not_ready" and "1 nodes" in json.loads(body)["message"], body
            assert asked(late.rest, "/health/live")[0] == 200
            run(nodes.BINARY, "dev", "start-node", "0", "--data", WORK / "late", timeout=120)
            late.wait_ready()
        assert late.stop() == 0, late.said()
    finally:
        run(nodes.BINARY, "dev", "stop", "--data", WORK / "late")

with check("gateways hold no files, and little memory after load and rest"):
    time.sleep(max(0.0, resting + AT_REST_S - time.monotonic()))
    for gateway in (A, B):
        resident = gateway.resident_bytes()
        print(f"             {gateway.name}: {resident / MIB:.0f} MiB", flush=True)
        assert not list(gateway.home.iterdir()) and not gateway.files(), (list(gateway.home.iterdir()), gateway.files())
        assert resident < RSS_BYTES_MAX, f"{gateway.name}: {resident / MIB:.0f} MiB"

with check("a gateway ends in order, and nodes go on"):
    for gateway in (A, B):
        assert gateway.stop() == 0 and "ended cleanly" in gateway.said(), gateway.said()
    assert read(s3_client(S3_ENDPOINTS[0]), "crud/again") == b"version 5"

harness.finish()
