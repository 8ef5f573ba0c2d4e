"""What is overwritten, deleted or given up loses its place on the disks, and what lives does not; a node that is away stops it.

The cluster runs with short waits (`SETTINGS` in xtask/src/clients.rs): bodies stay a second for readers, messages live two.
"""

import glob
import json
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.parse
import urllib.request

from botocore.exceptions import ClientError

import harness
from harness import MIB, REST_ENDPOINTS, S3_ENDPOINTS, check, md5, random_bytes, s3_client

BUCKET = "forget"
BINARY = os.environ["HOLDFAST_BIN"]
DATA = os.environ["HOLDFAST_DATA"]
PIDS = [int(pid) for pid in os.environ["HOLDFAST_PIDS"].split(",")]
NODES = len(REST_ENDPOINTS)
LARGE = 24 * MIB
ROUNDS = 6
# A stretch without hints is five message lives; each home gives those before it the time of two.
FORGOTTEN_S_MAX = 120


def asked(node, path):
    trust = ssl.create_default_context(cafile=harness.CA_FILE) if harness.CA_FILE else None
    request = urllib.request.Request(REST_ENDPOINTS[node] + path, headers={"Authorization": f"Bearer {harness.ADMIN_TOKEN}"})
    with urllib.request.urlopen(request, timeout=30, context=trust) as answer:
        return json.loads(answer.read())


def waiting(node):
    return asked(node, "/v1/cluster")["forgetting"]


def taken_bytes():
    """Bytes that chunks take on all disks."""
    segments = glob.glob(f"{DATA}/**/*.seg", recursive=True)
    return sum(os.stat(segment).st_blocks * 512 for segment in segments)


def wait_until_forgotten(nodes=range(NODES)):
    began = time.monotonic()
    while any(waiting(node)["bodies"] for node in nodes):
        left = [waiting(node) for node in nodes]
        assert time.monotonic() - began < FORGOTTEN_S_MAX, f"still waiting: {left}"
        time.sleep(0.2)
    return time.monotonic() - began


def is_free(kind, port):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def kill(node):
    """Kills a node, and waits until its ports are free: its threads do not end at one instant."""
    os.kill(PIDS[node], signal.SIGKILL)
    first = urllib.parse.urlsplit(S3_ENDPOINTS[node]).port
    ports = [(socket.SOCK_STREAM, first + offset) for offset in range(3)] + [(socket.SOCK_DGRAM, first + 2)]
    began = time.monotonic()
    while not all(is_free(kind, port) for kind, port in ports):
        assert time.monotonic() - began < 30, "it does not die"
        time.sleep(0.02)


def start(node):
    with open(harness.WORK / f"start-node-{node}.log", "wb") as log:
        command = [BINARY, "dev", "start-node", str(node), "--data", DATA]
        subprocess.run(command, check=True, timeout=120, stdout=log, stderr=log)
    PIDS[node] = json.loads((open(f"{DATA}/node-{node}/process.json")).read())["pid"]


def happened():
    """Kinds of events that `holdfast cluster events` has told of, through the nodes that stay."""
    told = "".join(file.read_text() for file in harness.WORK.glob("events-*"))
    return {json.loads(line)["event"] for line in told.splitlines()}


def listen(node):
    with open(harness.WORK / f"events-{node}", "wb") as told:
        command = [BINARY, "cluster", "events", "--json", "--rest-endpoint", REST_ENDPOINTS[node]]
        return subprocess.Popen(command, stdout=told, stderr=subprocess.DEVNULL)


listeners = [listen(0), listen(1)]

clients = [s3_client(endpoint) for endpoint in S3_ENDPOINTS]
s3 = clients[0]
s3.create_bucket(Bucket=BUCKET)
living = random_bytes(LARGE, seed=1)
s3.put_object(Bucket=BUCKET, Key="living", Body=living)

with check(f"{ROUNDS} times overwriting {LARGE // MIB} MiB through all nodes takes the place of one, once that is forgotten"):
    before = taken_bytes()
    for round_number in range(ROUNDS):
        body = random_bytes(LARGE, seed=100 + round_number)
        clients[round_number % NODES].put_object(Bucket=BUCKET, Key="changing", Body=body)
    peak = taken_bytes()
    took_s = wait_until_forgotten()
    after = taken_bytes()
    print(f"              {before // MIB} MiB before, {peak // MIB} at most, {after // MIB} after {took_s:.1f} s")
    assert peak - before > (ROUNDS - 1) * NODES * LARGE, "what was overwritten took its place until then"
    assert after - before < NODES * LARGE + 4 * MIB, "and no longer does"
    changing = body

with check("a deleted object's place comes back; an upload's, too, completed and overwritten or given up"):
    s3.put_object(Bucket=BUCKET, Key="deleted", Body=random_bytes(LARGE, seed=2))
    s3.delete_object(Bucket=BUCKET, Key="deleted")
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="given-up")["UploadId"]
    s3.upload_part(Bucket=BUCKET, Key="given-up", UploadId=upload, PartNumber=1, Body=random_bytes(8 * MIB, seed=3))
    s3.abort_multipart_upload(Bucket=BUCKET, Key="given-up", UploadId=upload)
    completed = s3.create_multipart_upload(Bucket=BUCKET, Key="uploaded")["UploadId"]
    part = s3.upload_part(Bucket=BUCKET, Key="uploaded", UploadId=completed, PartNumber=1, Body=random_bytes(8 * MIB, seed=4))
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=BUCKET, Key="uploaded", UploadId=completed, MultipartUpload=parts)
    wait_until_forgotten()
    got = s3.get_object(Bucket=BUCKET, Key="uploaded")["Body"].read()
    assert md5(got) == md5(random_bytes(8 * MIB, seed=4)), "a completed upload is not given up"
    s3.put_object(Bucket=BUCKET, Key="uploaded", Body=b"newer")
    wait_until_forgotten()
    assert taken_bytes() - after < 4 * MIB, f"{(taken_bytes() - after) // MIB} MiB are left"

with check("completing an upload again, after its object was overwritten and its parts are gone, brings nothing back"):
    try:
        s3.complete_multipart_upload(Bucket=BUCKET, Key="uploaded", UploadId=completed, MultipartUpload=parts)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "NoSuchUpload", error
    for client in clients:
        assert client.get_object(Bucket=BUCKET, Key="uploaded")["Body"].read() == b"newer"

with check("a body whose client goes away in the middle loses its place, too, after its deadline"):
    url = urllib.parse.urlsplit(REST_ENDPOINTS[1])
    before = taken_bytes()
    with socket.create_connection((url.hostname, url.port)) as connection:
        head = f"PUT /v1/buckets/{BUCKET}/objects/broken-off HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Bearer {harness.ADMIN_TOKEN}\r\n"
        connection.sendall(f"{head}Content-Length: {4 * LARGE}\r\n\r\n".encode())
        connection.sendall(random_bytes(LARGE, seed=9))
        time.sleep(1)
    peak = taken_bytes()
    assert peak - before > 2 * LARGE, f"{(peak - before) // MIB} MiB"
    began = time.monotonic()
    while taken_bytes() - before > 4 * MIB:
        assert time.monotonic() - began < FORGOTTEN_S_MAX, f"{(taken_bytes() - before) // MIB} MiB are left"
        time.sleep(0.5)
    print(f"              {(peak - before) // MIB} MiB gone after {time.monotonic() - began:.1f} s")

with check("while a node is away nothing goes, and the others say for whom they wait"):
    kill(2)
    s3.put_object(Bucket=BUCKET, Key="changing", Body=random_bytes(LARGE, seed=200))
    began = time.monotonic()
    while not any(waiting(node)["held_by"] for node in (0, 1)):
        assert time.monotonic() - began < 60, "nobody says that it waits"
        time.sleep(0.2)
    assert any((waiting(node)["held_by"] or {}).get("name", "").endswith("-2") for node in (0, 1)), waiting(0)
    time.sleep(15)
    assert all(waiting(node)["bodies"] for node in (0, 1)), "they went without it"
    start(2)
    took_s = wait_until_forgotten()
    print(f"              forgotten {took_s:.1f} s after it was back")
    changing = random_bytes(LARGE, seed=200)

with check("`holdfast cluster events` tells what was forgotten, for whom it waited, and who came and went"):
    assert all(listener.poll() is None for listener in listeners), "one has ended"
    assert {"forgotten", "gate_held", "down", "up"} <= happened(), happened()
    for listener in listeners:
        listener.kill()

with check("a node killed in the middle of it, again and again, loses nothing and forgets all the same"):
    for round_number in range(4):
        victim = round_number % NODES
        s3_other = clients[(victim + 1) % NODES]
        changing = random_bytes(LARGE, seed=300 + round_number)
        s3_other.put_object(Bucket=BUCKET, Key="changing", Body=changing)
        time.sleep(2 + 3 * round_number)
        kill(victim)
        start(victim)
    wait_until_forgotten()
    assert taken_bytes() - after < 4 * MIB, f"{(taken_bytes() - after) // MIB} MiB are left"
    for client in clients:
        assert md5(client.get_object(Bucket=BUCKET, Key="living")["Body"].read()) == md5(living)
        assert md5(client.get_object(Bucket=BUCKET, Key="changing")["Body"].read()) == md5(changing)

harness.finish()
