"""Programs of PyPI that stand beside what is measured. Each is put into an environment of its own under build/, for the bench alone: they
want different releases of the same libraries."""

import subprocess
import sys
from pathlib import Path

from benchmarks.processes import ROOT

PLACE = ROOT / "build" / "bench-programs"
INSTALL = 300.0  # seconds for one of them


def installed(name: str, command: str, requirement: str) -> Path:
    """The program ``command`` in the environment called ``name``; installed first where it is missing. Raises OSError with the reason."""
    place = PLACE / name
    program = place / "bin" / command
    if not program.exists():
        try:
            subprocess.run(
                [sys.executable, "-m", "venv", "--clear", place], check=True, capture_output=True, timeout=60
            )
            pip = [str(place / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
            subprocess.run([*pip, requirement], check=True, capture_output=True, text=True, timeout=INSTALL)
        except subprocess.TimeoutExpired as error:
            raise OSError(f"not installed within {INSTALL:g} s") from error
        except subprocess.CalledProcessError as error:
            said = str(error.stderr or "").strip().splitlines()
            raise OSError(f"not installable: {said[-1][:120] if said else error}") from error
        if not program.exists():
            raise OSError(f"the package has no {command}")
    return program


def release(program: Path, package: str) -> str:
    """Of a package in the environment that holds ``program``, as it says itself; empty when it is not there."""
    for place in program.parent.parent.glob(f"lib/python*/site-packages/{package}-*.dist-info"):
        return place.name.removeprefix(f"{package}-").removesuffix(".dist-info")
    return ""
