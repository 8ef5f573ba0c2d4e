"""Objects to look at: a picture, texts, a sound, a document, one in chunks, a page that would run if it could, also where it says that it
is something else, and two writes of one key that did not know of each other."""

import json
import math
import struct
import urllib.request
import zlib

from harness import ADMIN_TOKEN, MIB, REST_ENDPOINTS, random_bytes

SOUND_S = 2
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


def sound():
    """A low tone."""
    rate = 8000
    samples = b"".join(struct.pack("<h", int(9000 * math.sin(math.tau * 220 * at / rate))) for at in range(SOUND_S * rate))
    about = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
    chunks = b"fmt " + struct.pack("<I", len(about)) + about + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def document():
    """One page, with a script that a viewer is asked to run when it opens it."""
    text = b"BT /F1 36 Tf 60 700 Td (Tide table) Tj ET"
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R /OpenAction << /S /JavaScript /JS (app.alert\\('pwned'\\)) >> >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    told, places = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(told))
        told += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return told + b"xref\n0 6\n0000000000 65535 f \n%strailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (table, len(told))


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
    put("photos", "sea/bell.wav", sound(), "audio/wav")
    put("photos", "sea/tide.pdf", document(), "application/pdf")
    for kind in ("application/pdf", "video/webm", "audio/wav", "image/png"):
        put("photos", f"false/{kind.split('/')[1]}", SCRIPT.encode(), kind)
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
