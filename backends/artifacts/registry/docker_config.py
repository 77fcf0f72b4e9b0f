"""Logins as Docker keeps them: ``config.json`` and the credential programs that it names. Reads them, writes none.

What is in the file and what a program prints gets into no error and no log.
"""

import asyncio
import base64
import binascii
import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quarterdeck.backends import programs
from quarterdeck.backends.artifacts.registry.reference import DOCKER_HUB, Repository
from quarterdeck.backends.errors import THIS_MACHINE, BackendError

MAX_BYTES = 1024 * 1024
_PROGRAM_DEADLINE = 30.0  # seconds; a keychain may ask its user
_IDENTITY = "<token>"  # the user's name with which credential programs mark an identity token
_NOT_FOUND = b"credentials not found in native keychain"  # docker-credential-helpers' own words
_HUB_KEYS = (DOCKER_HUB, "index.docker.io", "registry-1.docker.io")


@dataclass(frozen=True, slots=True)
class Login:
    """One of: user and password, an identity token (for a token server), a registry token (for the registry itself)."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)


def config_file() -> Path:
    folder = os.environ.get("DOCKER_CONFIG")
    return (Path(folder) if folder else Path("~/.docker")).expanduser() / "config.json"


def stamp() -> tuple[object, ...]:
    """Changes when somebody logs in or out: what was kept for the earlier login is not used then."""
    path = config_file()
    try:
        found = path.stat()
    except OSError:
        return (str(path),)
    return (str(path), found.st_mtime_ns, found.st_size, found.st_ino)


async def docker_login(repository: Repository, action: str) -> Login | None:
    """The login that Docker has for the repository's registry; None: none. Raises ``BackendError``."""
    config = await asyncio.to_thread(_read, action)
    server = repository.login_server
    by_server = _mapping(config.get("credHelpers"))
    program = next((by_server[key] for key in _keys(repository) if by_server.get(key)), config.get("credsStore"))
    if isinstance(program, str) and program:
        login = await _from_program(f"docker-credential-{program}", server, action)
        if login is not None:
            return login
    # A file that was written before the program was set up holds for the registries that it does not know.
    return _from_file(_mapping(config.get("auths")), repository, action)


def _read(action: str) -> dict[str, Any]:
    path = config_file()
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _sorry(action, f"{path} can't be read: {error.strerror or 'input/output error'}") from None
    try:
        config = json.loads(data) if len(data) <= MAX_BYTES else None
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise _sorry(action, f"{path} is not the JSON that Docker writes")
    return config


def _keys(repository: Repository) -> tuple[str, ...]:
    return (repository.login_server, *_HUB_KEYS) if repository.registry == DOCKER_HUB else (repository.registry,)


def _host(key: str) -> str:
    """``https://registry.acme.io/v1/``, as old logins are written, is registry.acme.io."""
    return key.partition("://")[2].partition("/")[0] if "://" in key else key.partition("/")[0]


def _from_file(entries: Mapping[str, Any], repository: Repository, action: str) -> Login | None:
    keys = _keys(repository)
    candidates = [entries[key] for key in keys if key in entries]
    candidates += [entry for key, entry in entries.items() if key not in keys and _host(key) in keys]
    for entry in candidates:
        if (login := _login(_mapping(entry), repository, action)) is not None:
            return login
    return None


def _login(entry: Mapping[str, Any], repository: Repository, action: str) -> Login | None:
    def text(name: str) -> str:
        value = entry.get(name)
        return value if isinstance(value, str) else ""

    if text("identitytoken"):
        return Login(identity_token=text("identitytoken"))
    if text("registrytoken"):
        return Login(registry_token=text("registrytoken"))
    username, password = text("username"), text("password")
    if encoded := text("auth"):
        try:
            decoded = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            decoded = ""
        username, colon, password = decoded.partition(":")
        password = password.rstrip("\0")
        if not colon:
            raise _sorry(
                action,
                f"{config_file()}: the login for {repository.registry} can't be understood",
                f"Log in anew: {repository.login_command}",
            )
    return Login(username, password) if username or password else None


async def _from_program(name: str, server: str, action: str) -> Login | None:
    path = await asyncio.to_thread(shutil.which, name)
    if path is None:
        raise _sorry(
            action,
            f"Docker's credentials for {server} are kept by {name}, which is not installed here",
            f"Install {name}, or take it out of {config_file()}",
        )
    try:
        async with asyncio.timeout(_PROGRAM_DEADLINE):
            status, output = await _answer(path, server)
    except TimeoutError:
        raise _sorry(action, f"{name} gave no answer within {_PROGRAM_DEADLINE:g} s", _by_hand(name)) from None
    except OSError as error:
        raise _sorry(action, f"{name} can't be started: {error.strerror or 'input/output error'}") from None
    if status != 0:
        if _NOT_FOUND in output:
            return None
        ended = f"was ended by signal {-status}" if status < 0 else f"ended with exit status {status}"
        raise _sorry(action, f"{name} {ended} when asked for {server}", _by_hand(name))
    try:
        found = json.loads(output)
        username, secret = found["Username"], found["Secret"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _sorry(action, f"what {name} answered for {server} can't be understood", _by_hand(name)) from None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise _sorry(action, f"what {name} answered for {server} can't be understood", _by_hand(name))
    if not username and not secret:
        return None
    return Login(identity_token=secret) if username == _IDENTITY else Login(username, secret)


async def _answer(path: str, server: str) -> tuple[int, bytes]:
    process = await programs.start([path, "get"], stdin=asyncio.subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    finished = False
    try:
        process.stdin.write(server.encode())
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await process.stdin.drain()  # one that ends without reading says the rest by its exit status
        process.stdin.close()
        output = bytearray()
        while len(output) <= MAX_BYTES and (piece := await process.stdout.read(65536)):
            output += piece
        if len(output) > MAX_BYTES:
            return 0, b""  # nobody's credentials: told as an answer that can't be understood
        status = await process.wait()
        finished = True
        return status, bytes(output)
    finally:
        if not finished:
            await programs.end(process)


def _by_hand(name: str) -> str:
    return f"Run {name} get by hand to see why: its messages may hold secrets and are not shown"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _sorry(action: str, problem: str, advice: str = "") -> BackendError:
    return BackendError(THIS_MACHINE, action, problem, left="Nothing was changed", advice=advice)
