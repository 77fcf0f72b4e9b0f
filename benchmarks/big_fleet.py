"""Makes a fleet that is as large as is promised for, with a journal of a million events, for benchmarks of reading, and for trying out how
``qd`` feels on one: ``python -m benchmarks.big_fleet DIRECTORY [--services N] [--environments N] [--hosts N] [--events N]``.

The rows are written straight into the tables (through the Journal it would take an hour), in the proportions of real rollouts. Nobody
listens at the hosts' addresses, which are all on this machine: whoever asks them is refused at once.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quarterdeck.config.release import to_json
from quarterdeck.history import engine
from quarterdeck.history.chain import to_text
from quarterdeck.history.journal import Journal
from tests.cli.qd_command import release

ENVIRONMENTS = ("dev", "qa", "staging", "preprod", "production")
EVENTS_OF_A_ROLLOUT = 20


@dataclass(frozen=True)
class Size:
    services: int = 100
    environments: int = 5
    hosts: int = 4  # in each environment: every service of it runs on all of them
    events: int = 1_000_000


def make_big_fleet(directory: Path, size: Size) -> Path:
    """Writes fleet file and journal into ``directory``; gives the fleet file."""
    directory.mkdir(parents=True, exist_ok=True)
    names = ENVIRONMENTS[-size.environments :]
    hosts = {name: [f"{name}-{n}" for n in range(1, size.hosts + 1)] for name in names}
    services = [f"service-{n:03d}" for n in range(1, size.services + 1)]
    lines = ["fleet: big", f"state: {directory / 'state'}", "hosts:"]
    every_host = [host for every in hosts.values() for host in every]
    lines += [f'  {host}: {{ssh: "{_address(number)}"}}' for number, host in enumerate(every_host)]
    lines += ["environments:"]
    before = None
    for name in names:
        lines.append(f"  {name}: {{hosts: [{', '.join(hosts[name])}]{f', after: {before}' if before else ''}}}")
        before = name
    lines.append("services:")
    for service in services:
        lines += [
            f"  {service}:",
            f'    artifact: {{tarball: "/artifacts/{service}-{{version}}.tar.gz"}}',
            f"    path: /srv/{service}",
            "    commands: {start: bin/start, stop: bin/stop}",
        ]
    file = directory / "fleet.yml"
    file.write_text("\n".join(lines) + "\n")
    with Journal.open(directory / "state"):
        pass
    if not size.events:
        return file
    connection = engine.connect(directory / "state" / "history.db")
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("BEGIN")
    targets = [f"{name}/{service}" for service in services for name in names]
    _fill(connection, targets, hosts, size.events)
    connection.execute("COMMIT")
    connection.close()
    return file


def _address(number: int) -> str:
    """Of its own for each host, on loopback, at a port where nobody listens: 127.64.0.0 to 127.127.255.255."""
    return f"deploy@127.{64 + number // 65536}.{number // 256 % 256}.{number % 256}:1"


def _fill(connection: Any, targets: list[str], hosts: dict[str, list[str]], events: int) -> None:
    rounds = max(2, events // EVENTS_OF_A_ROLLOUT // len(targets))
    connection.executemany("INSERT OR IGNORE INTO target (name, fence) VALUES (?, 1)", [(t,) for t in targets])
    bodies = {target: to_json(release("v0", target=target)) for target in targets}
    seq = rollout = 0
    for number in range(1, rounds + 1):
        releases, rollouts, steps, written = [], [], [], []
        for target in targets:
            rollout += 1
            id, earlier = _id(number), _id(number - 1)
            time = _time(rollout)
            kind, to, version = "deploy", f"{id}-{_hash(target)}", f"v{number}"
            before = f"{earlier}-{_hash(target)}" if number > 1 else None
            if number % 17 == 0:
                kind = "rollback"
            body = bodies[target] | {"version": version}
            releases.append(
                (to, target, version, "d" * 64, to_text(body), "good", time, time, seq + EVENTS_OF_A_ROLLOUT)
            )
            plan = to_text(
                {"summary": "4 of 4 hosts change", "steps": [["switch", h] for h in hosts[target.split("/")[0]][:8]]}
            )
            rollouts.append(
                (rollout, target, kind, before, to, "succeeded", number, plan, "0" * 64, "{}", "lena@bastion-2", 1000,
                 "CHG-1", time, time, _time(rollout + 1), seq + EVENTS_OF_A_ROLLOUT, "n", "boot", 1)
            )  # fmt: skip
            for step, host in enumerate(hosts[target.split("/")[0]][:4], 1):
                op = f"{rollout}.{step}.n"
                steps.append((rollout, step, host, "switch", step, "{}", op, "done", 1, number, "{}", time, time))
            for n in range(EVENTS_OF_A_ROLLOUT):
                seq += 1
                text = f'{{"step":{n},"action":"switch","outcome":{{"health":"http 200"}}}}'
                event = "state" if n == EVENTS_OF_A_ROLLOUT - 1 else "step.done"
                written.append((seq, time, 1000, "lena@bastion-2", event, target, rollout, "web-1", text, "h" * 64))
        _insert(
            connection,
            "release",
            "id, target, version, digest, body, verdict, first_seen, last_good, last_good_seq",
            releases,
        )
        _insert(
            connection,
            "rollout",
            "id, target, kind, from_release, to_release, state, epoch, plan, plan_hash, options, requested_by, uid, reason,"
            " created, started, ended, ended_seq, nonce, boot_id, created_boottime",
            rollouts,
        )
        _insert(
            connection,
            "step",
            "rollout, seq, host, action, batch, body, op_id, state, attempt, epoch, outcome, started, ended",
            steps,
        )
        _insert(connection, "event", "seq, time, uid, who, kind, target, rollout, host, body, hash", written)
    seen = [
        (t, host, _time(rollout), f"{_id(rounds)}-{_hash(t)}", f"v{rounds}", "healthy", None,
         json.dumps({"kept": [f"{_id(n)}-{_hash(t)}" for n in range(max(1, rounds - 4), rounds + 1)]}))
        for t in targets
        for host in hosts[t.split("/")[0]]
    ]  # fmt: skip
    _insert(connection, "observation", "target, host, time, release, version, health, error, body", seen)


def _insert(connection: Any, table: str, columns: str, rows: "list[tuple[Any, ...]]") -> None:
    marks = ", ".join("?" * (columns.count(",") + 1))
    connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)


def _id(number: int) -> str:
    return f"v{number}"


def _hash(target: str) -> str:
    import hashlib

    return hashlib.sha256(target.encode()).hexdigest()[:10]


def _time(minute: int) -> str:
    from datetime import UTC, datetime, timedelta

    moment = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=minute * 10)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.big_fleet", description=__doc__)
    parser.add_argument("directory", type=Path, help="gets fleet.yml and state/; must not be there, or be empty")
    parser.add_argument("--services", type=int, default=100)
    parser.add_argument("--environments", type=int, default=5, help=f"1 to {len(ENVIRONMENTS)}, one after the other")
    parser.add_argument(
        "--hosts", type=int, default=500, help="of all environments together; each has every service of its own"
    )
    parser.add_argument(
        "--events", type=int, default=100_000, help="in the journal, about; 0: nothing was ever released"
    )
    chosen = parser.parse_args()
    if not 1 <= chosen.environments <= len(ENVIRONMENTS):
        parser.error(f"--environments: 1 to {len(ENVIRONMENTS)}")
    if chosen.services < 1 or chosen.hosts < chosen.environments or chosen.events < 0:
        parser.error("at least one service, a host for each environment, and no fewer than 0 events")
    if chosen.directory.exists() and (not chosen.directory.is_dir() or any(chosen.directory.iterdir())):
        parser.error(f"{chosen.directory} is there already: name a directory that is not, or is empty")
    each = chosen.hosts // chosen.environments
    size = Size(chosen.services, chosen.environments, each, chosen.events)
    file = make_big_fleet(chosen.directory, size)
    if chosen.hosts % chosen.environments:
        print(f"each of {chosen.environments} environments has {each} hosts: {each * chosen.environments} in all")
    print(f"qd --fleet {file} status --cached")


if __name__ == "__main__":
    main()
