"""Says in this program's words why an engine did not do what it was asked: what the SDK and the operating system raised becomes an
error of ours. Knows no connection."""

import errno
import ssl
from collections.abc import Iterator
from typing import Final

import docker.errors
import requests.exceptions
import urllib3.exceptions

from quarterdeck.backends.errors import BackendError, CommandTimedOut, EngineRefused, NoSpace, NotPermitted, Unreachable
from quarterdeck.backends.hosts.docker.place import SshPlace, TcpPlace, UnixPlace
from quarterdeck.backends.text_cleaning import clean

SDK_ERRORS: Final = (
    OSError,  # requests' own family too
    EOFError,
    docker.errors.DockerException,
    docker.errors.StreamParseError,
    urllib3.exceptions.HTTPError,
)
"""What is explained. Anything else that a function raises is a fault of this program and goes through as it is."""

UNKNOWN: Final = "What the engine did with the request is not known"
IN_NETWORK: Final = "already exists in network"  # of a container that is connected to it once more; also a 403
_ENDING: Final = (  # an engine whose parts have ended before its API has
    "database not open",
    "shutting down",
    "client connection is closing",
    "transport is closing",
    "containerd.sock",
)
_FULL: Final = ("no space left on device", "read-only file system", "disk quota exceeded")


def explain(
    host: str, place: UnixPlace | SshPlace | TcpPlace, action: str, error: BaseException, *, left: str = UNKNOWN
) -> BackendError:
    """The error of ours for one of ``SDK_ERRORS``. ``left``: what is said of the engine where no answer of it came."""
    if isinstance(error, docker.errors.APIError):
        status, words = error.status_code or 0, str(error.explanation or error)
        if status >= 500 and any(sign in words.lower() for sign in _ENDING):
            return Unreachable(
                host,
                action,
                f"its Docker engine is being stopped, or lacks containerd ({_cleaned(words)})",
                left=UNKNOWN,
                advice=_is_it_running(place),
            )
        if "http request to an https server" in words.lower():
            return Unreachable(
                host,
                action,
                f"{place} wants TLS, and the host's entry has none",
                left="Nothing was asked of the engine",
                advice="give the host's tls: a directory with ca.pem, cert.pem and key.pem",
            )
        return refused(host, action, status, words)
    if isinstance(error, (requests.exceptions.JSONDecodeError, docker.errors.StreamParseError)):
        return EngineRefused(
            host,
            action,
            "what answered there does not speak as a Docker engine does",
            status=0,
            left=left,
            advice=f"is it a Docker engine that listens at {place}?",
        )
    if isinstance(error, docker.errors.DockerException):
        return EngineRefused(host, action, _cleaned(str(error)), status=0, left="Nothing was asked of the engine")
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return _tls(host, place, action, cause)
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno is not None:
            return _system_error(host, place, action, cause, left)
    if any(isinstance(cause, (TimeoutError, urllib3.exceptions.TimeoutError)) for cause in causes):
        return CommandTimedOut(host, action, "no answer in time", exit_status=None, left=left)
    said = _cleaned(str(causes[-1])) or type(causes[-1]).__name__
    return Unreachable(
        host, action, f"the connection to the engine was lost ({said})", left=left, advice=_is_it_running(place)
    )


def refused(host: str, action: str, status: int, explanation: str) -> BackendError:
    """For what an engine answered: also for errors that come in the middle of a stream (a pull's progress)."""
    words = _cleaned(explanation)
    lower = words.lower()
    if any(sign in lower for sign in _FULL):
        return NoSpace(
            host, action, words, advice="make room where the engine keeps its data; see: docker system df, there"
        )
    if status == 403 and IN_NETWORK not in lower:
        return NotPermitted(
            host, action, words, advice="an authorization plugin of that engine does not let this client do it"
        )
    return EngineRefused(host, action, words, status=status)


def _tls(host: str, place: UnixPlace | SshPlace | TcpPlace, action: str, error: ssl.SSLError) -> Unreachable:
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unreachable(
            host,
            action,
            f"the certificate that {place} shows can't be trusted ({error.verify_message})",
            left="Nothing was asked of the engine",
            advice="is ca.pem of the host's tls the authority that made it, and the address one that it is made for?",
        )
    return Unreachable(
        host,
        action,
        f"{place} and this machine did not agree on TLS ({reason})",
        left="Nothing was asked of the engine",
        advice="is cert.pem of the host's tls signed by the authority that the engine trusts, and does the engine listen with TLS there?",
    )


def _system_error(
    host: str, place: UnixPlace | SshPlace | TcpPlace, action: str, error: OSError, left: str
) -> BackendError:
    nothing = "Nothing was asked of the engine"
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return not_permitted(host, place, action)
        case errno.ENOENT if isinstance(place, UnixPlace):
            return no_socket(host, place, action)
        case errno.ECONNREFUSED:
            return nobody_listens(host, place, action)
        case errno.ENOSPC | errno.EROFS | errno.EDQUOT:
            return NoSpace(host, action, f"on this machine: {error.strerror}", left=left, advice="make room here")
        case errno.EMFILE | errno.ENFILE:
            return BackendError(
                host, action, "this machine has no file handle left", left=nothing, advice="raise `ulimit -n` for qd"
            )
    words = error.strerror or str(error)
    return Unreachable(
        host, action, f"the connection to the engine was lost ({words})", left=left, advice=_is_it_running(place)
    )


def no_socket(host: str, place: UnixPlace | SshPlace, action: str) -> Unreachable:
    return Unreachable(
        host,
        action,
        f"there is no socket {place.path}" + _there(place),
        left="Nothing was asked of the engine",
        advice=f"is Docker installed and running? See: systemctl status docker{_comma_there(place)}; where its socket is another one, "
        "name it in the host's docker entry",
    )


def nobody_listens(host: str, place: UnixPlace | SshPlace | TcpPlace, action: str) -> Unreachable:
    where = f"{place.name}:{place.port}" if isinstance(place, TcpPlace) else f"{place.path}{_there(place)}"
    return Unreachable(
        host,
        action,
        f"no engine listens at {where}",
        left="Nothing was asked of the engine",
        advice=_is_it_running(place),
    )


def not_permitted(host: str, place: UnixPlace | SshPlace | TcpPlace, action: str, user: str = "") -> NotPermitted:
    if isinstance(place, TcpPlace):
        return NotPermitted(host, action, f"this machine lets nobody connect to {place.name}:{place.port}")
    return NotPermitted(
        host,
        action,
        f"{user or 'the user who runs qd'} may not use the socket {place.path}{_there(place)}",
        left="Nothing was asked of the engine",
        advice=f"add the user to the group docker{_there(place)} (usermod -aG docker {user or 'USER'}) and log in anew; whoever is in "
        "that group is as good as root there",
    )


def _is_it_running(place: UnixPlace | SshPlace | TcpPlace) -> str:
    return f"is Docker running? See: systemctl status docker{_comma_there(place)}"


def _there(place: UnixPlace | SshPlace | TcpPlace) -> str:
    return "" if isinstance(place, UnixPlace) else " there"


def _comma_there(place: UnixPlace | SshPlace | TcpPlace) -> str:
    return "" if isinstance(place, UnixPlace) else ", there"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was wrapped around, and so on to what happened first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        inner = getattr(current, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((part for part in current.args if isinstance(part, BaseException)), None)
        current = inner or current.__cause__ or current.__context__


def _cleaned(text: str) -> str:
    return " ".join(clean(text).split())
