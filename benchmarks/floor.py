"""The least that a deploy or a rollback can cost over asyncssh: one process, one compound command for each host, no journal, no lock.

``python -m benchmarks.floor SPEC ACTION VERSION`` connects, acts and leaves; ``python -m benchmarks.floor SPEC`` connects once and then
does what its standard input says, a line ``ACTION VERSION`` each, and answers with a line of JSON.
"""

import asyncio
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import asyncssh

# The quickest that both sides have.
ALGORITHMS: dict[str, Any] = {
    "kex_algs": ["curve25519-sha256"],
    "encryption_algs": ["aes128-gcm@openssh.com"],
    "server_host_key_algs": ["ssh-ed25519"],
}
LONGEST = 120.0  # seconds, of everything together

# Asks without a pause at first, then every 5 ms; ends with 1 when the service never answers the version.
_COMMAND = """
cd "$HOME" && mkdir -p {base} && cd {base} && {unpack}ln -sfn releases/{version} new && mv -T new current && cd -P current || exit 1
PORT={port} bin/service restart || exit 1
read -r address <"$HOME/address"
tries=0
until [ "$({ask} "http://$address:{port}/version" 2>/dev/null)" = {version} ]; do
tries=$((tries + 1)); [ $tries -lt 2000 ] || exit 1; [ $tries -lt 3 ] || sleep 0.005
done
"""
_UNPACK = "mkdir -p releases/{version} && tar -xz -C releases/{version} && "


class Floor:
    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        self._connections: list[asyncssh.SSHClientConnection] = []

    async def connect(self) -> None:
        at_once = asyncio.Semaphore(10)

        async def one(address: str) -> asyncssh.SSHClientConnection:
            async with at_once:
                return await asyncssh.connect(
                    address,
                    port=self._spec["ssh_port"],
                    username=self._spec["user"],
                    client_keys=[key],
                    known_hosts=known,
                    config=None,
                    agent_path=None,
                    compression_algs=None,
                    **ALGORITHMS,
                )

        key = asyncssh.read_private_key(self._spec["key"])
        known = asyncssh.read_known_hosts(self._spec["known_hosts"])
        self._connections = await asyncio.gather(*map(one, self._spec["addresses"]))

    async def act(self, action: str, version: str) -> None:
        """Raises ``asyncssh.ProcessError`` when a host fails."""
        archive = b""
        if action == "deploy":
            archive = _read(Path(self._spec["artifacts"], f"app-{version}.tar.gz"))
        command = _COMMAND.format(
            base=self._spec["base"],
            version=version,
            port=self._spec["port"],
            ask=self._spec["ask"],
            unpack=_UNPACK.format(version=version) if action == "deploy" else "",
        )
        await asyncio.gather(*(one.run(command, input=archive, encoding=None, check=True) for one in self._connections))

    async def close(self) -> None:
        for connection in self._connections:
            connection.close()
        await asyncio.gather(*(connection.wait_closed() for connection in self._connections))


def _read(path: Path) -> bytes:
    return path.read_bytes()


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def _serve(floor: Floor) -> None:
    loop = asyncio.get_running_loop()
    await floor.connect()
    print(json.dumps({"ready": True}), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        action, version = line.split()
        begin, used = time.monotonic(), _processor_seconds()
        async with asyncio.timeout(LONGEST):
            await floor.act(action, version)
        seconds = time.monotonic() - begin
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds, "cpu": _processor_seconds() - used, "peak": peak}), flush=True)
    await floor.close()


async def _once(floor: Floor, action: str, version: str) -> None:
    async with asyncio.timeout(LONGEST):
        await floor.connect()
        await floor.act(action, version)
        await floor.close()


def main() -> int:
    floor = Floor(json.loads(Path(sys.argv[1]).read_text()))
    try:
        asyncio.run(_once(floor, *sys.argv[2:4]) if len(sys.argv) > 2 else _serve(floor))
    except asyncssh.ProcessError as error:
        print(f"a host ended with {error.exit_status}: {error.stderr!r}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
