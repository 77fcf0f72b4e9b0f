"""Secrets that are looked for, how they may be written, and where to look. Run as a program it prints those of its environment, as a
release does that should not: ``python -m tests.trust.canaries DATABASE_URL TOKEN``, all encodings; with ``--part 1/3`` a third of them.
"""

import base64
import contextlib
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

ROOT = Path(__file__).resolve().parent.parent.parent
CANARIES = {
    "plain": "canaryQ7f3a9ZkP0w",
    "url": "postgres://app:cAnary/9+k=ry@db.internal:5432/app?sslmode=require&x=1",
    "quotes": """ca'na"ry\\7$f3`a9! #%{x}""",
    "every mark": "~ca!n#$%^&*()_+-={}[]|:;<>?,./'\"\\`~ry 7",
    "unicode": "canäry/ключ/秘密/7f3a",
    "long": "canary" + "".join(f"{number * 7919 % 99991:05d}" for number in range(60)),
    "lines": "canary-first-line-77\ncanary\tsecond 'line' 88\ncanary-third-line-99",
}


def run(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """``given`` is on its standard input, and the variable S: a secret must be no argument, which everybody can read."""
    return subprocess.run(
        arguments,
        input=given,
        encoding="utf-8",
        capture_output=True,
        check=True,
        timeout=90,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "S": given},
    )


def lower_percent(text: str) -> str:
    return re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), text)


def traced(shell: str) -> Callable[[str], str]:
    """What ``set -x`` writes where the secret becomes an argument."""
    return lambda secret: run(shell, "-xc", ': "$S"', given=secret).stderr.partition("+ : ")[2]


ENCODINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda secret: secret,
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64 for URLs": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "base64 by the program, in lines": lambda secret: run("base64", given=secret).stdout,
    "base64 with its newline": lambda secret: base64.b64encode(f"{secret}\n".encode()).decode(),
    "base64 of user and password": lambda secret: base64.b64encode(f"ci:{secret}".encode()).decode(),
    "base64 of a form": lambda secret: base64.b64encode(f"t={secret}&".encode()).decode(),
    "percent": lambda secret: quote(secret, safe=""),
    "percent, slashes kept": lambda secret: quote(secret),
    "percent, lower case": lambda secret: lower_percent(quote(secret, safe="")),
    "a form": lambda secret: quote_plus(secret),
    "JSON": lambda secret: json.dumps(secret),
    "JSON, unicode kept": lambda secret: json.dumps(secret, ensure_ascii=False),
    "JSON in JSON": lambda secret: json.dumps(json.dumps(secret)),
    "JSON with slashes escaped": lambda secret: json.dumps(secret).replace("/", "\\/"),
    "hex": lambda secret: secret.encode().hex(),
    "hex, upper case": lambda secret: secret.encode().hex().upper(),
    "quoted for a shell": lambda secret: shlex.quote(secret),
    "quoted by printf of bash": lambda secret: run("bash", "-c", 'printf %q "$S"', given=secret).stdout,
    "quoted by bash": lambda secret: run("bash", "-c", 'echo "${S@Q}"', given=secret).stdout,
    "declared by bash": lambda secret: run("bash", "-c", "declare -p S", given=secret).stdout.partition("=")[2],
    "traced by bash": traced("bash"),
    "traced by sh": traced("sh"),
    "Python's repr": lambda secret: repr(secret),
}
IN_ONE_LINE = [
    name for name in ENCODINGS if name not in ("base64 by the program, in lines", "traced by sh", "traced by bash")
]
"""Those whose text is found again wherever it stands."""
_FRAGMENT = 12  # characters
_SETTLED = 50  # looks


def of_this_run(name: str) -> str:
    """One of them that no other run of tests on this machine looks for or has in its arguments."""
    return CANARIES[name].replace("nary", f"nary{os.getpid()}", 1)


def written(secret: str) -> list[str]:
    return [ENCODINGS[name](secret).strip() for name in IN_ONE_LINE]


class Canaries:
    """``Canaries(url, token)``. What is looked for."""

    def __init__(self, *secrets: str) -> None:
        self.pieces = [text.encode() for secret in secrets for text in written(secret)]
        starts = [(piece, at) for piece in self.pieces for at in range(0, len(piece) - _FRAGMENT + 1, _FRAGMENT // 2)]
        self.fragments = sorted({piece[at : at + _FRAGMENT] for piece, at in starts})

    def found_in(self, content: bytes) -> list[bytes]:
        return [piece for piece in self.pieces if piece in content]

    def in_part_in(self, content: bytes) -> list[bytes]:
        """Also what was broken into rows, as a screen does it: any twelve characters of a canary, half of its places looked at."""
        return [fragment for fragment in self.fragments if fragment in content]

    def files_with_one(self, files: Iterable[Path]) -> dict[Path, list[bytes]]:
        found: dict[Path, list[bytes]] = {}
        for file in files:
            with contextlib.suppress(FileNotFoundError):  # a journal's that was closed meanwhile
                if pieces := self.found_in(file.read_bytes()):
                    found[file] = pieces
        return found

    @contextlib.contextmanager
    def watched_arguments(self) -> Iterator["Arguments"]:
        """Command lines of all processes of this machine, whoever they are; the looks follow each other without a pause. A process whose
        line was the same for fifty looks is looked at at every fiftieth."""
        seen = Arguments()
        ended = threading.Event()
        known: dict[str, tuple[bytes, int]] = {}  # its line, and for how many looks it has been that

        def look() -> None:
            nonlocal known
            for turn in itertools.count():
                if ended.wait(0.02):
                    return
                entries = list(filter(str.isdigit, os.listdir("/proc")))
                known = {entry: known[entry] for entry in entries if entry in known}
                for entry in entries:
                    before, looks = known.get(entry, (b"", 0))
                    if looks >= _SETTLED and turn % _SETTLED:
                        continue
                    with contextlib.suppress(OSError):
                        line = Path("/proc", entry, "cmdline").read_bytes()
                        known[entry] = (line, looks + 1 if line == before else 0)
                        if line != before:
                            seen.lines += 1
                            if self.found_in(line):
                                seen.with_one.append(line.decode(errors="replace"))

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield seen
        finally:
            ended.set()
            watcher.join()


class Arguments:
    def __init__(self) -> None:
        self.lines = 0  # command lines that were looked at
        self.with_one: list[str] = []


def printing(*names: str, part: str = "1/1") -> str:
    """A shell command that prints these variables of its environment in all encodings, or a part of them."""
    command = shlex.join([sys.executable, "-m", "tests.trust.canaries", "--part", part, *names])
    return f"(cd {shlex.quote(str(ROOT))} && {command})"


def _main(arguments: list[str]) -> None:
    part, of = map(int, arguments[1].split("/"))
    for name in arguments[2:]:
        for encoding in list(ENCODINGS)[part - 1 :: of]:
            print(f"{name} {encoding}: {ENCODINGS[encoding](os.environ[name]).strip()}")


if __name__ == "__main__":
    _main(sys.argv[1:])
