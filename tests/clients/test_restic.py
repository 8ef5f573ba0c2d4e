"""restic: a repository of encrypted snapshots, which notices any byte that is not what it wrote."""

import harness
from harness import MIB, S3_ENDPOINTS, WORK, assert_same_tree, check, make_tree, random_bytes, run, write_file


def restic(*words, node=0, **options):
    return run(
        "restic",
        "--no-cache",
        *(["--cacert", harness.CA_FILE] if harness.CA_FILE else []),
        *words,
        RESTIC_REPOSITORY=f"s3:{S3_ENDPOINTS[node]}/restic",
        RESTIC_PASSWORD="hold fast",
        **options,
    )


with check("init makes its bucket and a repository"):
    restic("init")

with check("backup, and a second one that only stores what changed"):
    make_tree(WORK / "tree", files=200, bytes_max=80_000, seed="restic")
    write_file(WORK / "tree/large", random_bytes(24 * MIB, "restic"))
    restic("backup", "tree")
    write_file(WORK / "tree/added", b"later")
    said = restic("backup", "tree", node=1)
    assert "Files:           1 new" in said, said

with check("check --read-data reads every byte through another node"):
    restic("check", "--read-data", node=-1)

with check("restore gives the same files"):
    restic("restore", "latest", "--target", WORK / "back", node=-1)
    assert_same_tree(WORK / "tree", WORK / "back/tree")

with check("forget --prune removes what no snapshot needs"):
    (WORK / "tree/large").unlink()
    restic("backup", "tree")
    restic("forget", "--keep-last", "1", "--prune", node=1)
    restic("check", "--read-data")
    assert restic("snapshots", "--compact", node=-1).count("\n") > 0

harness.finish()
