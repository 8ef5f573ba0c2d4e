"""Objects to look at: a picture, texts, one in chunks, a page that would run if it could, and two writes of one key that
did not know of each other."""

import json
import struct
import urllib.request
import zlib

from harness import ADMIN_TOKEN, MIB, REST_ENDPOINTS, random_bytes

SCRIPT = "<script>window.top.pwned = true; document.title = 'pwned'</script><h1>page</h1>"


def rest(method, path, body=b"", **headers):
    """Asks the first node with the admin token; answers (JSON, headers)."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(REST_ENDPOINTS[0] + path, data=body if method != "GET" else None, method=method,
                                     headers={"Authorization": f"Bearer {ADMIN_TOKEN}", **names})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or b"{}"), answer.headers


def image():
    """A small picture: water, lighter above."""
    width, height = 320, 200
    rows = b"".join(
        b"\0" + b"".join(bytes((20 + (height - y) // 4, 70 + (height - y) // 2 + x // 16, 90 + (height - y) // 2)) for x in range(width))
        for y in range(height)
    )

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def put(bucket, key, body, kind, **headers):
    return rest("PUT", f"/v1/buckets/{bucket}/objects/{key}", body, Content_Type=kind, **headers)


def fill():
    """Everything that the tests look at."""
    rest("PUT", "/v1/buckets/photos")
    rest("PUT", "/v1/buckets/carts?conflict=siblings")
    put("photos", "sea/kelp.png", image(), "image/png")
    put("photos", "sea/notes.json", b'{"depth": 12, "species": ["Laminaria", "Saccharina"]}', "application/json")
    put("photos", "sea/tide%20table.csv", b"time,height\n06:10,1.2\n12:25,4.8\n", "text/csv")
    put("photos", "sea/page.html", SCRIPT.encode(), "text/html")
    put("photos", "sea/drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle cx="4" cy="4" r="4"/></svg>', "image/svg+xml")
    put("photos", "raw/tide.bin", random_bytes(20 * MIB), "application/octet-stream")
    for number in range(130):
        put("photos", f"many/file-{number:03}.txt", b"x", "text/plain")
    for cart in ("anna", "ben", "carl"):
        siblings("carts", f"{cart}.txt")


def siblings(bucket, key):
    """Two writes with one context."""
    _, headers = put(bucket, key, b"apples\npears\nbread\n", "text/plain")
    seen = {"Holdfast_Context": headers["Holdfast-Context"]}
    put(bucket, key, b"apples\npears\nbread\nmilk\n", "text/plain", **seen)
    put(bucket, key, b"apples\nplums\nbread\n", "text/plain", **seen)
