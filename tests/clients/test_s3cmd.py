"""s3cmd: put, get and sync with MD5, which it compares with the ETags it lists."""

import harness
from harness import MIB, S3_ENDPOINTS, WORK, assert_same_tree, check, file_digest, make_tree, md5, random_bytes, run, write_file


def s3cmd(*words, node=0, **options):
    scheme, address = S3_ENDPOINTS[node].split("://")
    settings = write_file(
        WORK / f"s3cfg-{node}",
        "\n".join(
            [
                "[default]",
                f"access_key = {harness.ACCESS_KEY}",
                f"secret_key = {harness.SECRET_KEY}",
                f"host_base = {address}",
                f"host_bucket = {address}",
                f"use_https = {scheme == 'https'}",
                f"ca_certs_file = {harness.CA_FILE}",
                f"bucket_location = {harness.REGION}",
                "signature_v2 = False",
                "progress_meter = False",
                "max_retries = 1",
            ]
        ).encode(),
    )
    return run("s3cmd", "-c", settings, *words, **options)


with check("put and get compare MD5 sums"):
    s3cmd("mb", "s3://s3cmd")
    small = write_file(WORK / "small", b"Hold fast.\n")
    s3cmd("put", small, "s3://s3cmd/small")
    s3cmd("get", "--force", "s3://s3cmd/small", WORK / "small.back", node=-1)
    assert (WORK / "small.back").read_bytes() == b"Hold fast.\n"
    said = s3cmd("info", "s3://s3cmd/small", node=1)
    assert md5(b"Hold fast.\n") in said, said

with check("a body in parts"):
    large = write_file(WORK / "large", random_bytes(22 * MIB, "s3cmd"))
    s3cmd("put", "--multipart-chunk-size-mb=5", large, "s3://s3cmd/large")
    s3cmd("get", "--force", "s3://s3cmd/large", WORK / "large.back", node=-1)
    assert file_digest(large) == file_digest(WORK / "large.back")

with check("sync both ways with MD5, and a second sync that has nothing to do"):
    make_tree(WORK / "tree", files=100, bytes_max=40_000, seed="s3cmd")
    s3cmd("sync", "--check-md5", f"{WORK}/tree/", "s3://s3cmd/tree/")
    s3cmd("sync", "--check-md5", "s3://s3cmd/tree/", f"{WORK}/tree.back/", node=-1)
    assert_same_tree(WORK / "tree", WORK / "tree.back")
    assert "upload:" not in s3cmd("sync", "--check-md5", f"{WORK}/tree/", "s3://s3cmd/tree/", node=1)

with check("sync follows what was changed and removed"):
    files = sorted(path for path in (WORK / "tree").rglob("*") if path.is_file())
    files[0].unlink()
    # Of the same length: only the MD5 tells.
    files[1].write_bytes(bytes(byte ^ 1 for byte in files[1].read_bytes()))
    said = s3cmd("sync", "--check-md5", "--delete-removed", f"{WORK}/tree/", "s3://s3cmd/tree/")
    assert said.count("upload:") == 1 and said.count("delete:") == 1, said

with check("ls, du, cp, mv and del"):
    assert "s3://s3cmd/large" in s3cmd("ls", "s3://s3cmd", node=1)
    assert "99 objects" in s3cmd("du", "s3://s3cmd/tree/", node=-1)
    s3cmd("cp", "s3://s3cmd/small", "s3://s3cmd/copied")
    s3cmd("mv", "s3://s3cmd/copied", "s3://s3cmd/moved", node=1)
    s3cmd("get", "--force", "s3://s3cmd/moved", WORK / "moved", node=-1)
    assert (WORK / "moved").read_bytes() == b"Hold fast.\n"
    s3cmd("del", "--recursive", "--force", "s3://s3cmd/", node=-1)
    assert s3cmd("ls", "--recursive", "s3://s3cmd").strip() == ""
    s3cmd("rb", "s3://s3cmd")

harness.finish()
