"""Five containers of one image, all started with the same words, are one cluster: through S3 and REST, and while one is killed.

Wants docker and docker-compose, the image named in HOLDFAST_IMAGE, and free ports that begin with HOLDFAST_PORTS (220 stands for
22000 to 22041). `cargo xtask containers` sees to that. Everything that it starts is in a project of its own and goes with it.
"""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config

COMPOSE = Path(__file__).resolve().parents[2] / "deploy" / "compose.yaml"
NODES = [f"holdfast-{number}" for number in range(1, 6)]
PROJECT = f"holdfast-test-{os.getpid()}"
# The first founding waits for five processes on a machine that may be compiling beside it.
HEALTHY_WITHIN_S = 180


def compose(*words, check=True, timeout=150):
    command = ["docker-compose", "-p", PROJECT, "-f", str(COMPOSE), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert not check or done.returncode == 0, f"{' '.join(words)}: {done.stdout[-800:]} {done.stderr[-1500:]}"
    return done.stdout


def within(node, *words, check=True):
    """A command of the binary, run in a node's container."""
    return compose("exec", "-T", node, "/holdfast", *words, check=check)


def docker(*words):
    return subprocess.run(["docker", *words], capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def container(node):
    return docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={PROJECT}",
                  "--filter", f"label=com.docker.compose.service={node}")


def health(node):
    return docker("inspect", "--format", "{{.State.Health.Status}}", container(node))


def await_that(what, holds, within_s):
    began = time.monotonic()
    while not (seen := holds())[0]:
        assert time.monotonic() - began < within_s, f"{what} did not come about within {within_s} s: {seen[1]}"
        time.sleep(0.5)
    print(f"     ok      {what} ({time.monotonic() - began:.1f} s)", flush=True)


def members(asked):
    return [json.loads(line) for line in within(asked, "cluster", "members", "--json").splitlines()]


def environment():
    """What a person gets with the one command that the compose file names, as a shell reads it."""
    exports = within(NODES[0], "env")
    shell = subprocess.run(["sh", "-c", exports + "\nenv -0"], capture_output=True, text=True, check=True, env={})
    return dict(pair.split("=", 1) for pair in shell.stdout.split("\0") if "=" in pair)


def s3(env, node):
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, proxies={}, read_timeout=30)
    return boto3.client(
        "s3", endpoint_url=env["HOLDFAST_S3_ENDPOINTS"].split(",")[node], config=config, region_name=env["AWS_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"], aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
    )


def rest(env, node, method, path, body=None):
    url = env["HOLDFAST_REST_ENDPOINTS"].split(",")[node] + "/v1/" + path
    request = urllib.request.Request(url, method=method, data=body)
    request.add_header("Authorization", f"Bearer {env['HOLDFAST_ADMIN_TOKEN']}")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        return answer.read()


def crud(env, nodes, label):
    """Each operation through another node, on both interfaces."""
    def at(step):
        return nodes[step % len(nodes)]

    bucket = f"crud-{label}"
    s3(env, at(0)).create_bucket(Bucket=bucket)
    for number in range(30):
        s3(env, at(number)).put_object(Bucket=bucket, Key=f"k{number}", Body=f"{label} {number}".encode())
    for number in range(30):
        body = s3(env, at(number + 1)).get_object(Bucket=bucket, Key=f"k{number}")["Body"].read()
        assert body == f"{label} {number}".encode()
    large = os.urandom(9 << 20)
    s3(env, at(1)).put_object(Bucket=bucket, Key="large", Body=large)
    assert s3(env, at(2)).get_object(Bucket=bucket, Key="large")["Body"].read() == large
    written = json.loads(rest(env, at(2), "PUT", f"buckets/{bucket}/objects/by-rest", b"one"))
    assert written["status"] == "success" and written["replicas_written"], written
    assert rest(env, at(3), "GET", f"buckets/{bucket}/objects/by-rest") == b"one"
    rest(env, at(0), "PUT", f"buckets/{bucket}/objects/by-rest", b"two")
    assert s3(env, at(1)).get_object(Bucket=bucket, Key="by-rest")["Body"].read() == b"two"
    rest(env, at(2), "DELETE", f"buckets/{bucket}/objects/by-rest")
    try:
        rest(env, at(3), "GET", f"buckets/{bucket}/objects/by-rest")
        raise AssertionError("it is still there")
    except urllib.error.HTTPError as error:
        assert error.code == 404, error
    print(f"     ok      create, read, update and delete through {len(nodes)} nodes ({label})", flush=True)
    return bucket


def story():
    compose("up", "-d")
    await_that("five containers are healthy", lambda: (
        (states := [health(node) for node in NODES]) == ["healthy"] * 5, states), HEALTHY_WITHIN_S)
    seen = members(NODES[2])
    assert sorted(member["name"] for member in seen) == NODES, seen
    assert {member["zone"] for member in seen} == {"hall-1", "hall-2", "hall-3"}
    assert all(member["seen_from"] == NODES[2] for member in seen)
    own = next(member for member in seen if member["self"])
    assert own["registered_with"]["name"] == NODES[0] and own["registered_with"]["address"] == "holdfast-1:9002", own
    print("     ok      each is a member, and says with whom it registered", flush=True)

    env = environment()
    order = [member["name"] for member in seen]
    everybody = list(range(5))
    crud(env, everybody, "all")

    gone = order.index("holdfast-3")
    left = [node for node in everybody if node != gone]
    docker("kill", container("holdfast-3"))
    bucket = crud(env, left, "four")
    others = [order[node] for node in left]
    owed = sum(member["hints_owed"] for node in others for member in members(node) if member["name"] == "holdfast-3")
    assert owed > 0, "nobody holds anything for the node that is down"
    print(f"     ok      the other four hold {owed} hints for the one that was killed", flush=True)

    docker("start", container("holdfast-3"))
    await_that("the killed one is healthy again", lambda: ((state := health("holdfast-3")) == "healthy", state), 90)
    await_that("and is owed nothing", lambda: (
        (owed := [member["hints_owed"] for node in others for member in members(node)]) == [0] * len(owed), owed), 90)
    for number in range(30):
        body = s3(env, gone).get_object(Bucket=bucket, Key=f"k{number}")["Body"].read()
        assert body == f"four {number}".encode()
    print("     ok      it serves what was written while it was down", flush=True)

    compose("restart", timeout=300)
    await_that("all are healthy after a restart with the same words", lambda: (
        (states := [health(node) for node in NODES]) == ["healthy"] * 5, states), HEALTHY_WITHIN_S)
    assert s3(env, 0).get_object(Bucket=bucket, Key="k7")["Body"].read() == b"four 7"


began = time.monotonic()
try:
    story()
except BaseException:
    for node in NODES:
        print(f"---- {node}:\n" + compose("logs", "--no-color", "--tail", "25", node, check=False), file=sys.stderr)
    raise
finally:
    compose("down", "-v", "--remove-orphans", "--timeout", "20", check=False, timeout=300)
print(f"     passed in {time.monotonic() - began:.0f} s")
