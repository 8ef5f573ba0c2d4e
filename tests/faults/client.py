"""One request to one node, over S3 (signed) or REST, with nothing of an SDK between: no retry that the load does not see.

A retry of a write carries the id of its first attempt, as SDKs send it, so it is the same write (rule D7).
"""

import hashlib
import hmac
import http.client
import json
import re
import time
from urllib.parse import quote

S3_PORT, REST_PORT = 9000, 9001
REGION = "us-east-1"


class Refused(Exception):
    """An answer that is neither success nor *not found*."""

    def __init__(self, status, body):
        self.status = status
        code = re.search(rb"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", body, re.S)
        text = b": ".join(code.groups()) if code else body
        super().__init__(f"{status} {text.decode(errors='replace')[:300]}")


def ask(address, port, method, path, query="", headers=None, body=b"", timeout=10):
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.request(method, path + (f"?{query}" if query else ""), body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


class S3:
    name = "s3"

    def __init__(self, access_key, secret_key):
        self.access_key, self.secret_key = access_key, secret_key

    def send(self, address, method, path, query="", body=b"", write_id=None, timeout=10, ok=(200, 204)):
        path = quote(path)
        headers = {"host": f"{address}:{S3_PORT}", "x-amz-content-sha256": hashlib.sha256(body).hexdigest()}
        headers["x-amz-date"] = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        if write_id:
            headers["amz-sdk-invocation-id"] = write_id
        headers["authorization"] = self.signature(method, path, query, headers)
        status, answered, content = ask(address, S3_PORT, method, path, query, headers, body, timeout)
        if status not in ok:
            raise Refused(status, content)
        return status, answered, content

    def signature(self, method, path, query, headers):
        signed = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        request = "\n".join([method, path, canonical(query), lines, signed, headers["x-amz-content-sha256"]])
        day = headers["x-amz-date"][:8]
        scope = f"{day}/{REGION}/s3/aws4_request"
        to_sign = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hashlib.sha256(request.encode()).hexdigest()])
        key = f"AWS4{self.secret_key}".encode()
        for word in [day, REGION, "s3", "aws4_request", to_sign]:
            key = hmac.digest(key, word.encode(), "sha256")
        return f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, SignedHeaders={signed}, Signature={key.hex()}"

    def put(self, address, bucket, key, body, write_id, timeout=10):
        self.send(address, "PUT", f"/{bucket}/{key}", body=body, write_id=write_id, timeout=timeout)

    def delete(self, address, bucket, key, write_id, timeout=10):
        self.send(address, "DELETE", f"/{bucket}/{key}", write_id=write_id, timeout=timeout)

    def get(self, address, bucket, key, timeout=10):
        """The body, or None when there is no such key."""
        status, _, body = self.send(address, "GET", f"/{bucket}/{key}", timeout=timeout, ok=(200, 404))
        if status == 404 and b"<Code>NoSuchKey</Code>" not in body:
            raise Refused(status, body)
        return body if status == 200 else None

    def list(self, address, bucket, prefix, timeout=10):
        query = f"list-type=2&prefix={quote(prefix, safe='')}"
        _, _, body = self.send(address, "GET", f"/{bucket}", query=query, timeout=timeout)
        return re.findall(r"<Key>(.*?)</Key>", body.decode())

    def put_in_parts(self, address, bucket, key, parts, write_id, timeout=10):
        path = f"/{bucket}/{key}"
        _, _, body = self.send(address, "POST", path, query="uploads=", write_id=write_id, timeout=timeout)
        upload = quote(re.search(rb"<UploadId>(.*?)</UploadId>", body).group(1).decode(), safe="")
        listed = ""
        for number, part in enumerate(parts, start=1):
            query = f"partNumber={number}&uploadId={upload}"
            _, headers, _ = self.send(address, "PUT", path, query=query, body=part, timeout=timeout)
            listed += f"<Part><PartNumber>{number}</PartNumber><ETag>{headers['etag']}</ETag></Part>"
        complete = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        _, _, body = self.send(address, "POST", path, query=f"uploadId={upload}", body=complete, timeout=timeout)
        if b"<Error>" in body:
            raise Refused(200, body)  # S3 may say so after it has begun to answer


def canonical(query):
    pairs = [pair.split("=", 1) if "=" in pair else [pair, ""] for pair in query.split("&") if pair]
    return "&".join(f"{name}={value}" for name, value in sorted(map(tuple, pairs)))


class Rest:
    name = "rest"

    def __init__(self, token):
        self.token = token

    def send(self, address, method, path, query="", body=b"", headers=None, timeout=10, ok=(200, 201, 204)):
        headers = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        status, answered, content = ask(address, REST_PORT, method, path, query, headers, body, timeout)
        if status not in ok:
            raise Refused(status, content)
        return status, answered, content

    def put(self, address, bucket, key, body, write_id, timeout=10, context=None):
        headers = {"Holdfast-Request-Id": write_id, **({"Holdfast-Context": context} if context else {})}
        path = f"/v1/buckets/{bucket}/objects/{key}"
        return json.loads(self.send(address, "PUT", path, body=body, headers=headers, timeout=timeout)[2])

    def delete(self, address, bucket, key, write_id, timeout=10):
        headers = {"Holdfast-Request-Id": write_id}
        self.send(address, "DELETE", f"/v1/buckets/{bucket}/objects/{key}", headers=headers, timeout=timeout)

    def get(self, address, bucket, key, timeout=10):
        path = f"/v1/buckets/{bucket}/objects/{key}"
        status, _, body = self.send(address, "GET", path, timeout=timeout, ok=(200, 404))
        if status == 404 and b"no_such_bucket" in body:
            raise Refused(status, body)
        return body if status == 200 else None

    def siblings(self, address, bucket, key, timeout=10):
        """(bodies of all versions, context)."""
        path = f"/v1/buckets/{bucket}/objects/{key}"
        status, headers, body = self.send(address, "GET", path, timeout=timeout, ok=(200, 300, 404))
        context = headers["Holdfast-Context"]
        if status != 300:
            return ([body] if status == 200 else []), context
        dots = [version["dot"] for version in json.loads(body)["versions"]]
        return [self.send(address, "GET", path, query=f"sibling={quote(dot, safe='')}")[2] for dot in dots], context

    def clocks(self, address, bucket, key, homes=3, timeout=10):
        """What each home says it knows of a key."""
        path = f"/v1/buckets/{bucket}/meta/{key}"
        _, _, body = self.send(address, "GET", path, query=f"r={homes}", timeout=timeout, ok=(200, 404))
        return [json.dumps(replica["clock"], sort_keys=True) for replica in json.loads(body)["clocks"]]

    def cluster(self, address, timeout=5):
        return json.loads(self.send(address, "GET", "/v1/cluster", timeout=timeout)[2])

    def hints_owed(self, address, timeout=5):
        _, _, body = self.send(address, "GET", "/metrics", timeout=timeout)
        lines = [line for line in body.decode().splitlines() if line.startswith("holdfast_hints_owed{")]
        return sum(float(line.split()[-1]) for line in lines)


def is_ready(address):
    try:
        return ask(address, REST_PORT, "GET", "/health/ready", timeout=1)[0] == 200
    except OSError:
        return False
