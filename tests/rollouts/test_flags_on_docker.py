"""The strategy `flag` for containers: the engines first, then a flag on this machine; an abort and a rollback bring both back."""

import json
from typing import Any

import pytest

from quarterdeck.history.records import RolloutState
from tests.docker_fleet import DockerField

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(300)]


def test_up_and_back_again(docks: DockerField) -> None:
    file = docks.directory / "flags.json"
    variants = {"on": True, "off": False}
    file.write_text(json.dumps({"flags": {"new": {"state": "ENABLED", "variants": variants, "defaultVariant": "off"}}}))

    def percent() -> Any:
        targeting = json.loads(file.read_text())["flags"]["new"].get("targeting")
        return targeting["fractional"][0][1] if targeting else 0

    docks.deploy("1")
    steps: list[dict[str, Any]] = [{"set_flag": 5}, {"pause": {}}, {"set_flag": 100}]
    docks.write(strategy={"flag": {"use": "checkout", "steps": steps, "max_unavailable": "100%"}})
    flags = {"checkout": {"flagd": {"file": str(file), "flag": "new"}}}
    docks.file.write_text(json.dumps({**json.loads(docks.file.read_text()), "flags": flags}))

    first = docks.begin("deploy", "2")
    docks.in_state(first, RolloutState.PAUSED)
    assert (percent(), docks.running()) == (5, docks.everywhere("2"))
    docks.qd("abort", str(first), "--wait", status=3)
    assert (percent(), docks.running()) == (0, docks.everywhere("1"))

    second = docks.begin("deploy", "3")
    docks.in_state(second, RolloutState.PAUSED)
    docks.qd("promote", str(second), "--wait", status=0)
    assert (percent(), docks.running()) == (100, docks.everywhere("3"))
    docks.rollback()
    assert (percent(), docks.running()) == (0, docks.everywhere("1"))
