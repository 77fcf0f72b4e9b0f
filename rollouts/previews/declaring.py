"""Previews: declaring one, giving it more time, forgetting it. Roles are enforced here. Nothing here connects to a host: that is for
``removing``."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Fleet, Preview
from quarterdeck.config.names import find_environment
from quarterdeck.config.previews import MOST_PREVIEWS, SUFFIX, read_preview, text_of, written_time
from quarterdeck.history.place import Place
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.refusals import Refused, UnknownPart

LIFETIME = 3 * 86400.0  # seconds
LONGEST = 90 * 86400.0
_PATIENCE = 5.0  # seconds for another one who changes the previews
MADE, EXTENDED, REMOVED = "preview.made", "preview.extended", "preview.removed"


def clone(
    control: Control,
    origin: str,
    name: str,
    hosts: Sequence[str],
    *,
    services: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    seconds: float = LIFETIME,
) -> Fleet:
    """Declares the preview ``name`` of the environment ``origin`` on ``hosts``; the fleet as it is then. ``services`` empty: all of them.

    Raises Refused (role, a name that is taken, a clash on a host, too long a lifetime), UnknownPart, UnknownName, and what reading the
    fleet file and writing to the journal raise: nothing is declared then.
    """
    control.allow_change()
    fleet = control.fleet
    targets = find_environment(fleet, origin)
    if fleet.environments[origin].preview is not None:
        raise Refused(f"{origin} is a preview itself", "clone the environment that it is of")
    there = [target.service for target in targets]
    unknown = [service for service in services if service not in there]
    if unknown:
        raise UnknownPart(f"there is no service {unknown[0]!r} in {origin}", f"there is {', '.join(there)}")
    missing = [host for host in hosts if host not in fleet.hosts]
    if missing:
        raise UnknownPart(f"there is no host {missing[0]!r} in the fleet file", f"there is {', '.join(fleet.hosts)}")
    if name in fleet.environments or name in fleet.previews:
        kind = "a preview" if name in fleet.previews else "an environment"
        raise Refused(f"there is {kind} {name} already", f"take another name, or: qd env extend {name}")
    if len(fleet.previews) >= MOST_PREVIEWS:
        raise Refused(
            f"there are {MOST_PREVIEWS} previews already", "qd env remove --expired removes those that are over"
        )
    now = datetime.now(UTC)
    made = Preview(
        name,
        origin,
        tuple(dict.fromkeys(hosts)),
        tuple(dict.fromkeys(services)) or tuple(there),
        dict(env or {}),
        written_time(now),
        control.operator.label,
        written_time(now + timedelta(seconds=_lifetime(seconds))),
        fleet.previews_in / f"{name}{SUFFIX}",
    )
    _declare(fleet, made)
    try:
        renewed = load_fleet(fleet.file)
        if fault := _fault(fleet, renewed, name):
            raise Refused(
                f"{name} can't be a preview of {origin} on {', '.join(made.hosts)}: {fault}", "nothing was declared"
            )
        control.journal.record(MADE, body=_told(made))
    except BaseException:  # whatever it is: what is told to have failed is not there
        with contextlib.suppress(OSError):
            made.file.unlink()
        raise
    return renewed


def _fault(before: Fleet, after: Fleet, name: str) -> str:
    """Why the new preview can't be: of itself, or because one that was there before it could not be any more; empty: it can."""
    mine = after.previews.get(name)
    if mine is None or mine.fault:
        return mine.fault if mine is not None else f"{name} is no name"
    for other in after.previews.values():
        known = before.previews.get(other.name)
        if other.fault and known is not None and not known.fault:
            return f"it would be in the way of {other.name}: {other.fault}"
    return ""


def extend(control: Control, name: str, seconds: float) -> Preview:
    """Gives a preview so much more time: from its end on, or from now where it is over. Raises Refused, UnknownPart."""
    control.allow_change()
    file = known(control.fleet, name).file
    with _alone(file.parent):
        if not file.exists():
            raise Refused(f"somebody has just removed the preview {name}", "qd env clone makes it anew")
        preview = read_preview(file)  # as it is now, whoever has changed it since the fleet was read
        if preview.fault and not preview.until:
            raise Refused(f"the preview {name} can't be read: {preview.fault}", f"qd env remove {name} forgets it")
        now = datetime.now(UTC)
        begins = max(now, datetime.fromisoformat(preview.until))
        until = begins + timedelta(seconds=_lifetime(seconds))
        if (until - now).total_seconds() > LONGEST:
            raise Refused(
                f"{name} would last for more than {LONGEST / 86400:g} days",
                "an environment of the fleet file has no end",
            )
        extended = msgspec.structs.replace(preview, until=written_time(until), fault="")
        _write(extended, replace=True, place=_place_of(control.fleet))
        control.journal.record(EXTENDED, body=_told(extended))
    return extended


def forget(control: Control, name: str, *, left: Sequence[str] = ()) -> None:
    """Removes the declaration. ``left``: hosts on which it may still run, as they are told. Raises Refused (also where somebody has
    changed it since the fleet was read), UnknownPart."""
    control.allow_change()
    preview = known(control.fleet, name)
    with _alone(preview.file.parent):
        if preview.file.exists():  # else somebody else was quicker
            refuse_if_changed(preview)
            with contextlib.suppress(FileNotFoundError):
                preview.file.unlink()
        control.journal.record(REMOVED, body={**_told(preview), "left_on": list(left)})


def refuse_if_changed(preview: Preview) -> None:
    """Raises Refused where its file does not say any more when it was made and until when it lasts, as it did when it was read: somebody
    has given it more time, or removed it, and perhaps made it anew."""
    now = read_preview(preview.file)
    told = ""
    if not preview.file.exists():
        told = "somebody has just removed it"
    elif now.made != preview.made:
        told = "somebody has made it anew meanwhile"
    elif now.until != preview.until:
        told = f"somebody has given it another end meanwhile, {now.until}"
    if told:
        raise Refused(f"the preview {preview.name} is not what it was when it was read: {told}", "see: qd env list")


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """No other one extends or forgets a preview there meanwhile. Raises Refused where another one does not come to an end. A file system
    without locks, or a directory that is gone, holds nobody up."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise Refused(f"somebody else changes the previews in {directory}", "try it again") from None
                time.sleep(0.05)
            except OSError:
                break
        yield
    finally:
        os.close(descriptor)


def known(fleet: Fleet, name: str) -> Preview:
    """Raises UnknownPart for what is no preview."""
    if name in fleet.previews:
        return fleet.previews[name]
    if name in fleet.environments:
        raise UnknownPart(f"{name} is an environment of the fleet file, no preview", "it is changed there")
    there = ", ".join(fleet.previews) or "there is none"
    raise UnknownPart(f"there is no preview {name!r}", f"previews: {there}")


def _lifetime(seconds: float) -> float:
    if seconds > LONGEST:
        raise Refused(
            f"a preview lasts for {LONGEST / 86400:g} days at most", "an environment of the fleet file has no end"
        )
    return seconds


def _told(preview: Preview) -> dict[str, object]:
    return {
        "environment": preview.name,
        "from": preview.origin,
        "hosts": list(preview.hosts),
        "services": list(preview.services),
        "until": preview.until,
    }


def _place_of(fleet: Fleet) -> Place | None:
    """Who may read what is made in the state directory; None where the previews lie elsewhere."""
    return Place.prepare(fleet.state, create=True) if fleet.previews_in.parent == fleet.state else None


def _declare(fleet: Fleet, preview: Preview) -> None:
    place = _place_of(fleet)
    if place is not None:
        place.make_directory(fleet.previews_in)
    else:
        fleet.previews_in.mkdir(parents=True, exist_ok=True)
    try:
        _write(preview, replace=False, place=place)
    except FileExistsError:
        raise Refused(f"somebody has just made {preview.file}", "see: qd env list") from None


def _write(preview: Preview, *, replace: bool, place: Place | None) -> None:
    """Never half: under its name it is there whole. Raises OSError, FileExistsError where it is not to be replaced."""
    draft = preview.file.with_name(f".{preview.file.name}.{os.urandom(6).hex()}")
    mode = place.file_mode if place is not None else 0o644
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, mode)
            file.write(text_of(preview))
            file.flush()
            os.fsync(descriptor)
        _given(draft, preview.file.parent)
        if replace:
            os.replace(draft, preview.file)
        else:
            os.link(draft, preview.file)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()


def _given(file: Path, directory: Path) -> None:
    """What root makes belongs to the directory's owner, who could not read it otherwise."""
    found = os.stat(directory)
    if os.geteuid() == 0 and (found.st_uid or found.st_gid):
        os.chown(file, found.st_uid, found.st_gid)
