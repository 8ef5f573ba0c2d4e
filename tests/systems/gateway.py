"""Gateways before the cluster: doors, any of which may be killed while somebody is in it.

A gateway holds nothing. Who was in the middle of something sees a connection break, and never half a file; the same again through another
door is all that has to be done.
"""

import atexit
import signal
import subprocess
import sys
import time

import harness
import nodes
from rest import Rest

SEEDS = ",".join(f"127.0.0.1:{int(url.rsplit(':', 1)[1]) + 2}" for url in harness.S3_ENDPOINTS[:2])
# Nodes take ten ports each.
FREE_PORTS = int(harness.S3_ENDPOINTS[0].rsplit(":", 1)[1]) + 10 * len(harness.S3_ENDPOINTS)
PIECE_BYTES = 64 * harness.KIB

# However a script ends, also when it took too long, no gateway is left behind.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


class Gateway:
    """A gateway that is ready, admitted by the token that lies beside the data of any node."""

    def __init__(self, number):
        port = FREE_PORTS + 10 * number
        self.s3, self.rest = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"
        self.address = f"127.0.0.1:{port + 1}"
        self.api = Rest(self.rest)
        self.process = None
        atexit.register(self.kill)
        self.start()

    def start(self):
        assert not self.lives(), "it was not killed"
        token = f"{nodes.DATA}/node-0/data/gateway-token"
        command = [nodes.BINARY, "gateway", "--via", SEEDS, "--token-file", token, "--admin-token", harness.ADMIN_TOKEN]
        command += ["--s3-bind", self.s3.split("//")[1], "--rest-bind", self.address]
        with open(harness.WORK / f"gateway-{self.address}.log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        began = time.monotonic()
        while not self.is_ready():
            assert time.monotonic() - began < 60, "the gateway is not ready"
            time.sleep(0.1)

    def is_ready(self):
        try:
            return self.api.ask("GET", "/health/ready")[0] == 200
        except OSError:
            return False

    def lives(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        if self.lives():
            self.process.kill()
            self.process.wait()


class KilledInTheMiddle:
    """A body that goes piece by piece, and the end of the gateway that takes it: when half of it has gone."""

    def __init__(self, gateway, body):
        self.gateway, self.body = gateway, body

    def __len__(self):
        return len(self.body)

    def __iter__(self):
        half = len(self.body) // 2
        for at in range(0, len(self.body), PIECE_BYTES):
            if at <= half < at + PIECE_BYTES:
                self.gateway.kill()
            yield self.body[at : at + PIECE_BYTES]
