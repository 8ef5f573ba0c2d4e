#!/usr/bin/env python3
"""One large file up and down, by each way there is: figures for bench/README.md, taken from real processes.

    python3 bench/one_file.py [--binary target/release/holdfast] [--client another/holdfast] [--aws aws] [--gib 4] [--rounds 2]

Five nodes on this machine, with the usual settings. Ways are taken in turn, so that what disturbs one disturbs the others; with --client
also by another build of the command line, for before and after. Needs room for three copies of the file for each way, and leaves nothing
behind. Processor time is the client's alone.
"""

import argparse
import os
import random
import shutil
import subprocess
import tempfile
import time

NODES = 5
MIB, GIB = 1024**2, 1024**3
BUCKET = "large"


def start(binary, directory, port_base):
    """Starts the nodes; what their clients need to know."""
    file = f"{directory}/env"
    dev = [binary, "dev", "--nodes", str(NODES), "--detach", "--data", f"{directory}/data", "--port-base", str(port_base), "--env-file", file]
    subprocess.run(dev, check=True, capture_output=True, timeout=300)
    lines = subprocess.run(["sh", "-c", f". {file} && env"], capture_output=True, text=True, check=True).stdout
    environment = dict(line.split("=", 1) for line in lines.splitlines() if "=" in line)
    return {**environment, "XDG_STATE_HOME": f"{directory}/state", "AWS_EC2_METADATA_DISABLED": "true"}


def measured(words, environment):
    """Seconds that a command takes, its processor time in them, and the most memory it had."""
    began = time.monotonic()
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0, words
    return time.monotonic() - began, used.ru_utime, used.ru_stime, used.ru_maxrss / 1024


def node_memory(environment):
    """The most that any node had so far, in MiB."""
    most = 0
    for pid in environment["HOLDFAST_PIDS"].split(","):
        line = next(line for line in open(f"/proc/{pid}/status") if line.startswith("VmHWM"))
        most = max(most, int(line.split()[1]) / 1024)
    return most


def write_source(path, size):
    chooser = random.Random(1)
    with open(path, "wb") as file:
        for _ in range(size // MIB):
            file.write(chooser.randbytes(MIB))


def ways(asked, environment):
    """Name of each way, and the words that copy by it."""
    s3 = environment["HOLDFAST_S3_ENDPOINTS"].split(",")[0]
    yield "holdfast cp", [asked.binary, "cp"], "hf"
    if asked.client:
        yield "holdfast cp of --client", [asked.client, "cp"], "hf"
    yield "holdfast cp --via-one-node", [asked.binary, "cp", "--via-one-node", "--endpoint", s3], "hf"
    if asked.aws:
        yield "aws s3 cp", [asked.aws, "--endpoint-url", s3, "s3", "cp", "--quiet"], "s3"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="target/release/holdfast")
    parser.add_argument("--client")
    parser.add_argument("--aws")
    parser.add_argument("--gib", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--dir", help="where there is room")
    parser.add_argument("--port-base", type=int, default=29_000)
    asked = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="holdfast-one-file-", dir=asked.dir)
    size = int(asked.gib * GIB) // MIB * MIB
    environment = start(asked.binary, directory, asked.port_base)
    try:
        source, back = f"{directory}/source", f"{directory}/back"
        write_source(source, size)
        subprocess.run([asked.binary, "mb", f"hf://{BUCKET}"], env=environment, check=True, capture_output=True)
        print("| way | | MiB/s | client CPU, user and system, s | client MiB | node MiB |\n| --- | --- | ---: | ---: | ---: | ---: |")
        for direction in ["up", *["down"] * asked.rounds]:
            for name, words, scheme in ways(asked, environment):
                there = f"{scheme}://{BUCKET}/{name.replace(' ', '-')}"
                took, user, system, memory = measured([*words, *((source, there) if direction == "up" else (there, back))], environment)
                row = f"{size / MIB / took:.0f} | {user + system:.1f} ({user:.1f} + {system:.1f}) | {memory:.0f} | {node_memory(environment):.0f}"
                print(f"| `{name}` | {direction} | {row} |", flush=True)
                if direction == "down":
                    subprocess.run(["cmp", source, back], check=True)
                    os.remove(back)
    finally:
        subprocess.run([asked.binary, "dev", "stop", "--data", f"{directory}/data"], capture_output=True)
        shutil.rmtree(directory)


main()
