"""Promise 17: any argument survives the shell unchanged. Through a real sshd and the hosts' real shell.

Seen to fail with ``quote`` without its escapes (arguments and variables; without waiting for the shortest example, which takes long).
"""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.backends.hosts.ssh.connection import SshConnection
from quarterdeck.backends.hosts.ssh.quoting import assign, environment_file, quote
from tests.sshd import SshdFleet
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(17), pytest.mark.sshd]

_TRICKY = st.sampled_from(
    [
        "",
        "-n",
        "--",
        "-e",
        "'",
        '"',
        "\\",
        "\n",
        "\r\n",
        "$HOME",
        "`id`",
        "$(id)",
        "*",
        "~",
        "!",
        "!!",
        "#",
        ";",
        "&",
        "|",
        "é\u0301",
        "🚀",
        "\u202e",
    ]
)
_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
BATCH = 400
_ARGUMENTS = st.lists(
    st.one_of(_TRICKY, _TEXT, st.lists(st.one_of(_TRICKY, _TEXT), min_size=2, max_size=3).map("".join)),
    min_size=BATCH,
    max_size=BATCH,
)


class _Count:
    arguments = 0


@pytest.mark.parametrize("way", ["arguments", "variables", "environment file"])
def test_arguments_arrive_as_they_were(sshd_fleet: SshdFleet, way: str, full: bool, promise: Promises) -> None:
    """10 000 for each of the three ways a value takes (4000 where the counts are small), a quarter of them different ones."""
    batches = 25 if full else 10
    with asyncio.Runner() as runner:
        connection = runner.run(SshBackend([sshd_fleet.ssh_config]).connect(sshd_fleet[0].as_host()))

        @settings(
            max_examples=batches,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(_ARGUMENTS)
        def check(arguments: list[str]) -> None:
            _Count.arguments += len(arguments)
            assert runner.run(_echo(connection, way, arguments)) == arguments

        _Count.arguments = 0
        check()
        runner.run(connection.close())
    assert _Count.arguments >= batches * BATCH
    promise(17).count("arguments through a real sshd", _Count.arguments)


async def _echo(connection: SshConnection, way: str, arguments: list[str]) -> list[str]:
    """What a command on the host saw of ``arguments``, each followed by a NUL."""
    names = [f"V{index}" for index in range(len(arguments))]
    if way == "arguments":
        script = f"printf '%s\\0' {' '.join(quote(text) for text in arguments)}\n"
    elif way == "variables":
        script = "".join(assign(name, text) for name, text in zip(names, arguments, strict=True))
        script += "printf '%s\\0' " + " ".join(f'"${name}"' for name in names) + "\n"
    else:
        script = environment_file(dict(zip(names, arguments, strict=True)), "host", "test")
        script += "printf '%s\\0' " + " ".join(f'"${name}"' for name in names) + "\n"
    done = await connection.ssh.run("exec sh", input=script.encode(), encoding=None, check=True)
    assert isinstance(done.stdout, bytes)
    return done.stdout.decode().split("\0")[:-1]


def test_what_no_argument_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        quote("a\0b")
    for name in ("", "1A", "A-B", "A=B", "A B", "A\n", "é"):
        with pytest.raises(ValueError, match="not the name"):
            assign(name, "x")
