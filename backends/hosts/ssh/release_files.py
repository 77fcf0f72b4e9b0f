"""The files that Quarterdeck adds to a release on a host: environment, how it is run, manifest, checksums. Pure."""

import hashlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Final

import msgspec

from quarterdeck.backends.errors import ArtifactRefused, BackendError
from quarterdeck.backends.hosts.manifest import check_release_id, manifest
from quarterdeck.backends.hosts.ssh.quoting import assign, environment_file, quote
from quarterdeck.config.model import Runner
from quarterdeck.config.release import Release, canonical

MANIFEST: Final = "qd.manifest.json"
_OWN = ("qd.env", "qd.secrets.env", "qd.run", MANIFEST, "qd.sha256", "qd.blue.env", "qd.green.env")


class HostFile(msgspec.Struct, frozen=True):
    path: str  # below the release's directory
    content: str
    mode: int
    checked: bool = True  # its checksum is part of what «intact» means


def check_names(host: str, action: str, release: Release) -> None:
    """Raises ``BackendError`` where a release's id or path could be anything else than one name on the host."""
    check_release_id(host, action, release.id)
    check_path(host, action, release.path)


def check_path(host: str, action: str, path: str) -> None:
    below = path.removeprefix("~")  # ~/… is the login user's home on the host
    if not below.startswith("/") or "\n" in path or "\0" in path or ".." in path.split("/") or not below.strip("/"):
        raise BackendError(host, action, f"{path!r} is not an absolute path of a directory")


def runner_text(runner: Runner) -> str:
    """Shell assignments that say how a release is started and stopped."""
    if runner.commands is not None:
        commands = runner.commands
        values = {
            "kind": "commands",
            "unit": "",
            "scope": "",
            "start": commands.start,
            "stop": commands.stop,
            "restart": commands.restart or "",
            "status": commands.status or "",
        }
    else:
        values = {
            "kind": "unit",
            "unit": runner.unit or "",
            "scope": "user" if runner.user_unit else "system",
            "start": "",
            "stop": "",
            "restart": "",
            "status": "",
        }
    if runner.slots is not None:
        values["slots"] = " ".join(f"{slot}:{port}" for slot, port in runner.slots.ports.items())
    return "".join(assign(f"run_{name}", value) for name, value in values.items())


def environments(release: Release) -> dict[str, dict[str, str]]:
    """By the file's name. What says {slot} or {port} is of each slot; its file is read after the others."""
    slots = release.runner.slots
    if slots is None:
        return {"qd.env": dict(release.env)}
    own = {name for name, text in release.env.items() if "{slot}" in text or "{port}" in text}
    found = {"qd.env": {name: text for name, text in release.env.items() if name not in own}}
    for slot, port in slots.ports.items():
        filled = {name: slots.fill(release.env[name], slot) for name in own}
        found[f"qd.{slot}.env"] = {**filled, "QD_SLOT": slot, "QD_PORT": str(port)}
    return found


def run_file(release: Release) -> str:
    head = {"run_target": release.target, "run_version": release.version, "run_digest": release.digest}
    return "".join(assign(name, value) for name, value in head.items()) + runner_text(release.runner)


def secrets_file(values: Mapping[str, str], host: str, action: str) -> str:
    return environment_file(values, host, action)


def host_files(release: Release, secrets: Mapping[str, str], host: str, action: str) -> list[HostFile]:
    """Every file that is added to the archive's tree, the record of checksums last.

    Raises ``ArtifactRefused`` for a path that leads out.
    """
    found: list[HostFile] = []
    for file in release.files:
        path = PurePosixPath(file.path)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\n" in file.path or "\0" in file.path:
            raise ArtifactRefused(
                host, action, f"the configuration file {file.path!r} does not lie below the release's directory"
            )
        if path.parts[0] in _OWN:
            raise ArtifactRefused(host, action, f"{file.path!r} is a name that qd uses itself")
        found.append(HostFile(str(path), file.content, file.mode))
    for name, values in environments(release).items():
        found.append(HostFile(name, environment_file(values, host, action), 0o600))
    found.append(HostFile("qd.secrets.env", secrets_file(secrets, host, action), 0o600, checked=False))
    found.append(HostFile("qd.run", run_file(release), 0o644))
    found.append(HostFile(MANIFEST, canonical(manifest(release)).decode() + "\n", 0o644))
    # A name with a backslash or a line break is written in another way by sha256sum; such files are not checked.
    sums = "".join(
        f"{hashlib.sha256(file.content.encode('utf-8', 'surrogateescape')).hexdigest()}  {file.path}\n"
        for file in found
        if file.checked and "\\" not in file.path
    )
    found.append(HostFile("qd.sha256", sums, 0o644, checked=False))
    return found


def writing_function(files: list[HostFile]) -> str:
    """A shell function ``write_files`` that writes them into the current directory, in a process of its own (for the umask).

    Secrets travel in it: it goes to a shell's standard input only.
    """
    lines = ["write_files() ("]
    for file in files:
        target = quote("./" + file.path)
        parent = str(PurePosixPath(file.path).parent)
        if parent != ".":
            lines.append(f"mkdir -p {quote('./' + parent)} || exit 1")
        # Made anew, never written through a link of the archive; no program is started where there is nothing to remove.
        lines.append(f"if [ -e {target} ] || [ -L {target} ]; then rm -f {target}; fi")
        lines.append(f"umask {0o777 & ~file.mode:03o} && printf %s {quote(file.content)} >{target} || exit 1")
        if file.mode & 0o111:  # a shell makes no file that can be executed
            lines.append(f"chmod {file.mode:o} {target} || exit 1")
    lines.append(")")
    return "\n".join(lines) + "\n"
