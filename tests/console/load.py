"""Clients at work while the console is looked at: small objects written and read through the nodes that are up."""

import random
import threading
import time
from contextlib import contextmanager

from harness import S3_ENDPOINTS, s3_client

BUCKET = "shop"
PAUSE_S = 0.04


@contextmanager
def load(nodes):
    """Writes and reads until the block ends. Refused requests are somebody else's test."""
    s3_client().create_bucket(Bucket=BUCKET)
    stop = threading.Event()
    threads = [threading.Thread(target=_client, args=(node, stop), daemon=True) for node in nodes]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=20)


def _client(node, stop):
    client = s3_client(S3_ENDPOINTS[node])
    chooser = random.Random(node)
    while not stop.is_set():
        key = f"orders/2026-{chooser.randint(1, 12):02}/order-{chooser.randint(1, 400):05}.json"
        try:
            if chooser.random() < 0.5:
                client.put_object(Bucket=BUCKET, Key=key, Body=b'{"total": 42}', ContentType="application/json")
            else:
                client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        except Exception:
            pass
        time.sleep(PAUSE_S)
