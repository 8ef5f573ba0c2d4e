"""More than a node can take: connections, bodies that never end, readers that do not read, a member that stands still.

What every client must see is an answer: what it asked for, or 503 SlowDown with Retry-After. What every node must keep
is its memory. And what was acknowledged meanwhile must be there afterwards, through every node.

The nodes run with few connections and little memory for bodies, so that a laptop can flood them.
"""

import os
import re
import signal
import socket
import ssl
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import harness
from harness import MIB, REST_ENDPOINTS, S3_ENDPOINTS, check, md5, random_bytes, s3_client

BUCKET = "overload"
PIDS = [int(pid) for pid in os.environ["HOLDFAST_PIDS"].split(",")]
# As the nodes were told, see SETTINGS in xtask/src/clients.rs.
CONNECTIONS_MAX = 64
# Bodies take 32 MiB, what is kept for a slow member 128 MiB, what waits to be sent to it 80 MiB; the store and the program
# have the rest. Without the bounds a frozen member alone would cost what clients write in ten seconds.
RESIDENT_MIB_MAX = 480
SETTLE_S_MAX = 90
FLOOD_S = 20
WRITERS = 40


def status_mib(pid, field):
    status = open(f"/proc/{pid}/status").read()
    return int(status.split(f"{field}:")[1].split()[0]) / 1024


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def connect(endpoint, timeout=15):
    url = urlsplit(endpoint)
    stream = socket.create_connection((url.hostname, url.port), timeout=timeout)
    if url.scheme == "https":
        stream = ssl.create_default_context(cafile=harness.CA_FILE).wrap_socket(stream, server_hostname=url.hostname)
    return stream


def answer_of(stream):
    """Status, headers and what there is of the body, up to the end of the connection or of the patience."""
    received = b""
    try:
        while b"</Error>" not in received and (piece := stream.recv(65536)):
            received += piece
    except (TimeoutError, ConnectionResetError):
        pass
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode(errors="replace").split("\r\n")
    status = re.match(r"HTTP/1\.1 (\d+)", lines[0])
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    return int(status[1]) if status else None, headers, body.decode(errors="replace")


def is_slow_down(answer):
    status, headers, body = answer
    return status == 503 and "<Code>SlowDown</Code>" in body and headers.get("retry-after", "").isdigit()


def request_line(method, link, *headers):
    url = urlsplit(link)
    lines = [f"{method} {url.path}?{url.query} HTTP/1.1", f"host: {url.netloc}", *headers, "", ""]
    return "\r\n".join(lines).encode()


def slow_body(node, index, stop):
    """Announces 8 MiB, sends a tenth of one, then a byte now and then, for as long as it is let."""
    link = clients[node].generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": f"slow/{index}"}, ExpiresIn=900)
    with connect(S3_ENDPOINTS[node]) as stream:
        stream.sendall(request_line("PUT", link, f"content-length: {8 * MIB}"))
        stream.sendall(bytes(100_000))
        stream.settimeout(1)
        while not stop.is_set():
            try:
                # Something came: the verdict, or the end.
                if stream.recv(1, socket.MSG_PEEK):
                    stream.settimeout(5)
                    return answer_of(stream)
                return None, {}, ""
            except TimeoutError:
                stream.sendall(b"x")
            except OSError as error:
                return None, {}, str(error)
        return "let", {}, ""


def flood(name, node, stop, acknowledged, refused, broken):
    """Puts 1 MiB objects as fast as it can, without retries: a refusal must be SlowDown, and nothing may just break."""
    from botocore.exceptions import ClientError

    number = 0
    while not stop.is_set():
        number += 1
        key = f"{name}/{number}"
        body = random_bytes(MIB, key)
        try:
            clients[node].put_object(Bucket=BUCKET, Key=key, Body=body)
            acknowledged[key] = md5(body)
        except ClientError as error:
            response = error.response
            said = (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"])
            headers = response["ResponseMetadata"]["HTTPHeaders"]
            if said[1] == 503 and headers.get("retry-after", "").isdigit():
                refused.append(said[0])
            else:
                broken.append(f"{key}: {said} {headers}")
            time.sleep(0.2)
        except Exception as error:  # no answer at all
            broken.append(f"{key}: {type(error).__name__}: {error}")
            time.sleep(0.2)


def retried(call, within_s=SETTLE_S_MAX):
    """What a client with retries sees: an answer, if one comes within the time."""
    end = time.monotonic() + within_s
    while True:
        try:
            return call()
        except Exception:
            if time.monotonic() > end:
                raise
            time.sleep(1)


clients = [s3_client(endpoint, max_pool_connections=60) for endpoint in S3_ENDPOINTS]
clients[0].create_bucket(Bucket=BUCKET)
clients[0].put_object(Bucket=BUCKET, Key="large", Body=random_bytes(16 * MIB, "large"))
victim = len(PIDS) - 1
files_before = [open_files(pid) for pid in PIDS]

with check("connections beyond the bound hear 503 SlowDown with Retry-After, and files stay bounded"):
    held, turned_away = [], 0
    for _ in range(4 * CONNECTIONS_MAX):
        stream = connect(S3_ENDPOINTS[0], timeout=0.5)
        answer = answer_of(stream) if len(held) >= CONNECTIONS_MAX // 2 else (None, {}, "")
        if answer[0] is None:
            held.append(stream)
        else:
            assert is_slow_down(answer), answer
            turned_away += 1
            stream.close()
    assert len(held) <= CONNECTIONS_MAX, len(held)
    assert turned_away >= 3 * CONNECTIONS_MAX, turned_away
    files = open_files(PIDS[0])
    print(f"             {len(held)} connections were let in, {turned_away} turned away; {files} files open, {files_before[0]} before")
    assert files < files_before[0] + 2 * CONNECTIONS_MAX, files

with check("meanwhile REST answers: health, metrics"):
    for page in ("/health/live", "/metrics"):
        context = ssl.create_default_context(cafile=harness.CA_FILE) if harness.CA_FILE else None
        with urllib.request.urlopen(REST_ENDPOINTS[0] + page, timeout=10, context=context) as response:
            text = response.read().decode()
            assert response.status == 200
    count = re.search(r'holdfast_connections_turned_away_total\{front_end="S3"\} (\d+)', text)
    assert count and int(count[1]) >= turned_away, text[:2000]

with check("once they are gone, there is room again"):
    for stream in held:
        stream.close()
    retried(lambda: clients[0].head_object(Bucket=BUCKET, Key="large"), 10)

with check("clients that do not read what they asked for fill no memory; who is too many hears 503 SlowDown"):
    link = clients[0].generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "large"}, ExpiresIn=900)
    readers = []
    for _ in range(40):
        stream = connect(S3_ENDPOINTS[0])
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        stream.sendall(request_line("GET", link))
        readers.append(stream)
    time.sleep(7)
    heads = []
    for stream in readers:
        stream.settimeout(5)
        heads.append(stream.recv(4096).split(b"\r\n", 1)[0])
    served, refused = sum(b" 200 " in head for head in heads), sum(b" 503 " in head for head in heads)
    print(f"             {served} are served, {refused} hear 503; node 0 has {status_mib(PIDS[0], 'VmRSS'):.0f} MiB")
    assert served + refused == len(readers) and refused > 0 and served > 0, heads
    for stream in readers:
        stream.close()
    body = retried(lambda: clients[0].get_object(Bucket=BUCKET, Key="large")["Body"].read(), 30)
    assert body == random_bytes(16 * MIB, "large")

acknowledged, refused, broken, slow_ends = {}, [], [], []
with check(f"{WRITERS} clients put 1 MiB objects past bodies that never end and a frozen member: answers or SlowDown, nothing else"):
    stop, stop_slow = threading.Event(), threading.Event()
    with ThreadPoolExecutor(WRITERS + 16) as pool:
        slow = [pool.submit(slow_body, 0, index, stop_slow) for index in range(8)]
        time.sleep(1)
        os.kill(PIDS[victim], signal.SIGSTOP)
        try:
            running = [pool.submit(flood, f"w{index}", index % victim, stop, acknowledged, refused, broken) for index in range(WRITERS)]
            time.sleep(FLOOD_S)
        finally:
            stop.set()
            os.kill(PIDS[victim], signal.SIGCONT)
        for one in running:
            one.result()
        stop_slow.set()
        slow_ends = [one.result() for one in slow]
    kinds = {kind: refused.count(kind) for kind in sorted(set(refused))}
    print(f"             {len(acknowledged)} acknowledged, refused {kinds}, broken {len(broken)}")
    assert not broken, broken[:3]
    assert len(acknowledged) > WRITERS, len(acknowledged)

with check("bodies that never end are told to go once others wait for their room"):
    told = sum(is_slow_down(end) for end in slow_ends)
    print(f"             {told} of {len(slow_ends)} slow bodies heard 503 SlowDown, {sum(end[0] == 'let' for end in slow_ends)} were let")
    assert all(end[0] in ("let", 503) for end in slow_ends), slow_ends
    assert told >= len(slow_ends) - 3, slow_ends

with check(f"no node has ever had more than {RESIDENT_MIB_MAX} MiB"):
    peaks = [status_mib(pid, "VmHWM") for pid in PIDS]
    print(f"             peaks: {', '.join(f'{peak:.0f} MiB' for peak in peaks)}")
    assert max(peaks) < RESIDENT_MIB_MAX, peaks

with check("after the flood each node takes and gives at once"):
    for node, client in enumerate(clients):
        retried(lambda: client.put_object(Bucket=BUCKET, Key=f"after/{node}", Body=b"x" * MIB))
    for client in clients:
        for node in range(len(clients)):
            assert len(client.get_object(Bucket=BUCKET, Key=f"after/{node}")["Body"].read()) == MIB

with check("everything acknowledged is there, whole, through every node"):
    def read_back(item):
        (key, digest), node = item
        return key, node, md5(retried(lambda: clients[node].get_object(Bucket=BUCKET, Key=key)["Body"].read())) == digest

    with ThreadPoolExecutor(12) as pool:
        items = [(pair, node) for pair in acknowledged.items() for node in range(len(clients))]
        wrong = [(key, node) for key, node, right in pool.map(read_back, items) if not right]
    assert not wrong, wrong[:5]

with check("files and connections were given back"):
    for client in clients:
        client.close()
    end = time.monotonic() + 30
    while any(open_files(pid) > before + 40 for pid, before in zip(PIDS, files_before)) and time.monotonic() < end:
        time.sleep(0.5)
    files = [open_files(pid) for pid in PIDS]
    print(f"             files open: {files}, before {files_before}")
    assert all(now <= before + 40 for now, before in zip(files, files_before)), (files, files_before)

harness.finish()
