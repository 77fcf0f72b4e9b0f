"""Whatever travels to a host's shell arrives as it was: through the shells that hosts have, many values in one process."""

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from typing import Final

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.ssh.quoting import assign, environment_file, quote
from quarterdeck.backends.hosts.ssh.script import build
from tests.fuzz.target import Target, scratch

SHELLS: Final = tuple(name for name in ("dash", "bash", "busybox") if shutil.which(name))
_MOST: Final = 200  # values of one input
_LOCALES: Final = ("C", "C.UTF-8")


@cache
def _programs(shell: str) -> str:
    """A PATH whose ``sh`` is that shell."""
    directory = scratch() / f"bin-{shell}"
    directory.mkdir()
    (directory / "sh").symlink_to(str(shutil.which(shell)))
    return f"{directory}:{os.environ.get('PATH', os.defpath)}"


def printed_by(shell: str, script: bytes, locale: str, command: str = "exec sh") -> list[bytes]:
    """What ``script``, sent to ``command`` as the login shell is given it, printed, in parts that a NUL ends."""
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        input=script,
        capture_output=True,
        timeout=60,
        cwd="/",
        env={"PATH": _programs(shell), "LC_ALL": locale},
    )
    assert done.stderr == b"", done.stderr[:200]
    return done.stdout.split(b"\0")[:-1]


def arguments(data: bytes) -> None:
    """NULs divide the input into values; a NUL itself is refused."""
    sent = data.split(b"\0")[:_MOST]
    texts = [value.decode("utf-8", "surrogateescape") for value in sent]
    names = [f"v{number}" for number in range(len(texts))]
    everything = "".join(f" {quote(text)}" for text in texts)
    variables = "".join(assign(name, text) for name, text in zip(names, texts, strict=True))
    shown = "printf '%s\\0'" + "".join(f' "${name}"' for name in names) + "\n"
    kept = environment_file(dict(zip(names, texts, strict=True)), "host", "test")
    script = f"printf '%s\\0'{everything}\n{variables}{shown}{kept}{shown}".encode("utf-8", "surrogateescape")
    for number, shell in enumerate(SHELLS):
        assert printed_by(shell, script, _LOCALES[(number + len(data)) % 2]) == sent * 3, shell
    shell = SHELLS[len(data) % len(SHELLS)]
    gated = build("execute", {"command": f"printf '%s\\0'{everything}", "seconds": "30"})
    assert printed_by(shell, gated.text, _LOCALES[len(texts) % 2], gated.command) == sent, f"{shell}: as a command"
    _nul_is_refused(texts[0] + "\0" + texts[-1])


def _nul_is_refused(text: str) -> None:
    uses: tuple[Callable[[], object], ...] = (
        lambda: quote(text),
        lambda: assign("a", text),
        lambda: environment_file({"A": text}, "host", "test"),
    )
    for use in uses:
        try:
            use()
        except (ValueError, BackendError):
            continue
        raise AssertionError("a NUL was let through")


def _seeds() -> list[bytes]:
    tricky = [
        b"", b"-n", b"--", b"-e", b"'", b"''", b'"', b"\\", b"\\\\", b"\\'", b"\n", b"\r\n", b"a\n", b"\n\n", b"$HOME", b"${v0}", b"`id`",
        b"$(id)", b"*", b"~", b"!", b"!!", b"#", b"#payload", b"\n#payload\n", b";", b"&", b"|", b"%s", b"\\0", b"\\c", b"\x1b[2J", b"\x7f",
        "e\u0301".encode(), "\U0001f680".encode(), b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xe2\x80", b" ", b"\t", b"a b", b"=", b"A=1",
        b"x" * 900,
    ]  # fmt: skip
    return [b"\0".join(tricky), *tricky]


TARGETS: Final = (
    Target(
        "shell-arguments",
        "any value arrives at a host's shell unchanged, as an argument, a variable, a line of an environment file, in a command",
        arguments,
        _seeds,
        longest=4096,
        examples=25,
    ),
)
