"""`holdfast shell`: scripts against three real nodes, and a session at a terminal with history and completion."""

import json
import os
import re
import subprocess
import time

import harness
import nodes
from harness import REST_ENDPOINTS, WORK, check, file_digest, random_bytes, write_file

NAMES = {f"node-{number}" for number in range(len(REST_ENDPOINTS))}
OTHER = REST_ENDPOINTS[1]
# A terminal's history goes here, and colours and widths do not depend on who runs this.
ENVIRONMENT = {**os.environ, "XDG_STATE_HOME": str(WORK / "state"), "TERM": "xterm", "COLUMNS": "160", "LINES": "50"}


def shell(script, *words, ok=0, **environment):
    """Runs a script; its output and complaints."""
    done = subprocess.run(
        [nodes.BINARY, "shell", *words], input=script, capture_output=True, text=True, timeout=120, cwd=WORK,
        env={**ENVIRONMENT, **environment},
    )
    assert done.returncode == ok, f"{script!r} ended with {done.returncode}: {done.stdout[-800:]} {done.stderr[-800:]}"
    return done.stdout, done.stderr


def named(text):
    return set(re.findall(r"node-\d+", text))


with check("connect says what it reached, and get_info lists all members"):
    said, _ = shell(f"connect {OTHER.split('//')[1]}\nget_info all\n")
    assert re.match(r"connected to node-\d+ \(id [0-9a-f]+\), a node of a cluster of 3: ", said), said
    assert named(said) == NAMES, said
    listed, _ = shell("get_info\n")
    assert named(listed) == NAMES and len(listed.splitlines()) == 1 + len(NAMES), listed

with check("save, find and remove name the nodes; save refuses what exists, remove what does not"):
    said, _ = shell("save greeting Hold fast,   'my dear'\ncat greeting\n")
    assert said.startswith("made bucket shell\nsaved in node-"), said
    assert said.endswith("Hold fast,   'my dear'"), said
    held = named(said)
    assert len(held) >= 2, said
    _, complaint = shell("save greeting again\n", ok=1)
    assert "greeting exists already, in node-" in complaint and "line 1:" in complaint, complaint
    said, _ = shell("find greeting\nfind nothing/there\n")
    assert re.search(r"greeting is owned by node-\d+\nhomes     node-\d+, node-\d+, node-\d+\n", said), said
    assert "nothing/there is owned by node-" in said and "nothing is kept under this key" in said, said
    said, _ = shell("remove greeting\n")
    assert said.startswith("removed from node-"), said
    _, complaint = shell("remove greeting\n", ok=3)
    assert "there is no greeting in bucket shell" in complaint, complaint

with check("a portal to buckets and files: everything that the command line does"):
    photo = write_file(WORK / "kelp.jpg", random_bytes(300_000, "kelp"))
    newer = write_file(WORK / "newer.jpg", random_bytes(200_000, "newer"))
    said, _ = shell(
        "mb portal\nuse portal\nbuckets\nput kelp.jpg\nput kelp.jpg 'deep/a key'\nls\nls deep/\nstat kelp.jpg\n"
        "get kelp.jpg back.jpg\nupdate newer.jpg kelp.jpg\nget kelp.jpg newer-back.jpg\nmembers\n"
    )
    assert "portal" in said and "deep/a key" in said and "content-length" in said, said
    assert re.search(r"held by      node-\d+, node-\d+", said) and "clock        node-" in said, said
    assert file_digest(WORK / "back.jpg") == file_digest(photo)
    assert file_digest(WORK / "newer-back.jpg") == file_digest(newer)
    _, complaint = shell("use portal\nupdate newer.jpg missing\n", ok=3)
    assert "line 2: hf://portal/missing does not exist" in complaint, complaint
    shell("use portal\nrm kelp.jpg 'deep/a key'\nrb portal\n")
    _, complaint = shell("use portal\n", ok=3)
    assert "there is no bucket portal" in complaint, complaint

with check("events are told as they happen"):
    said, _ = shell("events 1\n")
    member = sorted(NAMES)[-1]
    listener = subprocess.Popen(
        [nodes.BINARY, "--json", "shell"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    listener.stdin.write("events 8\n")
    listener.stdin.close()
    for _ in range(12):
        harness.run(nodes.BINARY, "cluster", "maintenance", member)
        harness.run(nodes.BINARY, "cluster", "maintenance", member, "--off")
    events = [json.loads(line) for line in listener.stdout]
    assert listener.wait(timeout=30) == 0 and "maintenance" in [event["event"] for event in events], events

with check("the first failure ends a script with its exit code; --continue goes on and tells all the same"):
    said, complaint = shell("# a comment\n\nfrobnicate\nsave never text\n", ok=2)
    assert "no verb `frobnicate`" in complaint and "line 3:" in complaint and said == "", (said, complaint)
    _, complaint = shell("conect x\n", ok=2)
    assert "did you mean `connect`" in complaint, complaint
    said, complaint = shell("remove absent\nsave onlykey\nsave kept text\nquit\nfrobnicate\n", "--continue", ok=3)
    assert "saved in node-" in said and "line 1:" in complaint and "line 2:" in complaint, (said, complaint)
    assert "2 of 3 commands failed" in complaint and "frobnicate" not in complaint, complaint
    shell("remove kept\n")

with check("no node, no endpoint and a wrong token are told, each in its own words"):
    _, complaint = shell("connect 127.0.0.1:1\n", ok=4)
    assert "no node could be reached" in complaint, complaint
    _, complaint = shell("find k\n", ok=2, HOLDFAST_REST_ENDPOINTS="", HOLDFAST_REST_ENDPOINT="")
    assert "connected to no node" in complaint and "connect HOST:PORT" in complaint, complaint
    _, complaint = shell("find k\n", ok=5, HOLDFAST_ADMIN_TOKEN="wrong")
    assert "not the admin token" in complaint, complaint
    _, complaint = shell(f"connect {harness.S3_ENDPOINTS[0]}\n", ok=1)
    assert "not the S3 port" in complaint, complaint

with check("answers are JSON when asked for"):
    said, _ = shell("save machine readable\nfind machine\nremove machine\n", "--json")
    saved, found, removed = [json.loads(line) for line in said.splitlines()]
    assert saved["saved"] == "machine" and {node["name"] for node in saved["in"]} <= NAMES, saved
    assert found["exists"] and found["located"]["preference_list"], found
    assert removed["removed"] == "machine", removed

with check("at a terminal: completion, history over sessions, Ctrl-C and Ctrl-D"):
    import pexpect

    def session():
        child = pexpect.spawn(nodes.BINARY, ["shell"], env=ENVIRONMENT, cwd=WORK, encoding="utf-8", timeout=30, dimensions=(50, 160))
        child.expect("`help` lists the verbs")
        child.expect("shell> ")
        return child

    shell("save interactive/one first\nsave interactive/two second\n")
    child = session()
    child.send("mem\t\r")
    child.expect("ADDRESS")
    child.expect("shell> ")
    child.send("find interactive/o\t")
    child.expect("interactive/one")
    child.send("\r")
    child.expect(r"interactive/one is owned by node-\d")
    child.expect("shell> ")
    child.send("half a line")
    child.sendintr()
    child.expect("shell> ")
    child.send("events 600\r")
    child.expect("events 600")
    child.expect(r"\n")
    time.sleep(1)
    child.sendintr()
    child.expect("interrupted")
    child.expect("shell> ")
    child.send("nonsense\r")
    child.expect("there is no verb")
    child.expect("shell> ")
    child.send("cat interactive/two\r")
    child.expect("second")
    child.expect("shell> ")
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, (child.exitstatus, child.signalstatus)
    child = session()
    child.send("\x1b[A")  # the line before, of the session before
    child.expect("cat interactive/two")
    child.send("\r")
    child.expect("second")
    child.expect("shell> ")
    child.send("quit\r")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, (child.exitstatus, child.signalstatus)

with check("with a node killed the shell goes on, and names those that have a key"):
    gone = len(REST_ENDPOINTS) - 1
    nodes.kill(gone)
    said, _ = shell("save meanwhile text\nfind meanwhile\nstat meanwhile\nremove meanwhile\n")
    saved = said.splitlines()[0].split(";")[0]
    assert saved.startswith("saved in ") and named(saved) == NAMES - {f"node-{gone}"}, said
    assert re.search(r"meanwhile is owned by node-\d+", said) and "\nremoved from node-" in said, said
    nodes.start(gone)

harness.finish()
