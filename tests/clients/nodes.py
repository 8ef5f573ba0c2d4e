"""Ending and starting the nodes of a `holdfast dev` cluster, and what they say of each other."""

import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager

import harness
from harness import REST_ENDPOINTS

BINARY = os.environ["HOLDFAST_BIN"]
DATA = os.environ["HOLDFAST_DATA"]
PIDS = [int(pid) for pid in os.environ["HOLDFAST_PIDS"].split(",")]


def status(node):
    command = [BINARY, "cluster", "status", "--json", "--rest-endpoint", REST_ENDPOINTS[node]]
    return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout


def member(node, asked=0):
    """What a node says of another."""
    command = [BINARY, "cluster", "members", "--json", "--rest-endpoint", REST_ENDPOINTS[asked]]
    told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    members = [json.loads(line) for line in told.splitlines()]
    members = members[0].get("members", members) if len(members) == 1 else members
    return next(found for found in members if found["rest"].split("//")[-1] == REST_ENDPOINTS[node].split("//")[-1])


def kill(node):
    os.kill(PIDS[node], signal.SIGKILL)
    time.sleep(1)


@contextmanager
def frozen(node):
    """A node stands still for as long as this lasts."""
    os.kill(PIDS[node], signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(PIDS[node], signal.SIGCONT)


def stop(node):
    """Ends a node in order, and waits until its process is gone."""
    os.kill(PIDS[node], signal.SIGTERM)
    began = time.monotonic()
    while os.path.exists(f"/proc/{PIDS[node]}") and time.monotonic() - began < 40:
        state = open(f"/proc/{PIDS[node]}/stat").read().rsplit(")", 1)[1].split()[0]
        if state == "Z":
            break
        time.sleep(0.1)


def start(node, disk_lost=None, check=True):
    """Starts a node. What it said if it did not, where that is allowed."""
    with open(harness.WORK / f"start-node-{node}.log", "ab") as log:
        command = [BINARY, "dev", "start-node", str(node), "--data", DATA]
        command += [f"--disk-lost={disk_lost}"] if disk_lost else []
        done = subprocess.run(command, check=check, timeout=120, stdout=log, stderr=log)
    if done.returncode != 0:
        return (harness.WORK / f"start-node-{node}.log").read_text()
    PIDS[node] = json.loads(open(f"{DATA}/node-{node}/process.json").read())["pid"]
    return ""
