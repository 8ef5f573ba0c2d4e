"""Input that no client should send: each gets the proper error, nothing is stored half, and the nodes go on.

Requests are made by hand on raw sockets, signed with botocore, so that lengths, hashes and dates can be wrong on purpose.
"""

import base64
import hashlib
import os
import re
import socket
import ssl
import time
import urllib.parse
from datetime import datetime, timedelta, timezone
from unittest import mock

import harness
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from harness import MIB, S3_ENDPOINTS, check, error_of, s3_client

BUCKET = "bad-input"
NODE = urllib.parse.urlsplit(S3_ENDPOINTS[0])
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


def connect(port=None):
    plain = socket.create_connection((NODE.hostname, port or NODE.port), timeout=30)
    if NODE.scheme == "https" and port is None:
        return ssl.create_default_context(cafile=harness.CA_FILE).wrap_socket(plain, server_hostname=NODE.hostname)
    return plain


def signed_head(method, path, *, sha256=EMPTY_SHA256, length=0, at=None, more=None, key=None, secret=None, unsigned=()):
    """The head of a request, signed over exactly what it says, true or not."""
    headers = {"Host": NODE.netloc, "x-amz-content-sha256": sha256, **(more or {})}
    request = AWSRequest(method=method, url=f"{S3_ENDPOINTS[0]}{path}", headers=headers)
    auth = Sign(Credentials(key or harness.ACCESS_KEY, secret or harness.SECRET_KEY), "s3", harness.REGION)
    with mock.patch("botocore.auth.get_current_datetime", return_value=at or datetime.now(timezone.utc)):
        auth.add_auth(request)
    lines = [f"{method} {path} HTTP/1.1"] + [f"{name}: {value}" for name, value in request.headers.items()]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join([*lines, *unsigned, "", ""])).encode()


class Sign(SigV4Auth):
    """As for S3: the path is not normalised, and the payload's hash is what the header says, true or not."""

    def payload(self, request):
        return request.headers["x-amz-content-sha256"]

    def _normalize_url_path(self, path):
        return path


def exchange(*pieces, port=None, close_after=False):
    """Sends bytes, returns (status, S3 error code, whole answer). Status 0: closed without an answer."""
    with connect(port) as stream:
        try:
            for piece in pieces:
                stream.sendall(piece)
            if close_after:
                stream.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before all was sent; the answer may still be there
        answer = b""
        try:
            while True:
                read = stream.recv(65536)
                answer += read
                head, _, body = answer.partition(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: *(\d+)", head)
                if not read or (length and len(body) >= int(length[1])):
                    break
        except (TimeoutError, ConnectionResetError):
            pass
    status = re.match(rb"HTTP/1.1 (\d+)", answer)
    code = re.search(rb"<Code>(\w+)</Code>", answer)
    return int(status[1]) if status else 0, code[1].decode() if code else None, answer


def absent(key):
    assert error_of(s3.head_object, Bucket=BUCKET, Key=key)[1] == 404, f"{key} was stored although it was refused"


s3 = s3_client()
s3.create_bucket(Bucket=BUCKET)

with check("this script's own signatures are right when nothing is wrong"):
    data = b"good"
    status, code, answer = exchange(signed_head("PUT", f"/{BUCKET}/good", sha256=hashlib.sha256(data).hexdigest(), length=4), data)
    assert status == 200, answer
    status, code, answer = exchange(signed_head("GET", f"/{BUCKET}/good", length=None))
    assert status == 200 and answer.endswith(b"good"), answer

with check("a wrong secret, an unknown key, and a clock far off"):
    assert exchange(signed_head("GET", f"/{BUCKET}/good", secret="wrong"))[:2] == (403, "SignatureDoesNotMatch")
    assert exchange(signed_head("GET", f"/{BUCKET}/good", key="NOBODY"))[:2] == (403, "InvalidAccessKeyId")
    for off in (timedelta(minutes=-20), timedelta(minutes=20), timedelta(days=-400)):
        answered = exchange(signed_head("GET", f"/{BUCKET}/good", at=datetime.now(timezone.utc) + off))
        assert answered[:2] == (403, "RequestTimeTooSkewed"), answered
    assert exchange(f"GET /{BUCKET}/good HTTP/1.1\r\nHost: {NODE.netloc}\r\nAuthorization: AWS4-HMAC-SHA256 nonsense\r\n\r\n".encode())[0] in (400, 403)
    assert exchange(f"GET /{BUCKET}/good HTTP/1.1\r\nHost: {NODE.netloc}\r\nAuthorization: AWS {harness.ACCESS_KEY}:c2lnbmF0dXJl\r\n\r\n".encode())[0] in (400, 403)

with check("a body that is not the one that was signed"):
    head = signed_head("PUT", f"/{BUCKET}/other-body", sha256=hashlib.sha256(b"said").hexdigest(), length=4)
    status, code, answer = exchange(head, b"sent")
    assert (status, code) == (400, "XAmzContentSHA256Mismatch"), answer
    absent("other-body")
    large = os.urandom(9 * MIB)
    head = signed_head("PUT", f"/{BUCKET}/other-large", sha256=hashlib.sha256(b"said").hexdigest(), length=len(large))
    status, code, answer = exchange(head, large)
    assert (status, code) == (400, "XAmzContentSHA256Mismatch"), answer[:500]
    absent("other-large")

with check("a body that ends early stores nothing, small or large"):
    for size in (1_000, 9 * MIB):
        data = os.urandom(size)
        head = signed_head("PUT", f"/{BUCKET}/short-{size}", sha256=hashlib.sha256(data).hexdigest(), length=size)
        status, code, answer = exchange(head, data[: size // 2], close_after=True)
        assert status in (0, 400), answer[:300]
        time.sleep(0.2)
        absent(f"short-{size}")

with check("a connection cut in the middle of a body stores nothing and keeps the old object"):
    s3.put_object(Bucket=BUCKET, Key="kept", Body=b"old")
    for size in (20_000, 6 * MIB):
        data = os.urandom(size)
        head = signed_head("PUT", f"/{BUCKET}/kept", sha256=hashlib.sha256(data).hexdigest(), length=size)
        with connect() as stream:
            stream.sendall(head + data[: size - 10])
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        time.sleep(0.3)
        assert s3.get_object(Bucket=BUCKET, Key="kept")["Body"].read() == b"old"

with check("a body too large for one put is refused before it is sent"):
    head = signed_head("PUT", f"/{BUCKET}/huge", sha256="UNSIGNED-PAYLOAD", length=6 * 1024 * MIB)
    status, code, answer = exchange(head, b"x" * 65536)
    assert (status, code) == (400, "EntityTooLarge"), answer[:500]
    absent("huge")

with check("a put without a length is told to bring one"):
    status, code, answer = exchange(signed_head("PUT", f"/{BUCKET}/no-length", sha256="UNSIGNED-PAYLOAD", length=None))
    assert status in (411, 200), answer  # an absent length means an empty body in HTTP/1.1
    status, code, answer = exchange(signed_head("PUT", f"/{BUCKET}/no-length-2", sha256="UNSIGNED-PAYLOAD", length="abc"))
    assert status == 400, answer
    absent("no-length-2")

with check("Expect: 100-continue gets its 100, also on an empty body"):
    for data in (b"", b"expected", os.urandom(MIB)):
        head = signed_head("PUT", f"/{BUCKET}/expect", sha256=hashlib.sha256(data).hexdigest(), length=len(data), unsigned=["Expect: 100-continue"])
        with connect() as stream:
            began = time.monotonic()
            stream.sendall(head)
            first = stream.recv(4096)
            assert first.startswith((b"HTTP/1.1 100", b"HTTP/1.1 200")), first
            assert first.startswith(b"HTTP/1.1 100"), f"no 100 for a body of {len(data)} bytes: {first[:60]}"
            stream.sendall(data)
            rest = first.partition(b"\r\n\r\n")[2] or stream.recv(4096)
            assert rest.startswith(b"HTTP/1.1 200"), rest
            assert time.monotonic() - began < 5

with check("XML that is none, and XML that would explode"):
    bombs = [
        b"",
        b"not xml",
        b"<Delete><Object><Key>a</Key></Object>",
        b"<Delete>" * 5_000,
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;">]><Delete><Object><Key>&y;</Key></Object></Delete>',
        b"\xff\xfe\x00<Delete/>",
    ]
    for bomb in bombs:
        more = {"Content-MD5": base64.b64encode(hashlib.md5(bomb).digest()).decode()}
        head = signed_head("POST", f"/{BUCKET}?delete=", sha256=hashlib.sha256(bomb).hexdigest(), length=len(bomb), more=more)
        status, code, answer = exchange(head, bomb)
        assert status == 400 and code in ("MalformedXML", "MissingRequestBodyError", "InvalidRequest"), (bomb[:40], answer[:400])
    assert s3.get_object(Bucket=BUCKET, Key="kept")["Body"].read() == b"old"

with check("names that are no names"):
    for path in ("/UPPER", "/a", "/x..y", "/-a-", "/" + "b" * 64):
        status, code, answer = exchange(signed_head("PUT", path))
        assert (status, code) == (400, "InvalidBucketName"), (path, answer[:300])
    long_key = f"/{BUCKET}/" + "k" * 1025
    status, code, answer = exchange(signed_head("PUT", long_key))
    assert (status, code) == (400, "KeyTooLongError"), answer[:300]
    assert exchange(signed_head("PUT", f"/{BUCKET}/bad%ZZescape"))[0] in (400, 403)
    assert exchange(signed_head("GET", f"/{BUCKET}/%00"))[0] in (400, 404)

with check("10 MB of headers, an endless line and no HTTP at all are turned away, and the node goes on"):
    fat = b"".join(b"x-fat-%d: %s\r\n" % (number, b"y" * 10_000) for number in range(1_000))
    status, _, answer = exchange(f"GET / HTTP/1.1\r\nHost: {NODE.netloc}\r\n".encode(), fat, b"\r\n")
    assert status in (0, 400, 431), answer[:200]
    status, _, answer = exchange(b"GET /" + b"a" * (5 * MIB))
    assert status in (0, 400, 414, 431), answer[:200]
    status, _, answer = exchange(os.urandom(4_096), close_after=True)
    assert status in (0, 400), answer[:200]
    assert exchange(signed_head("GET", f"/{BUCKET}/kept", length=None))[0] == 200

with check("garbage on the node port, also a TLS hello from nobody, changes nothing"):
    node_port = NODE.port + 2
    for garbage in (b"", os.urandom(100), os.urandom(100_000), b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64):
        try:
            exchange(garbage, port=node_port, close_after=True)
        except OSError:
            pass
    try:
        stranger = ssl.create_default_context()
        stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
        with stranger.wrap_socket(connect(node_port)) as stream:
            stream.sendall(b"let me in")
            assert stream.recv(100) in (b"",), "a stranger without a certificate was answered"
    except (ssl.SSLError, OSError):
        pass
    for endpoint in S3_ENDPOINTS:
        assert s3_client(endpoint).get_object(Bucket=BUCKET, Key="kept")["Body"].read() == b"old"

with check("unfinished connections in numbers do not stop others from being served"):
    waiting = [connect() for _ in range(200)]
    for stream in waiting:
        stream.sendall(b"PUT /")
    began = time.monotonic()
    assert s3.get_object(Bucket=BUCKET, Key="kept")["Body"].read() == b"old"
    assert time.monotonic() - began < 2
    for stream in waiting:
        stream.close()

with check("every process that was started is still the same one"):
    for pid in os.environ.get("HOLDFAST_PIDS", "").split(","):
        assert not pid or os.path.exists(f"/proc/{pid}"), f"process {pid} has died"

harness.finish()
