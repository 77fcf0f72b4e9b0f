"""The playground's container images: the service's program in a tar of a few kilobytes, and the paths of this machine that run it. Pure
but for looking which those are.

No network is needed for them, and no base image: Python, its libraries and the loader are mounted from this machine, read-only. Where the
engine's machine is another one (a virtual machine), that can't work; whoever uses an image tries it first.
"""

import io
import json
import os
import sys
import tarfile
from pathlib import Path
from typing import Final

from quarterdeck.backends.playground import artifacts

LABEL: Final = "dev.quarterdeck.playground"
"""On everything that a playground makes on an engine, but for its images; its value is the playground's word."""

IMAGE_LABEL: Final = "dev.quarterdeck.playground-image"
"""Another one: a container inherits what its image has, also one that somebody else makes of it."""

PORT: Final = 8080  # of the service, in the container
# All that root in the container may do beyond others: read a Python that only its owner may read.
CAP_DROP: Final = ("ALL",)
CAP_ADD: Final = ("DAC_OVERRIDE",)
_USR: Final = "/usr"
_PLACE: Final = "service"
_SYSTEM: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")  # links into /usr, but for older distributions
_EMPTY: Final = ("usr", "etc", "tmp", "proc", "sys", "dev", "run", _PLACE)


def mounted_paths() -> tuple[str, ...]:
    """Directories of this machine that the container has at the same place."""
    own = [f"/{name}" for name in _SYSTEM if Path(f"/{name}").is_dir() and not Path(f"/{name}").is_symlink()]
    paths = [_USR, *own]
    prefix = _python().parent.parent
    if not any(prefix.is_relative_to(path) for path in paths):
        paths.append(str(prefix))
    return tuple(paths)


def changes(word: str) -> list[str]:
    """What the image says beside its files, as lines of a Dockerfile."""
    python = _python()
    command = [str(python), "-I", "-S", f"/{_PLACE}/service.py", "serve"]
    return [
        f"CMD {json.dumps(command)}",
        # A Python that is built around a shared library finds it through the loader's cache, which is not in the image.
        f"ENV LD_LIBRARY_PATH={_quoted(str(python.parent.parent / 'lib'))}",
        f"EXPOSE {PORT}",
        f"LABEL {IMAGE_LABEL}={word}",
    ]


def tree(service: str, version: str) -> bytes:
    """The image's files, as ``docker import`` takes them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in _EMPTY:
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(directory)
        for name in _SYSTEM:
            if Path(f"/{name}").is_symlink():
                link = tarfile.TarInfo(name)
                link.type, link.linkname = tarfile.SYMTYPE, os.readlink(f"/{name}")
                archive.addfile(link)
        files = {"RELEASE": artifacts.release_file(service, version), "service.py": artifacts.program()}
        for name, content in files.items():
            member = tarfile.TarInfo(f"{_PLACE}/{name}")
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _python() -> Path:
    """The interpreter itself, not that of a virtual environment, which may be a copy that needs the other."""
    installed = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return (installed if installed.exists() else Path(sys.executable)).resolve()


def _quoted(text: str) -> str:
    for sign in ("\\", '"', "$"):
        text = text.replace(sign, f"\\{sign}")
    return f'"{text}"'
