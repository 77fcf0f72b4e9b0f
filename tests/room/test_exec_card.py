"""The card of a command: what it makes of what the process that runs it tells. No process is started."""

from pathlib import Path

from quarterdeck.rollouts.exec_process import Order, order_from
from quarterdeck.tui.room.cards.executing import ExecCard
from quarterdeck.tui.room.rows import Role, plain

SWARM = "swarm-eu"


def card(*hosts: str, every: bool = True) -> ExecCard:
    return ExecCard(Order(Path("fleet.yml"), "staging/web", hosts, ("sh", "-c", "true"), every), "true")


def lines(card: ExecCard) -> list[str]:
    return [plain(row) for row in card.output.rows(200, None)]


def test_an_order_comes_as_it_was_given() -> None:
    order = Order(Path("/srv/fleet.yml"), "staging/web", (SWARM, "web-1"), ("echo", "a b"), every=True)
    assert order_from(order.to_json()) == order


def test_an_order_for_every_task_is_done_when_each_of_them_is() -> None:
    """Seen to fail where the hosts of the order were counted."""
    shown = card(SWARM)
    assert shown._state() == ("asks where it runs", Role.MOVING)
    shown._take({"places": [f"{SWARM}:1", f"{SWARM}:12"]})
    assert shown._state() == ("runs (0 of 2 tasks done)", Role.MOVING)
    shown._take({"lines": [[f"{SWARM}:1", "one", False], [f"{SWARM}:12", "two", True]], "dropped": 0})
    assert lines(shown) == [f"{SWARM}:1  one", f"{SWARM}:12 two"]
    shown._take({"host": f"{SWARM}:1", "status": 0})
    assert shown.runs
    shown._take({"host": f"{SWARM}:12", "status": 0})
    assert shown._state() == (f"{SWARM}:1 ended with 0; {SWARM}:12 ended with 0", Role.OK)


def test_a_task_that_is_not_reached_is_among_the_lines_and_first_at_the_end() -> None:
    """However many have gone well before it."""
    shown = card(SWARM, "web-1")
    shown._take({"places": ["web-1", f"{SWARM}@node-1"]})
    assert shown._state() == ("runs (0 of 2 places done)", Role.MOVING)
    shown._take({"host": "web-1", "status": 0})
    shown._take({"host": f"{SWARM}@node-1", "error": f"{SWARM}@node-1: run a command: its node is down"})
    assert lines(shown) == [f"{SWARM}@node-1 run a command: its node is down"]
    assert shown._state() == (f"{SWARM}@node-1: run a command: its node is down; web-1 ended with 0", Role.BAD)


def test_one_task_alone_has_no_name_before_its_lines() -> None:
    shown = card(SWARM)
    shown._take({"places": [f"{SWARM}:1"]})
    shown._take({"lines": [[f"{SWARM}:1", "one", False]], "dropped": 0})
    shown._take({"host": f"{SWARM}:1", "status": 3})
    assert lines(shown) == ["one"]
    assert shown._state() == ("ended with 3", Role.BAD)
    hosts = card("web-1", "web-2", every=False)
    assert hosts._state() == ("runs (0 of 2 hosts done)", Role.MOVING)
