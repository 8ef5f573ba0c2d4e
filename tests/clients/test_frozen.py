"""One node is frozen, which is worse than dead: it holds its connections and answers nothing. Nobody else may notice."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import harness
from harness import MIB, S3_ENDPOINTS, check, random_bytes, s3_client

BUCKET = "frozen"
PIDS = [int(pid) for pid in os.environ["HOLDFAST_PIDS"].split(",")]
FROZEN_S = 15
# A request may wait for the frozen node a little before it asks the next; on a busy machine also for its turn.
SLOWEST_S_MAX = 3.0


def work(client, name, stop, took, wrong):
    """Sequential puts, gets, lists and deletes of its own keys; each must be answered, rightly and soon."""
    version = 0
    while not stop.is_set():
        version += 1
        key = f"{name}/{version % 7}"
        body = random_bytes(2 * MIB if version % 20 == 0 else 3_000, f"{key}/{version}")
        steps = {
            "put": lambda: client.put_object(Bucket=BUCKET, Key=key, Body=body),
            "get": lambda: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == body or wrong.append(key),
            "list": lambda: client.list_objects_v2(Bucket=BUCKET, Prefix=f"{name}/"),
        }
        for what, step in steps.items():
            began = time.monotonic()
            step()
            took.append((time.monotonic() - began, what))


s3_client().create_bucket(Bucket=BUCKET)
victim = len(S3_ENDPOINTS) - 1
others = [node for node in range(len(S3_ENDPOINTS)) if node != victim]
stop, took, wrong = threading.Event(), [], []

with check(f"no request through the others fails, is wrong, or takes {SLOWEST_S_MAX} s while one node is frozen for {FROZEN_S} s"):
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(work, s3_client(S3_ENDPOINTS[node]), f"node-{node}-{i}", stop, took, wrong) for node in others for i in range(2)]
        try:
            time.sleep(2)
            os.kill(PIDS[victim], signal.SIGSTOP)
            time.sleep(FROZEN_S)
        finally:
            os.kill(PIDS[victim], signal.SIGCONT)
            time.sleep(2)
            stop.set()
        for one in running:
            one.result()
    slowest = sorted(took, reverse=True)[:3]
    print(f"             {len(took)} requests, the slowest: {', '.join(f'{what} {seconds:.2f} s' for seconds, what in slowest)}")
    assert not wrong, wrong[:3]
    assert len(took) > 100, len(took)
    assert slowest[0][0] < SLOWEST_S_MAX, slowest

with check("the node that thawed answers like the others"):
    client = s3_client(S3_ENDPOINTS[victim])
    for node in others:
        rows = {row["Key"]: row["ETag"] for row in s3_client(S3_ENDPOINTS[node]).list_objects_v2(Bucket=BUCKET)["Contents"]}
        assert rows == {row["Key"]: row["ETag"] for row in client.list_objects_v2(Bucket=BUCKET)["Contents"]}
    client.put_object(Bucket=BUCKET, Key="thawed", Body=b"x")
    assert s3_client().get_object(Bucket=BUCKET, Key="thawed")["Body"].read() == b"x"

harness.finish()
