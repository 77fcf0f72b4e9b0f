"""Several sources as one fleet: names that are there once, a place for each service, and what was assumed for want of a word."""

from collections.abc import Mapping, Sequence

import msgspec

from quarterdeck.config.first_file.draft import CannotBegin, Draft, FoundHost, FoundService, Said, Told, Waiting
from quarterdeck.config.first_file.naming import free_name, name_of

HERE = FoundHost("here", docker="unix:///var/run/docker.sock", comment="the engine of the machine that qd runs on")


class Wishes(msgspec.Struct, frozen=True):
    """What the operator said. ``hosts``: only these of the ones that were found; empty: all. ``service``: the name of the one
    that is written where no source knows any."""

    fleet: str = ""
    environment: str = ""
    hosts: tuple[str, ...] = ()
    service: str = ""


def joined(drafts: Sequence[Draft], wishes: Wishes, directory_name: str) -> Draft:
    """One draft whose services all have a host. ``directory_name`` is the fleet's name for want of another. Raises
    ``CannotBegin``."""
    assumed = [sentence for draft in drafts for sentence in draft.assumed]
    left = [said for draft in drafts for said in draft.left]
    hosts, renamed = _hosts(drafts, wishes)
    services, waiting = _services(drafts, left)
    containers = any(service.is_container for service in _described(services, waiting))
    if not hosts and containers:
        hosts = [HERE]
        assumed.append("the only host is the Docker engine of this machine, as no source names another: write yours")
    if not hosts:
        why = "".join(f"; {said.source}: {said.what}: {said.why}" for said in left[:5])
        raise CannotBegin(f"no host was found, and no service that could run on this machine's Docker engine{why}")
    if containers and not any(host.docker for host in hosts):
        hosts = [msgspec.structs.replace(host, ssh="", docker=f"ssh://{host.ssh}") for host in hosts]
        assumed.append("the services are containers, so the hosts are reached as Docker engines, over SSH")
    said = next((f"{one.source}: {one.says_swarm}" for one in _described(services, waiting) if one.says_swarm), "")
    stacks = [host.name for host in hosts if host.says_swarm]
    if containers and said:
        hosts = _as_swarm(hosts, assumed, said, apart=any(draft.environments for draft in drafts))
    elif containers and stacks:
        assumed.append(
            f"{', '.join(stacks)}: an engine, as no service is described for a Swarm, though the context says that stacks go to one; "
            "for the whole Swarm write swarm: in the place of docker:"
        )
    elif stacks:
        hosts = [_manager(host) if host.says_swarm else host for host in hosts]
        assumed.append(f"{', '.join(stacks)}: a manager of a Swarm, as the context says that stacks go to one")
    environments = _environments(drafts, hosts, renamed, wishes, assumed)
    to_do: list[str] = [sentence for draft in drafts for sentence in draft.to_do]
    if not services and not waiting:
        services = [_sample(wishes.service or "web")]
        assumed.append(f"the service `{services[0].name}` is an example, as no source knows a service")
    elif not containers or any(host.ssh for host in hosts):
        idle = [host.name for host in hosts if host.ssh]
        if idle and containers:
            to_do.append(
                f"no service runs on the SSH hosts ({', '.join(idle)}): write one with a path, or take them out"
            )
    names = [draft.fleet for draft in drafts if draft.fleet]
    fleet = wishes.fleet or name_of(names[0] if names else directory_name, "fleet")
    if not wishes.fleet:
        assumed.insert(0, f"the fleet is called {fleet}" + ("" if names else ", as this directory is"))
    return Draft(
        origins=tuple(origin for draft in drafts for origin in draft.origins),
        fleet=fleet,
        hosts=tuple(hosts),
        environments=environments,
        services=tuple(services),
        registries={name: login for draft in drafts for name, login in draft.registries.items()},
        assumed=tuple(assumed),
        left=tuple(left),
        secrets=tuple(secret for draft in drafts for secret in draft.secrets),
        to_do=tuple(to_do),
        waiting=tuple(waiting),
    )


def _described(services: Sequence[FoundService], waiting: Sequence[Waiting]) -> list[FoundService]:
    return [*services, *(one.service for one in waiting)]


def _as_swarm(hosts: Sequence[FoundHost], assumed: list[str], said: str, *, apart: bool) -> list[FoundHost]:
    """The engines as managers of one Swarm, which is one host; ``apart``: each of a Swarm of its own, as they are in environments.
    ``said``: what is described for a Swarm."""
    engines = [host for host in hosts if host.docker]
    if apart or len(engines) == 1:
        which = ", ".join(host.name for host in engines)
        assumed.append(f"{which}: {'each a' if len(engines) > 1 else 'a'} manager of a Swarm ({said})")
        return [_manager(host) if host.docker else host for host in hosts]
    rest = [host for host in hosts if not host.docker]
    name = free_name("swarm", {host.name for host in rest})
    assumed.append(
        f"the engines are the managers of one Swarm, which is one host ({said}): leave out those that are none"
    )
    return [*rest, FoundHost(name, swarm=tuple(host.docker for host in engines), comment="its managers, asked in turn")]


def _manager(host: FoundHost) -> FoundHost:
    return msgspec.structs.replace(host, docker="", swarm=(host.docker,))


def _hosts(drafts: Sequence[Draft], wishes: Wishes) -> tuple[list[FoundHost], list[Mapping[str, str]]]:
    """The hosts, each once, and of each draft what its hosts are called now. Raises ``CannotBegin`` for one that is wished for and
    not there."""
    found: dict[str, FoundHost] = {}
    renamed: list[Mapping[str, str]] = []
    for draft in drafts:
        names = {}
        for host in draft.hosts:
            same = next((one.name for one in found.values() if (one.ssh, one.docker) == (host.ssh, host.docker)), None)
            names[host.name] = same or free_name(host.name, found)
            if same is None:
                found[names[host.name]] = msgspec.structs.replace(host, name=names[host.name])
        renamed.append(names)
    missing = [name for name in wishes.hosts if name not in found]
    if missing:
        there = ", ".join(found) or "none"
        raise CannotBegin(f"no source has a host {', '.join(missing)}; there is {there}")
    return [host for name, host in found.items() if not wishes.hosts or name in wishes.hosts], renamed


def _services(drafts: Sequence[Draft], left: list[Said]) -> tuple[list[FoundService], list[Waiting]]:
    found: dict[str, FoundService] = {}
    waiting: dict[str, Waiting] = {}
    for draft in drafts:
        for service in draft.services:
            if service.name in found:
                left.append(Said(service.source, "the service", f"{found[service.name].source} has one of this name"))
            else:
                found[service.name] = service
        for one in draft.waiting:
            if one.service.name not in found:
                waiting.setdefault(one.service.name, one)
    return list(found.values()), list(waiting.values())


def _environments(
    drafts: Sequence[Draft],
    hosts: Sequence[FoundHost],
    renamed: Sequence[Mapping[str, str]],
    wishes: Wishes,
    assumed: list[str],
) -> dict[str, tuple[str, ...]]:
    there = {host.name for host in hosts}
    found: dict[str, tuple[str, ...]] = {}
    for draft, names in zip(drafts, renamed, strict=True):
        for environment, members in draft.environments.items():
            kept = tuple(dict.fromkeys(names[member] for member in members if names[member] in there))
            if kept:
                found[environment] = tuple(dict.fromkeys((*found.get(environment, ()), *kept)))
    placed = {host for members in found.values() for host in members}
    rest = tuple(host.name for host in hosts if host.name not in placed)
    if rest:
        name = wishes.environment or "production"
        if not wishes.environment:
            assumed.append(f"{'all hosts are' if len(rest) > 1 else 'the host is'} in one environment, production")
        found[name] = (*found.get(name, ()), *rest)
    return found


def _sample(name: str) -> FoundService:
    """What a person has to fill in, written so that it can be read as it is."""
    return FoundService(
        name,
        "an example",
        {
            "artifact": Told(
                {"tarball": f"builds/{name}-{{version}}.tar.gz"}, "a path, or https:// with sha256: beside it"
            ),
            "path": Told(f"~/{name}", "on the hosts: releases/, shared/, current"),
            "commands": Told(
                {"start": "bin/start", "stop": "bin/stop", "status": "bin/status"},
                "of your release, or a systemd unit in their place: unit: web.service",
            ),
            "health": Told(
                {"command": "bin/status", "min_healthy_time": "2s", "healthy_deadline": "20s"},
                "better than a command: http: {port: 8080, path: /healthz}",
            ),
            "logs": Told({"files": [f"~/{name}/shared/log/service.log"]}, "what start and the service print"),
        },
        to_do=("say where its releases are, how it is started, and how one knows that it is well",),
    )
