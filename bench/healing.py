#!/usr/bin/env python3
"""How fast a cluster notices and heals: figures for bench/README.md, taken from real processes.

    python3 bench/healing.py [--binary target/release/holdfast] [--generator target/release/holdfast-bench] [--gib 1]

Five nodes on this machine, with the usual settings. Needs boto3 (`pip install boto3`). Takes about ten minutes, prints rows of a
table, and leaves nothing behind.
"""

import argparse
import glob
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

NODES = 5
VICTIM = 4
KIB, MIB, GIB = 1024, 1024**2, 1024**3


class Cluster:
    """Some nodes of `holdfast dev`."""

    def __init__(self, binary, port_base, nodes=NODES):
        self.binary = binary
        self.nodes = nodes
        self.dir = tempfile.mkdtemp(prefix="holdfast-healing-")
        self.data = f"{self.dir}/data"
        env_file = f"{self.dir}/env"
        self.run("dev", "--nodes", str(nodes), "--detach", "--data", self.data, "--port-base", str(port_base), "--env-file", env_file)
        lines = subprocess.run(["sh", "-c", f". {env_file} && env"], capture_output=True, text=True, check=True).stdout
        self.environment = dict(line.split("=", 1) for line in lines.splitlines() if "=" in line)
        self.s3 = self.environment["HOLDFAST_S3_ENDPOINTS"].split(",")
        self.rest = self.environment["HOLDFAST_REST_ENDPOINTS"].split(",")

    def run(self, *words):
        return subprocess.run([self.binary, *words], check=True, capture_output=True, text=True, timeout=300).stdout

    def pid(self, node):
        return json.load(open(f"{self.data}/node-{node}/process.json"))["pid"]

    def ask(self, node, path="/v1/cluster"):
        token = self.environment["HOLDFAST_ADMIN_TOKEN"]
        request = urllib.request.Request(self.rest[node] + path, headers={"Authorization": f"Bearer {token}"})
        return json.loads(urllib.request.urlopen(request, timeout=10).read())

    def member(self, asked, of):
        address = self.rest[of].split("//")[1]
        return next(member for member in self.ask(asked)["members"] if member["rest"].endswith(address))

    def start(self, node, *further):
        self.run("dev", "start-node", str(node), "--data", self.data, *further)

    def kill(self, node):
        os.kill(self.pid(node), signal.SIGKILL)

    def client(self, node):
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.s3[node],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, max_pool_connections=20),
        )

    def end(self):
        self.run("dev", "stop", "--data", self.data)
        shutil.rmtree(self.dir)


def until(condition, within_s):
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s, "it takes too long"
        time.sleep(0.02)
    return time.monotonic() - began


def seconds(values):
    return f"{min(values):.1f} to {max(values):.1f} s" if len(values) > 1 else f"{values[0]:.1f} s"


def row(what, figure):
    print(f"| {what} | {figure} |", flush=True)


def detection(cluster):
    killed, back, frozen, thawed = [], [], [], []
    for _ in range(3):
        cluster.kill(VICTIM)
        killed.append(until(lambda: not cluster.member(0, VICTIM)["up"], 60))
        cluster.start(VICTIM)
        back.append(until(lambda: cluster.member(0, VICTIM)["up"], 60))
        time.sleep(3)
        os.kill(cluster.pid(VICTIM), signal.SIGSTOP)
        frozen.append(until(lambda: not cluster.member(0, VICTIM)["up"], 60))
        os.kill(cluster.pid(VICTIM), signal.SIGCONT)
        thawed.append(until(lambda: cluster.member(0, VICTIM)["up"], 60))
        time.sleep(3)
    row("a killed process is not used any more after", seconds(killed))
    row("it is used again so long after its start was over", seconds(back))
    row("a frozen process is held down after", seconds(frozen))
    row("it is used again so long after it thaws", seconds(thawed))


def puts(cluster, generator, nodes, length_s):
    found = f"{cluster.dir}/puts.json"
    words = [generator, "--keys", "5000", "--seconds", str(length_s), "--step", "load", "--step", "put-4k", "--idle-after", "0", "--json", found]
    for node in nodes:
        words += ["--endpoint", cluster.s3[node]]
    words += ["--pids", ",".join(str(cluster.pid(node)) for node in nodes)]
    subprocess.run(words, check=True, capture_output=True, env={**os.environ, **cluster.environment})
    return next(step for step in json.load(open(found))["steps"] if step["name"] == "put-4k")


def one_home_down(cluster, generator):
    nodes = list(range(NODES))
    others = [node for node in nodes if node != VICTIM]
    puts(cluster, generator, nodes, 5)
    whole = puts(cluster, generator, nodes, 15)
    cluster.kill(VICTIM)
    until(lambda: not cluster.member(0, VICTIM)["up"], 60)
    short = puts(cluster, generator, others, 15)
    cpu = [step["server"]["cpu_ms_per_operation"] for step in (whole, short)]
    rate = [step["per_second"] for step in (whole, short)]
    row("4 KiB put with one home of five nodes down: server CPU, and rate, against all up", f"{cpu[1] / cpu[0]:.2f} times; {rate[1] / rate[0]:.2f} times")

    def owed():
        return sum(cluster.member(node, VICTIM)["hints_owed"] for node in others)

    hints = owed()
    cluster.start(VICTIM)
    took_s = until(lambda: owed() == 0, 900)
    row(f"{hints:,} hints are delivered at", f"{hints / took_s:,.0f} per second ({took_s:.0f} s)")


def frozen_tail(cluster):
    bucket, victim = "tail", cluster.nodes - 1
    others = list(range(victim))
    cluster.client(0).create_bucket(Bucket=bucket)
    stop, took, lock = threading.Event(), [], threading.Lock()

    def work(number):
        client, chooser = cluster.client(others[number % len(others)]), random.Random(number)
        while not stop.is_set():
            key, began = f"{number}/{chooser.randrange(500)}", time.monotonic()
            client.put_object(Bucket=bucket, Key=key, Body=b"x" * 3_000)
            client.get_object(Bucket=bucket, Key=key)["Body"].read()
            with lock:
                took.append((began, time.monotonic() - began))

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(work, number) for number in range(8)]
        time.sleep(12)
        frozen_at = time.monotonic()
        os.kill(cluster.pid(victim), signal.SIGSTOP)
        time.sleep(30)
        os.kill(cluster.pid(victim), signal.SIGCONT)
        time.sleep(3)
        stop.set()
        failures = sum(one.exception() is not None for one in running)

    def p99(first_s, last_s):
        within = sorted(length for began, length in took if first_s <= began - frozen_at < last_s)
        return within[int(len(within) * 0.99)] * 1_000 if within else float("nan")

    usual = p99(-10, 0)
    row(
        f"put and get of 3 KB through the others while one of {cluster.nodes} nodes is frozen for 30 s: p99 before; in seconds 0 to 2, 2 to 12, 12 to 30",
        f"{usual:.0f} ms; {p99(0, 2):.0f}, {p99(2, 12):.0f}, {p99(12, 30):.0f} ms; {failures} failures",
    )


def stored_bytes(cluster, node):
    return sum(os.stat(file).st_blocks * 512 for file in glob.glob(f"{cluster.data}/node-{node}/**/*.seg", recursive=True))


def lost_disk(cluster, gib):
    bucket = "refill"
    cluster.client(0).create_bucket(Bucket=bucket)
    body = random.Random(1).randbytes(16 * MIB)

    def put(number):
        cluster.client(number % NODES).put_object(Bucket=bucket, Key=f"large-{number}", Body=body)

    # Each object lies on three of five nodes: so that each node holds about what was asked for.
    count = int(gib * GIB / (16 * MIB) * NODES / 3)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(count)))
    time.sleep(5)
    before = stored_bytes(cluster, VICTIM)
    cluster.kill(VICTIM)
    time.sleep(1)
    shutil.rmtree(next(iter(glob.glob(f"{cluster.data}/node-{VICTIM}/**/store", recursive=True))))
    began = time.monotonic()
    cluster.start(VICTIM, "--disk-lost=fill")
    chunks_s = sound_s = None
    while chunks_s is None or sound_s is None:
        passed = time.monotonic() - began
        assert passed < 1_800, "it takes too long"
        if chunks_s is None and stored_bytes(cluster, VICTIM) > 0.99 * before:
            chunks_s = passed
        if sound_s is None and cluster.member(VICTIM, VICTIM)["facts"]["soundness"] == "sound":
            sound_s = passed
        time.sleep(0.5)
    row(f"a node that held {before / GIB:.2f} GiB and lost its disk has the bodies back after", f"{chunks_s:.0f} s ({before / MIB / chunks_s:.0f} MiB/s)")
    row("and answers reads itself again after (three message lives of 60 s are waited for)", f"{sound_s:.0f} s")


def main():
    here = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here.add_argument("--binary", default="target/release/holdfast")
    here.add_argument("--generator", default="target/release/holdfast-bench")
    here.add_argument("--port-base", type=int, default=27_000)
    here.add_argument("--gib", type=float, default=1)
    here.add_argument("--only", action="append", choices=["detection", "one_home_down", "frozen_tail", "lost_disk"])
    options = here.parse_args()
    cluster = Cluster(os.path.abspath(options.binary), options.port_base)
    wanted = options.only or ["detection", "one_home_down", "frozen_tail", "lost_disk"]
    try:
        print("| what | figure |\n|---|---|", flush=True)
        if "detection" in wanted:
            detection(cluster)
        if "frozen_tail" in wanted:
            frozen_tail(cluster)
            three = Cluster(cluster.binary, options.port_base + 1_000, 3)
            try:
                frozen_tail(three)
            finally:
                three.end()
        if "one_home_down" in wanted:
            one_home_down(cluster, os.path.abspath(options.generator))
        if "lost_disk" in wanted:
            lost_disk(cluster, options.gib)
    finally:
        cluster.end()


main()
