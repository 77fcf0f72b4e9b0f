"""The SSH library loads without starting programs that a worker has no use for."""

import os
import subprocess
import sys
from pathlib import Path

_LOAD = "from quarterdeck.backends.hosts.ssh.loading import load_asyncssh; load_asyncssh()"


def _compilers_asked(directory: Path, code: str) -> list[str]:
    """What ``code`` asked of a compiler, which stands first on the PATH and only takes notes."""
    directory.mkdir()
    notes = directory / "notes"
    compiler = directory / "gcc"
    compiler.write_text(f'#!/bin/sh\necho "$*" >>{notes}\nexit 1\n')
    compiler.chmod(0o755)
    environment = {**os.environ, "PATH": f"{directory}:{os.environ.get('PATH', os.defpath)}"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
    return notes.read_text().splitlines() if notes.exists() else []


def test_no_compiler_is_asked_for_a_library_that_is_not_used(tmp_path: Path) -> None:
    assert [line for line in _compilers_asked(tmp_path / "quick", _LOAD) if "oqs" in line] == []


def test_post_quantum_key_exchange_is_still_offered(tmp_path: Path) -> None:
    code = f"{_LOAD}; from quarterdeck.backends.hosts.ssh.algorithms import KEY_EXCHANGES; print(*KEY_EXCHANGES)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert "mlkem768x25519-sha256" in done.stdout.split()
