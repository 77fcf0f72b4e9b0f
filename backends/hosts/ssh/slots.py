"""Which instance of a service is a release's, where two run beside each other: its unit, its port, its logs. What a host said of it is
remembered for a moment, as a release moves only when it is switched to."""

import time
from collections.abc import Iterable
from typing import Final

import msgspec

from quarterdeck.backends.hosts.ssh.answer import Answer, senseless
from quarterdeck.backends.hosts.ssh.quoting import quote
from quarterdeck.config.model import Health, HttpCheck, Logs, Slots, TcpCheck
from quarterdeck.config.release import Release

_TRUSTED: Final = 1.0  # seconds that what was said is not asked for again, though the service seems not to be there


class SlotsSeen:
    """By target's path and release: the slot that it runs in, as this connection was told last."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[str, float]] = {}

    def of(self, release: Release) -> str | None:
        found = self._seen.get(_key(release))
        return found[0] if found is not None else None

    def learn(self, release: Release, slot: str | None) -> None:
        """``slot`` None: in none."""
        if slot:
            self._seen[_key(release)] = slot, time.monotonic()
        else:
            self._seen.pop(_key(release), None)

    def learn_all(self, path: str, lines: Iterable[str]) -> None:
        """``lines`` of ``slot_facts``: slot, state, release."""
        home = path.rstrip("/")
        self._seen = {key: one for key, one in self._seen.items() if key[0] != home}
        for slot, _, release in (line.split(" ", 2) for line in lines):
            if release:
                self._seen[home, release] = slot, time.monotonic()

    def doubt(self, release: Release) -> None:
        """It did not answer as it should: where it runs is asked for anew, unless that was said just now."""
        found = self._seen.get(_key(release))
        if found is not None and time.monotonic() - found[1] > _TRUSTED:
            del self._seen[_key(release)]


def _key(release: Release) -> tuple[str, str]:
    return release.path.rstrip("/"), release.id


def slot_lines(host: str, action: str, answer: Answer) -> list[str]:
    """What ``slot_facts`` said of each slot: slot, state, release (empty: none is to run there). Raises ``CommandFailed`` where it is
    none of these."""
    for line in answer.every("slot"):
        if " " not in line:
            raise senseless(host, action, answer, f"slot {line}")
    return [line if line.count(" ") > 1 else f"{line} " for line in answer.every("slot")]


def facts_of_slots(current: str, lines: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """running, no or unknown, of ``current``; and what runs though it should not, in the words of drift."""
    service, drift = "", []
    for slot, state, release in (line.split(" ", 2) for line in lines):
        if release == current and not service:
            service = state
        elif not release:
            drift.append(f"something runs in slot {slot}, and no release is in it")
        elif state == "running":
            drift.append(f"{release} runs as well, in slot {slot}")
        else:
            drift.append(f"{release} is in slot {slot} as well, and does not run")
    return service or "no", tuple(drift)


def port_in(slots: Slots, slot: str, port: int) -> int:
    """The port of each slot stands for that of the instance that is asked; any other is what it says."""
    return slots.ports[slot] if port in slots.ports.values() else port


def in_slot(health: Health, slots: Slots, slot: str) -> Health:
    """The checks, as they are made of the instance in ``slot``."""

    def moved(check: HttpCheck | TcpCheck) -> HttpCheck | TcpCheck:
        return msgspec.structs.replace(check, port=port_in(slots, slot, check.port))

    return msgspec.structs.replace(
        health,
        http=moved(health.http) if health.http is not None else None,
        tcp=moved(health.tcp) if health.tcp is not None else None,
    )


def instance_of(unit: str, slot: str) -> str:
    """``api@blue.service`` of the template ``api@.service``; any other unit is itself."""
    return unit.replace("@.", f"@{slot}.", 1)


def log_values(logs: Logs, release: Release) -> dict[str, str]:
    """What scripts are told of a log: of a service with slots all units and files, and those of each slot."""
    slots = release.runner.slots
    if slots is None:
        return {"journal": logs.journal or "", "files": " ".join(quote(pattern) for pattern in logs.files)}
    journals = {slot: instance_of(logs.journal or "", slot) for slot in slots.ports}
    files = {slot: [quote(slots.fill(pattern, slot)) for pattern in logs.files] for slot in slots.ports}
    return {
        "journal": " ".join(dict.fromkeys(journals.values())),
        "files": " ".join(dict.fromkeys(pattern for patterns in files.values() for pattern in patterns)),
        **{f"journal_{slot}": journal for slot, journal in journals.items()},
        **{f"files_{slot}": " ".join(patterns) for slot, patterns in files.items()},
        "path": release.path.rstrip("/"),
        "release": release.id,
    }
