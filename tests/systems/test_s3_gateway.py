"""Storage nodes behind a load balancer: a gateway in front of the ring, which knows no data, finds the right node, and tries another
one when that is down. Everything here goes through gateways alone.
"""

import sys

sys.path.insert(0, __file__.rsplit("/", 2)[0] + "/clients")

import os  # noqa: E402
import signal  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402

import harness  # noqa: E402
import nodes  # noqa: E402
from gateway import Gateway  # noqa: E402
from harness import check  # noqa: E402
from rest import Rest  # noqa: E402

gateways = [Gateway(0), Gateway(1)]
one, two = (gateway.api for gateway in gateways)
try:
    with check("buckets and files are created, updated and deleted; each answer names the node and the clocks"):
        assert one.json("PUT", "/v1/buckets/front", expect=201)["status"] == "success"
        first = one.json("PUT", "/v1/buckets/front/objects/file", b"1")
        second = two.json("PUT", "/v1/buckets/front/objects/file", b"2")
        for told in (first, second):
            assert told["status"] == "success" and told["node"]["id"] and told["clocks"], told
            homes = {node["id"] for node in told["preference_list"]}
            assert told["node"]["id"] in homes, "a home did it, whichever gateway was asked"
        assert one.bytes("GET", "/v1/buckets/front/objects/file") == b"2"
        assert two.json("DELETE", "/v1/buckets/front/objects/file")["status"] == "success"
        assert one.json("GET", "/v1/buckets/front/objects/file", expect=404)["status"] == "failure"

    acked, failed = {}, []
    over = threading.Event()

    def load(worker):
        """Writes through a gateway until it is over; only what was acknowledged counts."""
        count = 0
        while not over.is_set():
            gateway = gateways[(worker + count) % 2]
            key, body = f"w{worker}/{count:05}", f"body {worker} {count}".encode() * 50
            count += 1
            try:
                status, _, told = gateway.api.ask("PUT", f"/v1/buckets/front/objects/{key}", body)
                if status in (200, 201):
                    acked[key] = body
                else:
                    failed.append((key, status, told[:200]))
            except OSError:
                # This one's own gateway was killed.
                time.sleep(0.05)

    workers = [threading.Thread(target=load, args=(worker,)) for worker in range(4)]
    for worker in workers:
        worker.start()
    with check("a node is killed, another is frozen for a while, a gateway is killed and started: requests go on"):
        time.sleep(2)
        os.kill(nodes.PIDS[1], signal.SIGKILL)
        time.sleep(3)
        os.kill(nodes.PIDS[2], signal.SIGSTOP)
        time.sleep(5)
        os.kill(nodes.PIDS[2], signal.SIGCONT)
        time.sleep(2)
        gateways[1].kill()
        before = len(acked)
        began = time.monotonic()
        while len(acked) < before + 10:
            assert time.monotonic() - began < 30, "the other gateway serves"
            time.sleep(0.1)
        gateways[1].start()
        nodes.start(1)
        time.sleep(2)
        over.set()
        for worker in workers:
            worker.join()
        assert len(acked) > 100, len(acked)
        assert not failed, failed[:3]

    with check("nothing that was acknowledged is lost"):
        for key, body in acked.items():
            assert two.bytes("GET", f"/v1/buckets/front/objects/{key}") == body, key
        direct = Rest(harness.REST_ENDPOINTS[3])
        for key in list(acked)[::17]:
            assert direct.bytes("GET", f"/v1/buckets/front/objects/{key}") == acked[key], key
finally:
    over.set()
    for gateway in gateways:
        gateway.kill()

harness.finish()
