"""boto3: every part of S3 that programs lean on, answer by answer, each through several nodes."""

import base64
import hashlib
import io
import threading
import urllib.error
import urllib.request
import zlib
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import harness
from harness import MIB, S3_ENDPOINTS, check, error_of, md5, random_bytes, s3_client

nodes = [s3_client(endpoint) for endpoint in S3_ENDPOINTS]
s3, other, last = nodes[0], nodes[1 % len(nodes)], nodes[-1]
BUCKET = "boto3-bucket"


def body_of(client, key, **arguments):
    return client.get_object(Bucket=BUCKET, Key=key, **arguments)["Body"].read()


def lowered(headers):
    return {name.lower(): value for name, value in headers.items()}


def http(url, method="GET", data=None, headers=None):
    """Status, headers and body of one plain request: what a browser with a presigned link would see."""
    import ssl

    trust = ssl.create_default_context(cafile=harness.CA_FILE) if harness.CA_FILE else None
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30, context=trust) as answer:
            return answer.status, lowered(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, lowered(error.headers), error.read()


def buckets():
    with check("a bucket is made, seen through every node, and made again by its owner"):
        s3.create_bucket(Bucket=BUCKET)
        for node in nodes:
            node.head_bucket(Bucket=BUCKET)
            assert BUCKET in [bucket["Name"] for bucket in node.list_buckets()["Buckets"]]
        code, status = error_of(other.create_bucket, Bucket=BUCKET) if harness.REGION != "us-east-1" else (None, None)
        assert code in (None, "BucketAlreadyOwnedByYou"), code
        location = s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"]
        assert location in (None, harness.REGION), location

    with check("names that are no bucket names are refused"):
        from botocore.exceptions import ParamValidationError

        lenient = s3_client(S3_ENDPOINTS[0])
        lenient.meta.events.unregister("before-parameter-build.s3", validate_bucket_name())
        for name in ["UPPER", "ab", "has_underscore", "dot..dot", "-dash", "x" * 64]:
            try:
                code, status = error_of(lenient.create_bucket, Bucket=name)
                assert (code, status) == ("InvalidBucketName", 400), (name, code, status)
            except ParamValidationError:
                pass

    with check("racing creations through all nodes leave one bucket"):
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(lambda i: try_create(nodes[i % len(nodes)], "boto3-raced"), range(12)))
        for node in nodes:
            node.put_object(Bucket="boto3-raced", Key="k", Body=b"x")
            assert node.get_object(Bucket="boto3-raced", Key="k")["Body"].read() == b"x"
        s3.delete_object(Bucket="boto3-raced", Key="k")
        last.delete_bucket(Bucket="boto3-raced")
        assert error_of(s3.head_bucket, Bucket="boto3-raced")[1] == 404


def validate_bucket_name():
    from botocore import handlers

    return handlers.validate_bucket_name


def try_create(client, bucket):
    from botocore.exceptions import ClientError

    try:
        client.create_bucket(Bucket=bucket)
    except ClientError as error:
        assert error.response["Error"]["Code"] in ("BucketAlreadyOwnedByYou", "OperationAborted"), error


def objects():
    with check("put, get and head agree in every header, through every node"):
        text = b"Kelp clings to rock.\n"
        put = s3.put_object(
            Bucket=BUCKET,
            Key="notes/kelp.txt",
            Body=text,
            ContentType="text/plain; charset=utf-8",
            CacheControl="max-age=60",
            ContentDisposition='attachment; filename="kelp.txt"',
            ContentLanguage="en",
            ContentEncoding="identity",
            Expires=datetime(2030, 1, 1, tzinfo=timezone.utc),
            Metadata={"depth": "twelve metres", "mixed-Case": "kept"},
        )
        assert put["ETag"] == f'"{md5(text)}"', put["ETag"]
        for node in nodes:
            for answer in (node.head_object(Bucket=BUCKET, Key="notes/kelp.txt"), node.get_object(Bucket=BUCKET, Key="notes/kelp.txt")):
                assert answer["ContentLength"] == len(text)
                assert answer["ContentType"] == "text/plain; charset=utf-8"
                assert answer["CacheControl"] == "max-age=60"
                assert answer["ContentDisposition"] == 'attachment; filename="kelp.txt"'
                assert answer["ContentLanguage"] == "en"
                assert answer["ETag"] == put["ETag"]
                assert answer["Metadata"]["depth"] == "twelve metres", answer["Metadata"]
                assert answer["AcceptRanges"] == "bytes"
                age = datetime.now(timezone.utc) - answer["LastModified"]
                assert timedelta(minutes=-1) < age < timedelta(minutes=5), age
            assert body_of(node, "notes/kelp.txt") == text

    with check("bodies around every boundary come back byte by byte"):
        sizes = [0, 1, 32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1, 64 * 1024, MIB, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 9 * MIB + 7]
        for size in sizes:
            data = random_bytes(size, "boundary")
            etag = s3.put_object(Bucket=BUCKET, Key=f"size/{size}", Body=data)["ETag"]
            assert etag == f'"{md5(data)}"', (size, etag)
            for node in nodes:
                assert body_of(node, f"size/{size}") == data, size

    with check("keys of every shape"):
        shapes = ["a b", "a+b", "a%2Fb", "a//b", "/leading", "trailing/", "ünïcödé/日本", "x" * 1024, "q?a=b&c", "semi;colon", "dot/../dot", "tab\there", "~!@$^*()'\"", "emoji 🌊"]
        for key in shapes:
            s3.put_object(Bucket=BUCKET, Key=f"shape/{key}"[:1024], Body=key.encode())
        listed = [row["Key"] for page in last.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="shape/") for row in page["Contents"]]
        wanted = sorted((f"shape/{key}"[:1024] for key in shapes), key=lambda key: key.encode())
        assert listed == wanted, set(listed) ^ set(wanted)
        for key in shapes:
            assert body_of(last, f"shape/{key}"[:1024]) == key.encode(), key
        assert error_of(s3.put_object, Bucket=BUCKET, Key="k" * 1025, Body=b"")[0] == "KeyTooLongError"

    with check("a later put replaces an earlier one, whichever nodes take them"):
        for round_number in range(30):
            nodes[round_number % len(nodes)].put_object(Bucket=BUCKET, Key="again", Body=b"%d" % round_number)
            assert body_of(nodes[(round_number + 1) % len(nodes)], "again") == b"%d" % round_number

    with check("delete answers 204 whether or not the key exists, and the object is gone for every node"):
        for _ in range(2):
            answer = other.delete_object(Bucket=BUCKET, Key="again")
            assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
            for node in nodes:
                assert error_of(node.get_object, Bucket=BUCKET, Key="again") == ("NoSuchKey", 404)

    with check("a body sent in chunks of unknown checksum, and one with a checksum of each kind"):
        data = random_bytes(200_000, "checksums")
        for algorithm, value in {
            "CRC32": base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode(),
            "SHA1": base64.b64encode(hashlib.sha1(data).digest()).decode(),
            "SHA256": base64.b64encode(hashlib.sha256(data).digest()).decode(),
        }.items():
            put = s3.put_object(Bucket=BUCKET, Key=f"sum/{algorithm}", Body=io.BytesIO(data), ChecksumAlgorithm=algorithm)
            assert put[f"Checksum{algorithm}"] == value, put
            head = last.head_object(Bucket=BUCKET, Key=f"sum/{algorithm}", ChecksumMode="ENABLED")
            assert head[f"Checksum{algorithm}"] == value, head
            given = {f"Checksum{algorithm}": value}
            s3.put_object(Bucket=BUCKET, Key=f"sum/{algorithm}", Body=data, **given)
            wrong = {f"Checksum{algorithm}": base64.b64encode(bytes(len(base64.b64decode(value)))).decode()}
            code, status = error_of(s3.put_object, Bucket=BUCKET, Key="sum/wrong", Body=data, **wrong)
            assert status == 400 and code in ("BadDigest", "XAmzContentChecksumMismatch", "InvalidRequest"), (code, status)
        assert error_of(s3.get_object, Bucket=BUCKET, Key="sum/wrong")[0] == "NoSuchKey", "nothing is stored half"

    with check("Content-MD5 is verified"):
        right = base64.b64encode(hashlib.md5(b"right").digest()).decode()
        s3.put_object(Bucket=BUCKET, Key="md5", Body=b"right", ContentMD5=right)
        code, status = error_of(s3.put_object, Bucket=BUCKET, Key="md5", Body=b"wrong", ContentMD5=right)
        assert (code, status) == ("BadDigest", 400), (code, status)
        assert body_of(last, "md5") == b"right"


def reading_parts():
    data = random_bytes(5 * MIB + 123, "ranges")
    s3.put_object(Bucket=BUCKET, Key="ranged", Body=data)

    with check("ranges of every form, across chunks"):
        cases = {
            "bytes=0-0": data[:1],
            "bytes=10-19": data[10:20],
            "bytes=65530-65550": data[65530:65551],
            f"bytes={4 * MIB - 5}-{4 * MIB + 5}": data[4 * MIB - 5 : 4 * MIB + 6],
            "bytes=-7": data[-7:],
            f"bytes={5 * MIB}-": data[5 * MIB :],
            f"bytes={5 * MIB}-999999999": data[5 * MIB :],
        }
        for node in nodes:
            for asked, wanted in cases.items():
                answer = node.get_object(Bucket=BUCKET, Key="ranged", Range=asked)
                assert answer["Body"].read() == wanted, asked
                assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
                assert answer["ContentRange"].endswith(f"/{len(data)}"), answer["ContentRange"]
        assert error_of(s3.get_object, Bucket=BUCKET, Key="ranged", Range="bytes=99999999-") == ("InvalidRange", 416)

    with check("conditional reads"):
        head = s3.head_object(Bucket=BUCKET, Key="ranged")
        etag, modified = head["ETag"], head["LastModified"]
        for node in (s3, last):
            get = lambda **conditions: error_of(node.get_object, Bucket=BUCKET, Key="ranged", **conditions)[1]
            node.get_object(Bucket=BUCKET, Key="ranged", IfMatch=etag)["Body"].close()
            assert get(IfMatch='"0123456789abcdef0123456789abcdef"') == 412
            assert get(IfNoneMatch=etag) == 304
            node.get_object(Bucket=BUCKET, Key="ranged", IfNoneMatch='"other"')["Body"].close()
            assert get(IfModifiedSince=modified + timedelta(seconds=1)) == 304
            node.get_object(Bucket=BUCKET, Key="ranged", IfModifiedSince=modified - timedelta(hours=1))["Body"].close()
            assert get(IfUnmodifiedSince=modified - timedelta(hours=1)) == 412
            node.get_object(Bucket=BUCKET, Key="ranged", IfMatch=etag, IfUnmodifiedSince=modified - timedelta(hours=1))["Body"].close()

    with check("overrides of response headers"):
        answer = s3.get_object(
            Bucket=BUCKET,
            Key="ranged",
            Range="bytes=0-1",
            ResponseContentType="image/png",
            ResponseContentDisposition="inline",
            ResponseCacheControl="no-store",
        )
        assert (answer["ContentType"], answer["ContentDisposition"], answer["CacheControl"]) == ("image/png", "inline", "no-store")


def presigned():
    with check("presigned get, put and delete, through any node"):
        for node, endpoint in zip(nodes, S3_ENDPOINTS):
            sign = lambda operation, **more: node.generate_presigned_url(operation, Params={"Bucket": BUCKET, "Key": "pre signed/ü", **more}, ExpiresIn=120)
            status, _, said = http(sign("put_object"), "PUT", b"by link from " + endpoint.encode())
            assert status == 200, said
            status, headers, said = http(sign("get_object", ResponseContentType="text/x-link"))
            assert (status, said) == (200, b"by link from " + endpoint.encode())
            assert headers.get("content-type") == "text/x-link", headers
            assert http(sign("head_object"), "HEAD")[0] == 200
            assert http(sign("delete_object"), "DELETE")[0] == 204
            assert http(sign("get_object"))[0] == 404

    with check("forged, expired and unsigned requests are refused in S3's words"):
        link = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "ranged"}, ExpiresIn=120)
        status, _, said = http(link.replace("X-Amz-Expires=120", "X-Amz-Expires=121"))
        assert status == 403 and b"SignatureDoesNotMatch" in said, said
        status, _, said = http(f"{S3_ENDPOINTS[0]}/{BUCKET}/ranged")
        assert status == 403 and b"AccessDenied" in said, said
        import time

        short = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "ranged"}, ExpiresIn=1)
        time.sleep(2.5)
        status, _, said = http(short)
        assert status == 403 and b"AccessDenied" in said, said
        import boto3
        from botocore.config import Config

        def stranger(key, secret):
            return boto3.client("s3", endpoint_url=S3_ENDPOINTS[0], aws_access_key_id=key, aws_secret_access_key=secret,
                                region_name=harness.REGION, verify=harness.CA_FILE or None,
                                config=Config(retries={"total_max_attempts": 1}))

        assert error_of(stranger("HFNOBODY", "x").list_buckets) == ("InvalidAccessKeyId", 403)
        assert error_of(stranger(harness.ACCESS_KEY, "wrong").list_buckets) == ("SignatureDoesNotMatch", 403)


def listings():
    keys = sorted(f"list/{index % 10:02}/{index:05}" for index in range(2_500))
    with check("2,500 keys are stored through all nodes"):
        with ThreadPoolExecutor(24) as pool:
            list(pool.map(lambda pair: nodes[pair[0] % len(nodes)].put_object(Bucket=BUCKET, Key=pair[1], Body=pair[1].encode()), enumerate(keys)))

    with check("paginated lists, v2 and v1, of any page size, through every node"):
        for node, size in zip(nodes * 2, [1000, 777, 100, 1000, 999, 50]):
            pages = list(node.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="list/", PaginationConfig={"PageSize": size}))
            assert [row["Key"] for page in pages for row in page["Contents"]] == keys
            assert len(pages) == -(-len(keys) // size), (len(pages), size)
            assert all(page["KeyCount"] == len(page["Contents"]) <= size for page in pages)
        rows = [row for page in last.get_paginator("list_objects").paginate(Bucket=BUCKET, Prefix="list/") for row in page["Contents"]]
        assert [row["Key"] for row in rows] == keys
        assert rows[7]["Size"] == len(keys[7]) and rows[7]["ETag"] == f'"{md5(keys[7].encode())}"' and rows[7]["StorageClass"] == "STANDARD"
        assert rows[7]["Owner"]["ID"], "v1 always tells the owner"

    with check("delimiter lists"):
        page = other.list_objects_v2(Bucket=BUCKET, Prefix="list/", Delimiter="/")
        assert [prefix["Prefix"] for prefix in page["CommonPrefixes"]] == [f"list/{index:02}/" for index in range(10)]
        assert "Contents" not in page and page["KeyCount"] == 10 and not page["IsTruncated"]
        page = last.list_objects_v2(Bucket=BUCKET, Prefix="list/03/", Delimiter="/", MaxKeys=100)
        assert len(page["Contents"]) == 100 and page["IsTruncated"] and "CommonPrefixes" not in page
        top = last.list_objects_v2(Bucket=BUCKET, Delimiter="/")
        assert "list/" in [prefix["Prefix"] for prefix in top["CommonPrefixes"]] and "ranged" in [row["Key"] for row in top["Contents"]]
        seen, token = [], {}
        while True:  # prefixes are paged, too, and never told twice
            page = s3.list_objects_v2(Bucket=BUCKET, Prefix="list/", Delimiter="/", MaxKeys=3, **token)
            seen += [prefix["Prefix"] for prefix in page["CommonPrefixes"]]
            if not page["IsTruncated"]:
                break
            token = {"ContinuationToken": page["NextContinuationToken"]}
        assert seen == [f"list/{index:02}/" for index in range(10)], seen
        odd = s3.list_objects_v2(Bucket=BUCKET, Prefix="list/", Delimiter="/000")
        assert all(prefix["Prefix"].endswith("/000") for prefix in odd["CommonPrefixes"]), odd["CommonPrefixes"][:2]

    with check("start-after, marker, zero keys and a prefix that matches nothing"):
        page = s3.list_objects_v2(Bucket=BUCKET, Prefix="list/", StartAfter=keys[1233], MaxKeys=2)
        assert [row["Key"] for row in page["Contents"]] == keys[1234:1236]
        page = s3.list_objects(Bucket=BUCKET, Prefix="list/", Marker=keys[1233], MaxKeys=2)
        assert [row["Key"] for row in page["Contents"]] == keys[1234:1236]
        assert s3.list_objects_v2(Bucket=BUCKET, MaxKeys=0)["KeyCount"] == 0
        assert s3.list_objects_v2(Bucket=BUCKET, Prefix="no such prefix")["KeyCount"] == 0

    with check("a listing sees what was just written and deleted through another node"):
        for index in range(20):
            writer, reader = nodes[index % len(nodes)], nodes[(index + 1) % len(nodes)]
            writer.put_object(Bucket=BUCKET, Key=f"fresh/{index}", Body=b"")
            assert reader.list_objects_v2(Bucket=BUCKET, Prefix=f"fresh/{index}")["KeyCount"] >= 1
            writer.delete_object(Bucket=BUCKET, Key=f"fresh/{index}")
            assert f"fresh/{index}" not in [row["Key"] for row in reader.list_objects_v2(Bucket=BUCKET, Prefix="fresh/").get("Contents", [])]

    with check("delete_objects removes 1,000 at a time, and answers quietly when asked to"):
        answer = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in keys[:1000]]})
        assert len(answer["Deleted"]) == 1000 and "Errors" not in answer
        answer = other.delete_objects(Bucket=BUCKET, Delete={"Quiet": True, "Objects": [{"Key": key} for key in keys[1000:2000] + ["never/was"]][:1000]})
        assert "Deleted" not in answer and "Errors" not in answer
        left = [row["Key"] for page in last.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="list/") for row in page["Contents"]]
        assert left == keys[2000:], len(left)
        code, status = error_of(s3.delete_objects, Bucket=BUCKET, Delete={"Objects": [{"Key": str(i)} for i in range(1001)]})
        assert (code, status) == ("MalformedXML", 400), (code, status)


def multipart():
    parts = [random_bytes(5 * MIB, "one"), random_bytes(6 * MIB + 1, "two"), random_bytes(1234, "three")]
    whole = b"".join(parts)
    etag = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest() + "-3"

    with check("an upload in parts, each through another node, out of order, one of them twice"):
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key="parts", ContentType="x/y", Metadata={"a": "b"})["UploadId"]
        send = lambda node, number, data: node.upload_part(Bucket=BUCKET, Key="parts", UploadId=upload, PartNumber=number, Body=data)["ETag"]
        send(s3, 20, b"to be replaced")
        etags = {30: send(last, 30, parts[2]), 10: send(other, 10, parts[0]), 20: send(other, 20, parts[1])}
        assert error_of(s3.get_object, Bucket=BUCKET, Key="parts")[0] == "NoSuchKey", "nothing is seen before completion"
        listed = last.list_parts(Bucket=BUCKET, Key="parts", UploadId=upload)["Parts"]
        assert [(part["PartNumber"], part["Size"], part["ETag"]) for part in listed] == [(number, len(data), etags[number]) for number, data in zip((10, 20, 30), parts)]
        page = s3.list_parts(Bucket=BUCKET, Key="parts", UploadId=upload, MaxParts=2)
        assert page["IsTruncated"] and page["NextPartNumberMarker"] == 20
        assert upload in [open_upload["UploadId"] for open_upload in other.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]
        done = last.complete_multipart_upload(
            Bucket=BUCKET, Key="parts", UploadId=upload,
            MultipartUpload={"Parts": [{"PartNumber": number, "ETag": etags[number]} for number in (10, 20, 30)]},
        )
        assert done["ETag"] == f'"{etag}"', done["ETag"]
        for node in nodes:
            head = node.head_object(Bucket=BUCKET, Key="parts")
            assert (head["ContentLength"], head["ETag"], head["ContentType"], head["Metadata"]) == (len(whole), f'"{etag}"', "x/y", {"a": "b"})
            assert body_of(node, "parts") == whole
            assert body_of(node, "parts", Range=f"bytes={5 * MIB - 3}-{5 * MIB + 3}") == whole[5 * MIB - 3 : 5 * MIB + 4]
        assert upload not in [open_upload["UploadId"] for open_upload in other.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]

    with check("one part of a finished object by its number"):
        answer = s3.get_object(Bucket=BUCKET, Key="parts", PartNumber=2)
        assert answer["Body"].read() == parts[1] and answer["PartsCount"] == 3

    with check("what cannot be completed is refused in S3's words"):
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key="bad")["UploadId"]
        one = s3.upload_part(Bucket=BUCKET, Key="bad", UploadId=upload, PartNumber=1, Body=b"small")["ETag"]
        two = s3.upload_part(Bucket=BUCKET, Key="bad", UploadId=upload, PartNumber=2, Body=b"small")["ETag"]
        complete = lambda *rows: error_of(s3.complete_multipart_upload, Bucket=BUCKET, Key="bad", UploadId=upload,
                                          MultipartUpload={"Parts": [{"PartNumber": number, "ETag": tag} for number, tag in rows]})[0]
        assert complete((1, one), (2, two)) == "EntityTooSmall"
        assert complete((2, two), (1, one)) == "InvalidPartOrder"
        assert complete((1, '"0123456789abcdef0123456789abcdef"')) == "InvalidPart"
        assert complete((3, one)) == "InvalidPart"
        code, status = error_of(s3.upload_part, Bucket=BUCKET, Key="bad", UploadId=upload, PartNumber=10_001, Body=b"x")
        assert (code, status) == ("InvalidArgument", 400), (code, status)
        last.abort_multipart_upload(Bucket=BUCKET, Key="bad", UploadId=upload)
        assert error_of(other.list_parts, Bucket=BUCKET, Key="bad", UploadId=upload) == ("NoSuchUpload", 404)
        assert error_of(s3.upload_part, Bucket=BUCKET, Key="bad", UploadId=upload, PartNumber=1, Body=b"x") == ("NoSuchUpload", 404)
        assert complete((1, one)) == "NoSuchUpload"

    with check("upload_fileobj and download_fileobj with many threads"):
        from boto3.s3.transfer import TransferConfig

        data = random_bytes(40 * MIB, "transfer")
        many = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=8)
        s3.upload_fileobj(io.BytesIO(data), BUCKET, "transferred", Config=many)
        back = io.BytesIO()
        last.download_fileobj(BUCKET, "transferred", back, Config=many)
        assert back.getvalue() == data

    with check("upload_part_copy, whole and by range"):
        upload = other.create_multipart_upload(Bucket=BUCKET, Key="joined")["UploadId"]
        copy = lambda number, **more: other.upload_part_copy(Bucket=BUCKET, Key="joined", UploadId=upload, PartNumber=number, **more)["CopyPartResult"]["ETag"]
        etags = [copy(1, CopySource={"Bucket": BUCKET, "Key": "parts"}), copy(2, CopySource={"Bucket": BUCKET, "Key": "parts"}, CopySourceRange="bytes=100-299")]
        other.complete_multipart_upload(Bucket=BUCKET, Key="joined", UploadId=upload,
                                        MultipartUpload={"Parts": [{"PartNumber": i + 1, "ETag": tag} for i, tag in enumerate(etags)]})
        assert body_of(last, "joined") == whole + whole[100:300]


def copies():
    with check("a copy keeps metadata or replaces it, and copies of large bodies stand alone"):
        s3.put_object(Bucket=BUCKET, Key="from/ü 1", Body=b"copied", ContentType="a/b", Metadata={"m": "1"})
        answer = other.copy_object(Bucket=BUCKET, Key="to", CopySource={"Bucket": BUCKET, "Key": "from/ü 1"})
        assert answer["CopyObjectResult"]["ETag"] == f'"{md5(b"copied")}"'
        head = last.head_object(Bucket=BUCKET, Key="to")
        assert (head["ContentType"], head["Metadata"]) == ("a/b", {"m": "1"})
        other.copy_object(Bucket=BUCKET, Key="to", CopySource={"Bucket": BUCKET, "Key": "from/ü 1"}, MetadataDirective="REPLACE", ContentType="c/d", Metadata={"n": "2"})
        head = last.head_object(Bucket=BUCKET, Key="to")
        assert (head["ContentType"], head["Metadata"]) == ("c/d", {"n": "2"})
        s3.copy_object(Bucket=BUCKET, Key="large-copy", CopySource={"Bucket": BUCKET, "Key": "ranged"})
        s3.delete_object(Bucket=BUCKET, Key="ranged")
        assert body_of(last, "large-copy") == random_bytes(5 * MIB + 123, "ranges")

    with check("a copy onto itself must change something; a missing source is told"):
        code, status = error_of(s3.copy_object, Bucket=BUCKET, Key="to", CopySource={"Bucket": BUCKET, "Key": "to"})
        assert (code, status) == ("InvalidRequest", 400), (code, status)
        s3.copy_object(Bucket=BUCKET, Key="large-copy", CopySource={"Bucket": BUCKET, "Key": "large-copy"}, MetadataDirective="REPLACE", Metadata={"x": "y"})
        assert body_of(other, "large-copy") == random_bytes(5 * MIB + 123, "ranges")
        assert error_of(s3.copy_object, Bucket=BUCKET, Key="to", CopySource={"Bucket": BUCKET, "Key": "no-such-key"}) == ("NoSuchKey", 404)
        code, status = error_of(s3.copy_object, Bucket=BUCKET, Key="to", CopySource={"Bucket": BUCKET, "Key": "large-copy"}, CopySourceIfMatch='"nope"')
        assert status == 412, (code, status)


def refusals():
    with check("what does not exist is told in S3's words"):
        for node in nodes:
            assert error_of(node.get_object, Bucket=BUCKET, Key="no") == ("NoSuchKey", 404)
            assert error_of(node.head_object, Bucket=BUCKET, Key="no") == ("404", 404)
            assert error_of(node.list_objects_v2, Bucket="no-such-bucket") == ("NoSuchBucket", 404)
            assert error_of(node.put_object, Bucket="no-such-bucket", Key="k", Body=b"x") == ("NoSuchBucket", 404)
            assert error_of(node.get_object, Bucket="no-such-bucket", Key="k") == ("NoSuchBucket", 404)
            assert error_of(node.delete_bucket, Bucket="no-such-bucket") == ("NoSuchBucket", 404)
            assert error_of(node.head_bucket, Bucket="no-such-bucket") == ("404", 404)
        assert error_of(s3.delete_bucket, Bucket=BUCKET) == ("BucketNotEmpty", 409)
        assert error_of(s3.abort_multipart_upload, Bucket=BUCKET, Key="no", UploadId="no-such-upload") == ("NoSuchUpload", 404)

    with check("features not there yet read as never configured"):
        absent = {
            "get_bucket_policy": "NoSuchBucketPolicy",
            "get_bucket_lifecycle_configuration": "NoSuchLifecycleConfiguration",
            "get_bucket_cors": "NoSuchCORSConfiguration",
            "get_bucket_website": "NoSuchWebsiteConfiguration",
            "get_bucket_tagging": "NoSuchTagSet",
            "get_bucket_replication": "ReplicationConfigurationNotFoundError",
            "get_object_lock_configuration": "ObjectLockConfigurationNotFoundError",
            "get_public_access_block": "NoSuchPublicAccessBlockConfiguration",
        }
        wrong = []
        for operation, code in absent.items():
            try:
                answered = error_of(getattr(s3, operation), Bucket=BUCKET)
            except AssertionError:
                answered = "success"
            if answered != (code, 404):
                wrong.append(f"{operation}: {answered}, not {code}")
        plain = lambda answer: {name: value for name, value in answer.items() if name != "ResponseMetadata"}
        for operation, wanted in {
            "get_bucket_versioning": {},
            "get_bucket_logging": {},
            "get_bucket_notification_configuration": {},
            "get_bucket_request_payment": {"Payer": "BucketOwner"},
            # What AWS gives every new bucket: access is by policy alone, never by lists.
            "get_bucket_ownership_controls": {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}},
        }.items():
            try:
                answered = plain(getattr(s3, operation)(Bucket=BUCKET))
            except Exception as error:
                answered = str(error)
            if answered != wanted:
                wrong.append(f"{operation}: {answered}, not {wanted}")
        for operation, arguments in {"get_bucket_acl": {}, "get_object_acl": {"Key": "to"}}.items():
            try:
                grants = getattr(s3, operation)(Bucket=BUCKET, **arguments)["Grants"]
                assert [grant["Permission"] for grant in grants] == ["FULL_CONTROL"], grants
            except Exception as error:
                wrong.append(f"{operation}: {error}")
        try:
            assert s3.get_object_tagging(Bucket=BUCKET, Key="to")["TagSet"] == []
        except Exception as error:
            wrong.append(f"get_object_tagging: {error}")
        assert not wrong, "; ".join(wrong)

    with check("setting a feature that is not there is refused, never ignored"):
        rule = {"Rules": [{"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]}
        attempts = {
            "versioning": lambda: s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"}),
            "policy": lambda: s3.put_bucket_policy(Bucket=BUCKET, Policy="{}"),
            "lifecycle": lambda: s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=rule),
            "encryption": lambda: s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}),
            "tagging": lambda: s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}),
            "object tagging": lambda: s3.put_object_tagging(Bucket=BUCKET, Key="to", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}),
            "public acl": lambda: s3.put_object(Bucket=BUCKET, Key="acl", Body=b"", ACL="public-read"),
            "encryption key": lambda: s3.put_object(Bucket=BUCKET, Key="sse", Body=b"", SSECustomerAlgorithm="AES256", SSECustomerKey="0" * 32),
            "object lock": lambda: s3.put_object(Bucket=BUCKET, Key="lock", Body=b"", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=datetime(2030, 1, 1, tzinfo=timezone.utc)),
            "conditional put": lambda: s3.put_object(Bucket=BUCKET, Key="cond", Body=b"", IfNoneMatch="*"),
            "conditional replace": lambda: s3.put_object(Bucket=BUCKET, Key="to", Body=b"", IfMatch='"x"'),
        }
        wrong = []
        for what, attempt in attempts.items():
            try:
                answered = error_of(attempt)
            except AssertionError:
                answered = "success"
            except Exception as error:  # refused by the client itself, for instance for lack of TLS
                answered = ("NotImplemented", 501) if "SSL" in str(error) else str(error)
            if answered != ("NotImplemented", 501):
                wrong.append(f"{what}: {answered}")
        assert not wrong, "; ".join(wrong)
        for key in ("acl", "sse", "lock", "cond"):
            assert error_of(s3.head_object, Bucket=BUCKET, Key=key)[1] == 404, f"{key} was stored although refused"

    with check("defaults that clients send anyway are taken"):
        s3.put_object(Bucket=BUCKET, Key="default", Body=b"", ACL="private", StorageClass="STANDARD")
        s3.create_bucket(Bucket="boto3-default", ACL="private")
        s3.delete_bucket(Bucket="boto3-default")


def together():
    with check("16 clients on 40 keys through all nodes: every read finds a whole body of its own key"):
        stop = threading.Event()
        wrong = []

        def work(worker):
            chooser = __import__("random").Random(worker)
            for _ in range(60):
                if stop.is_set():
                    return
                key, node = f"shared/{chooser.randrange(40)}", chooser.choice(nodes)
                size = chooser.choice([10, 5_000, 50_000, 300_000])
                head = f"{key}|".encode()
                if chooser.random() < 0.5:
                    fill = bytes([chooser.randrange(256)])
                    node.put_object(Bucket=BUCKET, Key=key, Body=head + fill * size)
                else:
                    try:
                        body = node.get_object(Bucket=BUCKET, Key=key)["Body"].read()
                    except node.exceptions.NoSuchKey:
                        continue
                    if not body.startswith(head) or len(set(body[len(head) :])) > 1:
                        wrong.append(key)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(work, range(16)))
        assert not wrong, wrong[:5]
        rows = [[(row["Key"], row["ETag"]) for row in node.list_objects_v2(Bucket=BUCKET, Prefix="shared/")["Contents"]] for node in nodes]
        assert rows[0] == rows[1 % len(rows)] == rows[-1], "the nodes list different versions"


def ending():
    with check("an emptied bucket is deleted, for every node"):
        for page in last.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            last.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": row["Key"]} for row in page.get("Contents", [])]})
        other.delete_bucket(Bucket=BUCKET)
        for node in nodes:
            assert error_of(node.head_bucket, Bucket=BUCKET)[1] == 404


for part in (buckets, objects, reading_parts, presigned, listings, multipart, copies, refusals, together, ending):
    # What a part prepares outside its checks may fail, too; the other parts are still worth running.
    with check(f"what `{part.__name__}` prepares", told=False):
        part()
harness.finish()
