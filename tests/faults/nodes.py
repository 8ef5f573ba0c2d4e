"""The server processes, one on each host: founded and joined as an operator would, killed, paused and started again.

A node's clock is its host's, and all hosts have one kernel; so where libfaketime is installed, some nodes run with it,
and a file says how far their wall clock is off. Their monotonic clock is left alone, as a step of NTP leaves it alone.
"""

import os
import secrets
import signal
import subprocess
import time
from pathlib import Path

from hosts import NODES

FAKETIME = [
    Path("/usr/lib") / triple / "faketime/libfaketimeMT.so.1" for triple in ("x86_64-linux-gnu", "aarch64-linux-gnu")
]
READY_S_MAX = 60


def faketime_library():
    return next((path for path in FAKETIME if path.exists()), None)


class Node:
    def __init__(self, number, binary, hosts, disk, dir, settings, with_clock):
        self.number, self.hosts, self.disk = number, hosts, disk
        self.address = hosts.address(number)
        self.log = Path(dir) / f"node-{number}.log"
        self.clock_file = Path(dir) / f"clock-{number}" if with_clock else None
        self.command = [*hosts.inside(number), str(binary), "server", "--data", str(disk.data), "--bind", self.address]
        self.command += ["--name", f"node-{number}", "--host", f"host-{number}", "--log-format", "plain", *settings]
        self.process = None
        self.died = []

    def start(self, *more):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
        if self.clock_file:
            self.set_clock(0)
            environment.update(
                LD_PRELOAD=str(faketime_library()),
                FAKETIME_TIMESTAMP_FILE=str(self.clock_file),
                FAKETIME_CACHE_DURATION="1",
                FAKETIME_DONT_FAKE_MONOTONIC="1",
                DONT_FAKE_MONOTONIC="1",
                NO_FAKE_STAT="1",
            )
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*self.command, *more], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )
        self.hosts.started(self.process.pid)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def set_clock(self, offset_s):
        new = self.clock_file.with_suffix(".new")
        new.write_text(f"{offset_s:+d}\n")
        new.replace(self.clock_file)

    def check_alive(self):
        """Notes a process that ended although nobody ended it."""
        if self.process and self.process.poll() is not None:
            self.died.append(f"node {self.number} ended by itself with {self.process.returncode}: {self.log}")
            self.process = None
            return False
        return True


class Cluster:
    """Five nodes, founded."""

    def __init__(self, binary, hosts, disks, dir, settings, clock_nodes):
        self.hosts, self.disks = hosts, disks
        self.access_key, self.secret_key = "HFFAULTS", secrets.token_hex(20)
        self.admin_token = secrets.token_hex(20)
        self.nodes = [
            Node(number, binary, hosts, disks[number], dir, settings, number in clock_nodes) for number in range(NODES)
        ]
        for node in self.nodes:
            node.command += ["--admin-token", self.admin_token]
            node.command += ["--root-access-key", self.access_key, "--root-secret-key", self.secret_key]

    def found(self):
        founder = self.nodes[0]
        founder.start("--found", str(NODES))
        token = self.wait_for_token(founder)
        for node in self.nodes[1:]:
            node.start("--join", f"{founder.address}:9002", "--token", token)

    def wait_for_token(self, founder):
        path, began = founder.disk.data / "join-token", time.monotonic()
        while not (path.exists() and path.read_text().strip()):
            if founder.process.poll() is not None or time.monotonic() - began > READY_S_MAX:
                raise RuntimeError(f"the founder left no join token; its log: {founder.log}")
            time.sleep(0.05)
        return path.read_text().strip()
