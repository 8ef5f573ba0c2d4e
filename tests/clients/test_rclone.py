"""rclone: sync and check of 500 files, through two nodes."""

import harness
from harness import MIB, S3_ENDPOINTS, WORK, assert_same_tree, check, make_tree, random_bytes, run, write_file


def rclone(*words, node=0, **options):
    # A remote given whole in the environment: no configuration file of whoever runs this is touched or read.
    return run(
        "rclone",
        "--config",
        "/dev/null",
        "--retries",
        "1",
        "--low-level-retries",
        "1",
        *(["--ca-cert", harness.CA_FILE] if harness.CA_FILE else []),
        *words,
        RCLONE_CONFIG_HOLD_TYPE="s3",
        RCLONE_CONFIG_HOLD_PROVIDER="Other",
        RCLONE_CONFIG_HOLD_ENDPOINT=S3_ENDPOINTS[node],
        RCLONE_CONFIG_HOLD_ACCESS_KEY_ID=harness.ACCESS_KEY,
        RCLONE_CONFIG_HOLD_SECRET_ACCESS_KEY=harness.SECRET_KEY,
        RCLONE_CONFIG_HOLD_REGION=harness.REGION,
        RCLONE_CONFIG_HOLD_FORCE_PATH_STYLE="true",
        **options,
    )


with check("500 files are synced up and found equal through another node"):
    make_tree(WORK / "tree", files=500, bytes_max=60_000, seed="rclone")
    write_file(WORK / "tree/large", random_bytes(20 * MIB, "rclone"))
    rclone("mkdir", "hold:rclone")
    rclone("sync", "--s3-chunk-size", "5M", "--s3-upload-cutoff", "6M", WORK / "tree", "hold:rclone/tree")
    rclone("check", WORK / "tree", "hold:rclone/tree", node=-1)
    rclone("check", "--download", WORK / "tree", "hold:rclone/tree", node=1)

with check("modification times survive, so a second sync moves nothing"):
    # rclone keeps the time in metadata of the object and compares it, not the time of the upload.
    log = WORK / "second-sync.log"
    rclone("sync", "-v", "--log-file", log, WORK / "tree", "hold:rclone/tree", node=1)
    assert "Copied" not in log.read_text() and "nothing to transfer" in log.read_text(), log.read_text()[-500:]
    assert rclone("lsf", "-R", "--files-only", "hold:rclone/tree", node=1).count("\n") == 501

with check("sync down gives the same files"):
    rclone("sync", "hold:rclone/tree", WORK / "tree.back", node=-1)
    assert_same_tree(WORK / "tree", WORK / "tree.back")

with check("sync follows what was changed and removed"):
    files = sorted(path for path in (WORK / "tree").rglob("*") if path.is_file())
    for path in files[:20]:
        path.unlink()
    for path in files[20:40]:
        path.write_bytes(b"changed: " + path.name.encode())
    rclone("sync", WORK / "tree", "hold:rclone/tree", node=1)
    rclone("check", WORK / "tree", "hold:rclone/tree")

with check("server-side moves and copies"):
    rclone("copyto", "hold:rclone/tree/large", "hold:rclone/copied", node=1)
    rclone("moveto", "hold:rclone/copied", "hold:rclone/moved")
    assert rclone("md5sum", "hold:rclone/moved", node=-1).split()[0] == rclone("md5sum", "hold:rclone/tree/large").split()[0]

with check("purge leaves nothing"):
    rclone("purge", "hold:rclone")
    assert "rclone" not in rclone("lsd", "hold:", node=-1)

harness.finish()
