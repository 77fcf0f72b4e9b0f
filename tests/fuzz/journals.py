"""A journal in which another version of the program has written: kinds nobody knows, keys that are missing, values of another kind."""

import contextlib
import io
import itertools
import json
import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from quarterdeck.config.load import load_fleet
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import RolloutKind, RolloutState
from quarterdeck.rollouts.picture.fleet import take_picture
from quarterdeck.rollouts.post_mortem.gathering import gather
from quarterdeck.rollouts.status import status
from quarterdeck.tui import main
from quarterdeck.tui.evidence.markdown import markdown
from quarterdeck.tui.evidence.report_value import report_value
from tests.fuzz.target import Choices, Target, scratch

TARGET: Final = "e/s"
FLEET: Final = (
    "fleet: acme\nstate: {state}\nhosts: {{a: {{ssh: a}}}}\nenvironments: {{e: {{hosts: [a]}}}}\nservices:\n"
    "  s: {{artifact: {{tarball: 'x-{{version}}'}}, path: /srv/s, unit: s.service}}\n"
)
_KINDS: Final = (
    "state", "armed", "requested", "request", "answer", "note", "reason", "exec", "exec.ended", "takeover", "verdict",
    "host.away", "debt", "debt.settled", "adopted", "release", "replanned", "approvals.wanted", "queue.joined",
    "queue.left", "approved", "rejected", "freeze", "freeze.ended", "override", "notified", "notify.failed",
    "pause.until", "analysis.measured", "analysis.begun", "routed", "flag.set", "flag.failed", "drill.restored",
    "worker", "fence", "drilled", "step.started", "step.done", "step.failed", "step.skipped", "of-tomorrow",
)  # fmt: skip
_KEYS: Final = (
    "to", "outcome", "summary", "to_release", "options", "reason", "kind", "arguments", "state", "answer", "text",
    "command", "exit_status", "error", "release", "verdict", "seconds", "because", "step", "until", "environment",
    "frozen", "words", "policy", "service", "event", "why", "action", "samples", "flag", "before", "after", "attempt",
    "cut", "not_drained", "slots", "share", "rules", "router", "request", "current", "previous", "warnings", "detail",
    "metric", "canary", "baseline", "value", "body", "hosts", "anchors", "of-tomorrow",
)  # fmt: skip
_PLAIN: Final[tuple[Any, ...]] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    10**15,
    0.5,
    1e300,
    "",
    "x",
    "v1-0",
    "running",
    "succeeded",
    "e",
    "e/s",
    "2026-11-30T01:02:03.000Z",
    "0001-01-01",
    "9999-12-31T23:59:59.999Z",
    "0001-01-01T00:00:00+14:00",
    "switch",
    "pause",
    "set_weight",
    "\x1b[2J",
    "\u202e",
    "a\nb",
    [],
    {},
    [1],
    ["x"],
)


def _value(choices: Choices, depth: int = 0) -> Any:
    match choices.below(8):
        case 0 if depth < 3:
            return {str(choices.one(_KEYS)): _value(choices, depth + 1) for _ in range(choices.below(4))}
        case 1 if depth < 3:
            return [_value(choices, depth + 1) for _ in range(choices.below(4))]
        case 2:
            return choices.word(12).encode("utf-8", "replace").decode()
        case _:
            return choices.one(_PLAIN)


def _body(choices: Choices) -> dict[str, Any]:
    return {str(choices.one(_KEYS)): _value(choices) for _ in range(choices.below(7))}


@cache
def _empty_state() -> Path:
    """A journal with a rollout that ended and one that is under way."""
    state = scratch() / "journal-empty"
    with Journal.open(state) as journal:
        for _ in range(2):
            rollout = journal.arm(TARGET, RolloutKind.DEPLOY, from_release=None, to_release="v1-0", reason="why")
            epoch = journal.begin(rollout.id, preempt="nothing")
            if rollout.id == 1:
                journal.set_state(rollout.id, epoch, RolloutState.SUCCEEDED, outcome="done")
    return state


_NUMBERS: Final = itertools.count()


Written = tuple[str, str | None, int | None, str | None, Mapping[str, Any]]
"""Kind, target, rollout, host, body."""


def events(data: bytes) -> None:
    choices = Choices(data)
    written: list[Written] = []
    while choices.left and len(written) < 12:
        kind = str(choices.one(_KINDS))
        where = choices.below(8)
        written.append(
            (kind, TARGET if where & 1 else None, (1, 2, None)[where % 3], "a" if where & 4 else None, _body(choices))
        )
    read(written)


def read(written: Sequence[Written]) -> None:
    """Everything that shows a journal, with these events in it."""
    place = scratch() / f"journal-{next(_NUMBERS)}"
    shutil.copytree(_empty_state(), place / "state")
    file = place / "fleet.yml"
    file.write_text(FLEET.format(state=place / "state"))
    try:
        with Journal.open(place / "state") as journal:
            for kind, target, rollout, host, body in written:
                journal.record(kind, target=target, rollout=rollout, host=host, body=dict(body))
            fleet = load_fleet(file)
            take_picture(fleet, journal)
            json.dumps(status(fleet, journal))
            for id in (1, 2):
                found = gather(journal, id)
                assert markdown(found, "acme").startswith(f"# Rollout {id}")
                json.dumps(report_value(found, "acme"))
        for words in (["history", "--steps"], ["history", "--json"], ["show", "1"], ["stats"]):
            _run(file, *words)
    finally:
        shutil.rmtree(place)


def _run(file: Path, *words: str) -> None:
    """A command that must end well: one that meets a fault of its own tells of it, and ends with another status."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main.main([*words, "--fleet", str(file)])
    assert code == 0, f"qd {' '.join(words)} ended with {code}: {err.getvalue()[-400:]}"


TARGETS: Final = (
    Target(
        "journal",
        "events of any kind and content are shown by history, show, stats, status and report, and by the picture of the room",
        events,
        lambda: (
            [bytes((n * 53 + k * 17) % 256 for k in range(120)) for n in range(8)]
            + [bytes([kind, 7, 3, key, 7, key, key + 1, 7, 0, key + 2]) for kind in range(0, 42, 5) for key in (0, 17)]
        ),
        longest=300,
        examples=25,
    ),
)
