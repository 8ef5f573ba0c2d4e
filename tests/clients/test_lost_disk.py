"""A node that lost its disk, or has an old copy of it, says so, serves what the others have, and is whole again before long (S1, S2).

The cluster runs with a short message life (`SETTINGS` in xtask/src/clients.rs): filling a disk takes three of them at least.
"""

import glob
import os
import shutil
import time

import harness
from harness import S3_ENDPOINTS, check, random_bytes, s3_client
from nodes import DATA, kill, member, start, status, stop

BUCKET = "disks"
KEYS = 300
LARGE = 9 * harness.MIB
WHOLE_S_MAX = 90
VICTIM = 1


def store(node):
    found = [path for path in glob.glob(f"{DATA}/node-{node}/**/store", recursive=True) if os.path.isdir(path)]
    assert len(found) == 1, found
    return found[0]


def wait_until_sound(node):
    began = time.monotonic()
    while (member(node).get("facts") or {}).get("soundness") != "sound":
        assert time.monotonic() - began < WHOLE_S_MAX, f"still {member(node)}"
        time.sleep(0.3)
    return time.monotonic() - began


def body(key, version):
    return random_bytes(2_000, seed=1_000 * version + key)


def check_all(s3, versions):
    for key in range(KEYS):
        got = s3.get_object(Bucket=BUCKET, Key=f"k{key:03}")["Body"].read()
        assert got == body(key, versions[key]), f"k{key:03}"
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix="k")
    assert listed["KeyCount"] == KEYS, listed["KeyCount"]
    assert s3.get_object(Bucket=BUCKET, Key="large")["Body"].read() == large


clients = [s3_client(endpoint) for endpoint in S3_ENDPOINTS]
victim, others = clients[VICTIM], [clients[0], clients[2]]
clients[0].create_bucket(Bucket=BUCKET)
large = random_bytes(LARGE, seed=7)
versions = [0] * KEYS
for key in range(KEYS):
    clients[key % 3].put_object(Bucket=BUCKET, Key=f"k{key:03}", Body=body(key, 0))
clients[0].put_object(Bucket=BUCKET, Key="large", Body=large)
clients[0].put_object(Bucket=BUCKET, Key="deleted", Body=b"x")

with check("a node whose store is not there does not start unless it is told that the disk is lost: it may not be mounted"):
    kill(VICTIM)
    where = store(VICTIM)
    elsewhere = str(harness.WORK / "not-mounted")
    os.rename(where, elsewhere)
    said = start(VICTIM, check=False)
    assert "--disk-lost" in said, said
    os.rename(elsewhere, where)
    start(VICTIM)
    wait_until_sound(VICTIM)
    check_all(victim, versions)

with check("a node killed and started on an empty disk serves everything at once, from the others, and says what it does"):
    kill(VICTIM)
    shutil.rmtree(store(VICTIM))
    start(VICTIM, disk_lost="fill")
    check_all(victim, versions)
    assert "lost its disk" in status(0), status(0)

with check("it takes writes meanwhile, and they take effect"):
    for key in range(0, KEYS, 10):
        versions[key] = 1
        victim.put_object(Bucket=BUCKET, Key=f"k{key:03}", Body=body(key, 1))
    check_all(victim, versions)
    check_all(others[0], versions)

with check("before long its disk is whole, and stands in for either of the others"):
    took_s = wait_until_sound(VICTIM)
    print(f"              whole after {took_s:.1f} s")
    assert "lost its disk" not in status(0)
    kill(0)
    check_all(victim, versions)
    start(0)
    wait_until_sound(0)

with check("a disk that is put back from an old copy is put aside, and nothing of it comes back"):
    stop(VICTIM)
    copy = str(harness.WORK / "old-copy")
    shutil.copytree(store(VICTIM), copy)
    start(VICTIM)
    wait_until_sound(VICTIM)
    for key in range(1, KEYS, 10):
        versions[key] = 2
        victim.put_object(Bucket=BUCKET, Key=f"k{key:03}", Body=body(key, 2))
    victim.delete_object(Bucket=BUCKET, Key="deleted")
    # The deletion is forgotten before the copy comes back: only its own age keeps that from bringing the object back.
    time.sleep(20)
    kill(VICTIM)
    where = store(VICTIM)
    shutil.rmtree(where)
    shutil.copytree(copy, where)
    start(VICTIM, check=False)
    began = time.monotonic()
    while not glob.glob(f"{where}.old-copy-*"):
        assert time.monotonic() - began < 60, "the old copy is served"
        time.sleep(0.2)
    wait_until_sound(VICTIM)
    for client in clients:
        check_all(client, versions)
        listed = client.list_objects_v2(Bucket=BUCKET, Prefix="deleted")
        assert listed["KeyCount"] == 0, "a deleted object is back"

harness.finish()
