"""What the client scripts share: the cluster they talk to, the data they move, and how they say what they prove.

`cargo xtask clients` starts a fresh cluster for each script and passes it through environment variables: those of
the cluster's own environment file, and HOLDFAST_BIN, HOLDFAST_DATA (the cluster's data) and HOLDFAST_TEST_DIR (an
empty directory to work in). Against a cluster started by hand, source its environment file and set the last one.
"""

import hashlib
import os
import random
import subprocess
import sys
import time
import traceback
from contextlib import contextmanager
from pathlib import Path

KIB = 1024
MIB = 1024 * KIB

S3_ENDPOINTS = [url for url in os.environ["HOLDFAST_S3_ENDPOINTS"].split(",") if url]
REST_ENDPOINTS = [url for url in os.environ.get("HOLDFAST_REST_ENDPOINTS", "").split(",") if url]
ACCESS_KEY = os.environ["AWS_ACCESS_KEY_ID"]
SECRET_KEY = os.environ["AWS_SECRET_ACCESS_KEY"]
REGION = os.environ.get("AWS_REGION", "us-east-1")
ADMIN_TOKEN = os.environ.get("HOLDFAST_ADMIN_TOKEN", "")
# Set when the cluster serves HTTPS: the file that holds the authority which signed its certificate.
CA_FILE = os.environ.get("AWS_CA_BUNDLE", "") if S3_ENDPOINTS[0].startswith("https:") else ""
WORK = Path(os.environ["HOLDFAST_TEST_DIR"])

# Clients read dozens of variables and files of whoever runs this; only what is set here may reach them.
for _name in [name for name in os.environ if name.startswith(("AWS_", "RCLONE_", "RESTIC_")) or "proxy" in name.lower()]:
    del os.environ[_name]
os.environ.update(
    AWS_ACCESS_KEY_ID=ACCESS_KEY,
    AWS_SECRET_ACCESS_KEY=SECRET_KEY,
    AWS_DEFAULT_REGION=REGION,
    AWS_EC2_METADATA_DISABLED="true",
    AWS_CONFIG_FILE=str(WORK / "aws-config"),
    AWS_SHARED_CREDENTIALS_FILE=str(WORK / "no-credentials"),
    HOME=str(WORK),
)
# In us-east-1 these clients still presign with signature version 2 unless told otherwise.
(WORK / "aws-config").write_text("[default]\ns3 =\n    signature_version = s3v4\n    addressing_style = path\n")

_failures = []
_checks = 0


@contextmanager
def check(what, told=True):
    """One thing that is proved. The script goes on after a failure, so that one run tells of all of them."""
    global _checks
    _checks += told
    began = time.monotonic()
    try:
        yield
    except Exception as error:  # an assertion, or whatever a client threw
        _failures.append(what)
        print(f"     FAILED  {what}: {type(error).__name__}: {error}", flush=True)
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "/tests/" in f.filename]
        for frame in frames[-3:]:
            print(f"             {Path(frame.filename).name}:{frame.lineno}: {frame.line}", flush=True)
    else:
        if not told:
            return
        print(f"     ok      {what} ({time.monotonic() - began:.1f} s)", flush=True)


def finish():
    """Ends the script with the verdict over its checks."""
    if _failures:
        print(f"     {len(_failures)} of {_checks} checks failed")
        sys.exit(1)
    sys.exit(0)


def run(*command, stdin=None, ok=(0,), timeout=300, **environment):
    """Runs a client and returns what it printed; anything but success is an error that shows its complaints."""
    done = subprocess.run(
        [str(word) for word in command],
        input=stdin,
        capture_output=True,
        timeout=timeout,
        cwd=WORK,
        env={**os.environ, **{name: str(value) for name, value in environment.items()}},
    )
    said = done.stdout.decode(errors="replace")
    complained = done.stderr.decode(errors="replace")
    words = " ".join(str(word) for word in command)
    assert done.returncode in ok, f"`{words}` ended with {done.returncode}: {said[-800:]} {complained[-1500:]}"
    return said


def random_bytes(count, seed=0):
    """Bytes that no layer can compress or guess, the same for the same seed."""
    return random.Random(f"{seed}/{count}").randbytes(count)


def write_file(path, data):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def md5(data):
    return hashlib.md5(data).hexdigest()


def file_digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_tree(root, files, bytes_max, seed):
    """A directory of files of mixed sizes, some empty, some deep, some with awkward names."""
    chooser = random.Random(seed)
    awkward = ["with space", "plus+sign", "ümlaut", "percent%20", "amper&sand", "(brackets)", "hash#sign", "quote'd"]
    for index in range(files):
        name = f"file-{index:04}"
        if index % 25 == 0:
            name += " " + awkward[index // 25 % len(awkward)]
        count = 0 if index % 50 == 3 else chooser.randint(1, bytes_max)
        write_file(Path(root) / f"dir-{index % 7}" / ("deeper/" * (index % 3)) / name, chooser.randbytes(count))


def tree_digests(root):
    """Relative path to digest, for every file below a directory."""
    root = Path(root)
    return {str(path.relative_to(root)): file_digest(path) for path in sorted(root.rglob("*")) if path.is_file()}


def assert_same_tree(left, right):
    one, other = tree_digests(left), tree_digests(right)
    assert one.keys() == other.keys(), f"only on one side: {sorted(one.keys() ^ other.keys())[:5]}"
    differing = [path for path in one if one[path] != other[path]]
    assert not differing, f"contents differ: {differing[:5]}"


def s3_client(endpoint=None, **config):
    """A boto3 client for one node. Failures show at once: no retries unless a test asks for them."""
    import boto3
    from botocore.config import Config

    settings = {
        "retries": {"total_max_attempts": 1},
        "s3": {"addressing_style": "path"},
        "signature_version": "s3v4",
        "connect_timeout": 10,
        "read_timeout": 60,
        "max_pool_connections": 40,
        **config,
    }
    return boto3.client(
        "s3",
        endpoint_url=endpoint or S3_ENDPOINTS[0],
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name=REGION,
        verify=CA_FILE or None,
        config=Config(**settings),
    )


def error_of(call, **arguments):
    """Calls boto3, expects it to be refused, and returns (code, HTTP status)."""
    from botocore.exceptions import ClientError

    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    raise AssertionError("the request was taken although it should have been refused")
