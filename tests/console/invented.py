"""Clusters that nobody here can start: the ring of 3 and of 100 nodes, as a node of such a cluster would tell it."""

import json
import random

STATS = {"failed_per_s": 0, "bytes_in_per_s": 1, "bytes_out_per_s": 1, "p50_ms": 2, "p99_ms": 9, "in_flight": 1, "for_slow_members": 0,
         "refused": 0, "memory_bytes": 5e7, "disk_used_bytes": 1e9, "disk_total_bytes": 1e12, "clock_off_ms": None, "uptime_s": 100}


def serve(page, count):
    """Has a page see a cluster of so many nodes: the second is down, two hold writes for it."""
    chooser = random.Random(count)
    zones = 5 if count > 10 else 3
    members = [{"id": f"{number:016x}", "name": f"node-{number}", "zone": f"zone-{number % zones + 1}", "capacity_bytes": 1 << 40}
               for number in range(count)]
    lists = [chooser.sample(range(count), min(4, count)) for _ in range(1024)]
    down, holders = members[1]["id"], {2, 5 % count}

    def told(number, member):
        return dict(member, self=number == 0, up=number != 1, state="down" if number == 1 else "up", since="2026-01-01T00:00:00.000Z",
                    maintenance=False, hints_owed=0, facts=None, clock_ahead_ms=0, s3="", rest="", address="")

    view = {
        "status": "success", "level": "watch", "partitions": len(lists), "epoch": 1, "checked": {"scrub": {}},
        "sentence": "node-1 is down for 4 min. Nothing is lost: 1,624 writes wait for it on node-2 and node-5.",
        "node": {"id": members[0]["id"], "name": "node-0"},
        "members": [told(number, member) for number, member in enumerate(members)],
        "stats": {member["id"]: dict(STATS, requests_per_s=40, hints=[{"for": down, "count": 812}] if number in holders else [])
                  for number, member in enumerate(members) if number != 1},
    }
    requests = [{"verb": chooser.choice(["put", "get"]), "bucket": "shop", "key": f"orders/{number}.json", "partition": number,
                 "via": number % count, "coordinator": lists[number][0], "homes": lists[number][:3], "answered": lists[number][:2],
                 "down": [], "hinted": [], "took_us": 2100} for number in range(10)]
    stream = "".join(f"event: {kind}\ndata: {json.dumps(data)}\n\n" for kind, data in [("view", view), ("requests", requests)])
    page.route("**/v1/layout", lambda route: route.fulfill(
        json={"epoch": 1, "partition_bits": 10, "members": members, "lists": lists}))
    page.route("**/v1/cluster/stream", lambda route: route.fulfill(body=stream, content_type="text/event-stream"))
