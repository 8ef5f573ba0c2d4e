"""REST with curl: buckets and files as resources, and everything a coordinator knows in the answers."""

import json
import os
import urllib.parse

import harness
from harness import MIB, REST_ENDPOINTS, WORK, check, md5, random_bytes, run, s3_client, write_file

TRUST = ["--cacert", harness.CA_FILE] if harness.CA_FILE else []
BEARER = ["-H", f"Authorization: Bearer {harness.ADMIN_TOKEN}"]
NODES = len(REST_ENDPOINTS)


def curl(path, *words, node=0, method=None, auth=BEARER, out=None):
    """Status, headers and body of one request."""
    body, head = out or WORK / "curl.body", WORK / "curl.head"
    for stale in (body, head):
        if os.path.exists(stale):
            os.remove(stale)
    how = ["-X", method] if method else []
    status = run("curl", "-sS", "-g", *TRUST, *auth, *how, "-D", head, "-o", body, "-w", "%{http_code}", *words, REST_ENDPOINTS[node] + path)
    # After a 100 there are two heads; the last one counts.
    lines = head.read_text().strip().split("\n\n")[-1].split("\r\n\r\n")[-1].splitlines()[1:]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(status), headers, body.read_bytes() if os.path.exists(body) else b""


def asked(path, *words, expect=200, **how):
    """The JSON of one answer, whose status must be as expected."""
    status, headers, body = curl(path, *words, **how)
    assert status == expect, (path, status, body[:400])
    assert headers["content-type"].startswith("application/json"), headers
    assert headers.get("x-request-id"), headers
    return json.loads(body)


def object_path(key, bucket="rest-bucket"):
    return f"/v1/buckets/{bucket}/objects/{urllib.parse.quote(key)}"


def names(nodes):
    return sorted(node["name"] or node["id"] for node in nodes)


with check("health and metrics ask for no token, everything else does"):
    for node in range(NODES):
        assert curl("/health/live", node=node, auth=[])[0] == 200
        assert curl("/health/ready", node=node, auth=[])[0] == 200
        status, headers, page = curl("/metrics", node=node, auth=[])
        assert status == 200 and page.startswith(b"#"), page[:100]
    assert asked("/v1/buckets", auth=[], expect=401)["error"] == "unauthorized"
    assert asked("/v1/buckets", auth=["-H", "Authorization: Bearer nonsense"], expect=403)["error"] == "denied"

with check("the cluster tells its members, all up"):
    for node in range(NODES):
        view = asked("/v1/cluster", node=node)
        assert len(view["members"]) == NODES and view["down"] == [] and all(member["up"] for member in view["members"]), view
        assert [member["self"] for member in view["members"]].count(True) == 1

with check("a bucket is created, told, listed, and seen by S3"):
    made = asked("/v1/buckets/rest-bucket", method="PUT", expect=201)
    assert made["created_now"] and (made["n"], made["r"], made["w"]) == (3, 2, 2), made
    again = asked("/v1/buckets/rest-bucket", method="PUT", node=-1)
    assert not again["created_now"] and again["id"] == made["id"]
    assert "rest-bucket" in [bucket["name"] for bucket in asked("/v1/buckets", node=-1)["buckets"]]
    s3_client(harness.S3_ENDPOINTS[-1]).head_bucket(Bucket="rest-bucket")
    assert asked("/v1/buckets/UPPER", method="PUT", expect=400)["error"] == "bad_request"
    assert asked("/v1/buckets/no-such-bucket", expect=404)["error"] == "no_such_bucket"

with check("a put of a raw body tells all that it knows"):
    answer = asked(object_path("notes/kelp ü.txt"), "--data-binary", "Hold fast.", "-H", "Content-Type: text/plain", method="PUT", expect=201)
    assert answer["status"] == "success" and answer["etag"] == md5(b"Hold fast."), answer
    assert len(answer["preference_list"]) == NODES and answer["down"] == [] and answer["hinted"] == []
    assert len(answer["replicas_written"]) >= 2, answer
    assert names(answer["replicas_written"] + answer["pending"]) == names(answer["preference_list"]), answer
    assert answer["node"] in answer["preference_list"] and answer["context"]
    assert len(answer["clocks"]) >= 2 and all(replica["clock"] for replica in answer["clocks"]), answer["clocks"]
    answer = asked(object_path("notes/all") + "?wait=all", "--data-binary", "x", method="PUT", expect=201, node=1)
    assert len(answer["replicas_written"]) == 3 and answer["pending"] == [], answer

with check("a get through any node gives the body, its headers and a context"):
    for node in range(NODES):
        status, headers, body = curl(object_path("notes/kelp ü.txt"), node=node)
        assert (status, body) == (200, b"Hold fast."), (status, body)
        assert headers["content-type"] == "text/plain" and headers["etag"].strip('"') == md5(b"Hold fast.")
        assert headers["holdfast-context"] and headers["holdfast-siblings"] == "1", headers
        status, headers, body = curl(object_path("notes/kelp ü.txt"), "-r", "5-8", node=node)
        assert (status, body) == (206, b"fast"), (status, body)
        status, headers, body = curl(object_path("notes/kelp ü.txt"), "-I", node=node)
        assert status == 200 and headers["content-length"] == "10"
    assert s3_client().get_object(Bucket="rest-bucket", Key="notes/kelp ü.txt")["Body"].read() == b"Hold fast."

with check("?meta tells every replica's clock, and they agree once all have written"):
    meta = asked(object_path("notes/all") + "?meta&r=3", node=-1)
    assert meta["exists"] and len(meta["clocks"]) == 3, meta
    assert len({json.dumps(replica["clock"], sort_keys=True) for replica in meta["clocks"]}) == 1, meta["clocks"]
    assert meta["versions"][0]["size"] == 1 and meta["versions"][0]["kind"] == "value"

with check("files come as multipart forms, too"):
    photo = write_file(WORK / "cat.jpg", random_bytes(300_000, "cat"))
    asked("/v1/buckets/rest-bucket/objects", "-F", f"file=@{photo};type=image/jpeg", expect=201)
    status, headers, body = curl(object_path("cat.jpg"), node=-1)
    assert body == photo.read_bytes() and headers["content-type"] == "image/jpeg"
    asked(object_path("pets/tom"), "-F", f"file=@{photo}", expect=201, node=1)
    assert curl(object_path("pets/tom"))[2] == photo.read_bytes()

with check("large bodies stream up and down"):
    large = write_file(WORK / "large", random_bytes(70 * MIB, "rest"))
    asked(object_path("large"), "-T", large, expect=201)
    curl(object_path("large"), node=-1, out=WORK / "large.back")
    assert harness.file_digest(large) == harness.file_digest(WORK / "large.back")

with check("an update through another node replaces; the old context does not make it concurrent"):
    for number in range(12):
        asked(object_path("updated"), "--data-binary", f"version {number}", method="PUT", expect=201, node=number % NODES)
        status, headers, body = curl(object_path("updated"), node=(number + 1) % NODES)
        assert body == f"version {number}".encode() and headers["holdfast-siblings"] == "1", (number, body, headers)

with check("concurrent writes with one context are both kept in a bucket that keeps siblings, and resolved by a context"):
    asked("/v1/buckets/rest-siblings?conflict=siblings", method="PUT", expect=201)
    first = asked(object_path("cart", "rest-siblings"), "--data-binary", "[]", method="PUT", expect=201)
    seen = ["-H", f"Holdfast-Context: {first['context']}"]
    asked(object_path("cart", "rest-siblings"), "--data-binary", "[milk]", *seen, method="PUT", expect=201)
    asked(object_path("cart", "rest-siblings"), "--data-binary", "[tea]", *seen, method="PUT", expect=201, node=-1)
    choices = asked(object_path("cart", "rest-siblings"), expect=300, node=1)
    assert choices["siblings"] == 2, choices
    bodies = {curl(object_path("cart", "rest-siblings") + f"?sibling={version['dot']}", node=1)[2] for version in choices["versions"]}
    assert bodies == {b"[milk]", b"[tea]"}, bodies
    both = ["-H", f"Holdfast-Context: {choices['context']}"]
    asked(object_path("cart", "rest-siblings"), "--data-binary", "[milk, tea]", *both, method="PUT", expect=201)
    for node in range(NODES):
        assert curl(object_path("cart", "rest-siblings"), node=node)[2] == b"[milk, tea]"
    # A context is bound to its bucket and key.
    stolen = asked(object_path("other", "rest-siblings"), "--data-binary", "x", *both, method="PUT", expect=400)
    assert stolen["status"] != "success", stolen

with check("the same request id twice is one write"):
    once = ["-H", "Holdfast-Request-Id: 0123456789abcdef0123456789abcdef"]
    one = asked(object_path("once"), "--data-binary", "only", *once, method="PUT", expect=201)
    two = asked(object_path("once"), "--data-binary", "only", *once, method="PUT", expect=201)
    assert one["dot"] == two["dot"], (one["dot"], two["dot"])
    assert asked(object_path("once"), "--data-binary", "other length", *once, method="PUT", expect=409)["error"] == "request_id_reused"

with check("pages of keys, with delimiter"):
    for number in range(30):
        asked(object_path(f"page/{number % 3}/{number:02}"), "--data-binary", "x", method="PUT", expect=201, node=number % NODES)
    keys, after = [], ""
    while after is not None:
        page = asked(f"/v1/buckets/rest-bucket/objects?prefix=page/&limit=7&after={urllib.parse.quote(after)}", node=-1)
        keys += [row["key"] for row in page["objects"]]
        after = page["next"]
    assert keys == sorted(f"page/{number % 3}/{number:02}" for number in range(30)), keys
    page = asked("/v1/buckets/rest-bucket/objects?prefix=page/&delimiter=/")
    assert page["prefixes"] == ["page/0/", "page/1/", "page/2/"] and page["objects"] == []

with check("locate tells where a key lives without reading it"):
    told = asked("/v1/locate?bucket=rest-bucket&key=cat.jpg", node=1)
    assert len(told["preference_list"]) == NODES and told["homes"], told

with check("delete tells all that it knows, too, and the file is gone for every node"):
    answer = asked(object_path("cat.jpg"), method="DELETE", node=1)
    assert answer["status"] == "success" and len(answer["replicas_written"]) >= 2 and len(answer["preference_list"]) == NODES
    for node in range(NODES):
        status, headers, body = curl(object_path("cat.jpg"), node=node)
        assert status == 404 and json.loads(body)["error"] == "no_such_object", (status, body)

with check("counts of a bucket"):
    told = asked("/v1/buckets/rest-bucket", node=-1)
    listed = len([1 for page in s3_client().get_paginator("list_objects_v2").paginate(Bucket="rest-bucket") for _ in page["Contents"]])
    assert told["objects"] == listed, (told["objects"], listed)

with check("a key is created, used for S3, disabled, and deleted"):
    import boto3
    from botocore.config import Config

    key = asked("/v1/keys", "--data-binary", json.dumps({"name": "alice"}), method="POST", expect=201)
    alice = boto3.client("s3", endpoint_url=harness.S3_ENDPOINTS[-1], aws_access_key_id=key["access_key_id"], aws_secret_access_key=key["secret_access_key"],
                         region_name=harness.REGION, verify=harness.CA_FILE or None, config=Config(retries={"total_max_attempts": 1}))
    alice.put_object(Bucket="rest-bucket", Key="by alice", Body=b"x")
    assert key["access_key_id"] in [row["access_key_id"] for row in asked("/v1/keys", node=1)["keys"]]
    asked(f"/v1/keys/{key['access_key_id']}/disable", method="POST")
    assert harness.error_of(alice.list_buckets)[1] == 403
    asked(f"/v1/keys/{key['access_key_id']}/enable", method="POST", node=1)
    asked(f"/v1/keys/{key['access_key_id']}", method="DELETE")
    assert harness.error_of(alice.list_buckets)[1] == 403

with check("buckets are deleted when they are empty, and not before"):
    refused = asked("/v1/buckets/rest-siblings", method="DELETE", expect=409)
    assert refused["status"] != "success", refused
    asked(object_path("cart", "rest-siblings"), method="DELETE")
    assert asked("/v1/buckets/rest-siblings", method="DELETE", node=-1)["status"] == "success"
    assert asked("/v1/buckets/rest-siblings", node=1, expect=404)["error"] == "no_such_bucket"

with check("what is wrong is told in JSON, with what to do"):
    for path, how, status in [
        ("/v1/nothing", {}, 404),
        ("/v1/cluster", {"method": "DELETE"}, 405),
        (object_path("x", "no-such-bucket"), {}, 404),
        (object_path("k" * 1025), {"method": "PUT"}, 400),
        (object_path("notes/all") + "?r=x", {}, 400),
    ]:
        answer = asked(path, expect=status, **how)
        assert answer["error"] and answer["message"] and answer["what_to_do"], answer

harness.finish()
