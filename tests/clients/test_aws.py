"""The aws command line: buckets, copies, syncs, presigned links, and bodies large enough to be sent in parts."""

import os
import re
import sys
from pathlib import Path

import harness
from harness import MIB, S3_ENDPOINTS, WORK, assert_same_tree, check, file_digest, make_tree, random_bytes, run, write_file

AWS = Path(sys.executable).parent / "aws"


def aws(*words, endpoint=S3_ENDPOINTS[0], **options):
    trust = {"AWS_CA_BUNDLE": harness.CA_FILE} if harness.CA_FILE else {}
    return run(
        AWS,
        "--endpoint-url",
        endpoint,
        *words,
        AWS_MAX_ATTEMPTS="1",
        **trust,
        **options,
    )


last = S3_ENDPOINTS[-1]

with check("mb makes a bucket that ls shows through another node"):
    aws("s3", "mb", "s3://aws-cli")
    assert "aws-cli" in aws("s3", "ls", endpoint=last)

with check("cp stores a small file and gives it back through another node"):
    small = write_file(WORK / "small.txt", b"Hold fast.\n")
    aws("s3", "cp", small, "s3://aws-cli/small.txt")
    aws("s3", "cp", "s3://aws-cli/small.txt", WORK / "small.back", endpoint=last)
    assert (WORK / "small.back").read_bytes() == b"Hold fast.\n"
    assert aws("s3", "cp", "s3://aws-cli/small.txt", "-", endpoint=last) == "Hold fast.\n"

with check("cp takes a stream of unknown length"):
    aws("s3", "cp", "-", "s3://aws-cli/streamed", stdin=random_bytes(3 * MIB, "stream"))
    aws("s3", "cp", "s3://aws-cli/streamed", WORK / "streamed", endpoint=last)
    assert (WORK / "streamed").read_bytes() == random_bytes(3 * MIB, "stream")

with check("an empty file is a file"):
    aws("s3", "cp", write_file(WORK / "empty", b""), "s3://aws-cli/empty")
    aws("s3", "cp", "s3://aws-cli/empty", WORK / "empty.back", endpoint=last)
    assert (WORK / "empty.back").read_bytes() == b""

with check("sync up, sync down, and a second sync that has nothing to do"):
    make_tree(WORK / "tree", files=120, bytes_max=100_000, seed="aws")
    aws("s3", "sync", WORK / "tree", "s3://aws-cli/tree")
    aws("s3", "sync", "s3://aws-cli/tree", WORK / "tree.back", endpoint=last)
    assert_same_tree(WORK / "tree", WORK / "tree.back")
    assert aws("s3", "sync", WORK / "tree", "s3://aws-cli/tree").strip() == ""

with check("sync --delete follows what was changed and removed"):
    changed = sorted(path for path in (WORK / "tree").rglob("*") if path.is_file())
    changed[0].write_bytes(b"changed, and of another length")
    changed[1].unlink()
    said = aws("s3", "sync", "--delete", WORK / "tree", "s3://aws-cli/tree")
    assert "upload:" in said and "delete:" in said, said
    aws("s3", "sync", "--delete", "s3://aws-cli/tree", WORK / "tree.back", endpoint=last)
    assert_same_tree(WORK / "tree", WORK / "tree.back")

with check("ls shows folders and sizes, and --recursive --summarize counts"):
    assert "PRE tree/" in aws("s3", "ls", "s3://aws-cli/")
    assert "Total Objects: 119" in aws("s3", "ls", "--recursive", "--summarize", "s3://aws-cli/tree/", endpoint=last)

with check("100 MiB go up in parts and come back the same"):
    big = write_file(WORK / "big", random_bytes(100 * MIB, "big"))
    aws("s3", "cp", big, "s3://aws-cli/big")
    aws("s3", "cp", "s3://aws-cli/big", WORK / "big.back", endpoint=last)
    assert file_digest(big) == file_digest(WORK / "big.back")
    etag = aws("s3api", "head-object", "--bucket", "aws-cli", "--key", "big", "--query", "ETag", "--output", "text")
    assert etag.strip().strip('"').endswith("-13"), f"100 MiB in parts of 8 MiB are 13 parts, not {etag}"

with check("cp between two keys, mv, and a copy in parts"):
    aws("s3", "cp", "s3://aws-cli/small.txt", "s3://aws-cli/copied.txt")
    aws("s3", "mv", "s3://aws-cli/copied.txt", "s3://aws-cli/moved.txt", endpoint=last)
    assert aws("s3", "cp", "s3://aws-cli/moved.txt", "-") == "Hold fast.\n"
    aws("s3", "cp", "s3://aws-cli/big", "s3://aws-cli/big.copy")
    aws("s3", "cp", "s3://aws-cli/big.copy", WORK / "big.copy", endpoint=last)
    assert file_digest(big) == file_digest(WORK / "big.copy")
    os.remove(WORK / "big.copy")

with check("a presigned link works with curl, and a forged one does not"):
    link = aws("s3", "presign", "s3://aws-cli/small.txt", "--expires-in", "300").strip()
    trust = ["--cacert", harness.CA_FILE] if harness.CA_FILE else []
    assert run("curl", "-fsS", *trust, link) == "Hold fast.\n"
    status = run("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *trust, link[:-4] + "0000")
    assert status == "403", status

with check("a link signed with version 2, which this client makes unasked in us-east-1, is verified like any other"):
    unasked = {"AWS_CONFIG_FILE": WORK / "no-config", "AWS_DEFAULT_REGION": "us-east-1"}
    link = aws("s3", "presign", "s3://aws-cli/small.txt", **unasked).strip()
    assert "AWSAccessKeyId=" in link, link
    assert run("curl", "-fsS", *trust, link) == "Hold fast.\n"
    for forged in (link.replace("small.txt", "empty"), re.sub("Expires=[0-9]+", "Expires=4102444800", link)):
        status = run("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *trust, forged)
        assert status == "403", status

with check("s3api list-objects-v2 pages by itself"):
    keys = aws("s3api", "list-objects-v2", "--bucket", "aws-cli", "--prefix", "tree/", "--page-size", "10",
               "--query", "Contents[].Key", "--output", "text", endpoint=last)
    assert len(keys.replace("\n", "\t").strip().split("\t")) == 119, keys

with check("rb refuses a bucket that is not empty"):
    aws("s3", "rb", "s3://aws-cli", ok=(1,))

with check("rm --recursive empties the bucket, for every node, and rb removes it"):
    aws("s3", "rm", "--recursive", "s3://aws-cli")
    for endpoint in S3_ENDPOINTS:
        assert aws("s3", "ls", "--recursive", "s3://aws-cli", endpoint=endpoint, ok=(0, 1)).strip() == ""
    aws("s3", "rb", "s3://aws-cli", endpoint=last)
    assert "aws-cli" not in aws("s3", "ls")

harness.finish()
