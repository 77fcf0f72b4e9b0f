"""Where a host's engine listens, as the fleet file names it: unix://, ssh://, tcp:// or a context of Docker's own. Opens nothing."""

import hashlib
import ipaddress
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

USUAL_SOCKET: Final = "/var/run/docker.sock"
_TLS_PORT: Final = 2376
_PLAIN_PORT: Final = 2375
_LONGEST_META: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class UnixPlace:
    path: str

    def __str__(self) -> str:
        return f"unix://{self.path}"


@dataclass(frozen=True, slots=True)
class SshPlace:
    """``ssh``: what a user would give to ``ssh``; ``path``: of the engine's socket there."""

    ssh: str
    path: str = USUAL_SOCKET

    def __str__(self) -> str:
        return f"ssh://{self.ssh}" + ("" if self.path == USUAL_SOCKET else self.path)


@dataclass(frozen=True, slots=True)
class TcpPlace:
    """``tls``: the files of the authority, the certificate and its key; None: plain, and only to this machine itself."""

    name: str
    port: int
    tls: tuple[str, str, str] | None = None

    def __str__(self) -> str:
        return f"tcp://[{self.name}]:{self.port}" if ":" in self.name else f"tcp://{self.name}:{self.port}"


Place = UnixPlace | SshPlace | TcpPlace


class PlaceError(ValueError):
    """The entry can't be used; the message says why, ``advice`` what to write instead."""

    def __init__(self, problem: str, advice: str) -> None:
        super().__init__(problem)
        self.advice = advice


def find_place(docker: str, tls: str = "") -> Place:
    """``docker`` and ``tls`` as in ``config.model.Host``. Reads a context's files, so not for the event loop.

    Raises ``PlaceError``.
    """
    if docker.startswith("context://"):
        return _of_context(docker.removeprefix("context://"))
    return _parse(docker, Path(tls) if tls else None)


def _parse(text: str, tls: Path | None) -> Place:
    kind, sign, rest = text.partition("://")
    match kind if sign else "":
        case "unix":
            if not rest.startswith("/"):
                raise PlaceError(f"{text!r} has no absolute path", f"write unix://{USUAL_SOCKET}")
            return UnixPlace(rest)
        case "ssh":
            login, slash, path = rest.partition("/")
            if not login:
                raise PlaceError(f"{text!r} names no host", "write ssh://[user@]address[:port]")
            return SshPlace(login, slash + path if path else USUAL_SOCKET)
        case "tcp":
            return _parse_tcp(text, rest.rstrip("/"), tls)
    raise PlaceError(
        f"{text!r} names no engine", "write unix:///path, ssh://[user@]address, tcp://address:port or context://name"
    )


def _parse_tcp(text: str, rest: str, tls: Path | None) -> TcpPlace:
    name, colon, port_text = rest.rpartition(":")
    if not colon or rest.endswith("]"):
        name, port_text = rest, str(_TLS_PORT if tls else _PLAIN_PORT)
    name = name.removeprefix("[").removesuffix("]")
    if not name or "/" in rest or not port_text.isdigit() or not 0 < int(port_text) < 65536:
        raise PlaceError(f"{text!r} is not tcp://address:port", "write tcp://10.0.0.1:2376")
    if tls is None:
        if not is_this_machine(name):
            raise PlaceError(
                f"{text} is without TLS: whoever reaches that port is root there, and whoever is on the way reads every secret",
                "reach it by ssh://, or give the host's tls: a directory with ca.pem, cert.pem and key.pem",
            )
        return TcpPlace(name, int(port_text))
    files = (tls / "ca.pem", tls / "cert.pem", tls / "key.pem")
    for file in files:
        try:
            file.open("rb").close()
        except OSError as error:
            raise PlaceError(
                f"{file}: {error.strerror}",
                "the host's tls is a directory with ca.pem, cert.pem and key.pem that qd may read",
            ) from None
    return TcpPlace(name, int(port_text), (str(files[0]), str(files[1]), str(files[2])))


def is_this_machine(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _of_context(name: str) -> Place:
    """Docker's own store: a directory a context, named by the SHA-256 of the context's name."""
    if name in ("", "default"):
        certificates = os.environ.get("DOCKER_CERT_PATH")
        return _parse(
            os.environ.get("DOCKER_HOST") or f"unix://{USUAL_SOCKET}", Path(certificates) if certificates else None
        )
    store = Path(os.environ.get("DOCKER_CONFIG") or "~/.docker").expanduser() / "contexts"
    directory = hashlib.sha256(name.encode()).hexdigest()
    meta = store / "meta" / directory / "meta.json"
    see = "what there is: docker context ls"
    try:
        with meta.open("rb") as file:
            read = json.loads(file.read(_LONGEST_META))
        endpoint = read["Endpoints"]["docker"]
        address, skip = str(endpoint["Host"]), bool(endpoint.get("SkipTLSVerify"))
    except FileNotFoundError:
        raise PlaceError(f"Docker has no context {name!r} in {store}", see) from None
    except OSError as error:
        raise PlaceError(f"Docker's context {name!r} can't be read: {meta}: {error.strerror}", see) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise PlaceError(
            f"Docker's context {name!r} names no engine ({meta})", f"docker context inspect {name}"
        ) from None
    if skip:
        raise PlaceError(
            f"Docker's context {name!r} does not verify the engine's certificate",
            "make it anew without skip-tls-verify: a connection that anybody may answer is not used here",
        )
    tls = store / "tls" / directory / "docker"
    if address.startswith("context://"):
        raise PlaceError(f"Docker's context {name!r} leads to another context", see)
    return _parse(address, tls if tls.is_dir() else None)
