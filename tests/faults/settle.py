"""After the last fault: waits until every node takes every other for up and no node owes a hint, and says how long it took."""

import time

SETTLE_S_MAX = 180


def what_is_missing(rest, addresses):
    """Why the cluster is not yet as before, or an empty list."""
    missing = []
    for node, address in enumerate(addresses):
        try:
            members = rest.cluster(address)["members"]
            away = [member["name"] for member in members if not (member["up"] and member["state"] == "up")]
            if away or len(members) != len(addresses):
                missing.append(f"node {node} does not take {' '.join(away)} for up")
            owed = rest.hints_owed(address)
            if owed:
                missing.append(f"node {node} owes {owed:.0f} hints")
        except Exception as error:
            missing.append(f"node {node} does not answer: {error}")
    return missing


def wait(rest, addresses, seconds_max=SETTLE_S_MAX):
    """(seconds it took, what was still missing)."""
    began = time.monotonic()
    while missing := what_is_missing(rest, addresses):
        if time.monotonic() - began > seconds_max:
            break
        time.sleep(0.3)
    return time.monotonic() - began, missing
