"""From references of secrets to their values, in memory. No value gets into an error, a log or a command line."""

import asyncio
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from quarterdeck.backends import programs
from quarterdeck.backends.errors import THIS_MACHINE, SecretUnavailable
from quarterdeck.backends.hosts.contract import SecretValues
from quarterdeck.config.model import SecretReference

MAX_BYTES = 1024 * 1024
_AT_ONCE = 8
_AGE_IDENTITIES = ("~/.config/age/keys.txt", "~/.config/sops/age/keys.txt")


class _Unavailable(Exception):
    """Why a reference does not resolve, in words that hold nothing of a value."""

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.advice = advice


async def resolve_secrets(
    references: Mapping[str, SecretReference], *, base: Path, deadline: float = 30.0
) -> SecretValues:
    """All values by name; a reference that several names share is asked once. One trailing newline is taken off.

    ``base`` is the directory that relative paths and commands start from (the fleet file's); ``deadline`` is seconds
    for all of them. Raises ``SecretUnavailable``, which names every secret that failed with its reference.
    """
    values, refused = await resolve_each(references, base=base, deadline=deadline)
    if refused is not None:
        del values  # a traceback that shows variables must not show those that could be read
        raise refused
    return values


async def resolve_each(
    references: Mapping[str, SecretReference], *, base: Path, deadline: float = 30.0
) -> tuple[SecretValues, SecretUnavailable | None]:
    """The values that can be read, and the error that names the others: for masking, where every one that is known counts."""
    limit = asyncio.Semaphore(_AT_ONCE)
    end = asyncio.get_running_loop().time() + deadline

    async def one(reference: SecretReference) -> str | _Unavailable:
        try:
            async with asyncio.timeout_at(end), limit:
                return await _value(reference, base)
        except TimeoutError:
            return _Unavailable(f"no answer within {deadline:g} s")
        except _Unavailable as problem:
            return problem

    distinct = list(dict.fromkeys(references.values()))
    async with asyncio.TaskGroup() as group:
        tasks = {reference: group.create_task(one(reference)) for reference in distinct}
    values: dict[str, str] = {}
    failed: list[tuple[str, SecretReference, _Unavailable]] = []
    for name, reference in references.items():
        result = tasks[reference].result()
        if isinstance(result, _Unavailable):
            failed.append((name, reference, result))
        else:
            values[name] = result
    return SecretValues(values), _sorry(failed) if failed else None


def _sorry(failed: Sequence[tuple[str, SecretReference, _Unavailable]]) -> SecretUnavailable:
    told = [f"{name} ({_shown(reference)}): {problem.problem}" for name, reference, problem in failed]
    return SecretUnavailable(
        THIS_MACHINE,
        "resolve the secret" if len(told) == 1 else f"resolve {len(told)} secrets",
        "; ".join(told),
        left="Nothing was changed",
        advice=failed[0][2].advice,
    )


def _shown(reference: SecretReference) -> str:
    source = reference.source if len(reference.source) <= 120 else reference.source[:119] + "…"
    return f"{reference.kind}: {source!r}"


async def _value(reference: SecretReference, base: Path) -> str:
    match reference.kind:
        case "env":
            return _environment(reference.source)
        case "file":
            return _text(await asyncio.to_thread(_file, _path(reference.source, base)))
        case "command":
            return _text(await _output(["sh", "-c", reference.source], base, "the command"))
        case "sops":
            return _text(await _output(_sops(reference.source, base), base, "sops"))
        case "age":
            return _text(await _output(_age(reference.source, base), base, "age"))
        case kind:
            raise _Unavailable(f"{kind} is no kind of reference", "Use env, file, command, sops or age")


def _environment(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise _Unavailable("the variable is not set", "Set it where qd is started: a worker has the same environment")
    if not value:
        raise _Unavailable("the value is empty")
    if any("\udc80" <= letter <= "\udcff" for letter in value):
        raise _Unavailable("the value is no UTF-8 text")
    return value


def _path(text: str, base: Path) -> Path:
    try:
        return base / Path(text).expanduser()
    except RuntimeError:
        raise _Unavailable("there is no such home directory", "Name the file by its whole path") from None


def _file(path: Path) -> bytes:
    try:
        # Not blocking: a named pipe without a writer would never come back.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _Unavailable("it is no regular file")
            data = bytearray()
            while len(data) <= MAX_BYTES and (piece := os.read(descriptor, 65536)):
                data += piece
            return bytes(data)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        problem = "there is no such file"
    except PermissionError:
        problem = "the file may not be read"
    except OSError as error:
        problem = error.strerror or "input/output error"
    raise _Unavailable(problem)


def _text(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _Unavailable(f"the value has more than {MAX_BYTES} bytes")
    value = data.decode("utf-8", "replace")
    # Not by an exception of decode(): it carries the bytes along, and a traceback could show them.
    if value.encode() != data:
        raise _Unavailable("the value is no UTF-8 text", "Encode it, for example with base64")
    if "\0" in value:
        raise _Unavailable("the value has a NUL byte in it")
    value = value.removesuffix("\n").removesuffix("\r") if value.endswith("\n") else value
    if not value:
        raise _Unavailable("the value is empty")
    return value


def _program(name: str) -> str:
    if (path := shutil.which(name)) is None:
        raise _Unavailable(f"{name} is not installed", f"Install {name} on this machine")
    return path


def _sops(source: str, base: Path) -> list[str]:
    """``FILE#a.b`` is b below a, ``FILE#["a.b"]`` a key with a dot in sops' own words, ``FILE`` all of it."""
    file, _, key = source.partition("#")
    extract = []
    if key.startswith("["):
        extract = ["--extract", key]
    elif key:
        parts = (f"[{part}]" if part.isdigit() else f'["{part}"]' for part in key.split("."))
        extract = ["--extract", "".join(parts)]
    return [_program("sops"), "-d", *extract, str(_absolute(_path(file, base)))]


def _age(source: str, base: Path) -> list[str]:
    program = _program("age")
    named = os.environ.get("AGE_IDENTITY")
    candidates = [named] if named else list(_AGE_IDENTITIES)
    identity = next((path for name in candidates if (path := Path(name).expanduser()).exists()), None)
    if identity is None:
        raise _Unavailable(f"there is no identity at {' or '.join(candidates)}", "Set AGE_IDENTITY to its path")
    return [program, "-d", "-i", str(_absolute(identity)), str(_absolute(_path(source, base)))]


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # never begins with a dash, and the program runs in another directory


async def _output(arguments: Sequence[str], base: Path, name: str) -> bytes:
    """What a program prints. Its stderr may hold a value: nobody sees it. It and its children end at the deadline."""
    try:
        process = await programs.start(arguments, folder=base)
    except OSError as error:
        raise _Unavailable(f"{name} can't be started: {error.strerror or 'input/output error'}") from None
    assert process.stdout is not None
    data = bytearray()
    finished = False
    try:
        while len(data) <= MAX_BYTES and (piece := await process.stdout.read(65536)):
            data += piece
        if len(data) > MAX_BYTES:
            raise _Unavailable(f"the value has more than {MAX_BYTES} bytes")
        status = await process.wait()
        finished = True
    finally:
        if not finished:
            await programs.end(process)
    if status != 0:
        ended = f"was ended by signal {-status}" if status < 0 else f"ended with exit status {status}"
        raise _Unavailable(
            f"{name} {ended}", "Run it by hand to see why: its messages may hold values and are not shown"
        )
    return bytes(data)
