"""Lookup by Chord, with a registry, finger tables and a key-value shell: what `holdfast shell` says at each verb, on five nodes, and
while one of them, or the gateway that a shell came by, is gone.
"""

import sys

sys.path.insert(0, __file__.rsplit("/", 2)[0] + "/clients")

import json  # noqa: E402
import os  # noqa: E402
import re  # noqa: E402
import subprocess  # noqa: E402
import time  # noqa: E402

import harness  # noqa: E402
import nodes  # noqa: E402
from gateway import Gateway  # noqa: E402
from harness import REST_ENDPOINTS, WORK, check  # noqa: E402
from rest import Rest  # noqa: E402

ENVIRONMENT = {**os.environ, "XDG_STATE_HOME": str(WORK / "state"), "COLUMNS": "160"}
api = [Rest(endpoint) for endpoint in REST_ENDPOINTS]


def shell(script, *words, ok=0):
    command = [nodes.BINARY, *words, "shell"]
    done = subprocess.run(
        command, input=script, capture_output=True, text=True, timeout=120, cwd=WORK, env=ENVIRONMENT
    )
    assert done.returncode == ok, f"{script!r}: {done.returncode}: {done.stdout[-800:]} {done.stderr[-800:]}"
    return done.stdout if ok == 0 else done.stderr


def named(text):
    return set(re.findall(r"node-\d+", text))


def at(node):
    return REST_ENDPOINTS[node].split("//")[1]


with check("the registry lists every node with its id and address"):
    told = [json.loads(line) for line in shell("get_info all\n", "--json").splitlines()][0]
    assert len(told["members"]) == len(REST_ENDPOINTS), told
    assert len({member["id"] for member in told["members"]}) == len(REST_ENDPOINTS), told

with check("each node tells its successors, its predecessor and its fingers, and together they make one ring"):
    tables = [api[node].json("GET", "/v1/chord") for node in range(len(api))]
    follows = {table["node"]["id"]: table["successors"][0]["node"]["id"] for table in tables}
    before = {table["node"]["id"]: table["predecessor"]["node"]["id"] for table in tables}
    node, seen = tables[0]["node"]["id"], []
    while node not in seen:
        assert before[follows[node]] == node, (before, follows)
        seen.append(node)
        node = follows[node]
    assert len(seen) == len(tables), "one ring of all"
    said = shell(f"connect {at(2)}\nget_info\n")
    assert "predecessor" in said and "successors" in said and "2^63" in said, said

with check("save says where, and refuses what exists; find and remove name nodes; what is absent is a clear answer"):
    said = shell(f"connect {at(0)}\nsave planet Kepler-22b\nfind planet\n")
    assert re.search(r"saved in node-\d", said) and re.search(r"planet is owned by node-\d", said), said
    refused = shell("save planet again\n", ok=1)
    assert "planet exists already, in node-" in refused, refused
    said = shell(f"connect {at(4)}\ncat planet\nremove planet\n")
    assert "Kepler-22b" in said and "removed from node-" in said, said
    assert "there is no planet" in shell("remove planet\n", ok=3)

with check("a lookup goes hop by hop, from whichever node it begins at, and always to the same one"):
    ends = set()
    for node in range(len(api)):
        way = api[node].json("GET", "/v1/chord/lookup?bucket=shell&key=planet")
        assert way["path"][0]["node"]["name"] == f"node-{node}", way
        assert way["timeouts"] == 0 and len(way["path"]) <= 4, way
        assert way["path"][-1] == way["found"], way
        ends.add(way["found"]["node"]["id"])
    assert len(ends) == 1, ends
    said = shell(f"connect {at(1)}\npath planet\n")
    assert "hop 0" in said and "found" in said and "homes" in said, said
    low, high = (int(tables[0]["position"], 16) + step & 2**64 - 1 for step in (0, 1))
    own = api[3].json("GET", f"/v1/chord/lookup?position={low:016x}")
    assert own["found"]["node"] == tables[0]["node"], "a node answers for its own place"
    after = api[3].json("GET", f"/v1/chord/lookup?position={high:016x}")
    assert after["found"]["node"]["id"] == follows[tables[0]["node"]["id"]], "and its successor for the next"

with check("a node stands still: a lookup goes around it, and says how many did not answer"):
    still = next(number for number in range(len(api)) if tables[number]["node"]["id"] in ends)
    with nodes.frozen(still):
        way = api[(still + 1) % len(api)].json("GET", "/v1/chord/lookup?bucket=shell&key=planet")
        assert way["timeouts"] >= 1 or way["found"]["node"]["id"] not in ends, way
        assert way["found"]["node"]["id"] != tables[still]["node"]["id"], way
        said = shell(f"connect {at((still + 1) % len(api))}\nsave comet Halley\ncat comet\nremove comet\n")
        assert "Halley" in said, said

with check("a node goes: the ring closes around it, and its successor answers in its place"):
    gone = next(number for number in range(len(api)) if tables[number]["node"]["id"] in ends)
    nodes.kill(gone)
    asked = (gone + 1) % len(api)
    began = time.monotonic()
    while True:
        way = api[asked].json("GET", "/v1/chord/lookup?bucket=shell&key=planet")
        found = way["found"] and way["found"]["node"]["id"]
        if found == follows[tables[gone]["node"]["id"]]:
            break
        assert time.monotonic() - began < 90, way
        time.sleep(1)
    said = shell(f"connect {at(asked)}\nsave star Vega\ncat star\n")
    assert "Vega" in said, said

with check("it comes back, and answers again"):
    nodes.start(gone)
    began = time.monotonic()
    while True:
        way = api[asked].json("GET", "/v1/chord/lookup?bucket=shell&key=planet")
        if way["found"] and way["found"]["node"]["id"] in ends:
            break
        assert time.monotonic() - began < 120, way
        time.sleep(1)

STARS = {f"star-{number:03}": f"the star number {number}" for number in range(400)}
saves = [f"save {key} {text}\n" for key, text in STARS.items()]

with check("a gateway is killed in the middle of a script of saves: the shell says at which line, and that nobody could be reached"):
    gateway = Gateway(0)
    script = subprocess.Popen(
        [nodes.BINARY, "shell"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=WORK, env=ENVIRONMENT
    )
    script.stdin.write("".join([f"connect {gateway.address}\n", *saves]))
    script.stdin.close()
    saved = 0
    for line in script.stdout:
        saved += line.startswith("saved in ")
        if saved == 50:
            gateway.kill()
    assert script.wait(timeout=60) == 4 and 50 <= saved < len(saves), saved
    complaint = script.stderr.read()
    # The first line was spent on connecting.
    assert f"line {saved + 2}:" in complaint and "no node could be reached" in complaint, complaint

with check("whoever goes on from that line through a node has them all; what was on its way may be there already, and is named"):
    rest_of_it = f"connect {at(asked)}\n" + "".join(saves[saved:])
    done = subprocess.run(
        [nodes.BINARY, "shell", "--continue"], input=rest_of_it, capture_output=True, text=True, timeout=120, cwd=WORK, env=ENVIRONMENT
    )
    refused = re.findall(r"(star-\d+) exists already, in node-", done.stderr)
    assert refused in ([], [list(STARS)[saved]]) and done.returncode == len(refused), done.stderr[-800:]
    for number, (key, text) in enumerate(STARS.items()):
        assert api[number % len(api)].bytes("GET", f"/v1/buckets/shell/objects/{key}") == text.encode(), key
    assert "the star number 49" in shell(f"connect {at(2)}\ncat star-049\n")

with check("quit ends it, and every error is told"):
    assert shell("quit\nfrobnicate\n").strip() == ""
    assert "no verb `frobnicate`" in shell("frobnicate\n", ok=2)
    assert "no node could be reached" in shell("connect 127.0.0.1:1\n", ok=4)

harness.finish()
