"""A node that ends in order says so: the others know at once, suspect nobody, and tell it from one that died (F5)."""

import json
import subprocess
import time

import harness
import nodes
from harness import REST_ENDPOINTS, S3_ENDPOINTS, check, s3_client

GONE = 1
BUCKET = "goodbye"
s3 = s3_client(S3_ENDPOINTS[0])
s3.create_bucket(Bucket=BUCKET)


def listen(name):
    """Events of the first node from now on, and how to read them."""
    path = harness.WORK / f"events-{name}"
    command = [nodes.BINARY, "cluster", "events", "--json", "--rest-endpoint", REST_ENDPOINTS[0]]
    listener = subprocess.Popen(command, stdout=open(path, "wb"), stderr=subprocess.DEVNULL)
    time.sleep(1)

    def told():
        return [json.loads(line) for line in path.read_text().splitlines()]

    return listener, told


def kinds_of(events):
    return [event["event"] for event in events if event.get("event") in ("suspect", "down", "stopped", "up")]


def await_state(wanted, within_s):
    began = time.monotonic()
    while (state := nodes.member(GONE)["state"]) != wanted:
        assert time.monotonic() - began < within_s, f"it is {state}"
        time.sleep(0.1)
    return time.monotonic() - began


with check("who ends in order is known to have stopped, at once and without suspicion"):
    listener, told = listen("stop")
    nodes.stop(GONE)
    took_s = await_state("stopped", 2)
    print(f"              {took_s:.1f} s after its process was gone")
    time.sleep(8)
    assert kinds_of(told()) == ["stopped"], told()
    assert "stopped" in subprocess.run(
        [nodes.BINARY, "cluster", "members", "--rest-endpoint", REST_ENDPOINTS[0]], capture_output=True, text=True
    ).stdout

with check("writes and reads go on meanwhile, and stand-ins or the other homes have them"):
    for key in range(30):
        s3.put_object(Bucket=BUCKET, Key=f"k{key}", Body=b"meanwhile")
    assert all(s3.get_object(Bucket=BUCKET, Key=f"k{key}")["Body"].read() == b"meanwhile" for key in range(30))

with check("and it is up again as soon as it is back"):
    nodes.start(GONE)
    await_state("up", 10)
    assert kinds_of(told())[-1] == "up", told()
    listener.terminate()
    listener.wait()
    back = s3_client(S3_ENDPOINTS[GONE])
    assert all(back.get_object(Bucket=BUCKET, Key=f"k{key}")["Body"].read() == b"meanwhile" for key in range(30))

with check("who is killed has not stopped: it is suspected, then held down"):
    listener, told = listen("kill")
    nodes.kill(GONE)
    await_state("down", 30)
    assert kinds_of(told()) == ["suspect", "down"], told()
    listener.terminate()
    listener.wait()
    nodes.start(GONE)
    await_state("up", 10)

harness.finish()
