"""Promise 15, everything but the logs: what somebody wrote into reasons, notes, outcomes and errors is text on every screen.

A journal full of the corpus, through every view, the cards and the rollout screen, to a real terminal that is read back.

Seen to fail, at 80x24, with ``clean`` leaving sequences and controls in: the first screen is never there whole.
"""

import re
from pathlib import Path

import pytest

from quarterdeck.history import clock
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import NewStep, Observation, RolloutKind, RolloutState, StepState
from tests.cli.qd_command import Qd, release
from tests.room.escape_corpus import CORPUS
from tests.room.terminal import Terminal
from tests.trust.recording import Promises
from tests.trust.test_15_escape_sequences import untouched

pytestmark = pytest.mark.trust(15)

TARGET = "production/api"
FLAG = re.compile("[\U0001f1e6-\U0001f1ff]")
CHANGES = re.compile(r"\d\d:\d\d:\d\dZ|<?\d+[smhd]\b| {2,}")  # clock, ages, and the room that they take
ATTACKS = [attack.decode(encoding, "replace") for attack in CORPUS.values() for encoding in ("utf-8", "latin-1")]


@pytest.fixture
def hostile(tmp_path: Path) -> Qd:
    """A journal in which every text that somebody may write is one of the corpus, or all of them."""
    qd = Qd(tmp_path)
    qd.write_fleet()
    whole = " ".join(ATTACKS)[:4000]
    with qd.journal() as journal:
        before = ended(journal, "v0", RolloutState.SUCCEEDED, "fine", None)
        good = ended(journal, "v1", RolloutState.SUCCEEDED, "fine", before)
        ended(journal, "v2", RolloutState.FAILED, whole, good)
        for attack in ATTACKS:
            journal.note(f"BEGIN{attack}END", TARGET)
        journal.observe(
            [
                Observation(TARGET, host, clock.now(), good, f"v1{attack}", "unknown", f"E{attack}", {"detail": attack})
                for host, attack in (("web-1", whole), ("web-2", ATTACKS[0]))
            ]
        )
    return qd


def ended(journal: Journal, version: str, state: RolloutState, words: str, before: str | None) -> str:
    made = release(version, target=TARGET)
    journal.put_release(made)
    rollout = journal.arm(TARGET, RolloutKind.DEPLOY, from_release=before, to_release=made.id, reason=words)
    plan = {"summary": words, "from": before, "to": made.id, "warnings": [words]}
    journal.set_plan(rollout.id, plan, "0" * 64, to_release=made.id, from_release=before)
    epoch = journal.begin(rollout.id, preempt="nothing")
    journal.add_steps(rollout.id, epoch, [NewStep(1, "web-1", "switch", 1, {"release": made.id})])
    journal.start_steps(rollout.id, epoch, [1])
    became = StepState.DONE if state is RolloutState.SUCCEEDED else StepState.FAILED
    journal.end_step(rollout.id, epoch, 1, became, {"error": words, "health": words})
    journal.set_state(rollout.id, epoch, state, outcome=words)
    return made.id


def in_place(terminal: Terminal, header: str) -> bool:
    """No tower of marks on a cell; the header as it was, the footer whole; where a card lies, its borders straight, but on rows with a
    flag, which terminals make differently wide. A frame that is half drawn is none of that: asked until it is."""
    lines, columns = range(terminal.lines), range(terminal.columns)
    cells = [[terminal.screen.buffer[y][x].data for x in columns] for y in lines]
    if any(len(cell) > 5 for row in cells for cell in row):
        return False
    edges = [y for y in lines if re.fullmatch(r" *\+[-=].*[-=]\+ *", "".join(cells[y]))]
    for y in range(edges[0], edges[-1] + 1) if len(edges) > 1 else ():
        left, right = (end("".join(cells[edges[0]]), "+") for end in (str.index, str.rindex))
        if FLAG.search("".join(cells[y])):
            continue
        if cells[y][left] not in "|+" or cells[y][right] not in "|+":
            return False
    rows = terminal.rows
    above = bool(edges) and edges[0] == 0
    below = bool(edges) and edges[-1] == terminal.lines - 1
    return (above or CHANGES.sub("", rows[0]) == header) and (below or rows[-1].endswith("? help"))


@pytest.mark.parametrize("size", [(80, 24), (200, 60)], ids=str)
def test_no_screen_lets_it_through(hostile: Qd, size: tuple[int, int], promise: Promises) -> None:
    command = hostile.command("--fleet", str(hostile.fleet_file), TARGET, "--cached")
    with Terminal(command, size=size, environment=hostile.environ()) as terminal:
        terminal.wait_for(">api")
        terminal.wait_until(lambda: "!!" in terminal.rows[2], "the alert band")
        header = CHANGES.sub("", terminal.rows[0])
        assert header.startswith(" qd acme | CACHED")
        steps = [
            ("\t", "=="), ("2", "no worker yet"), ("\r", "== rollout 3"), ("j", "switch"), ("\r", "outcome"), ("\x1b", "rollout 3"),
            ("5", "history"), ("jjj", "BEGIN"), ("e", "history of production/api"), ("v", "every step"),
            ("6", "drift"), ("7", "readiness"), ("8", "artifacts"), ("4", "health"), ("1", ">api"),
            ("d", "diff  production"), ("\x1b", ">api"), ("D", "versions of"), ("\x1b", ">api"), ("A", "ABORT"), ("\x1b", ">api"),
        ]  # fmt: skip
        for keys, shown in steps:
            if keys == "\x1b" and shown == ">api":
                terminal.wait_for("esc ")  # the whole card: else it would count as closed before it was there
            for key in [keys] if keys.startswith("\x1b") else keys:
                terminal.send(key)
            if keys == "\x1b":
                terminal.wait_gone("esc ")
            terminal.wait_for(shown)
            untouched(terminal)
            terminal.wait_until(lambda: in_place(terminal, header), f"every cell in its place behind {keys!r}")
        terminal.wait_until(lambda: "? help" in terminal.rows[-1], "the footer")
        terminal.send("Q")
        assert terminal.wait_ended() == 0
        untouched(terminal)
    promise(15).count("screens full of hostile texts", len(steps))
