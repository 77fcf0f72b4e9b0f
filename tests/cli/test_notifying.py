"""``qd notify``: who is told of what, and a test message, with what became of it in words; no URL is shown."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.qd_command import Qd
from tests.told import Told, service

HOOK = "T0K3N-of-the-service"


@pytest.fixture
def told() -> Iterator[Told]:
    with service() as made:
        yield made


def declare(fleet: Qd, *notify: dict[str, Any]) -> None:
    fleet.fleet_file.write_text(f"{fleet.fleet_file.read_text()}notify: {json.dumps(list(notify))}\n")


def test_the_list_shows_no_url(fleet: Qd) -> None:
    assert "has no `notify`" in fleet("notify").stdout
    declare(
        fleet,
        {"to": {"env": "HOOK_URL"}, "environments": ["production"], "services": ["api", "web"]},
        {"to": f"jsons://hooks.example.com:8443/{HOOK}", "on": ["started"]},
    )
    shown = fleet("notify").stdout
    assert "env: HOOK_URL" in shown
    assert "failed, rolled_back, waiting, override" in shown
    assert "production / api, web" in shown
    assert "jsons://hooks.example.com:8443/…" in shown
    assert HOOK not in shown + fleet("notify", "--json").stdout


def test_a_test_message_and_what_became_of_it(fleet: Qd, told: Told) -> None:
    declare(
        fleet,
        {"to": {"env": "HOOK_URL"}, "title": "{{event}} of {{fleet}} {{target}}"},
        {"to": {"env": "NOT_SET"}},
        {"to": {"env": "HOOK_URL"}},
    )
    environment = {"HOOK_URL": told.url(f"/{HOOK}")}
    done = fleet("notify", "test", "1", "2", status=1, environment=environment)
    assert done.stdout.splitlines() == [
        "= notify 1 (json): its service took the message",
        "x notify 2: not told: its URL can't be read: to (env: 'NOT_SET'): the variable is not set",
    ]
    assert told.titles() == ["test of acme (target)"]
    assert "nothing has happened" in told.came[0]["message"]
    told.status = 500
    done = fleet("notify", "test", "3", "--json", status=1, environment=environment)
    (one,) = json.loads(done.stdout)["notify"]
    assert (one["number"], one["service"], one["taken"]) == (3, "json", False)
    assert "500" in one["problem"]
    assert HOOK not in done.stdout + done.stderr


def test_what_can_not_be_tested(fleet: Qd, told: Told) -> None:
    assert "nobody to tell anything" in fleet("notify", "test", status=2).stderr
    declare(fleet, {"to": told.url()})
    assert "there is no destination 2: the fleet file has 1" in fleet("notify", "test", "2", status=2).stderr
    fleet("notify", "test", "--read-only", status=5)
    fleet.fleet_file.write_text(f"{fleet.fleet_file.read_text()}operators: {{deploy: [somebody-else]}}\n")
    assert "may not send anything" in fleet("notify", "test", status=5).stderr
    assert told.came == []
