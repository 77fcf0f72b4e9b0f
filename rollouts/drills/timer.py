"""The systemd units by which drills that are due are begun: written for a person, who starts them. Starts nothing."""

from collections.abc import Mapping
from pathlib import Path

HEAD = "# Written by `qd drill --timer`. When drills are due is said by `drills` in the fleet file.\n"


class FileInTheWay(Exception):
    """A file of that name holds something else."""


def timer_units(fleet: str, program: Path, fleet_file: Path, *, state_home: str | None) -> Mapping[str, str]:
    """By name: the service that runs what is due, and the timer that has it look. ``state_home``: $XDG_STATE_HOME, as it is for who
    writes them: the journal must be the same one."""
    home = f"Environment={_quoted(f'XDG_STATE_HOME={state_home}')}\n" if state_home else ""
    service = (
        f"{HEAD}[Unit]\n"
        f"Description=Quarterdeck: drills of {fleet} that are due\n"
        "After=network-online.target\n"
        "\n"
        "[Service]\n"
        "Type=oneshot\n"
        f"ExecStart={_quoted(program).replace('$', '$$')} drill --due --yes --fleet {_quoted(fleet_file).replace('$', '$$')}\n"
        f"{home}"
        # The workers that carry a drill out outlive the command: a drill that is stopped half-way would be taken back.
        "KillMode=process\n"
    )
    timer = (
        f"{HEAD}[Unit]\n"
        f"Description=Quarterdeck: looks whether drills of {fleet} are due\n"
        "\n"
        "[Timer]\n"
        "OnCalendar=*:0/15\n"
        "RandomizedDelaySec=60\n"
        "\n"
        "[Install]\n"
        "WantedBy=timers.target\n"
    )
    return {f"qd-drill-{fleet}.service": service, f"qd-drill-{fleet}.timer": timer}


def write_units(directory: Path, units: Mapping[str, str]) -> list[Path]:
    """Raises ``FileInTheWay`` before anything is written, OSError."""
    for name in units:
        path = directory / name
        if path.exists() and not path.read_text(errors="replace").startswith(HEAD):
            raise FileInTheWay(str(path))
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in units.items():
        path = directory / name
        path.write_text(text)
        written.append(path)
    return written


def _quoted(value: object) -> str:
    """One word of a unit file: systemd takes %, quotes and backslashes for its own."""
    text = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"'
