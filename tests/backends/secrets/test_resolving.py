"""References become values; what fails is named with its reference, and no value is in any message, argument or variable shown."""

import asyncio
import os
import re
import stat
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from quarterdeck.backends.errors import SecretUnavailable
from quarterdeck.backends.secrets import resolve_secrets
from quarterdeck.config.model import SecretReference

CANARY = "canary-7f3a9"


def reference(kind: str, source: str) -> SecretReference:
    return SecretReference(kind, source)


async def one(kind: str, source: str, base: Path, deadline: float = 30.0) -> str:
    return (await resolve_secrets({"TOKEN": reference(kind, source)}, base=base, deadline=deadline)).values["TOKEN"]


async def failing(kind: str, source: str, base: Path, deadline: float = 30.0) -> str:
    """The message, after looking that no value is in it or in what a traceback with variables would show."""
    with pytest.raises(SecretUnavailable) as failed:
        await one(kind, source, base, deadline)
    shown = traceback.TracebackException.from_exception(failed.value, capture_locals=True)
    assert CANARY not in "".join(shown.format()).replace(repr(source), "")
    assert "TOKEN" in str(failed.value)
    assert f"{kind}: {source[:100]}"[:20] in str(failed.value).replace("'", "").replace('"', "")
    return str(failed.value)


async def test_every_kind_that_needs_no_other_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QD_TEST_SECRET", " from the environment ")
    (tmp_path / "token").write_text("from a file\n")
    secrets = await resolve_secrets(
        {
            "A": reference("env", "QD_TEST_SECRET"),
            "B": reference("file", "token"),
            "C": reference("file", str(tmp_path / "token")),
            "D": reference("command", "printf 'from a %s\\n' command"),
        },
        base=tmp_path,
    )
    assert secrets.values == {
        "A": " from the environment ",
        "B": "from a file",
        "C": "from a file",
        "D": "from a command",
    }
    assert "from a" not in repr(secrets)


@pytest.mark.parametrize(
    ("content", "value"),
    [("x\n\n", "x\n"), ("x\r\n", "x"), (" x ", " x "), ("a\nb\n", "a\nb"), ("käse\n", "käse")],
)
async def test_one_trailing_newline_is_taken_off_and_nothing_else(tmp_path: Path, content: str, value: str) -> None:
    (tmp_path / "f").write_bytes(content.encode())
    assert await one("file", "f", tmp_path) == value
    assert await one("command", "cat f", tmp_path) == value


async def test_a_reference_below_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token").write_text("x")
    assert await one("file", "~/token", Path("/")) == "x"


async def test_a_command_that_is_named_twice_runs_once(tmp_path: Path) -> None:
    asked = reference("command", "echo x >>runs; echo value")
    assert (await resolve_secrets({"A": asked, "B": asked}, base=tmp_path)).values == {"A": "value", "B": "value"}
    assert (tmp_path / "runs").read_text() == "x\n"


async def test_commands_run_beside_each_other(tmp_path: Path) -> None:
    # Each waits for the other one's file: one after the other, they would never end.
    pair = {
        name: reference("command", f"touch {name}; until [ -e {other} ]; do sleep 0.01; done; echo {name}")
        for name, other in (("A", "B"), ("B", "A"))
    }
    assert (await resolve_secrets(pair, base=tmp_path)).values == {"A": "A", "B": "B"}


async def test_a_command_has_nothing_to_read_and_no_terminal_to_ask_on(tmp_path: Path) -> None:
    assert await one("command", "read line || echo nothing", tmp_path) == "nothing"
    assert await one("command", "(: </dev/tty) 2>/dev/null || echo none", tmp_path) == "none"


async def test_what_fails_is_named_with_its_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QD_TEST_SECRET", raising=False)
    os.mkfifo(tmp_path / "pipe")
    assert "the variable is not set" in await failing("env", "QD_TEST_SECRET", tmp_path)
    assert "there is no such file" in await failing("file", "none", tmp_path)
    assert "it is no regular file" in await failing("file", "pipe", tmp_path)
    assert "it is no regular file" in await failing("file", ".", tmp_path)
    assert "exit status 3" in await failing("command", "exit 3", tmp_path)
    assert "exit status 127" in await failing("command", "no-such-program-here", tmp_path)
    assert "signal 9" in await failing("command", "kill -9 $$", tmp_path)
    assert "can't be started" in await failing("command", "true", tmp_path / "none")
    assert "vault is no kind" in await failing("vault", "x", tmp_path)


async def test_an_empty_value_and_one_that_no_environment_can_hold_are_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QD_TEST_SECRET", "")
    (tmp_path / "nul").write_bytes(CANARY.encode() + b"\0rest")
    (tmp_path / "latin").write_bytes(CANARY.encode() + b"\xe9")
    (tmp_path / "newline").write_bytes(b"\n")
    (tmp_path / "large").write_bytes(CANARY.encode() * 100_000)
    assert "empty" in await failing("env", "QD_TEST_SECRET", tmp_path)
    assert "empty" in await failing("file", "newline", tmp_path)
    assert "empty" in await failing("command", "true", tmp_path)
    assert "NUL" in await failing("file", "nul", tmp_path)
    assert "UTF-8" in await failing("file", "latin", tmp_path)
    assert "more than" in await failing("file", "large", tmp_path)
    assert "more than" in await failing("command", "cat large; sleep 60", tmp_path)


async def test_what_a_failing_command_says_is_shown_nowhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "speak").write_text(f"echo {CANARY}; echo {CANARY} >&2; exit 1")
    message = await failing("command", "sh speak", tmp_path)
    assert "exit status 1" in message
    assert CANARY not in "".join(capfd.readouterr())


async def test_the_values_that_did_resolve_are_in_no_error_either(tmp_path: Path) -> None:
    (tmp_path / "good").write_text(CANARY)
    with pytest.raises(SecretUnavailable) as failed:
        await resolve_secrets({"GOOD": reference("file", "good"), "BAD": reference("file", "bad")}, base=tmp_path)
    shown = traceback.TracebackException.from_exception(failed.value, capture_locals=True)
    assert CANARY not in "".join(shown.format())


async def test_all_that_fail_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(SecretUnavailable) as failed:
        await resolve_secrets({name: reference("file", f"no-{name}") for name in ("A", "B", "C")}, base=tmp_path)
    assert re.search(r"resolve 3 secrets: A \(file: 'no-A'\).*; B \(file.*; C \(file", str(failed.value))


def running(marker: str) -> list[str]:
    """Command lines of the processes that have ``marker`` in them."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                line = Path("/proc", entry, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if marker in line and entry != str(os.getpid()):
                found.append(line)
    return found


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.01)


async def test_a_command_that_hangs_is_ended_at_the_deadline_with_its_children(tmp_path: Path) -> None:
    marker = f"61{os.getpid()}"
    assert "no answer within 0.3 s" in await failing("command", f"sleep {marker}; true", tmp_path, 0.3)
    await until(lambda: not running(f"sleep {marker}"))


async def test_a_child_that_keeps_the_output_open_does_not_outlive_the_deadline(tmp_path: Path) -> None:
    marker = f"62{os.getpid()}"
    assert "no answer" in await failing("command", f"sleep {marker} & echo {CANARY}", tmp_path, 0.3)
    await until(lambda: not running(f"sleep {marker}"))


async def test_cancelling_ends_the_command(tmp_path: Path) -> None:
    marker = f"63{os.getpid()}"
    task = asyncio.create_task(one("command", f"sleep {marker}; true", tmp_path))
    await until(lambda: bool(running(f"sleep {marker}")))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not running(f"sleep {marker}"))


async def test_cancelling_at_any_moment_of_the_start_leaves_nothing_running(tmp_path: Path) -> None:
    marker = f"64{os.getpid()}"
    for moment in range(60):
        task = asyncio.create_task(one("command", f"sleep {marker}; true", tmp_path))
        await asyncio.sleep(moment * 0.0002)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await until(lambda: not running(f"sleep {marker}"))


def recorded(folder: Path, name: str, script: str) -> None:
    """Puts a program in ``folder`` that keeps its arguments, one a line, and does as ``script`` says."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >"{folder}/{name}.arguments"\n{script}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that comes first where programs are looked for."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AGE_IDENTITY", raising=False)
    return folder


@pytest.mark.parametrize(
    ("source", "extract"),
    [
        ("secrets.yaml#db.password", ["--extract", '["db"]["password"]']),
        ("secrets.yaml#users.0.token", ["--extract", '["users"][0]["token"]']),
        ('secrets.yaml#["db.password"]', ["--extract", '["db.password"]']),
        ("secrets.yaml", []),
    ],
)
async def test_sops_is_asked_for_one_key(programs: Path, tmp_path: Path, source: str, extract: list[str]) -> None:
    recorded(programs, "sops", "echo value")
    assert await one("sops", source, tmp_path) == "value"
    asked = (programs / "sops.arguments").read_text().splitlines()
    assert asked == ["-d", *extract, str(tmp_path / "secrets.yaml")]


async def test_age_is_given_the_identity_of_the_environment_or_the_usual_one(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(programs, "age", "echo value")
    assert "no identity" in await failing("age", "token.age", tmp_path)
    usual = tmp_path / ".config/age/keys.txt"
    usual.parent.mkdir(parents=True)
    usual.write_text("AGE-SECRET-KEY-…")
    assert await one("age", "token.age", tmp_path) == "value"
    asked = (programs / "age.arguments").read_text().splitlines()
    assert asked == ["-d", "-i", str(usual), str(tmp_path / "token.age")]
    monkeypatch.setenv("AGE_IDENTITY", str(tmp_path / "mine"))
    assert "no identity" in await failing("age", "token.age", tmp_path)
    (tmp_path / "mine").write_text("AGE-SECRET-KEY-…")
    assert await one("age", "token.age", tmp_path) == "value"
    assert str(tmp_path / "mine") in (programs / "age.arguments").read_text()


async def test_a_program_that_fails_or_is_not_installed_is_named(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(programs, "sops", f"echo {CANARY}; echo {CANARY} >&2; exit 100")
    assert "sops ended with exit status 100" in await failing("sops", "f#k", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert "sops is not installed" in await failing("sops", "f#k", tmp_path)
    assert "age is not installed" in await failing("age", "f", tmp_path)
