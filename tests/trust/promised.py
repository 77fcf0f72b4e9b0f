"""What is promised: a number, its words, and the least that its tests must have counted for it to be called kept.

The words and figures of the table that ends ``make trust``. A figure is never written here as reached: tests count it (``recording.py``).
"""

import ast
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Promise:
    number: int
    words: str
    least: dict[str, int]
    """What is counted → how much of it at full counts."""


PROMISES = (
    Promise(
        1,
        "the worker is killed at any boundary, or at random: a new one resumes, the end is right, no event is lost",
        {
            "kills at random over SSH": 200,
            "kills at a write over SSH": 80,
            "kills at random with slots": 60,
            "kills at random on engines": 60,
            "kills at a write on engines": 10,
            "kills at a write behind a router": 15,
            "kills at a write on a Swarm": 15,
            "kills at random on a Swarm": 8,
        },
    ),
    Promise(
        2,
        "a step that was tried again ran once",
        {"operations in the hosts' ledgers": 1000, "tasks by a Swarm's own list": 40},
    ),
    Promise(
        3,
        "a stale worker can't overwrite a newer release",
        {
            "stale workers woken over SSH": 50,
            "rounds of 8 racing writers": 100,
            "stale workers woken with slots": 20,
            "stale workers woken on engines": 20,
            "stale workers woken on a Swarm": 9,
        },
    ),
    Promise(4, "the operator's SSH drop does not stop a rollout", {"sessions killed": 20}),
    Promise(5, "a dead holder never leaves a lock", {"holders killed": 100}),
    Promise(
        6,
        "operators press rollback at once: one wins, the others are told who",
        {
            "rounds of 4 operators over SSH": 50,
            "rounds of 4 processes at the journal": 50,
            "rounds of 4 operators on engines": 15,
            "rounds of 4 operators on a Swarm": 3,
        },
    ),
    Promise(7, "acknowledged history survives SIGKILL", {"busy writers killed": 100}),
    Promise(8, "a full disk on the bastion corrupts nothing, and a rollback still runs", {"disks filled": 5}),
    Promise(
        9,
        "a host whose disk is full or read-only, or whose shell is broken, is named; current is never half switched",
        {"broken hosts": 15},
    ),
    Promise(10, "a busy journal names its holder", {"holders named": 2}),
    Promise(11, "a clock that is three days off starts no takeover and lengthens no pause", {"jumps of the clock": 8}),
    Promise(
        12,
        "one host of fifty hangs: the others are rolled back meanwhile, and it is named",
        {"other hosts rolled back meanwhile": 98},
    ),
    Promise(13, "a wrong, revoked or unknown host key is refused", {"keys refused": 33, "right keys accepted": 13}),
    Promise(
        14,
        "the agent is never forwarded, weak algorithms are never offered",
        {"agents kept": 1, "weak servers refused": 7},
    ),
    Promise(
        15,
        "log bytes can't alter the screen",
        {
            "hostile log lines on a real terminal": 50,
            "screens full of hostile texts": 40,
            "cards full of hostile texts": 10,
        },
    ),
    Promise(
        16,
        "no secret in the journal, logs, argv, screenshots, tracebacks, notifications",
        {
            "encodings searched for over SSH": 8,
            "encodings searched for on an engine": 8,
            "encodings searched for on a Swarm": 8,
            "pictures of the screen read": 10,
            "notifications read": 10,
            "texts masked": 160,
        },
    ),
    Promise(17, "any argument survives the shell unchanged", {"arguments through a real sshd": 30_000}),
    Promise(18, "a fleet file can't execute, expand or change anything", {"hostile files refused": 120}),
    Promise(
        19,
        "what was approved is what runs",
        {"builds changed after they were approved": 14, "tags moved after they were approved": 4},
    ),
    Promise(20, "an edited history is detected", {"edits": 200, "deletions": 78, "swaps": 39, "truncations": 40}),
    Promise(
        21,
        "outsiders can't read; operators share under any umask",
        {"ways in that were tried as three users": 9},
    ),
    Promise(
        22,
        "a history on a network file system is refused",
        {"kinds of network file systems refused": 13, "real shares refused": 1},
    ),
    Promise(
        23,
        "recorded is running",
        {
            "hosts that run something else": 7,
            "Swarms changed by hand": 7,
            "releases of a Swarm's history that were gone back to": 2,
        },
    ),
    Promise(
        24,
        "abort always wins",
        {
            "aborts behind a router": 45,
            "aborts on engines": 20,
            "aborts over SSH": 3,
            "aborts of the strategy flag": 21,
            "aborts on a Swarm": 12,
        },
    ),
    Promise(25, "no request fails while releases are switched", {"requests": 5_000}),
    Promise(
        26,
        "an engine, an sshd or a Swarm's manager is lost or restarted in the middle of a rollout: never called success",
        {
            "engines restarted": 10,
            "engines killed": 10,
            "sshds restarted": 10,
            "sshds down for seconds": 10,
            "managers lost": 4,
            "managers that hung": 3,
            "majorities lost": 2,
        },
    ),
    Promise(27, "lose the bastion: qd adopt, and rollback works", {"bastions lost": 3}),
)


def numbers_in(file: Path) -> set[int]:
    """The promises that the tests of a file keep, by its source: also of tests that never ran."""
    source = file.read_text()
    if "mark.trust" not in source:
        return set()
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    marks = [call for call in calls if ast.unparse(call.func).endswith("mark.trust")]
    return {
        one.value for mark in marks for one in mark.args if isinstance(one, ast.Constant) and type(one.value) is int
    }


def files_of_promises(tests: Path = TESTS) -> dict[Path, set[int]]:
    """Every file with a promise's test → which promises."""
    found = {file: numbers_in(file) for file in sorted(tests.rglob("test_*.py"))}
    return {file: numbers for file, numbers in found.items() if numbers}
