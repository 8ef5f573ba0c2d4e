"""gRPC with Google's own Python library: objects as streams, siblings, events, and a node that dies in the middle.

The client is the one in examples/python, which learns from the server what there is to call.
"""

import queue
import sys
import threading
import time
from pathlib import Path

import grpc

import harness
import nodes
from harness import MIB, REST_ENDPOINTS, check, md5, random_bytes, s3_client

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "python"))
from holdfast_grpc import Holdfast, problem  # noqa: E402

ENDPOINTS = [url.split("//")[-1].rstrip("/") for url in REST_ENDPOINTS]
NODES = len(ENDPOINTS)
CA = harness.CA_FILE or None
CLIENTS = [Holdfast(endpoint, harness.ADMIN_TOKEN, CA) for endpoint in ENDPOINTS]
first, last = CLIENTS[0], CLIENTS[-1]


def refused(code, call, *arguments, **fields):
    """Calls, expects to be refused so, and returns what was said of it."""
    try:
        answer = call(*arguments, **fields)
        for _ in answer if hasattr(answer, "__next__") else ():
            pass
    except grpc.RpcError as error:
        assert error.code() == code, (error.code(), error.details(), problem(error))
        return problem(error)
    raise AssertionError("the call was taken although it should have been refused")


def read(client, bucket, key, **options):
    header, pieces = client.get(bucket, key, **options)
    return header, b"".join(pieces)


def names(of):
    return sorted(node.name or node.id for node in of)


def resident_bytes(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024


class Peak:
    """The most memory that each node had while something went on, and what it had before."""

    def __enter__(self):
        self.before = [resident_bytes(pid) for pid in nodes.PIDS]
        self.peaks = list(self.before)
        self.over = threading.Event()
        self.looking = threading.Thread(target=self.look)
        self.looking.start()
        return self

    def look(self):
        while not self.over.wait(0.02):
            self.peaks = [max(peak, resident_bytes(pid)) for peak, pid in zip(self.peaks, nodes.PIDS)]

    def __exit__(self, *_):
        self.over.set()
        self.looking.join()

    def grown(self):
        return [peak - before for peak, before in zip(self.peaks, self.before)]


def watching(client):
    """What a node tells from now on, as a queue of (what, event)."""
    events = queue.Queue()
    call = client.Cluster.Watch()
    call.initial_metadata()  # it listens

    def listen():
        try:
            for event in call:
                events.put((event.WhichOneof("what"), event))
        except grpc.RpcError:
            pass

    threading.Thread(target=listen, daemon=True).start()
    return call, events


def hears(events, what, seconds=40):
    """Waits for an event of a kind."""
    until = time.monotonic() + seconds
    while True:
        kind, event = events.get(timeout=max(0.01, until - time.monotonic()))
        if kind == what:
            return event


with check("health and reflection ask for no token, everything else does"):
    for endpoint in ENDPOINTS:
        stranger = Holdfast(endpoint, ca=CA)
        assert {"holdfast.v1.Buckets", "holdfast.v1.Objects", "holdfast.v1.Cluster", "grpc.health.v1.Health"} <= set(stranger.services)
        health = stranger.service("grpc.health.v1.Health")
        assert health.Check().status == 1 and health.Check(service="holdfast.v1.Objects").status == 1
        assert next(health.Watch()).status == 1
        assert refused(grpc.StatusCode.UNAUTHENTICATED, stranger.Cluster.View)["error"] == "unauthorized"
        stranger.token = "nonsense"
        told = refused(grpc.StatusCode.UNAUTHENTICATED, stranger.Buckets.List)
        assert told["error"] == "denied" and told["what_to_do"] and told["state_changed"] == "false", told
        stranger.close()

with check("an access key signs calls with SigV4"):
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    class Unsigned(S3SigV4Auth):
        def payload(self, request):
            return "UNSIGNED-PAYLOAD"

    def signed(method, secret=harness.SECRET_KEY):
        request = AWSRequest("POST", f"{REST_ENDPOINTS[0].split('//')[0]}//{ENDPOINTS[0]}/holdfast.v1.{method}")
        Unsigned(Credentials(harness.ACCESS_KEY, secret), "s3", harness.REGION).add_auth(request)
        return [(name.lower(), value) for name, value in request.headers.items()]

    signer = Holdfast(ENDPOINTS[0], ca=CA)
    signer._metadata = lambda: signed("Cluster/View")
    assert len(signer.service("holdfast.v1.Cluster").View().members) == NODES
    signer._metadata = lambda: signed("Cluster/View", "another")
    refused(grpc.StatusCode.UNAUTHENTICATED, signer.service("holdfast.v1.Cluster").View)
    signer._metadata = lambda: signed("Cluster/Locate")
    refused(grpc.StatusCode.UNAUTHENTICATED, signer.service("holdfast.v1.Cluster").View)

with check("the cluster tells its members, all up"):
    for client in CLIENTS:
        view = client.Cluster.View()
        assert len(view.members) == NODES and all(member.up and member.state == 1 for member in view.members), view
        assert [member.is_self for member in view.members].count(True) == 1

with check("buckets are created, told, listed, and seen by S3"):
    made = first.Buckets.Create(name="grpc-bucket")
    assert made.created_now and (made.bucket.n, made.bucket.r, made.bucket.w) == (3, 2, 2), made
    again = last.Buckets.Create(name="grpc-bucket")
    assert not again.created_now and again.bucket.id == made.bucket.id
    first.Buckets.Create(name="grpc-siblings", conflict="CONFLICT_SIBLINGS")
    assert {"grpc-bucket", "grpc-siblings"} <= {bucket.name for bucket in last.Buckets.List()}
    s3_client(harness.S3_ENDPOINTS[-1]).head_bucket(Bucket="grpc-bucket")
    refused(grpc.StatusCode.INVALID_ARGUMENT, first.Buckets.Create, name="UPPER")
    refused(grpc.StatusCode.NOT_FOUND, first.Buckets.Get, name="no-such-bucket")

with check("a put tells all that it knows"):
    written = first.put("grpc-bucket", "notes/kelp ü.txt", b"Hold fast.", headers={"content-type": "text/plain", "x-amz-meta-by": "kelp"})
    assert written.etag == md5(b"Hold fast.") and written.siblings == 1 and written.context, written
    assert len(written.preference_list) == NODES and not written.down and not written.hinted
    assert names([*written.replicas_written, *written.pending]) == names(written.preference_list), written
    assert len(written.clocks) >= 2 and all(replica.clock.entries for replica in written.clocks)
    everywhere = CLIENTS[1].put("grpc-bucket", "notes/all", b"x", wait_all=True)
    assert len(everywhere.replicas_written) == 3 and not everywhere.pending, everywhere
    known = last.Objects.Stat(bucket="grpc-bucket", key="notes/all", r=3)
    assert known.exists and len({str(replica.clock) for replica in known.clocks}) == 1, known

with check("a get through any node gives header and bytes, whole and in part, as S3 does"):
    for client in CLIENTS:
        header, body = read(client, "grpc-bucket", "notes/kelp ü.txt")
        assert body == b"Hold fast." and header.length == 10 and header.found.context
        assert dict(header.version.headers) == {"content-type": "text/plain", "x-amz-meta-by": "kelp"}
        assert read(client, "grpc-bucket", "notes/kelp ü.txt", offset=5, length=4)[1] == b"fast"
        assert read(client, "grpc-bucket", "notes/kelp ü.txt", last=5)[1] == b"fast."
        refused(grpc.StatusCode.OUT_OF_RANGE, client.get, "grpc-bucket", "notes/kelp ü.txt", offset=11)
    assert s3_client().get_object(Bucket="grpc-bucket", Key="notes/kelp ü.txt")["Body"].read() == b"Hold fast."

with check("64 MiB stream up and down, in nodes whose memory does not grow with them"):
    large = random_bytes(64 * MIB, "grpc")
    with Peak() as peak:
        assert first.put("grpc-bucket", "large", large, size=len(large)).etag == md5(large)
        assert read(last, "grpc-bucket", "large")[1] == large
        # One that stops reading holds up nobody but himself.
        header, pieces = CLIENTS[1].get("grpc-bucket", "large")
        next(pieces)
        time.sleep(2)
        assert header.length == len(large)
    print(f"             grown by {[grown // MIB for grown in peak.grown()]} MiB", flush=True)
    assert max(peak.grown()) < 48 * MIB, peak.grown()

with check("what is cancelled in the middle is not written"):
    release = threading.Event()

    def half():
        yield b"half of it"
        release.wait(60)

    part, head = first.message("holdfast.v1.PutObjectRequest"), first.message("holdfast.v1.PutHeader")

    def parts():
        yield part(header=head(bucket="grpc-bucket", key="cancelled"))
        for piece in half():
            yield part(data=piece)

    call = first.channel.stream_unary(
        "/holdfast.v1.Objects/Put", request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=lambda bytes: bytes,
    ).future(parts(), metadata=first._metadata())
    time.sleep(1)
    call.cancel()
    release.set()
    time.sleep(1)
    for client in CLIENTS:
        assert not client.Objects.Stat(bucket="grpc-bucket", key="cancelled", r=3).versions

with check("the same request id twice is one write"):
    one = first.put("grpc-bucket", "once", b"only", request_id="0123")
    two = last.put("grpc-bucket", "once", b"only", request_id="0123")
    assert one.dot == two.dot, (one.dot, two.dot)
    told = refused(grpc.StatusCode.ALREADY_EXISTS, first.put, "grpc-bucket", "once", b"other length", request_id="0123")
    assert told["error"] == "request_id_reused", told

with check("concurrent writes are both kept, read by their dots, and resolved by the context; a watch sees it"):
    calls = [watching(client) for client in CLIENTS]
    seen = first.put("grpc-siblings", "cart", b"[]", wait_all=True).context
    first.put("grpc-siblings", "cart", b"[milk]", context=seen)
    assert last.put("grpc-siblings", "cart", b"[tea]", context=seen).siblings == 2
    event = hears(calls[0][1], "siblings_made")
    assert (event.siblings_made.of.bucket, event.siblings_made.of.key) == ("grpc-siblings", "cart"), event
    header, pieces = CLIENTS[1].get("grpc-siblings", "cart")
    assert not header.HasField("version") and header.found.siblings == 2, header
    told = refused(grpc.StatusCode.FAILED_PRECONDITION, list, pieces)
    assert told["error"] == "siblings" and told["context"] == header.found.context, told
    bodies = {read(CLIENTS[1], "grpc-siblings", "cart", sibling=version.dot)[1] for version in header.found.versions}
    assert bodies == {b"[milk]", b"[tea]"}, bodies
    first.put("grpc-siblings", "cart", b"[milk, tea]", context=told["context"], wait_all=True)
    for client in CLIENTS:
        assert read(client, "grpc-siblings", "cart")[1] == b"[milk, tea]"
    hears(calls[0][1], "siblings_resolved")
    for call, _ in calls:
        call.cancel()

with check("keys come page by page, with limit, prefix and delimiter"):
    for number in range(30):
        CLIENTS[number % NODES].put("grpc-bucket", f"page/{number % 3}/{number:02}", b"x")
    expected = sorted(f"page/{number % 3}/{number:02}" for number in range(30))
    keys = [row.key for page in last.Objects.List(bucket="grpc-bucket", prefix="page/") for row in page.objects]
    assert keys == expected, keys
    some = list(first.Objects.List(bucket="grpc-bucket", prefix="page/", limit=7))
    rest = first.Objects.List(bucket="grpc-bucket", prefix="page/", after=some[-1].next)
    assert [row.key for page in [*some, *rest] for row in page.objects] == expected
    grouped = list(first.Objects.List(bucket="grpc-bucket", prefix="page/", delimiter="/"))
    assert list(grouped[0].prefixes) == ["page/0/", "page/1/", "page/2/"] and not grouped[0].objects

with check("locate tells where a key lives"):
    told = [client.Cluster.Locate(bucket="grpc-bucket", key="large") for client in CLIENTS]
    # Each client has classes of its own, so texts are compared.
    assert len(told[0].preference_list) == NODES and told[0].homes == 3 and len({str(one) for one in told}) == 1, told

with check("deadlines are kept"):
    began = time.monotonic()
    refused(grpc.StatusCode.DEADLINE_EXCEEDED, first.Cluster.Watch, timeout=0.5)
    assert time.monotonic() - began < 5

with check("delete tells all that it knows, too, and leaves a context"):
    deleted = CLIENTS[1].Objects.Delete(bucket="grpc-bucket", key="once")
    assert len(deleted.replicas_written) >= 2 and len(deleted.preference_list) == NODES, deleted
    for client in CLIENTS:
        told = refused(grpc.StatusCode.NOT_FOUND, client.get, "grpc-bucket", "once")
        assert told["error"] == "no_such_object" and told["context"], told
        assert not client.Objects.Stat(bucket="grpc-bucket", key="once").exists

with check("a node is killed: the others say so, go on, and it catches up"):
    call, events = watching(first)
    nodes.kill(NODES - 1)
    during = first.put("grpc-bucket", "during", b"written while one was down")
    without = [node for node in during.preference_list if node not in during.replicas_written]
    assert len(during.replicas_written) == 2 and names([*during.down, *during.pending]) == names(without), during
    assert read(CLIENTS[1], "grpc-bucket", "during")[1] == b"written while one was down"
    assert read(CLIENTS[1], "grpc-bucket", "large")[1] == large
    refused(grpc.StatusCode.UNAVAILABLE, last.Cluster.View)
    down = hears(events, "down")
    assert down.down.id not in [node.id for node in during.replicas_written], down
    assert [member.up for member in first.Cluster.View().members].count(False) == 1
    nodes.start(NODES - 1)
    hears(events, "up")
    call.cancel()
    until = time.monotonic() + 60
    while True:
        try:
            assert read(last, "grpc-bucket", "during")[1] == b"written while one was down"
            assert len(first.put("grpc-bucket", "after", b"x", wait_all=True).replicas_written) == 3
            break
        except (AssertionError, grpc.RpcError):
            assert time.monotonic() < until
            time.sleep(0.5)

with check("calls are counted"):
    page = harness.run("curl", "-sS", *(["--cacert", CA] if CA else []), REST_ENDPOINTS[0] + "/metrics")
    # The watch ended at its deadline: by the server, or a moment before by the client, which has the same one.
    for line in ['operation="Objects.Put",status="200"', 'operation="Cluster.Watch",status="', 'operation="Cluster.View",status="401"']:
        assert f'holdfast_requests_total{{front_end="grpc",{line}' in page, line

with check("buckets are deleted when they are empty, and not before"):
    told = refused(grpc.StatusCode.FAILED_PRECONDITION, first.Buckets.Delete, name="grpc-siblings")
    assert told["error"] == "bucket_not_empty", told
    first.Objects.Delete(bucket="grpc-siblings", key="cart")
    last.Buckets.Delete(name="grpc-siblings")
    refused(grpc.StatusCode.NOT_FOUND, CLIENTS[1].Buckets.Get, name="grpc-siblings")

for client in CLIENTS:
    client.close()
harness.finish()
