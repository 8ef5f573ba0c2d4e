"""Five hosts on one machine: network namespaces on a switch, so that nodes have addresses of their own and links can be cut.

Why namespaces and not ports on loopback: a cut link must look to a node like a cut link, silence, and not like a closed
port. A packet is dropped where it would arrive, so each direction of each link is cut alone; the link to the clients, who are
on the machine itself, is never cut. The switch is a bridge in a namespace of its own, because the machine's own packet
filter may drop what it forwards (Docker's does).

Invariant: whatever a run makes carries its name, and a file says who made it. A run takes down what it made when it
ends, and what an earlier run left whose process is gone.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

NODES = 5
# One file for each run that may have left something behind.
RUNS = Path("/run/holdfast-faults")
TOOLS = ["ip", "nft", "nsenter", "mount", "umount", "mkfs.ext4"]


class Impossible(Exception):
    """This machine cannot have hosts; the message says why."""


def sh(*words, check=True):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if check and done.returncode != 0:
        raise RuntimeError(f"`{' '.join(map(str, words))}` ended with {done.returncode}: {done.stderr.strip()}")
    return done


def require():
    """Raises Impossible unless this machine lets us make namespaces, links, filters and mounts."""
    if os.geteuid() != 0:
        raise Impossible("network namespaces need root, and this is not root")
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise Impossible(f"these programs are missing: {' '.join(missing)} (`cargo xtask setup` installs them)")
    name = f"hfprobe{os.getpid()}"
    try:
        sh("ip", "netns", "add", name)
        sh("ip", "link", "add", f"hfp{os.getpid()}", "type", "veth", "peer", "name", "inside", "netns", name)
        sh("nsenter", f"--net=/run/netns/{name}", "nft", "add", "table", "inet", "probe")
    except (RuntimeError, OSError) as error:
        raise Impossible(f"network namespaces cannot be made here: {error}") from None
    finally:
        sh("ip", "netns", "del", name, check=False)
        sh("ip", "link", "del", f"hfp{os.getpid()}", check=False)


class Hosts:
    """The namespaces and the bridge of one run."""

    def __init__(self):
        self.run = os.getpid()
        self.subnet = f"10.213.{free_subnet()}"
        self.switch, self.uplink = f"holdfast-{self.run}-switch", f"hf{self.run}"
        self.record = RUNS / f"{self.run}.json"
        self.made = {
            "pid": self.run,
            "started": start_time(self.run),
            "links": [self.uplink],
            "namespaces": [self.switch, *(self.namespace(node) for node in range(NODES))],
            "mounts": [],
            "processes": {},
        }

    def namespace(self, node):
        return f"holdfast-{self.run}-{node}"

    def address(self, node):
        return f"{self.subnet}.{10 + node}"

    def inside(self, node):
        """The words that run a program on a host. They become that program: its pid is the one we started."""
        return ["nsenter", f"--net=/run/netns/{self.namespace(node)}"]

    def up(self):
        self.save()
        sh("ip", "netns", "add", self.switch)
        sh("ip", "-n", self.switch, "link", "add", "switch", "type", "bridge")
        sh("ip", "-n", self.switch, "link", "set", "switch", "up")
        sh("ip", "link", "add", self.uplink, "type", "veth", "peer", "name", "clients", "netns", self.switch)
        sh("ip", "-n", self.switch, "link", "set", "clients", "master", "switch", "up")
        sh("ip", "addr", "add", f"{self.subnet}.1/24", "dev", self.uplink)
        sh("ip", "link", "set", self.uplink, "up")
        for node in range(NODES):
            name, port = self.namespace(node), f"port{node}"
            sh("ip", "netns", "add", name)
            sh("ip", "-n", self.switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            sh("ip", "-n", self.switch, "link", "set", port, "master", "switch", "up")
            sh("ip", "-n", name, "link", "set", "lo", "up")
            sh("ip", "-n", name, "addr", "add", f"{self.address(node)}/24", "dev", "eth0")
            sh("ip", "-n", name, "link", "set", "eth0", "up")
            self.nft(node, "add table inet faults")
            self.nft(node, "add set inet faults cut { type ipv4_addr; }")
            self.nft(node, "add set inet faults lossy { type ipv4_addr; }")
            self.nft(node, "add chain inet faults arriving { type filter hook input priority 0; }")
            self.nft(node, "add rule inet faults arriving ip saddr @cut drop")
            self.nft(node, "add rule inet faults arriving ip saddr @lossy numgen random mod 100 < 20 drop")

    def nft(self, node, command):
        sh(*self.inside(node), "nft", command)

    def drop(self, sender, receiver, kind="cut"):
        """What the sender sends does not arrive any more (`cut`), or a fifth of it does not (`lossy`)."""
        self.nft(receiver, f"add element inet faults {kind} {{ {self.address(sender)} }}")

    def pass_again(self, sender, receiver, kind="cut"):
        self.nft(receiver, f"delete element inet faults {kind} {{ {self.address(sender)} }}")

    def mounted(self, path):
        self.made["mounts"].append(str(path))
        self.save()

    def started(self, pid):
        self.made["processes"][str(pid)] = start_time(pid)
        self.save()

    def save(self):
        RUNS.mkdir(parents=True, exist_ok=True)
        self.record.write_text(json.dumps(self.made))

    def down(self):
        take_down(self.made)
        self.record.unlink(missing_ok=True)


def start_time(pid):
    """When a process was started, in ticks since boot: a pid is used again, a pid with its start is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return None


def free_subnet():
    taken = sh("ip", "-4", "route").stdout
    return next(third for third in range(os.getpid() % 200, 256) if f"10.213.{third}." not in taken)


def take_down(made):
    for pid, started in made["processes"].items():
        if started is not None and start_time(pid) == started:
            os.kill(int(pid), 9)
            try:
                os.waitpid(int(pid), 0)
            except ChildProcessError:
                pass  # of an earlier run, so not ours to wait for
    for name in made["namespaces"]:
        sh("ip", "netns", "del", name, check=False)
    for link in made["links"]:
        sh("ip", "link", "del", link, check=False)
    for path in made["mounts"]:
        sh("umount", "--lazy", path, check=False)


def sweep_leftovers(dir):
    """Takes down what runs left that were killed before they could do it themselves; no other run may use the directory."""
    for record in RUNS.glob("*.json") if RUNS.exists() else []:
        made = json.loads(record.read_text())
        if start_time(made["pid"]) == made["started"]:  # that run is alive
            if any(Path(mount).is_relative_to(dir) for mount in made["mounts"]):
                raise Impossible(f"run {made['pid']} is using {dir}")
            continue
        print(f"taking down what run {made['pid']} left", flush=True)
        take_down(made)
        record.unlink(missing_ok=True)
