"""A bucket and file service after Amazon's Dynamo, over REST: what each answer tells, and what is taken while nodes are away.

Every answer is JSON and says whether it succeeded, which node did it, where the key lives, who has it, whose clock says what, who was
down, and who stood in. Five nodes, three homes for each key, reads from two, writes to two.
"""

import sys

sys.path.insert(0, __file__.rsplit("/", 2)[0] + "/clients")

import threading  # noqa: E402
import time  # noqa: E402
from functools import partial  # noqa: E402

import harness  # noqa: E402
import nodes  # noqa: E402
from gateway import Gateway, KilledInTheMiddle  # noqa: E402
from harness import MIB, REST_ENDPOINTS, check, random_bytes  # noqa: E402
from rest import Rest  # noqa: E402

NODES = range(len(REST_ENDPOINTS))
api = [Rest(endpoint) for endpoint in REST_ENDPOINTS]


def number(node):
    return int(node["name"].rsplit("-", 1)[1])


def numbers(told):
    return sorted(number(node) for node in told)


with check("a bucket is created, with three homes, two reads, two writes"):
    made = api[0].json("PUT", "/v1/buckets/files", expect=201)
    assert made["status"] == "success" and (made["n"], made["r"], made["w"]) == (3, 2, 2), made

with check("a file is uploaded as a form; the answer tells all there is to tell"):
    told = api[1].form("/v1/buckets/files/objects", "report.txt", b"first")
    assert told["status"] == "success" and told["key"] == "report.txt", told
    homes = numbers(told["preference_list"])
    assert len(homes) == 3 and number(told["node"]) in homes, told
    assert set(numbers(told["replicas_written"])) | set(numbers(told["pending"])) == set(homes), told
    assert told["down"] == [] and told["hinted"] == [], told
    assert len(told["clocks"]) >= 2 and all(clock["clock"] for clock in told["clocks"]), told

with check("it is read, and updated, through any node; the version vectors grow"):
    for node in NODES:
        assert api[node].bytes("GET", "/v1/buckets/files/objects/report.txt") == b"first"
    before = api[0].json("GET", "/v1/buckets/files/meta/report.txt")
    updated = api[2].json("PUT", "/v1/buckets/files/objects/report.txt?wait=all", b"second")
    assert numbers(updated["replicas_written"]) == homes, updated
    after = api[0].json("GET", "/v1/buckets/files/meta/report.txt")
    assert after["versions"][0]["dot"] != before["versions"][0]["dot"], (before, after)
    assert api[4].bytes("GET", "/v1/buckets/files/objects/report.txt") == b"second"

with check("versions written side by side are both kept, until somebody who saw both writes"):
    api[0].json("POST", "/v1/buckets", b'{"name": "carts", "conflict": "siblings"}', expect=201, type="application/json")
    seen = api[0].json("PUT", "/v1/buckets/carts/objects/anna", b"apples")["context"]
    for node, body in ((1, b"apples, pears"), (2, b"apples, plums")):
        api[node].json("PUT", "/v1/buckets/carts/objects/anna", body, context=seen)
    both, context = api[3].siblings("/v1/buckets/carts/objects/anna")
    bodies = {api[3].bytes("GET", f"/v1/buckets/carts/objects/anna?sibling={dot}") for dot in both}
    assert bodies == {b"apples, pears", b"apples, plums"}, bodies
    merged = api[4].json("PUT", "/v1/buckets/carts/objects/anna", b"apples, pears, plums", context=context)
    assert merged["siblings"] == 1, merged
    assert api[0].bytes("GET", "/v1/buckets/carts/objects/anna") == b"apples, pears, plums"

first, second = Gateway(0), Gateway(1)
with check("a gateway is killed in the middle of a form: nobody answers, and the file is what it was; the form sent again by another is taken"):
    film = random_bytes(16 * MIB, "film")
    first.api.json("PUT", "/v1/buckets/shop", expect=201)
    first.api.form("/v1/buckets/shop/objects", "film.mkv", b"the trailer")
    try:
        told = first.api.form("/v1/buckets/shop/objects", "film.mkv", film, sent_as=partial(KilledInTheMiddle, first))
        raise AssertionError(f"half a form was taken: {told}")
    except OSError:
        pass
    for node in NODES:
        assert api[node].bytes("GET", "/v1/buckets/shop/objects/film.mkv") == b"the trailer"
    told = second.api.form("/v1/buckets/shop/objects", "film.mkv", film)
    assert told["status"] == "success" and len(told["clocks"]) >= 2, told
    for node in NODES:
        assert api[node].bytes("GET", "/v1/buckets/shop/objects/film.mkv") == film

with check("a gateway is killed between what it told and what is made of it: the context holds anywhere, and both versions become one"):
    first.start()
    seen = first.api.json("PUT", "/v1/buckets/carts/objects/ben", b"bread")["context"]
    for door, body in ((first.api, b"bread, milk"), (second.api, b"bread, cheese")):
        door.json("PUT", "/v1/buckets/carts/objects/ben", body, context=seen)
    both, context = first.api.siblings("/v1/buckets/carts/objects/ben")
    assert len(both) == 2, both
    first.kill()
    merged = second.api.json("PUT", "/v1/buckets/carts/objects/ben", b"bread, milk, cheese", context=context)
    assert merged["siblings"] == 1, merged
    for node in NODES:
        assert api[node].bytes("GET", "/v1/buckets/carts/objects/ben") == b"bread, milk, cheese"

with check("a gateway is killed while orders come in: each that was answered is there, as the version that the answer named"):
    first.start()
    answers = {}
    threading.Timer(2, first.kill).start()
    try:
        while True:
            order = f"orders/{len(answers):05}"
            answers[order] = first.api.json("PUT", f"/v1/buckets/shop/objects/{order}", order.encode())
    except OSError:
        unanswered = order
    assert len(answers) > 20, len(answers)
    for place, (order, told) in enumerate(answers.items()):
        door = api[place % len(NODES)]
        assert door.bytes("GET", f"/v1/buckets/shop/objects/{order}") == order.encode()
        assert [kept["dot"] for kept in door.json("GET", f"/v1/buckets/shop/meta/{order}")["versions"]] == [told["dot"]], told
    # Whether the last one was carried out, nobody told; sent again by another door it is, and once.
    second.api.json("PUT", f"/v1/buckets/shop/objects/{unanswered}", unanswered.encode())
    kept = second.api.json("GET", f"/v1/buckets/shop/meta/{unanswered}")["versions"]
    assert len(kept) == 1 and second.api.bytes("GET", f"/v1/buckets/shop/objects/{unanswered}") == unanswered.encode(), kept


def until_down(asked, down):
    began = time.monotonic()
    while set(numbers(api[asked].json("GET", "/v1/cluster")["down"])) != set(down):
        assert time.monotonic() - began < 60, f"node {asked} does not see that {down} are down"
        time.sleep(0.1)


others = [node for node in NODES if node not in homes]
with check("one home stands still: the write is taken all the same, and the answer says who has not answered"):
    with nodes.frozen(homes[2]):
        told = api[homes[0]].json("PUT", "/v1/buckets/files/objects/report.txt", b"meanwhile")
        assert told["status"] == "success" and homes[2] not in numbers(told["replicas_written"]), told
        assert api[homes[1]].bytes("GET", "/v1/buckets/files/objects/report.txt") == b"meanwhile"
    assert api[homes[2]].bytes("GET", "/v1/buckets/files/objects/report.txt") == b"meanwhile"

with check("one home is down: two write, and the answer names who is down and who holds the third's"):
    nodes.kill(homes[2])
    until_down(homes[0], [homes[2]])
    told = api[homes[0]].json("PUT", "/v1/buckets/files/objects/report.txt?wait=all", b"third")
    assert numbers(told["down"]) == [homes[2]] and numbers(told["replicas_written"]) == homes[:2], told
    assert [(number(hint["for"]), number(hint["at"]) in others) for hint in told["hinted"]] == [(homes[2], True)], told

with check("two homes are down: stand-ins beyond the preference list take their hints"):
    nodes.kill(homes[1])
    until_down(homes[0], homes[1:])
    told = api[homes[0]].json("PUT", "/v1/buckets/files/objects/report.txt?wait=all", b"fourth")
    assert sorted(number(hint["for"]) for hint in told["hinted"]) == homes[1:], told
    assert {number(hint["at"]) for hint in told["hinted"]} == set(others), told
    assert api[others[0]].bytes("GET", "/v1/buckets/files/objects/report.txt") == b"fourth"

with check("they return: the hints are delivered, and gone"):
    for home in homes[1:]:
        nodes.start(home)
    began = time.monotonic()
    while True:
        owed = [member["hints_owed"] for node in NODES for member in api[node].json("GET", "/v1/cluster")["members"]]
        meta = api[homes[0]].json("GET", "/v1/buckets/files/meta/report.txt?r=3")
        clocks = {str(sorted(map(str, clock["clock"]))) for clock in meta["clocks"]}
        if not any(owed) and len(meta["clocks"]) == 3 and len(clocks) == 1:
            break
        assert time.monotonic() - began < 90, (owed, clocks)
        time.sleep(0.5)
    assert api[homes[1]].bytes("GET", "/v1/buckets/files/objects/report.txt") == b"fourth"

with check("files and buckets are deleted; what is not there is a clear failure"):
    gone = api[3].json("DELETE", "/v1/buckets/files/objects/report.txt")
    assert gone["status"] == "success" and number(gone["node"]) in homes, gone
    missing = api[0].json("GET", "/v1/buckets/files/objects/report.txt", expect=404)
    assert missing["status"] == "failure" and missing["what_to_do"], missing
    assert api[1].json("DELETE", "/v1/buckets/files")["status"] == "success"
    assert api[2].json("GET", "/v1/buckets/files", expect=404)["status"] == "failure"

harness.finish()
