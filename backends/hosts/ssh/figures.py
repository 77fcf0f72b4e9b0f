"""Reads what ``figures.sh`` answered of a unit. What systemd does not account is absent, never guessed. Pure."""

from quarterdeck.backends.errors import CommandFailed
from quarterdeck.backends.hosts.contract import ServiceFigures
from quarterdeck.backends.hosts.ssh.answer import Answer
from quarterdeck.backends.numbers import number_in

_ENDLESS = 1 << 63  # "infinity", and what older ones write for it and for "not told"


def read_figures(host: str, action: str, unit: str, answer: Answer) -> ServiceFigures:
    """Raises ``CommandFailed`` where systemd knows no such unit, or does not answer."""
    if answer.has("no-slot"):
        raise CommandFailed(host, action, "it runs in no slot there", exit_status=None)
    told = dict(line.partition("=")[::2] for line in answer.every("unit"))
    if not answer.has("done") or told.get("LoadState", "not-found") == "not-found":
        said = answer.errors.splitlines()[-1] if answer.errors else f"systemd knows no unit {unit}"
        raise CommandFailed(host, action, said, exit_status=answer.exit_status, output=answer.errors)
    total = number_in("".join(answer.every("memory")[:1]).removeprefix("MemTotal:").removesuffix("kB").strip())
    machine = total * 1024 if total is not None else None
    processor = _number(told, "CPUUsageNSec")
    return ServiceFigures(
        restarts=_number(told, "NRestarts"),
        oom_kills=number_in(answer.one("oom")),
        memory=_number(told, "MemoryCurrent"),
        memory_limit=_number(told, "MemoryMax") or machine,
        cpu_seconds=processor / 1e9 if processor is not None else None,
    )


def _number(told: dict[str, str], name: str) -> int | None:
    found = number_in(told.get(name))
    return found if found is not None and found < _ENDLESS else None
