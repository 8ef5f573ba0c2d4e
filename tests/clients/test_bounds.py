"""What must stay bounded: memory while large bodies pass, and the cost of a page wherever it lies."""

import os
import time

import harness
from harness import MIB, S3_ENDPOINTS, WORK, check, file_digest, run, s3_client

PIDS = [int(pid) for pid in os.environ["HOLDFAST_PIDS"].split(",")]
RESIDENT_MIB_MAX = 200
KEYS = 100_000
FOLDERS = 16
# User and system time come in hundredths of a second, so each cost is taken over many pages.
PAGES = 40


def peak_mib(pid):
    status = open(f"/proc/{pid}/status").read()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def cpu_s():
    total = 0
    for pid in PIDS:
        fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / 100


def cost_of(pages, **arguments):
    """Server CPU in milliseconds for one listing, taken over many alike."""
    before = cpu_s()
    for number in range(pages):
        nodes[number % len(nodes)].list_objects_v2(Bucket=BUCKET, **arguments)
    return (cpu_s() - before) * 1000 / pages


# Loading and deleting so much on a busy machine may meet a deadline: that is what retries are for.
nodes = [s3_client(endpoint, retries={"total_max_attempts": 5}) for endpoint in S3_ENDPOINTS]
s3 = nodes[0]
BUCKET = "bounds"
s3.create_bucket(Bucket=BUCKET)

with check(f"1 GiB in one body through one node, every node below {RESIDENT_MIB_MAX} MiB"):
    big = WORK / "big"
    with open(big, "wb") as file:
        for _ in range(64):
            file.write(os.urandom(16 * MIB))
    trust = ["--cacert", harness.CA_FILE] if harness.CA_FILE else []
    link = s3.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "big"}, ExpiresIn=900)
    run("curl", "-fsS", *trust, "-T", big, link, timeout=600)
    link = nodes[-1].generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "big"}, ExpiresIn=900)
    run("curl", "-fsS", *trust, "-o", WORK / "big.back", link, timeout=600)
    assert file_digest(big) == file_digest(WORK / "big.back")
    os.remove(WORK / "big.back")
    peaks = [peak_mib(pid) for pid in PIDS]
    print(f"             peaks: {', '.join(f'{peak:.0f} MiB' for peak in peaks)}")
    assert max(peaks) < RESIDENT_MIB_MAX, peaks

with check("a client that reads slowly does not fill a node's memory, and is not cut off"):
    link = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "big"}, ExpiresIn=900)
    run("curl", "-fsS", *trust, "--limit-rate", "4M", "-r", "0-40000000", "-o", WORK / "slow", link, timeout=600)
    assert (WORK / "slow").stat().st_size == 40_000_001
    assert max(peak_mib(pid) for pid in PIDS) < RESIDENT_MIB_MAX, [peak_mib(pid) for pid in PIDS]
    os.remove(big)

with check(f"{KEYS:,} keys are loaded"):
    endpoints = [word for endpoint in S3_ENDPOINTS for word in ("--endpoint", endpoint)]
    load = ["--bucket", BUCKET, "--keys", KEYS, "--step", "load", "--idle-after", "0", "--region", harness.REGION]
    print("            ", run(os.environ["HOLDFAST_BENCH_BIN"], *endpoints, *load, timeout=900).strip())

with check("all of them are listed, page by page"):
    keys = [row["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="small/") for row in page["Contents"]]
    assert len(keys) == KEYS and keys == sorted(keys), len(keys)

with check("a page costs the same wherever it lies"):
    first = cost_of(PAGES, Prefix="small/")
    deep = cost_of(PAGES, Prefix="small/", StartAfter=keys[-2_000])
    print(f"             a page of 1,000 keys: {first:.1f} ms of server CPU at the start, {deep:.1f} ms at the end")
    assert deep < 2 * first + 2, (first, deep)

with check("a listing with a delimiter reads folders, not keys"):
    page = nodes[-1].list_objects_v2(Bucket=BUCKET, Prefix="small/", Delimiter="/")
    assert [row["Prefix"] for row in page["CommonPrefixes"]] == [f"small/{digit:x}/" for digit in range(FOLDERS)]
    folders = cost_of(PAGES, Prefix="small/", Delimiter="/")
    print(f"             {FOLDERS} folders over {KEYS:,} keys: {folders:.1f} ms of server CPU")
    assert folders < 5 * first + 2, (first, folders)

with check("pages stay cheap after 99 % of the keys were deleted"):
    began = time.monotonic()
    gone = [key for number, key in enumerate(keys) if number % 100]
    for start in range(0, len(gone), 1_000):
        batch = [{"Key": key} for key in gone[start : start + 1_000]]
        assert "Errors" not in nodes[start // 1_000 % len(nodes)].delete_objects(Bucket=BUCKET, Delete={"Objects": batch, "Quiet": True})
    print(f"             {len(gone):,} deletes took {time.monotonic() - began:.1f} s")
    page = s3.list_objects_v2(Bucket=BUCKET, Prefix="small/")
    assert [row["Key"] for row in page["Contents"]] == [key for number, key in enumerate(keys) if number % 100 == 0]
    sparse = cost_of(5, Prefix="small/")
    print(f"             a page of 1,000 keys among {len(gone):,} tombstones: {sparse:.1f} ms of server CPU")
    # It must step over the tombstones until they are collected; a hundred times the rows, so at most that much.
    assert sparse < 110 * first, (first, sparse)

harness.finish()
