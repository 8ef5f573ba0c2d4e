"""The console in a real browser, before five real nodes under load: every task that it is there for, in two sizes and two
themes, one node killed in the middle and started again.

`cargo xtask console` starts the cluster and runs this; HOLDFAST_PICTURES=DIR keeps pictures of what was seen.
"""

import re
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "clients"))

import invented  # noqa: E402
import nodes  # noqa: E402
import objects  # noqa: E402
from browser import SIZES, SOURCES, browser, overflows, picture, sign_in, violations  # noqa: E402
from harness import ACCESS_KEY, MIB, REST_ENDPOINTS, SECRET_KEY, WORK, check, finish, random_bytes, s3_client  # noqa: E402
from load import load  # noqa: E402

URL = REST_ENDPOINTS[0]
VICTIM = 2
# The weight of everything the browser loads, and how long the first picture may take on loopback. Builders are busy: there
# the time has some room; docs/console.md has what an idle machine takes.
BYTES_MAX = 150 * 1024
FIRST_PICTURE_MS_MAX = 100 if nodes.os.environ.get("HOLDFAST_IDLE") else 1500

PAGES = {
    "ring": "/console/",
    "ring-table": "/console/?as=table",
    "buckets": "/console/buckets",
    "objects": "/console/buckets/photos?prefix=sea%2F",
    "object": "/console/buckets/photos/object?key=sea%2Fkelp.png",
    "nodes": "/console/nodes",
    "node": "/console/nodes/node-0",
    "conflicts": "/console/conflicts",
    "conflict": "/console/conflicts/carts?key=anna.txt",
    "activity": "/console/activity",
    "keys": "/console/keys",
}

# Two seconds of a moving picture, as the browser itself records it.
FILM = """async () => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 320, height: 180});
  const brush = canvas.getContext('2d');
  const recorder = new MediaRecorder(canvas.captureStream(20), {mimeType: 'video/webm;codecs=vp8'});
  const pieces = [];
  recorder.ondataavailable = (event) => pieces.push(event.data);
  const ended = new Promise((done) => { recorder.onstop = done; });
  recorder.start();
  for (let frame = 0; frame < 40; frame++) {
    brush.fillStyle = '#14505c'; brush.fillRect(0, 0, 320, 180);
    brush.fillStyle = '#7fd0c2'; brush.fillRect(8 * frame, 80, 30, 20);
    await new Promise((next) => setTimeout(next, 50));
  }
  recorder.stop();
  await ended;
  return [...new Uint8Array(await new Blob(pieces).arrayBuffer())];
}"""
PLAYED = """async (element) => {
  element.muted = true;
  await element.play();
  while (element.currentTime < 0.3) await new Promise((next) => setTimeout(next, 50));
}"""


def settled(page):
    """The page is there, and no skeleton in its place."""
    page.locator("main h1").first.wait_for()
    page.locator(".sentence p").filter(has_not_text="Asking").wait_for()
    page.wait_for_timeout(700)


def sentence(page, pattern, timeout=40_000):
    page.locator(".sentence p").filter(has_text=re.compile(pattern)).wait_for(timeout=timeout)
    return page.locator(".sentence p").inner_text()


def everywhere(opened, told):
    """All pages in both sizes and themes: legible to axe, and never wider than the window."""

    def looked_at(page, name):
        picture(page, f"{name}-{size}-{theme}")
        found = violations(page)
        assert not found, f"{name}: {found}"
        assert overflows(page) <= 0, f"{name} is {overflows(page)} px wider than its window"

    for size in SIZES:
        for theme in ("light", "dark"):
            with check(f"every page, {size} and {theme}, {told}: no violation of WCAG 2.2 AA, no sideways scrolling"):
                with opened.page(URL, size, theme) as page:
                    page.goto("/console/")
                    page.get_by_role("heading", name="Sign in").wait_for()
                    looked_at(page, "signin")
                    sign_in(page, ACCESS_KEY, SECRET_KEY)
                    for name, path in PAGES.items():
                        page.goto(path)
                        settled(page)
                        looked_at(page, name)
                    page.keyboard.press("Control+k")
                    page.get_by_role("combobox", name="Find").fill("photos/sea/")
                    page.get_by_role("option", name="photos/sea/kelp.png").wait_for()
                    looked_at(page, "palette")
                    opened.assert_no_complaints()


def signing_in(opened):
    with check("who is signed out is told how to get a key, and a wrong secret what to do"):
        with opened.page(URL) as page:
            page.goto("/console/keys")
            page.get_by_text("holdfast key create my-name").wait_for()
            assert not violations(page), violations(page)
            page.get_by_label("Access key ID").fill(ACCESS_KEY)
            page.get_by_label("Secret access key").fill("wrong")
            page.get_by_role("button", name="Sign in").click()
            page.get_by_text("no such key with this secret").wait_for()
            page.get_by_label("Secret access key").fill(SECRET_KEY)
            page.keyboard.press("Enter")
            # The address that was asked for is shown once one is in.
            page.get_by_role("heading", name="Keys").wait_for()
            cookie = page.context.cookies()[0]
            assert cookie["httpOnly"] and cookie["sameSite"] == "Strict", cookie
            assert 0 < cookie["expires"] - time.time() <= 15 * 60, cookie
    with check("signing out ends the session on the server, for a kept cookie as well, on other nodes too"):
        with opened.page(URL) as page:
            sign_in(page, ACCESS_KEY, SECRET_KEY)
            cookie = page.context.cookies()[0]["value"]
            assert status("/v1/buckets", cookie) == 200
            assert status("/v1/buckets", cookie, node=1) == 200, "a session holds on every node"
            page.get_by_role("button", name="Sign out").click()
            page.get_by_role("heading", name="Sign in").wait_for()
            assert status("/v1/buckets", cookie) == 401
            time.sleep(0.5)
            assert status("/v1/buckets", cookie, node=1) == 401, "the other node heard of it"
    with check("a cookie is worth nothing to another page"):
        with opened.page(URL) as page:
            sign_in(page, ACCESS_KEY, SECRET_KEY)
            cookie = page.context.cookies()[0]["value"]
            assert status("/v1/buckets", cookie, header=False) == 403
            assert status("/v1/buckets", cookie, Origin="http://127.0.0.1:8080") == 403
            assert status("/v1/buckets", cookie, Sec_Fetch_Site="same-site") == 403
            assert status("/v1/buckets", cookie[:-1] + ("0" if cookie[-1] != "0" else "1")) == 401


def status(path, cookie, node=0, header=True, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    names["Cookie"] = f"holdfast_session={cookie}"
    if header:
        names["Holdfast-Console"] = "1"
    try:
        with urllib.request.urlopen(urllib.request.Request(REST_ENDPOINTS[node] + path, headers=names), timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def weight(opened):
    with check(f"the first picture comes within {FIRST_PICTURE_MS_MAX} ms, and all of it weighs less than 150 KiB"):
        with opened.page(URL) as page:
            sizes = {}
            page.on("response", lambda answer: sizes.update({answer.url: answer}) if "/console/" in answer.url else None)
            sign_in(page, ACCESS_KEY, SECRET_KEY)
            for path in PAGES.values():
                page.goto(path)
                settled(page)
            for answer in [] if SOURCES else sizes.values():
                policy = answer.headers.get("content-security-policy", "")
                assert "/console/session" in answer.url or "default-src 'none'" in policy, answer.url
                assert "immutable" in answer.headers.get("cache-control", "") or "/assets/" not in answer.url
            bytes_in_all = SOURCES and 1 or sum(int(answer.headers["content-length"]) for url, answer in sizes.items() if "/assets/" in url)
            page.goto("/console/")
            settled(page)
            paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            print(f"     first picture {paint:.0f} ms, {bytes_in_all / 1024:.1f} KiB of scripts and styles")
            assert 0 < paint <= FIRST_PICTURE_MS_MAX, paint
            assert 0 < bytes_in_all < BYTES_MAX, bytes_in_all


def ring(opened):
    with check("the ring lights requests of all nodes, and nothing moves for who asked for less motion"):
        with opened.page(URL) as page:
            sign_in(page, ACCESS_KEY, SECRET_KEY)
            page.locator(".light").first.wait_for(state="attached")
            page.locator(".requests li").nth(5).wait_for()
            assert page.locator(".ring .node").count() == len(REST_ENDPOINTS)
            opened.assert_no_complaints()
        with opened.page(URL, motion="reduce") as page:
            sign_in(page, ACCESS_KEY, SECRET_KEY)
            page.locator(".requests li").nth(5).wait_for()
            assert page.locator(".light").count() == 0
    with check("a node's partitions light by mouse and by keyboard; a key shows its place, homes and clocks, and keeps its address"):
        with opened.page(URL) as page:
            sign_in(page, ACCESS_KEY, SECRET_KEY)
            page.locator(".ring .node").first.focus()
            page.locator(".ring .first").wait_for(state="attached")
            page.get_by_text("is a home of").wait_for()
            page.get_by_label("Bucket").select_option("photos")
            page.get_by_label("Key", exact=True).fill("sea/kelp.png")
            page.get_by_text("home 3").wait_for()
            assert page.locator(".place .mono").count() >= 2
            assert page.locator(".ring .key-mark").count() == 1
            page.reload()
            page.get_by_text("home 3").wait_for()
            picture(page, "ring-key-wide-light")
            opened.assert_no_complaints()


def few_and_many(opened):
    for count in (3, 100):
        with check(f"the ring of {count} nodes is legible: no two names over each other, those that matter always named"):
            with opened.page(URL, theme="dark") as page:
                invented.serve(page, count)
                sign_in(page, ACCESS_KEY, SECRET_KEY)
                page.locator(".ring .node.down").wait_for()
                names = page.locator(".ring .node > text:visible")
                told = " ".join(names.all_text_contents())
                for name in ("node-1", "node-2"):
                    assert name in told, told
                boxes = [names.nth(index).bounding_box() for index in range(names.count())]
                for index, one in enumerate(boxes):
                    for other in boxes[index + 1:]:
                        apart = (one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
                                 or one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"])
                        assert apart, (one, other)
                page.locator(".ring .node").nth(count - 1).focus()
                page.get_by_text("is a home of").wait_for()
                page.wait_for_timeout(300)
                picture(page, f"ring-of-{count}")
                assert not violations(page), violations(page)
                assert overflows(page) <= 0
                opened.complaints.clear()  # The invented stream ends, and is asked for again.


def buckets_and_objects(opened):
    with check("a bucket is made and deleted, its name typed first"):
        with opened.page(URL) as page:
            sign_in(page, ACCESS_KEY, SECRET_KEY)
            page.goto("/console/buckets")
            page.get_by_role("button", name="New bucket").click()
            page.get_by_label("Name", exact=True).fill("trial")
            page.get_by_role("button", name="Create").click()
            page.get_by_role("link", name="trial", exact=True).click()
            page.get_by_text("Nothing is in this bucket yet").wait_for()
            page.go_back()
            page.get_by_role("button", name="Delete trial").click()
            button = page.get_by_role("button", name="Delete trial", exact=True).first
            assert button.is_disabled()
            page.get_by_label("Type trial to go on").fill("trial")
            page.locator(".confirm").get_by_role("button", name="Delete trial").click()
            page.get_by_text("is deleted").first.wait_for()
            opened.assert_no_complaints()
    with check("prefixes, pages and back work by address"):
        with opened.page(URL) as page:
            sign_in(page, ACCESS_KEY, SECRET_KEY)
            page.goto("/console/buckets/photos")
            page.get_by_role("link", name="many/").click()
            page.get_by_role("link", name="file-000.txt").wait_for()
            page.get_by_role("link", name="Next page").click()
            page.get_by_role("link", name="file-129.txt").wait_for()
            page.go_back()
            page.get_by_role("link", name="file-000.txt").wait_for()
            page.get_by_label("Keys that begin with").fill("many/file-07")
            page.get_by_role("link", name="file-079.txt").wait_for()
            page.get_by_role("link", name="file-000.txt").wait_for(state="detached")
            page.reload()
            page.get_by_role("link", name="file-079.txt").wait_for()
            opened.assert_no_complaints()
    uploads(opened)
    with check("several are deleted, their number in the button and typed"):
        with opened.page(URL) as page:
            sign_in(page, ACCESS_KEY, SECRET_KEY)
            page.goto("/console/buckets/photos?prefix=many%2Ffile-12")
            for number in range(120, 123):
                page.get_by_label(f"Choose many/file-{number}.txt").check()
            page.get_by_role("button", name="Delete 3 objects").click()
            page.get_by_label("Type 3 to go on").fill("3")
            page.locator(".confirm").get_by_role("button", name="Delete 3 objects").click()
            page.get_by_text("3 objects are deleted").first.wait_for()
            page.get_by_role("link", name="file-120.txt").wait_for(state="detached")
            assert page.get_by_role("link", name="file-123.txt").count() == 1
            opened.assert_no_complaints()


def uploads(opened):
    large = random_bytes(40 * MIB, seed="console")
    (WORK / "large.bin").write_bytes(large)
    (WORK / "small.txt").write_text("small")
    with check("files go up, a large one in parts, paused and gone on with, and arrive bit by bit"):
        with opened.page(URL) as page:
            sign_in(page, ACCESS_KEY, SECRET_KEY)
            page.goto("/console/buckets/photos?prefix=up%2F")
            settled(page)
            # Slow enough to be caught in the middle.
            slow = page.context.new_cdp_session(page)
            slow.send("Network.enable")
            slow.send("Network.emulateNetworkConditions", {"offline": False, "latency": 5, "downloadThroughput": -1, "uploadThroughput": 6 * MIB})
            page.locator("input[type=file]").first.set_input_files([str(WORK / "large.bin"), str(WORK / "small.txt")])
            row = page.locator(".transfers li").filter(has_text="large.bin")
            row.get_by_text(re.compile(r"[1-9][\d.]* MiB of 40")).wait_for()
            row.get_by_role("button", name="Pause").click()
            row.get_by_text("paused at").wait_for()
            picture(page, "upload-wide-light")
            slow.send("Network.emulateNetworkConditions", {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1})
            row.get_by_role("button", name="Go on").click()
            page.get_by_text("2 of 2 uploaded").wait_for(timeout=60_000)
            page.get_by_role("link", name="large.bin").wait_for()
        stored = s3_client().get_object(Bucket="photos", Key="up/large.bin")
        assert stored["Body"].read() == large
        assert stored["ETag"].strip('"').endswith("-5"), stored["ETag"]
    with check("files are dropped on the page, and a failure says what to do and is tried again"):
        with opened.page(URL) as page:
            sign_in(page, ACCESS_KEY, SECRET_KEY)
            page.goto("/console/buckets/photos?prefix=drop%2F")
            settled(page)
            refused = {"status": 507, "json": {"message": "a node has no space left for this key", "what_to_do": "delete objects or add capacity", "state_changed": False}}
            page.route("**/objects/drop/dropped.txt", lambda route: route.fulfill(**refused))
            transfer = page.evaluate_handle(
                "() => { const data = new DataTransfer(); data.items.add(new File(['dropped'], 'dropped.txt', {type: 'text/plain'})); return data; }")
            page.dispatch_event("main", "drop", {"dataTransfer": transfer})
            page.get_by_text("Delete objects or add capacity").wait_for()
            page.unroute("**/objects/drop/dropped.txt")
            page.locator(".transfers").get_by_role("button", name="Try again").click()
            page.get_by_role("link", name="dropped.txt").wait_for()
            opened.complaints.clear()  # The failure that was asked for.


def an_object(opened):
    with check("an object shows what it is, its replicas and clocks, and its chunks"):
        with opened.page(URL) as page:
            sign_in(page, ACCESS_KEY, SECRET_KEY)
            page.goto(PAGES["object"])
            assert page.locator(".preview img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 320
            rows = page.get_by_role("region", name="Replicas").locator("tbody tr")
            assert rows.count() == 3
            assert page.get_by_text("has all").count() >= 2
            page.goto("/console/buckets/photos/object?key=raw%2Ftide.bin")
            page.get_by_text("5 chunks in 1 part").wait_for()
            page.goto("/console/buckets/photos/object?key=sea%2Fnotes.json")
            page.get_by_text('"Laminaria"').wait_for()
            opened.assert_no_complaints()
    with check("a sound and a film play, and nothing in them runs; a document waits until somebody wants to see it"):
        with opened.page(URL) as page:
            sign_in(page, ACCESS_KEY, SECRET_KEY)
            dialogs = []
            page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
            objects.put("photos", "sea/surf.webm", bytes(page.evaluate(FILM)), "video/webm")
            for key, element in [("bell.wav", "audio"), ("surf.webm", "video")]:
                page.goto(f"/console/buckets/photos/object?key=sea%2F{key}")
                page.locator(f".preview {element}").evaluate(PLAYED)
                picture(page, f"{element}-wide-light")
            page.goto("/console/buckets/photos/object?key=sea%2Ftide.pdf")
            settled(page)
            assert not dialogs, f"a document said: {dialogs}"
            page.get_by_role("button", name="Show the document").click()
            page.locator(".preview iframe").wait_for()
            page.wait_for_timeout(1500)
            picture(page, "document-wide-light")
            assert page.evaluate("window.pwned") is None and "pwned" not in page.title()
            for key, begins in [("bell.wav", "sandbox;"), ("surf.webm", "sandbox;"), ("tide.pdf", "default-src 'none';")]:
                headers = page.request.get(f"/console/preview/photos/sea/{key}").headers
                assert headers["content-security-policy"].startswith(begins) and "script" not in headers["content-security-policy"], headers
                assert (headers["x-content-type-options"], headers["content-disposition"]) == ("nosniff", "inline"), headers
            opened.assert_no_complaints()
    with check("a page that says it is a document, a film, a sound or a picture does not run either"):
        with opened.page(URL) as page:
            sign_in(page, ACCESS_KEY, SECRET_KEY)
            for name in ("pdf", "webm", "wav", "png"):
                page.goto(f"/console/buckets/photos/object?key=false%2F{name}")
                settled(page)
                assert page.evaluate("window.pwned") is None and "pwned" not in page.title(), name
            opened.complaints.clear()  # A browser may say that it cannot show them.
    with check("a link is made that reads the object, and commands to copy"):
        with opened.page(URL) as page:
            sign_in(page, ACCESS_KEY, SECRET_KEY)
            page.goto("/console/buckets/photos/object?key=sea%2Ftide%20table.csv")
            page.get_by_role("button", name="Make a link").click()
            link = page.locator(".command code").filter(has_text="X-Amz-Signature").inner_text()
            with urllib.request.urlopen(link, timeout=10) as answer:
                assert answer.read().startswith(b"time,height")
            page.get_by_role("button", name="aws", exact=True).click()
            page.get_by_text("s3 cp 's3://photos/sea/tide table.csv'").wait_for()
            opened.assert_no_complaints()
    with check("what somebody stored runs nowhere: pages come as downloads, pictures in a sandbox"):
        with opened.page(URL) as page:
            sign_in(page, ACCESS_KEY, SECRET_KEY)
            page.goto("/console/buckets/photos/object?key=sea%2Fpage.html")
            page.locator(".preview pre").filter(has_text="<script>").wait_for()
            assert page.evaluate("window.pwned") is None and "pwned" not in page.title()
            for key, kind, disposition in [("page.html", "application/octet-stream", "attachment"), ("drawing.svg", "image/svg+xml", "inline")]:
                answer = page.request.get(f"/console/preview/photos/sea/{key}")
                headers = answer.headers
                assert headers["content-security-policy"].startswith("sandbox"), headers
                assert (headers["content-type"], headers["content-disposition"]) == (kind, disposition), headers
                assert headers["x-content-type-options"] == "nosniff"
            assert page.request.get("/v1/buckets/photos/objects/sea/page.html").status == 403, "not by address"
            opened.assert_no_complaints()


def conflicts(opened):
    def decide(key):
        page.goto("/console/conflicts")
        page.get_by_role("link", name=f"carts/{key}").click()
        page.get_by_text("What differs").wait_for()

    with check("conflicts are found and decided: one kept, both kept, a merge written"):
        with opened.page(URL) as page:
            sign_in(page, ACCESS_KEY, SECRET_KEY)
            decide("anna.txt")
            assert page.locator(".diff del").count() == 2 and page.locator(".diff ins").count() == 1
            page.get_by_role("button", name="Keep this one").nth(1).click()
            page.get_by_text("has one version again").first.wait_for()
            decide("ben.txt")
            page.get_by_role("button", name="Keep 2 versions").click()
            page.get_by_role("link", name="ben-2.txt").wait_for()
            decide("carl.txt")
            page.get_by_label("What they make together").fill("apples\nplums\nbread\nmilk\n")
            page.get_by_role("button", name="Write it").click()
            page.get_by_text("is what you made of it").first.wait_for()
            opened.assert_no_complaints()
        read = lambda key: s3_client().get_object(Bucket="carts", Key=key)["Body"].read().decode().split()
        assert read("anna.txt") == ["apples", "pears", "bread", "milk"], read("anna.txt")
        assert sorted([read("ben-1.txt")[-1], read("ben-2.txt")[-1]]) == ["bread", "milk"]
        assert read("carl.txt") == ["apples", "plums", "bread", "milk"]
        told, _ = objects.rest("GET", "/v1/buckets/carts/objects/")
        assert [one["siblings"] for one in told["objects"]] == [1] * 4, told["objects"]


def keys(opened):
    with check("a key is made, its secret shown once; turned off and on again; its session ends with it; deleted by name"):
        with opened.page(URL) as page:
            sign_in(page, ACCESS_KEY, SECRET_KEY)
            page.goto("/console/keys")
            page.get_by_label("Name of the new key").fill("camera")
            page.get_by_role("button", name="New key").click()
            shown = page.locator(".command code").filter(has_text="AWS_SECRET").inner_text()
            key, secret = re.findall(r"=(\S+)", shown)
            with opened.page(URL) as other:
                sign_in(other, key, secret)
                other.goto("/console/keys")
                other.get_by_text("Only the root key").wait_for()
                page.get_by_role("button", name="Turn off camera").click()
                page.get_by_text("camera is turned off").first.wait_for()
                other.goto("/console/buckets")
                other.get_by_role("heading", name="Sign in").wait_for()
            page.get_by_role("button", name="Undo").click()
            page.get_by_role("button", name="Turn off camera").wait_for()
            page.get_by_role("button", name="Delete camera").click()
            page.get_by_label("Type camera to go on").fill("camera")
            page.get_by_role("button", name="Delete the key").click()
            page.get_by_text("camera is deleted").first.wait_for()
            page.get_by_role("row").filter(has_text="camera").wait_for(state="detached")
            opened.assert_no_complaints()


def palette(opened):
    with check("everything is found by typing, without a mouse"):
        with opened.page(URL) as page:
            sign_in(page, ACCESS_KEY, SECRET_KEY)
            page.keyboard.press("Escape")
            page.locator("main").focus()
            page.keyboard.press("/")
            page.get_by_role("combobox", name="Find").fill("node-3")
            page.keyboard.press("Enter")
            page.get_by_role("heading", name="node-3").wait_for()
            page.keyboard.press("Control+k")
            page.get_by_role("combobox", name="Find").fill("photos/sea/ke")
            page.get_by_role("option", name="photos/sea/kelp.png").wait_for()
            assert not violations(page), violations(page)
            page.keyboard.press("ArrowDown")
            page.keyboard.press("Enter")
            page.get_by_role("heading", name="kelp.png").wait_for()
            opened.assert_no_complaints()


def a_node_dies(opened):
    with opened.page(URL) as page:
        sign_in(page, ACCESS_KEY, SECRET_KEY)
        with check("all is well at first, and the sentence says so"):
            sentence(page, "All 5 nodes up")
        nodes.kill(VICTIM)
        with check("a killed node is told by name, with the writes that wait for it and on whom; its arc is hollow"):
            told = sentence(page, r"node-2 (was lost just now|is down for \d+ s)\. Nothing is lost: [\d,]+ writes wait for it on node-")
            print(f"     “{told}”")
            page.locator(".ring .node.down").wait_for()
            page.locator(".ring .bead").nth(2).wait_for()
            page.locator(".ring .held-word").filter(has_text="holds").first.wait_for()
            opened.assert_no_complaints()
    everywhere(opened, "one node down, under load")
    with opened.page(URL, theme="dark") as page:
        sign_in(page, ACCESS_KEY, SECRET_KEY)
        page.locator(".ring .node.down").wait_for()
        nodes.start(VICTIM)
        with check("it returns, what waited travels home, and all is well again"):
            # Nothing is left to wait for once the load has hands free.
            sentence(page, r"All 5 nodes up\. No write waits", timeout=90_000)
            assert page.locator(".ring .node.down").count() == 0
            page.goto("/console/activity")
            page.get_by_role("button", name="Nodes", exact=True).click()
            page.locator(".events").get_by_text("is up, was").first.wait_for()
            page.locator(".events").get_by_text("is down").first.wait_for()
            page.get_by_role("button", name="Waiting writes").click()
            page.locator(".events").get_by_text("brought").first.wait_for()
            opened.assert_no_complaints()
        with check("a page says when its own node is gone, and goes on when it is back"):
            page.goto("/console/nodes")
            settled(page)
            page.route("**/v1/cluster/stream", lambda route: route.abort())
            page.reload()
            page.locator(".sentence p").filter(has_text="does not answer").wait_for()
            page.unroute("**/v1/cluster/stream")
            sentence(page, "All 5 nodes up", timeout=30_000)
            opened.complaints.clear()  # The failures that were asked for.


objects.fill()
with browser() as opened, load([node for node in range(len(REST_ENDPOINTS)) if node != VICTIM]):
    signing_in(opened)
    weight(opened)
    ring(opened)
    few_and_many(opened)
    buckets_and_objects(opened)
    an_object(opened)
    a_node_dies(opened)
    conflicts(opened)
    keys(opened)
    palette(opened)
finish()
