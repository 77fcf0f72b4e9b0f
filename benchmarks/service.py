"""The unit of work: tarballs of 5 MB and 201 files that carry a small HTTP server answering its version. The same for everything that is
measured."""

import gzip
import io
import random
import shutil
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

FILES = 201
BYTES = 5_000_000

_SCRIPT = """\
#!/bin/sh
# start | stop | restart | status, called in the release's directory with PORT set. $HOME/address holds the host's own address.
process=../../service.pid
start() {{
    read -r address <"$HOME/address"
    {server} </dev/null >/dev/null 2>&1 &
    echo $! >$process
}}
stop() {{
    [ -f $process ] || return 0
    read -r pid <$process
    kill "$pid" 2>/dev/null
    tries=0
    # An ended process counts as ended before its parent has taken note, which may be late in a container.
    while read -r state 2>/dev/null </proc/"$pid"/stat; do
        case $state in *") Z "*) break ;; esac
        tries=$((tries + 1))
        [ $tries -lt 100 ] || sleep 0.01
        [ $tries -lt 1000 ] || return 1
    done
    return 0
}}
case $1 in
start) start ;;
stop) stop ;;
restart) stop && start ;;
status) read -r pid <$process && kill -0 "$pid" ;;
esac
"""

# Modules that are built into the interpreter only: it starts in a few milliseconds.
_PYTHON_SERVER = """\
import _socket, sys
body = open("www/version", "rb").read()
server = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
server.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
server.bind((sys.argv[1], int(sys.argv[2])))
server.listen(16)
answer = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n%s" % (len(body), body)
while True:
    descriptor, _ = server._accept()
    client = _socket.socket(fileno=descriptor)
    try:
        client.recv(65536)
        client.sendall(answer)
        client.shutdown(_socket.SHUT_RDWR)
    except OSError:
        pass
    client.close()
"""


@dataclass(frozen=True, slots=True)
class Tools:
    """What this machine has to serve and to ask over HTTP: busybox where it is installed, which costs least; else Python and curl."""

    server: str  # a line of shell, in the release's directory, with $address and $PORT
    ask: str  # the start of a line of shell; the URL follows
    words: str


def tools() -> Tools:
    """Raises ``SystemExit`` with a sentence where the machine can't ask over HTTP."""
    busybox = shutil.which("busybox")
    if busybox is not None:
        return Tools(f'{busybox} httpd -f -p "$address:$PORT" -h www', f"{busybox} wget -q -O -", "busybox httpd")
    curl = shutil.which("curl")
    if curl is None:
        raise SystemExit("the benchmark needs busybox or curl: the floor asks with it whether a service is healthy")
    python = str(Path(sys.executable).resolve())
    return Tools(f'{python} -I -S bin/server.py "$address" "$PORT"', f"{curl} -s", "a server in Python")


def write_artifacts(directory: Path, versions: list[str]) -> None:
    """``app-<version>.tar.gz`` for each version: the same 200 files, which don't compress, and one that says the version."""
    directory.mkdir(parents=True)
    chosen = random.Random(201)
    fixed = {
        "bin/service": _SCRIPT.format(server=tools().server).encode(),
        "bin/server.py": _PYTHON_SERVER.encode(),
    }
    count = FILES - len(fixed) - 1
    for index in range(count):
        fixed[f"data/{index:03d}.bin"] = chosen.randbytes(BYTES // count)
    for version in versions:
        with (
            gzip.GzipFile(directory / f"app-{version}.tar.gz", "wb", compresslevel=1, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            for name, content in {**fixed, "www/version": version.encode()}.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                entry.mode = 0o755 if name == "bin/service" else 0o644
                archive.addfile(entry, io.BytesIO(content))
