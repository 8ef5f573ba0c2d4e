"""One small disk for each host, in a sparse file: a disk of its own can be filled, and filling it hurts nobody else.

A bit that flips is put where the store keeps bodies (docs/format-store.md, "Segments"), never in a header or a row: what
a node does whose rows are damaged is another promise. All flips of a run are on one node, so other copies are whole.
"""

import os
import struct
from pathlib import Path

from hosts import sh

DISK_BYTES = 6 << 30
ALIGN = 4096
BODY_LENGTH_AT, HEADER_LENGTH_AT = 52, 28


class Disk:
    def __init__(self, hosts, dir, node):
        self.image = Path(dir) / f"disk-{node}.img"
        self.path = Path(dir) / f"disk-{node}"
        self.path.mkdir(parents=True)
        with open(self.image, "wb") as image:
            image.truncate(DISK_BYTES)
        sh("mkfs.ext4", "-q", "-E", "lazy_itable_init=1,lazy_journal_init=1", "-m", "0", self.image)
        hosts.mounted(self.path)
        sh("mount", "-o", "loop", self.image, self.path)
        self.data = self.path / "data"
        self.ballast = self.path / "ballast"

    def fill(self):
        """Leaves a few MiB: what the program still writes there (logs, journals) must find a little room."""
        stat = os.statvfs(self.path)
        with open(self.ballast, "wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, stat.f_bavail * stat.f_frsize - (64 << 20))

    def free(self):
        self.ballast.unlink(missing_ok=True)

    def flip(self, random, count):
        """Flips a bit in each of some bodies of chunks; returns where."""
        bodies = [body for segment in sorted((self.data / "store/segments").glob("*.seg")) for body in bodies_in(segment)]
        flipped = []
        for segment, start, length in random.sample(bodies, min(count, len(bodies))):
            at = start + random.randrange(length)
            with open(segment, "r+b") as file:
                file.seek(at)
                byte = file.read(1)
                file.seek(at)
                file.write(bytes([byte[0] ^ (1 << random.randrange(8))]))
                file.flush()
                os.fsync(file.fileno())
            flipped.append(f"{segment.name}@{at}")
        return flipped


def bodies_in(segment):
    """(file, offset, length) of every body in a segment."""
    size = segment.stat().st_size
    with open(segment, "rb") as file:
        at = ALIGN
        while at + ALIGN <= size:
            file.seek(at)
            header = file.read(80)
            if header[:4] != b"HFCK":
                at += ALIGN
                continue
            header_length, = struct.unpack_from("<I", header, HEADER_LENGTH_AT)
            body_length, = struct.unpack_from("<I", header, BODY_LENGTH_AT)
            if at + header_length + body_length <= size and body_length:
                yield segment, at + header_length, body_length
            at += -(-(header_length + body_length) // ALIGN) * ALIGN
