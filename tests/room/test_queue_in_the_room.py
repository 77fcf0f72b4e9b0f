"""The queue of an environment and what it requires, in a real terminal, on a real host: before a deploy is let go, and while it waits."""

import shutil
from collections.abc import Iterator

import pytest

from quarterdeck.history.records import RolloutState
from tests.field import Field
from tests.room.terminal import Terminal
from tests.sshd import SshdFleet
from tests.street import Street, street_on

pytestmark = [pytest.mark.sshd, pytest.mark.timeout(300)]


@pytest.fixture
def street(tmp_path_factory: pytest.TempPathFactory, sshd_fleet: SshdFleet) -> Iterator[Street]:
    made = Field(tmp_path_factory.mktemp("queue"), sshd_fleet)
    made.clear_hosts()
    yield from street_on(made)


def room(street: Street, target: str) -> Terminal:
    environment = {"HOME": str(street.field.directory), "PATH": "/usr/bin:/bin", "QD_CACHED": "1"}
    return Terminal(street.field.command(target, "--cached"), size=(120, 34), environment=environment)


def test_a_deploy_is_let_go_into_the_queue_and_comes_out_of_it(street: Street) -> None:
    field = street.field
    with room(street, "staging/web") as terminal:
        terminal.wait_for("freeze: none")
        terminal.send(":deploy staging/web v1\r")
        terminal.wait_for("0 of 1 under way in staging")
        terminal.wait_for("y deploy")
        first = street.begun("api")
        terminal.wait_for(f"waits: 1 of 1 under way in staging: {first} (api v1, by ")
        terminal.wait_for("y deploy")  # the keys were dead for a moment
        terminal.send("y")
        terminal.wait_for(f"waits for its turn: 1 of 1 under way in staging: {first} (api")
        terminal.wait_for("A abort")
        with field.journal(read_only=True) as journal:
            waits = journal.rollouts("staging/web")[0].id
        terminal.send("\x1b")
        terminal.wait_gone("DEPLOY")
        terminal.send("2")
        terminal.wait_for(f"waits for its turn: 1 of 1 under way in staging: {first} (api")
        assert "a approve   A abort" not in terminal.text, "no person is waited for"
        street.open("api", "web")
        terminal.wait_for("succeeded")
        street.done(first)
        street.done(waits)
        terminal.send("Q")
    assert street.runs("web") == "v1"


def test_whom_it_would_wait_for_is_passed_by_a_key_with_a_reason(street: Street) -> None:
    field = street.field
    first = street.begun("api")
    with room(street, "staging/web") as terminal:
        terminal.wait_for("freeze: none")
        terminal.send(":deploy staging/web v1\r")
        terminal.wait_for("o pass them, with a reason")
        terminal.wait_for("y deploy")  # the keys are not dead any more
        terminal.send("o")
        terminal.wait_for("the queue is set aside. Why?")
        terminal.send("INC-81\r")
        terminal.wait_for("set aside for this rollout, with your reason: policy «queue»")
        terminal.wait_for("y deploy, by typing web")
        assert "pass them" not in terminal.text
        terminal.send("y")
        terminal.wait_for("type web to deploy")
        terminal.wait_gone("(wait)")
        street.open("web")
        terminal.send("web")
        terminal.wait_for("succeeded")
        terminal.send("Q")
    assert street.runs("web") == "v1"
    assert street.state(first) is RolloutState.RUNNING
    with field.journal(read_only=True) as journal:
        done = journal.rollouts("staging/web")[0]
        (event,) = journal.events(rollout=done.id, kind="override")
    assert (event.body["policy"], event.body["reason"]) == ("queue", "INC-81")
    street.open("api")
    street.done(first)


def test_a_way_back_that_is_required_and_closed_is_named_and_set_aside_with_a_reason(street: Street) -> None:
    field = street.field
    street.declare(require={"rollback_ready": True})
    street.open("web")
    with room(street, "staging/web") as terminal:
        terminal.wait_for("freeze: none")
        terminal.send(":deploy staging/web v1\r")
        terminal.wait_for("way back (required): none: nothing that worked was ever there")
        terminal.wait_for("y deploy")
        terminal.send("\x1b")
        terminal.wait_gone("DEPLOY")
        street.done(street.ask("web"))
        terminal.send(":deploy staging/web v2\r")
        terminal.wait_for("way back (required): open: v1 lies on 1 host")
        terminal.wait_for("y deploy")
        terminal.send("\x1b")
        terminal.wait_gone("DEPLOY")
        shutil.rmtree(next((field.home(field.hosts[0]) / "web" / "releases").glob("v1-*")))
        terminal.send(":deploy staging/web v2\r")
        terminal.wait_for("the way back is closed:")
        terminal.wait_for("It can be set aside")
        terminal.send("o")
        terminal.wait_for("what is required there is set aside. Why?")
        terminal.send("hotfix\r")
        terminal.wait_for("way back (required): closed: host-1: no copy of v1")
        terminal.wait_for("by typing web")
        terminal.send("y")
        terminal.wait_for("Red lines: type web to deploy")
        terminal.wait_gone("(wait)")
        terminal.send("web")
        terminal.wait_for("succeeded")
        terminal.send("Q")
    assert street.runs("web") == "v2"
    with field.journal(read_only=True) as journal:
        done = journal.rollouts("staging/web")[0]
        assert done.state is RolloutState.SUCCEEDED
        (event,) = journal.events(rollout=done.id, kind="override")
    assert (event.body["policy"], event.body["reason"]) == ("require", "hotfix")
