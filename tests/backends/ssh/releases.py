"""Small releases for tests: a tarball with a real HTTP service that says its version, and the words to start and stop it."""

import gzip
import hashlib
import io
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quarterdeck.config.model import Commands, ConfigFile, Health, HttpCheck, Runner
from quarterdeck.config.release import Release, ResolvedArtifact

SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (open("VERSION").read().strip() + " " + os.environ.get("GREETING", "") + " " + os.environ["QD_RELEASE"]).encode()
        self.send_response(200 if self.path != "/broken" else 500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *arguments):
        pass
http.server.ThreadingHTTPServer.allow_reuse_address = True
server = http.server.ThreadingHTTPServer((os.environ["ADDRESS"], int(os.environ["PORT"])), Handler)
open(os.environ["QD_SHARED"] + "/pid", "w").write(str(os.getpid()))
server.serve_forever()
"""

STOP = (
    'pid=$(cat "$QD_SHARED/pid" 2>/dev/null) || exit 0; rm -f "$QD_SHARED/pid"; kill "$pid" 2>/dev/null || exit 0; '
    'while [ -e "/proc/$pid/exe" ]; do sleep 0.02; done'  # not kill -0: it sees a process that nobody has waited for yet
)
STATUS = 'test -e "/proc/$(cat "$QD_SHARED/pid")/exe"'
START = f"nohup {sys.executable} -S server.py &"

QUICK = Commands(
    start='echo "$QD_RELEASE" >"$QD_SHARED/running"; echo start >>"$QD_SHARED/calls"',
    stop='rm -f "$QD_SHARED/running"; echo "stop $QD_RELEASE" >>"$QD_SHARED/calls"',
    status='test -f "$QD_SHARED/running"',
)
"""A service that is a file: as much as most tests need."""


IN_SLOTS = Commands(
    start='echo "$QD_RELEASE" >"$QD_SHARED/running.$QD_SLOT"; echo "start $QD_SLOT $QD_PORT" >>"$QD_SHARED/calls"',
    stop='rm -f "$QD_SHARED/running.$QD_SLOT"; echo "stop $QD_SLOT $QD_RELEASE" >>"$QD_SHARED/calls"',
    status='test -f "$QD_SHARED/running.$QD_SLOT"',
)
"""The same, of which two can run."""

_RUNNING = '"$QD_SHARED/running.$QD_SLOT"'
SERVES_IN_SLOTS = Commands(
    start=f'{START} echo $! >"$QD_SHARED/pid.$QD_SLOT"; echo "$QD_RELEASE" >{_RUNNING}',
    stop=f"rm -f {_RUNNING}; " + STOP.replace("/pid", "/pid.$QD_SLOT"),
    status=STATUS.replace("/pid", "/pid.$QD_SLOT"),
)
"""That of the real HTTP service."""


def write_archive(path: Path, files: Mapping[str, str | bytes]) -> ResolvedArtifact:
    """A gzip'd tarball of ``files``."""
    # The same bytes at any time: gzip would write the time into its head.
    with (
        path.open("wb") as file,
        gzip.GzipFile(fileobj=file, mode="wb", filename="", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, content in files.items():
            body = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(body)
            member.mode = 0o755 if name.startswith("bin/") else 0o644
            archive.addfile(member, io.BytesIO(body))
    return resolved(path)


def resolved(path: Path) -> ResolvedArtifact:
    body = path.read_bytes()
    return ResolvedArtifact(str(path), hashlib.sha256(body).hexdigest(), len(body))


def quick_release(
    place: Path, version: str, path: Path, *, commands: Commands = QUICK, **more: Any
) -> tuple[Release, Path]:
    """A release of the file service, and its archive."""
    archive = place / f"{version}.tar.gz"
    artifact = write_archive(archive, {"VERSION": version, "data/text": f"{version}\n" * 10})
    runner = Runner(commands=commands)
    release = Release("test/web", version, artifact, str(path), more.pop("runner", runner), **more)
    return release, archive


def http_release(place: Path, version: str, path: Path, address: str, port: int) -> tuple[Release, Path]:
    """A release of a real HTTP service, with its health check."""
    archive = place / f"http-{version}.tar.gz"
    artifact = write_archive(archive, {"VERSION": version, "server.py": SERVER})
    release = Release(
        "test/http",
        version,
        artifact,
        str(path),
        Runner(commands=Commands(start=START, stop=STOP, status=STATUS)),
        env={"ADDRESS": address, "PORT": str(port), "GREETING": f'hello "{version}" $HOME `id`'},
        files=(ConfigFile("conf/app.ini", f"version={version}\n"),),
        health=Health(http=HttpCheck(port, "/", host=address, contains="{version} hello"), timeout=5),
    )
    return release, archive
