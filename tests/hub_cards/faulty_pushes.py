"""Pushes against a Hub that fails in many ways; run by test_push.py, whose Hub listens on the port given."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.hub_cards.driving import skillmix
from tests.servers.hub.server import HubServer

# Route, kind and how often; after a few of them the push goes on by itself.
PASSING = [
    ("info", "500", 1),
    ("create", "500", 1),
    ("validate", "503", 1),
    ("preupload", "500", 1),
    ("batch", "429", 1),
    ("put", "drop", 2),
    ("put", "lose", 1),
    ("commit", "429", 1),
    ("commit", "409", 1),
    ("commit", "412", 1),
    ("commit", "500", 2),
    ("commit", "lose", 1),
    ("tree", "500", 1),
]


def main(port: str) -> None:
    hub = HubServer()
    hub.port = int(port)
    pack = os.environ["TEST_PACK"]

    def push(name: str, *more: str) -> Any:
        return skillmix("push", "dataset", name, "--pack", pack, "--items", "2", *more)

    told: dict[str, Any] = {"planned": push("org/plan", "--dry-run", "--json").json}
    told["before"] = len(hub.log())
    told["passing"] = {}
    for number, (route, kind, times) in enumerate(PASSING):
        hub.fail(route, kind, times, retry_after=0) if kind == "429" else hub.fail(route, kind, times)
        done = push(f"org/p{number}", "--json")
        told["passing"][f"{route} {kind}"] = {"status": done.status, "made": not done.status and done.json}
    hub.fail("none", "500", 0)

    told["first"] = push("org/set", "--json").json
    told["second"] = push("org/set", "--json").json
    hub.fail("commit", "race")  # in between somebody else commits; what is planned stands in the end
    told["raced"] = push("org/set", "--json", "--public").json
    told["sentences"] = {
        "public already": push("org/set").status,
        "no right": push("forbidden/set").status,
        "no name": push("a b/c").status,
        "no org": push("skillmix").status,
    }
    hub.fail("commit", "race")
    told["sentences"]["not ours"] = push("org/raced").status
    hub.fail("commit", "429", 9, retry_after=3600)
    told["sentences"]["limit"] = push("org/limited").status
    before = [entry["route"] for entry in hub.log()].count("put")
    hub.fail("none", "500", 0)
    told["after the limit"] = push("org/limited", "--json").json
    told["sent again"] = [entry["route"] for entry in hub.log()].count("put") - before
    hub.fail("commit", "412", 99)
    told["sentences"]["conflict"] = push("org/contested").status
    hub.fail("none", "500", 0)

    log = len(hub.log())
    leaky = Path(pack).parent / "leaky"
    told["sentences"]["a key"] = skillmix("push", "dataset", "org/leaky", "--pack", leaky, "--items", "1").status
    told["sentences"]["private"] = skillmix("push", "dataset", "org/x", "--pack", leaky.with_name("hidden")).status
    told["seen of the key"] = [entry["route"] for entry in hub.log()[log:]]
    os.environ["HF_TOKEN"] = "hf_" + "wrong" * 7
    told["sentences"]["token"] = push("org/token").status
    del os.environ["HF_TOKEN"]
    told["sentences"]["no token"] = push("org/token").status
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
