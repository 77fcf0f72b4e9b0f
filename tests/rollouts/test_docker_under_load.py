"""What the users of a service on an engine notice of a deploy, a bad one and a rollback by real workers, with requests without a pause."""

import re
from collections.abc import Sequence
from itertools import groupby

import pytest

from quarterdeck.history.records import RolloutState
from tests.backends.docker.test_under_load import GRACEFUL, load
from tests.docker_fleet import SOON, DockerField
from tests.sshd import free_port

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(300)]


def goes(docks: DockerField, kind: str, version: str | None, state: RolloutState = RolloutState.SUCCEEDED) -> None:
    ended = docks.ended(docks.begin(kind, version))
    assert ended.state is state, ended.outcome


def deploy_a_bad_one_and_roll_back(docks: DockerField) -> None:
    """2 instead of 1, what never gets healthy and is taken back by itself, and back to 1."""
    goes(docks, "deploy", "2")
    docks.write(health=SOON)
    goes(docks, "deploy", "bad", RolloutState.ROLLED_BACK)
    goes(docks, "rollback", None)
    assert docks.running() == ["1"]


def without_stalls(order: Sequence[str]) -> list[str]:
    """Without what was late in the middle of one kind of answers: no gap of a replacement, but a machine that was busy."""
    between = zip(["", *order], order, [*order[1:], ""], strict=False)
    return [words for before, words, after in between if before != after or not words.endswith("timed out")]


def test_through_the_services_name_nothing_is_noticed(docks: DockerField) -> None:
    """The new one begins beside the old one and takes the name when it is healthy. One request a switch may meet a connection that the
    kernel had taken and the program had not, when it stopped listening: that is up to the program, and no engine can help it. It is
    reset then, or closed without an answer. Or it waits until another container has the address, which is then no longer the name's."""
    docks.engines = docks.engines[:1]
    docks.container = {"command": ["sh", "-c", GRACEFUL], "stop_grace_period": "3s"}
    docks.write()
    goes(docks, "deploy", "1")
    engine = docks.engines[0]
    (network,) = docks.live(engine)["NetworkSettings"]["Networks"]
    client = engine.run(engine.image("client:1", command=["sleep", "600"]), "client", host={"network_mode": network})
    pid = engine.client.inspect_container(client)["State"]["Pid"]
    with load(["nsenter", f"--net=/proc/{pid}/ns/net"], "web", 8080) as counted:
        deploy_a_bad_one_and_roll_back(docks)
    failed = {words: count for words, count in counted.items() if words not in ("1", "2")}
    assert counted["1"] > 20
    assert counted["2"] > 20
    assert all(
        words in ("reset", "answered: b''") or words.startswith(("refused: ", "outdated: ")) for words in failed
    ), f"nobody is led to what is not well: {counted}"
    assert sum(failed.values()) <= 2, f"more than one a switch: {counted}"


def test_through_a_published_port_only_the_replacement_is_noticed(docks: DockerField) -> None:
    """A port is one container's only: the old one is stopped first. Between two right answers there is one gap a switch, in which nobody
    listens, and never an answer of another kind; a bad release has the port until it is taken back."""
    docks.engines = docks.engines[:1]
    port = free_port("127.0.0.1")
    docks.container = {"ports": [f"127.0.0.1:{port}:8080"]}
    docks.write()
    goes(docks, "deploy", "1")
    with load([], "127.0.0.1", port, seconds=2.0) as counted:
        deploy_a_bad_one_and_roll_back(docks)
    told = ("1", "2", "unwell")
    failed = [words for words in counted if words not in told]
    assert failed, "a port that is never closed was not stopped first"
    assert all(re.match(r"$|refused:|reset|broken:|answered: b''", words) for words in failed), counted
    stretches = [
        words for words, _ in groupby(words if words in told else "failed" for words in without_stalls(counted.order))
    ]
    # A request that is left lying when the port's proxy goes may last as long as the bad one is there.
    assert re.fullmatch("1 failed 2 failed ((unwell failed )?2 failed )?1", " ".join(stretches)), (
        f"only the replacement is noticed, {sum(counted[words] for words in failed)} requests of it: {counted}"
    )
