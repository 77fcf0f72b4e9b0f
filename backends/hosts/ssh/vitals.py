"""Reads a host's vitals from what /proc and df said. Pure."""

import math

from quarterdeck.backends.errors import CommandFailed
from quarterdeck.backends.hosts.contract import Vitals
from quarterdeck.backends.hosts.ssh.answer import Answer


def read_vitals(host: str, answer: Answer) -> Vitals:
    """Raises ``CommandFailed`` where a figure is missing."""
    try:
        memory = {
            name.rstrip(":"): int(rest.split()[0]) * 1024
            for name, _, rest in (line.strip().partition(" ") for line in answer.every("memory"))
        }
        disk_total, disk_free = (int(value) * 1024 for value in (answer.one("disk") or "").split())
        # user nice system idle iowait irq softirq steal; what guests take is in user already
        ticks = [int(value) for value in (answer.one("cpu") or "").split()[:8]]
        if not answer.has("done"):  # cut short, its last figure may be half of one
            raise ValueError("cut short")
        found = Vitals(
            load_1m=float((answer.one("load") or "").split()[0]),
            cores=int(answer.one("cores") or ""),
            memory_total=memory["MemTotal"],
            memory_available=memory.get("MemAvailable", memory.get("MemFree", 0)),
            disk_total=disk_total,
            disk_free=disk_free,
            uptime=float((answer.one("uptime") or "").split()[0]),
            cpu_busy=sum(ticks) - sum(ticks[3:5]),
            cpu_total=sum(ticks),
        )
        if not (math.isfinite(found.load_1m) and math.isfinite(found.uptime)):
            raise ValueError("no number")
        return found
    except (ValueError, IndexError, KeyError):
        raise CommandFailed(
            host,
            "read vitals",
            "the host does not tell its load, memory and disk",
            exit_status=answer.exit_status,
            output=answer.errors,
            advice="vitals need Linux's /proc",
        ) from None
