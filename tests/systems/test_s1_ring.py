"""Ring object storage with REST, gRPC and a portal: any client does everything through any node, however it speaks, and a node or a
gateway more or less makes no difference. (That the nodes come up as containers from one image by one command: tests/containers.)
"""

import sys
from pathlib import Path

sys.path.insert(0, __file__.rsplit("/", 2)[0] + "/clients")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "python"))

import os  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402

import harness  # noqa: E402
import nodes  # noqa: E402
from gateway import Gateway, KilledInTheMiddle  # noqa: E402
from grpc import RpcError, StatusCode  # noqa: E402
from harness import MIB, REST_ENDPOINTS, WORK, check, random_bytes  # noqa: E402
from holdfast_grpc import Holdfast  # noqa: E402
from rest import Rest  # noqa: E402

NODES = range(len(REST_ENDPOINTS))
rest = [Rest(endpoint) for endpoint in REST_ENDPOINTS]
grpc = [Holdfast(endpoint.split("//")[-1], harness.ADMIN_TOKEN) for endpoint in REST_ENDPOINTS]


def portal(script):
    """What the interactive client says to these lines."""
    environment = {**os.environ, "XDG_STATE_HOME": str(WORK / "state"), "COLUMNS": "160"}
    done = subprocess.run(
        [nodes.BINARY, "shell"], input=script, capture_output=True, text=True, timeout=120, cwd=WORK, env=environment
    )
    assert done.returncode == 0, done.stderr[-800:]
    return done.stdout


with check("every node knows every other, and is ready"):
    for node in NODES:
        view = rest[node].json("GET", "/v1/cluster")
        assert len(view["members"]) == len(NODES) and not view["down"], view
        assert rest[node].ask("GET", "/health/ready")[0] == 200

with check("stored through REST, read through gRPC and the portal; stored through gRPC, read through REST; and so on around"):
    rest[0].json("PUT", "/v1/buckets/ring")
    rest[1].json("PUT", "/v1/buckets/ring/objects/from-rest", b"said to REST")
    header, pieces = grpc[2].get("ring", "from-rest")
    assert b"".join(pieces) == b"said to REST"
    (WORK / "note.txt").write_bytes(b"said to gRPC")
    with open(WORK / "note.txt", "rb") as file:
        told = grpc[3].put("ring", "from-grpc", file)
    assert len(told.replicas_written) >= 2, told
    assert rest[4].bytes("GET", "/v1/buckets/ring/objects/from-grpc") == b"said to gRPC"
    said = portal("use ring\nls\ncat from-rest\nput note.txt from-portal\n")
    assert "from-grpc" in said and "said to REST" in said, said
    assert rest[0].bytes("GET", "/v1/buckets/ring/objects/from-portal") == b"said to gRPC"

with check("updated and deleted, each time through another interface, and everybody sees it"):
    rest[2].json("PUT", "/v1/buckets/ring/objects/from-grpc", b"again")
    _, pieces = grpc[0].get("ring", "from-grpc")
    assert b"".join(pieces) == b"again"
    portal("use ring\nrm from-grpc\n")
    for node in NODES:
        assert rest[node].ask("GET", "/v1/buckets/ring/objects/from-grpc")[0] == 404

with check("the ring is consistent hashing: each node's share is like the others', and each key has three homes"):
    ring = rest[0].json("GET", "/v1/layout")
    firsts = [0] * len(NODES)
    for homes in ring["lists"]:
        assert len(set(homes[:3])) == 3, homes
        firsts[homes[0]] += 1
    assert max(firsts) - min(firsts) <= max(2, len(ring["lists"]) // 50), firsts

with check("the console is there for whoever prefers to look"):
    assert rest[3].ask("GET", "/console")[0] == 200

gateway = Gateway(0)
photo = random_bytes(32 * MIB, "photo")
REEF = "/v1/buckets/ring/objects/reef.jpg"


def refused(call):
    """Why a call over gRPC ended."""
    try:
        told = call()
    except RpcError as error:
        return error.code()
    raise AssertionError(f"it was answered: {told}")


with check("a gateway is a door like a node's; it is killed while a file goes up over gRPC: the call fails, the file is what it was"):
    gate = Holdfast(gateway.address, harness.ADMIN_TOKEN)
    gate.put("ring", "reef.jpg", b"the reef last year")
    assert refused(lambda: gate.put("ring", "reef.jpg", KilledInTheMiddle(gateway, photo))) == StatusCode.UNAVAILABLE
    for node in NODES:
        assert rest[node].bytes("GET", REEF) == b"the reef last year"

with check("the same again at a node's door: there for everybody, byte for byte"):
    assert len(grpc[2].put("ring", "reef.jpg", photo).replicas_written) >= 2
    for node in NODES:
        assert rest[node].bytes("GET", REEF) == photo

with check("it is killed while the file comes down: the reader is told, rather than left with a part; at a node's door it comes whole"):
    gateway.start()
    gate = Holdfast(gateway.address, harness.ADMIN_TOKEN)
    _, pieces = gate.get("ring", "reef.jpg")
    begun = next(pieces)
    gateway.kill()
    assert refused(lambda: len(begun + b"".join(pieces))) == StatusCode.UNAVAILABLE
    _, pieces = grpc[4].get("ring", "reef.jpg")
    assert b"".join(pieces) == photo

acked, failed = {}, []
over = threading.Event()
gateway.start()
doors = [*rest, gateway.api]


def load(worker):
    """Writes through all doors in turn, as clients do that know several addresses: by the next one when one does not answer."""
    count = 0
    while not over.is_set():
        key, body = f"load/{worker}/{count:05}", f"{worker} {count}".encode() * 40
        for attempt in range(len(doors)):
            door = doors[(worker + count + attempt) % len(doors)]
            try:
                status, _, told = door.ask("PUT", f"/v1/buckets/ring/objects/{key}", body)
            except OSError:
                continue
            if status in (200, 201):
                acked[key] = body
                break
        else:
            failed.append(key)
        count += 1


with check("a node is killed, the gateway is, and a node stands still while clients write: every write is taken by somebody"):
    workers = [threading.Thread(target=load, args=(worker,)) for worker in range(3)]
    for worker in workers:
        worker.start()
    time.sleep(1)
    os.kill(nodes.PIDS[3], signal.SIGKILL)
    time.sleep(2)
    gateway.kill()
    with nodes.frozen(4):
        time.sleep(4)
    nodes.start(3)
    time.sleep(1)
    over.set()
    for worker in workers:
        worker.join()
    assert not failed and len(acked) > 100, (failed[:3], len(acked))

with check("and nothing of it is lost, through whichever node it is read"):
    for number, (key, body) in enumerate(acked.items()):
        assert rest[number % len(NODES)].bytes("GET", f"/v1/buckets/ring/objects/{key}") == body, key

over.set()
harness.finish()
