"""Promise 15, while something moves: versions, summaries, hosts' words and outcomes of rollouts under way are text in the matrix, in the
lists of rollouts, and on the rollback and the deploy card, before they begin and while they go on.

To a real terminal that is read back.

Seen to fail with ``clean`` leaving sequences and controls in: the screen under R and D never shows what it should. With controls left in:
the attacks one by one, and the cards but for two that begin at 80x24. Not seen so: the columns of the matrix.
"""

import sys
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.config.load import load_fleet
from quarterdeck.history import clock
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import NewStep, Observation, RolloutKind, RolloutState, StepState
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.opening import Opening
from quarterdeck.tui.room.rows import cells, plain
from tests.cli.qd_command import OPERATOR, Qd, release
from tests.room.seen import until
from tests.room.terminal import Terminal
from tests.trust.recording import Promises
from tests.trust.test_15_escape_sequences import untouched
from tests.trust.test_15_every_widget import ATTACKS

pytestmark = pytest.mark.trust(15)

HOSTS = ("web-1", "web-2")
WHOLE = " ".join(ATTACKS)[:4000]
MOVING = {f"s{number:03}": attack for number, attack in enumerate(ATTACKS)}
"""A service for each attack; its rollout is under way."""
AT_ONCE = 10  # rows that the cursor goes: fewer than there are on the screen

FLEET = """\
fleet: acme
state: {state}
hosts: {{web-1: {{ssh: "deploy@127.0.0.1:2"}}, web-2: {{ssh: "deploy@127.0.0.1:3"}}}}
environments:
  production: {{hosts: [web-1, web-2]}}
services:
"""
SERVICE = """\
  {name}: {{artifact: {{tarball: "/artifacts/{name}-{{version}}.tar.gz"}}, path: /srv/{name}, commands: {{start: a, stop: b}}}}
"""


@pytest.fixture
def qd(tmp_path: Path) -> Qd:
    made = Qd(tmp_path)
    services = "".join(SERVICE.format(name=name) for name in MOVING)
    made.fleet_file.write_text(FLEET.format(state=made.state) + services)
    return made


def moving(
    journal: Journal, service: str, attack: str, kind: RolloutKind = RolloutKind.DEPLOY, *, begun: bool = True
) -> int:
    """A rollout in which every text is the attack: one host done, one failed and asked about. Its number."""
    target = f"production/{service}"
    old, new = release(f"{attack}old", target=target), release(f"{attack}new", target=target)
    for made in (old, new):
        journal.put_release(made)
    rollout = journal.arm(target, kind, from_release=old.id, to_release=new.id, reason=attack)
    journal.set_worker(rollout.id, 4000 + rollout.id, 1, "boot")
    hosts: list[dict[str, Any]] = [
        {
            "host": host,
            "current": old.id,
            "running": True,
            "has_release": True,
            "kept": [old.id],
            "free_bytes": 1,
            "problems": [attack],
            "error": attack if host == "web-2" else None,
        }
        for host in HOSTS
    ]
    steps = [{"seq": n, "batch": n, "host": host, "action": "switch", "run": attack} for n, host in enumerate(HOSTS, 1)]
    plan = {
        "summary": f"S{attack}",
        "from": old.id,
        "to": new.id,
        "version": new.version,
        "digest": "0" * 64,
        "strategy": f"T{attack}",
        "hosts": hosts,
        "steps": steps,
        "secrets": {f"N{attack}": "changed"},
        "warnings": [attack],
    }
    journal.set_plan(rollout.id, plan, "0" * 64, to_release=new.id, from_release=old.id)
    if begun:
        epoch = journal.begin(rollout.id, preempt="nothing")
        switches = [NewStep(n, host, "switch", n, {"release": new.id}) for n, host in enumerate(HOSTS, 1)]
        journal.add_steps(rollout.id, epoch, switches)
        for step, state in zip(switches, (StepState.DONE, StepState.FAILED), strict=True):
            journal.start_steps(rollout.id, epoch, [step.seq])
            journal.end_step(rollout.id, epoch, step.seq, state, {"health": attack, "error": f"E{attack}"})
        journal.set_state(rollout.id, epoch, RolloutState.PAUSED, outcome=f"O{attack}")
    journal.observe(
        [
            Observation(target, host, clock.now(), new.id, f"{attack}new", "unhealthy", None, {"detail": attack})
            for host in HOSTS
        ]
    )
    return rollout.id


def test_every_attack_as_a_version_on_its_way_through_matrix_and_rollouts(qd: Qd, promise: Promises) -> None:
    with qd.journal() as journal:
        for service, attack in MOVING.items():
            moving(journal, service, attack)
    command = qd.command("--fleet", str(qd.fleet_file), "production/s000", "--cached")
    with Terminal(command, size=(200, 60), environment=qd.environ()) as terminal:
        terminal.wait_for(">s000")
        terminal.wait_until(lambda: "? help" in terminal.rows[-1], "the whole screen")
        terminal.send(":sort name\r")
        terminal.wait_for("(by name)")
        seen = set[str]()
        names = list(MOVING)
        for last in [*range(0, len(names), AT_ONCE), len(names) - 1]:
            passed = set(names[max(last - AT_ONCE, 0) : last + 1])

            def all_seen(passed: set[str] = passed) -> bool:
                seen.update(row[1:5] for row in terminal.rows)
                return passed <= seen

            terminal.wait_for(f">{names[last]}")
            terminal.wait_until(all_seen, f"services up to {names[last]}")
            untouched(terminal)
            terminal.send("j" * AT_ONCE)
        terminal.send("2")
        terminal.wait_for(f"> {len(MOVING)} production/{max(MOVING)}")
        terminal.send("G")
        terminal.wait_for(">   1 production/s000")  # two screens are all of them
        untouched(terminal)
        terminal.wait_until(lambda: terminal.rows[0].startswith(" qd acme | CACHED"), "the header")
        terminal.send("Q")
        assert terminal.wait_ended() == 0
        untouched(terminal)
    promise(15).count("hostile versions on their way", len(MOVING))


async def test_columns_stand_where_they_stand_whatever_a_version_is_called(qd: Qd, promise: Promises) -> None:
    """What is thrown away was not counted as if it had been there."""
    with qd.journal() as journal:
        for service, attack in MOVING.items():
            moving(journal, service, attack)
    room = Room(Opening(load_fleet(qd.fleet_file), OPERATOR, observe=False))
    async with room.run_test(size=(200, 360)) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal")
        await pilot.pause()
        rows = {plain(row)[1:5]: row for row in room.pane("matrix")._rows}
        for service, attack in MOVING.items():
            before, found, _ = plain(rows[service]).partition(" down !")
            assert found, ascii(attack)
            assert cells(before) == 28, ascii(attack)
    promise(15).count("rows whose columns stand", len(MOVING))


FORMS = [(kind, begun) for kind in (RolloutKind.ROLLBACK, RolloutKind.DEPLOY) for begun in (False, True)]


@pytest.mark.parametrize("size", [(80, 24), (200, 60)], ids=str)
@pytest.mark.parametrize(("kind", "begun"), FORMS, ids=lambda value: str(value))
def test_cards_let_nothing_through(
    qd: Qd, kind: RolloutKind, begun: bool, size: tuple[int, int], promise: Promises
) -> None:
    with qd.journal() as journal:
        id = moving(journal, "s000", WHOLE, kind, begun=begun)
    command = [sys.executable, "-m", "tests.room.live_cards", str(qd.fleet_file), str(id)]
    with Terminal(command, size=size, environment=qd.environ()) as terminal:
        terminal.wait_for(
            "ROLL BACK  s000 @ PRODUCTION" if kind is RolloutKind.ROLLBACK else "DEPLOY  s000 @ PRODUCTION"
        )
        # Its keys are alive. (That something is paused is said behind the card as well.)
        terminal.wait_for("it goes on" if begun else ", by typing s000")
        terminal.wait_for("esc")
        for key in "jjjk":  # what a small terminal has no room for
            terminal.send(key)
        for key, shown in (("A", "ABORT  s000"), ("n", "Why it was needed")) if begun else (("d", "diff  production"),):
            terminal.send(key)
            terminal.wait_for(shown)
            untouched(terminal)
            terminal.send("\x1b")
            terminal.wait_gone(shown)
        terminal.send("\x11")
        assert terminal.wait_ended() == 0
        untouched(terminal)
        assert "Traceback" not in terminal.text
    promise(15).count("cards full of hostile texts")


def test_r_and_d_pressed_on_it(qd: Qd, promise: Promises) -> None:
    """With a real worker that reaches no host: what it says of them is shown on the card."""
    with qd.journal() as journal:
        moving(journal, "s000", WHOLE)
    command = qd.command("--fleet", str(qd.fleet_file), "production/s000", "--cached")
    with Terminal(command, size=(120, 35), environment=qd.environ()) as terminal:
        terminal.wait_for(">s000")
        terminal.wait_for("1 under way")  # the journal is read
        for keys, shown in (("R", "ROLL BACK  s000"), ("D", "versions of")):
            terminal.send(keys)
            terminal.wait_for(shown)
            terminal.wait_for("esc ")
            if keys == "R":
                terminal.wait_for("Nothing was started")
            untouched(terminal)
            terminal.send("\x1b")
            terminal.wait_gone("esc ")
        terminal.send("Q")
        assert terminal.wait_ended() == 0
        untouched(terminal)
    promise(15).count("cards full of hostile texts", 2)
