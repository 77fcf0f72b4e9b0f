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

from benchmarks import unit

ALGORITHMS: dict[str, Any] = {
    "kex_algs": [unit.KEY_EXCHANGE],
    "encryption_algs": [unit.CIPHER],
    "server_host_key_algs": [unit.HOST_KEY],
}
LONGEST = 120.0  # seconds, of everything together


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
        archive = _read(Path(unit.artifact(self._spec, version))) if action == "deploy" else b""
        command = unit.command(self._spec, action, version)
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
