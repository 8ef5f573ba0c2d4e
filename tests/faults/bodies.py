"""Bodies that say what they are: writer, key, sequence number and length in every block, and a checksum at the end.

So whoever reads one knows without any log whether it is whole, and if it is not, whose block lies where.
"""

import hashlib

BLOCK = 4096
SIZE_MIN = 256
CHECKSUM = 64


def make(writer, key, seq, size):
    size = max(size, SIZE_MIN)
    line = f"{writer}|{key}|{seq}|{size}|".encode()
    fill = line * (BLOCK // len(line) + 1)
    blocks = [f"{index:08x}".encode() + fill[: BLOCK - 8] for index in range(size // BLOCK + 1)]
    content = b"".join(blocks)[: size - CHECKSUM]
    return content + hashlib.sha256(content).hexdigest().encode()


def parse(body, key):
    """(sequence number, what is wrong or None)."""
    try:
        writer, in_key, seq, size = body[8:SIZE_MIN].split(b"|")[:4]
        expected = make(writer.decode(), in_key.decode(), int(seq), int(size))
    except ValueError:
        return None, f"{len(body)} bytes that nobody wrote, beginning with {body[:60]!r}"
    if in_key.decode() != key:
        return int(seq), f"the body of another key, {in_key.decode()}"
    if body == expected:
        return int(seq), None
    if len(body) != len(expected):
        return int(seq), f"{len(body)} bytes of {len(expected)}"
    at = next(index for index in range(0, len(body), BLOCK) if body[index : index + BLOCK] != expected[index : index + BLOCK])
    return int(seq), f"differs in the block at {at}: {body[at : at + 80]!r}"


def writer_of(body):
    return body[8:SIZE_MIN].split(b"|")[0].decode(errors="replace")
