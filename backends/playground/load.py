"""HTTP traffic for a playground target, and what came of it: how many requests failed during a rollout."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from quarterdeck.backends.playground.layout import Playground, PlaygroundError
from quarterdeck.backends.playground.lifecycle import describe

REQUEST_DEADLINE = 5.0  # seconds
AT_ONCE = 64  # requests on their way at the same time; when so many hang, fewer than ``rate`` are sent
LATENCIES_KEPT = 100_000  # the newest; older ones don't count for the percentiles any more
HIGHEST_RATE = 1000.0
LONGEST = 86_400.0  # seconds


class LoadReport(msgspec.Struct, frozen=True):
    """What was sent and what came back. Latencies are seconds, of answered requests, None when there were none."""

    target: str
    seconds: float
    requests: int
    failed: int
    failures: Mapping[str, int] = msgspec.field(
        default_factory=dict
    )  # "http 500", "refused", "reset", "timeout", … → how many
    versions: Mapping[str, int] = msgspec.field(
        default_factory=dict
    )  # version → requests that it answered, well or not
    failed_hosts: Mapping[str, int] = msgspec.field(default_factory=dict)
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    slowest: float | None = None


class _Tally:
    def __init__(self, target: str) -> None:
        self._target = target
        self._began = time.monotonic()
        self._requests = 0
        self._failures: Counter[str] = Counter()
        self._versions: Counter[str] = Counter()
        self._failed_hosts: Counter[str] = Counter()
        self._latencies: deque[float] = deque(maxlen=LATENCIES_KEPT)

    def add(self, host: str, failure: str | None, version: str | None, latency: float | None) -> None:
        self._requests += 1
        if failure is not None:
            self._failures[failure] += 1
            self._failed_hosts[host] += 1
        if version:
            self._versions[version] += 1
        if latency is not None:
            self._latencies.append(latency)

    def report(self) -> LoadReport:
        ordered = sorted(self._latencies)

        def percentile(share: float) -> float | None:
            return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None

        return LoadReport(
            target=self._target,
            seconds=time.monotonic() - self._began,
            requests=self._requests,
            failed=self._failures.total(),
            failures=dict(self._failures.most_common()),
            versions=dict(sorted(self._versions.items())),
            failed_hosts=dict(sorted(self._failed_hosts.items())),
            p50=percentile(0.50),
            p95=percentile(0.95),
            p99=percentile(0.99),
            slowest=ordered[-1] if ordered else None,
        )


async def load(
    directory: Path | None,
    target: str,
    *,
    seconds: float = 30.0,
    rate: float = 50.0,
    progress: Callable[[LoadReport], None] | None = None,
    path: str = "/",
) -> LoadReport:
    """Sends ``rate`` requests a second for ``seconds`` to the hosts of ``target`` in turn, a connection for each.

    ``progress`` gets what is known so far, once a second. Raises ``PlaygroundError`` for an unknown target, a bad rate.
    """
    playground = describe(directory)
    hosts, port = _addresses_and_port(playground, target)
    if not 0 < rate <= HIGHEST_RATE or not 0 < seconds <= LONGEST:
        bounds = f"the rate must be above 0 and at most {HIGHEST_RATE:g} a second, the time at most {LONGEST:g} s"
        raise PlaygroundError("send traffic", bounds)
    tally = _Tally(target)
    began = time.monotonic()
    free = asyncio.Semaphore(AT_ONCE)

    async def one(host: str, address: str) -> None:
        try:
            tally.add(host, *await _request(address, port, path))
        finally:
            free.release()

    reporter = asyncio.create_task(_report_regularly(tally, progress)) if progress is not None else None
    try:
        async with asyncio.TaskGroup() as requests:
            number = 0
            while (due := number / rate) < seconds:
                await asyncio.sleep(max(0.0, began + due - time.monotonic()))
                await free.acquire()
                if time.monotonic() - began > seconds + REQUEST_DEADLINE:  # everything hung for so long
                    free.release()
                    break
                requests.create_task(one(*hosts[number % len(hosts)]))
                number += 1
    finally:
        if reporter is not None:
            reporter.cancel()
    return tally.report()


async def _report_regularly(tally: _Tally, progress: Callable[[LoadReport], None]) -> None:
    while True:
        await asyncio.sleep(1.0)
        progress(tally.report())


def _addresses_and_port(playground: Playground, target: str) -> tuple[tuple[tuple[str, str], ...], int]:
    """Name and address of each host, and the port that is the same on all."""
    engine = playground.engine
    if engine is not None and target == engine.target:
        return ((engine.name, engine.address),), engine.port
    environment, _, service = target.partition("/")
    hosts = playground.hosts_of(environment)
    if not hosts or service not in playground.services:
        environments = dict.fromkeys(host.environment for host in playground.hosts)
        known = [f"{known}/{name}" for known in environments for name in playground.services]
        known += [engine.target] if engine is not None else []
        raise PlaygroundError("send traffic", f"there is no target {target!r}", advice=f"Known are {', '.join(known)}")
    return tuple((host.name, host.address) for host in hosts), playground.services[service]


async def _request(address: str, port: int, path: str) -> tuple[str | None, str | None, float | None]:
    """What failed (None: nothing), which version answered, and how long it took."""
    began = time.monotonic()
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(REQUEST_DEADLINE):
            reader, writer = await asyncio.open_connection(address, port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {address}:{port}\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
    except TimeoutError:
        return "timeout", None, None
    except ConnectionRefusedError:
        return "refused", None, None
    except ConnectionError:
        return "reset", None, None
    except OSError as error:
        return (error.strerror or "broken").lower(), None, None
    finally:
        if writer is not None:
            writer.close()
    latency = time.monotonic() - began
    head, found, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    fields = (line.partition(":") for line in lines[1:])
    headers = {name.strip().lower(): value.strip() for name, _, value in fields}
    length = headers.get("content-length", "")
    if not found or len(words) < 2 or not words[1].isdigit() or not length.isdigit() or len(body) < int(length):
        return ("empty" if not answer else "incomplete"), None, None
    status = int(words[1])
    return None if status < 400 else f"http {status}", headers.get("x-version"), latency
