"""Every target of the fuzzing at a small count: its seeds, the inputs that once were a fault, and damaged ones of both, always the same.

`make fuzz` goes on from here, led by what of the program an input reaches.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quarterdeck.backends.errors import SecretUnavailable
from quarterdeck.backends.hosts.ssh.host_keys import known_hosts_files
from quarterdeck.backends.secrets.resolving import resolve_secrets
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.first_file.draft import CannotBegin
from quarterdeck.config.first_file.sources import Surroundings
from quarterdeck.config.model import SecretReference
from quarterdeck.tui.room.editing import LONGEST, Editing
from quarterdeck.tui.room.logs.saving import NotSaved, create
from tests.fuzz import journals
from tests.fuzz.host_answers import every_cut, recorded
from tests.fuzz.shown_text import pieces_of_a_log
from tests.fuzz.target import Target, within
from tests.fuzz.targets import CORPUS, TARGETS, kept_inputs

FULL = os.environ.get("QD_TRUST") == "full"
MORE = 10 if FULL else 1
BITS = st.sampled_from([1 << bit for bit in range(8)])
PIECES = st.sampled_from(
    [b"\0", b"\xff", b"\n", b" ", b"{", b"[", b'"', b":", b"-", b"\x1b", b"0", b"9" * 30, b"\xc2\xb2", b"\xed\xa0\x80", b"\r\n", b"'"]
) | st.binary(max_size=6)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, seeds: list[bytes], longest: int) -> bytes:
    """A seed with some bytes changed, put in, taken out, said twice, cut off; or bytes of no seed at all."""
    if not seeds or draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=min(longest, 400)))
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        match draw(st.integers(0, 4)):
            case 0 if at < len(data):
                data[at] ^= draw(BITS)
            case 1:
                data[at:at] = draw(PIECES)
            case 2:
                del data[at : at + draw(st.integers(1, 9))]
            case 3:
                begin = draw(st.integers(0, len(data)))
                data[at:at] = data[begin : begin + draw(st.integers(1, 30))]
            case _:
                del data[at:]
    return bytes(data[:longest])


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_what_is_kept_and_every_seed(target: Target) -> None:
    inputs = [path.read_bytes() for path in kept_inputs(target.name)]
    for data in [*inputs, *target.seeds(), b""]:
        target.check(data)


@pytest.mark.timeout(1200 if FULL else 300)
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_damaged_inputs(target: Target) -> None:
    seeds = [*target.seeds(), *(path.read_bytes() for path in kept_inputs(target.name))]

    @settings(
        max_examples=target.examples * MORE,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(damaged(seeds, target.longest))
    def check(data: bytes) -> None:
        target.check(data)

    check()


def test_an_answer_cut_at_any_byte_is_never_taken_for_whole() -> None:
    assert every_cut() > 4000
    assert {told.question for told in recorded()} > {"stage", "facts", "switch", "finish", "hook", "vitals"}


BOMBS = {
    "aliases": b"a: &a [x, x, x, x, x, x, x, x, x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (n, n, b", ".join([b"*%c" % (n - 1)] * 9)) for n in range(98, 110)),
    "depth": b"[" * 2_000_000,
    "depth of blocks": b"".join(b" " * n + b"a:\n" for n in range(2000)),
    "a long line": b"fleet: " + b"x" * 4_900_000,
    "one word": b"fleet: acme\nservices: " + b"-" * 4_900_000,
    "a long key": b"? " + b"k" * 4_900_000 + b"\n: v\n",
    "same keys": b"fleet: acme\n" + b"a: 1\n" * 900_000,
    "many keys": b"fleet: acme\nhosts:\n" + b"".join(b"  h%d: {ssh: h%d}\n" % (n, n) for n in range(100_000)),
    "unknown keys": b"".join(b"k%d: 1\n" % n for n in range(150_000)),
    "escapes": b'fleet: "' + b"\\u0041" * 800_000 + b'"',
    "quotes": b"fleet: '" + b"''" * 2_400_000 + b"'",
    "carriage returns": b"\r" * 4_900_000,
    "bytes that are no text": b"fleet: a\n" * 500_000 + b"\xff",
    "comments": b"#\n" * 2_400_000,
    "anchors": b"".join(b"a%d: &a%d x\n" % (n, n) for n in range(90_000)),
    "tags": b"a: " + b"!!x " * 1_000_000,
    "an open bracket on each line": b"a: [\n" * 900_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_file_of_5_mb_is_read_or_refused_in_bounded_time_and_memory(name: str, tmp_path: Path) -> None:
    """In a process of its own, which may have 1.5 GB: what a file of 5 MB costs is bounded by its size, whatever it says."""
    path = tmp_path / "fleet.yml"
    path.write_bytes(BOMBS[name])
    program = (
        "import resource, sys, time\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1536 << 20, 1536 << 20))\n"
        "from pathlib import Path\n"
        "from quarterdeck.config.load import FleetFileErrors, load_fleet\n"
        "try:\n    load_fleet(Path(sys.argv[1]))\n"
        "except FleetFileErrors as error:\n    print(len(error.problems))\n"
        "print('seconds', time.process_time())\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-500:]
    assert float(done.stdout.split()[-1]) < 25.0


@pytest.mark.parametrize(
    "piece",
    [b"\x1b", b"\x1b[", b"\x1b]", b"\x1b[0;", b"\x1bP\x1b", b"\xc2\x9b", b"\r", b"\t", "e\u0301".encode(), "\u0301".encode(), b"\xff"],
)  # fmt: skip
def test_a_megabyte_made_to_be_slow_is_cleaned_in_linear_time(piece: bytes) -> None:
    for tail in (b"", b"x", b"\x07", b"\n"):
        text = (piece * (1_000_000 // len(piece)) + tail).decode("utf-8", "replace")
        with within(2.0):
            clean(text)


def test_a_long_line_is_cut_at_the_same_place_in_whatever_pieces_it_comes() -> None:
    line = b"\x1b[31m" + "\u00e9".encode() * 40_000 + b"\x1b" * 30_000 + b"the end"
    pieces_of_a_log(bytes(range(32)) + line + b"\nnext line\n" + line + b"\n")


def test_events_that_another_version_wrote_are_told_as_they_stand() -> None:
    """A wait without a number, a request without one and of one that is not here, a state that is a list, shares that are words."""
    journals.read(
        [
            ("host.away", journals.TARGET, 1, "a", {"seconds": [1], "reason": "restart"}),
            ("pause.until", journals.TARGET, 1, None, {"seconds": "soon"}),
            ("request", journals.TARGET, 1, None, {}),
            ("request", journals.TARGET, 1, None, {"request": 10**15}),
            ("state", journals.TARGET, 1, None, {"to": {"failed": 1}}),
            ("flag.set", journals.TARGET, 1, None, {"flag": "f", "before": "none", "after": {"percent": "all"}}),
            ("routed", journals.TARGET, 1, None, {"share": "half"}),
            ("step.started", journals.TARGET, 1, "a", {"attempt": "first"}),
            ("of tomorrow", None, None, None, {"a": {"b": []}}),
        ]
    )


async def test_a_path_of_somebody_who_is_not_here_is_a_named_error_everywhere(tmp_path: Path) -> None:
    path = "~nobody-of-this-name/x"
    with pytest.raises(SecretUnavailable, match="there is no such home directory"):
        await resolve_secrets({"A": SecretReference("file", path)}, base=tmp_path)
    with pytest.raises(NotSaved, match="there is no such home directory"):
        create(path, "default.log")
    with pytest.raises(NotSaved, match="no file can have that name"):
        create("a\0b", "default.log")
    with pytest.raises(CannotBegin, match="there is no such home directory"):
        Surroundings(tmp_path, None, {}).named(path)
    assert known_hosts_files((), [path], []) == known_hosts_files((), [], [])


def test_a_line_that_is_full_takes_no_more() -> None:
    editing = Editing("x" * (LONGEST + 10))
    editing.insert("y" * 20)
    assert "y" not in editing.text


def test_every_corpus_belongs_to_a_target_and_is_small() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)
    for path in CORPUS.glob("*/*"):
        assert path.stat().st_size <= 10_000, path
