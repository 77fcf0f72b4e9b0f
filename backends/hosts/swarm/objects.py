"""What a service needs to be there before it: networks, and the configs and secrets of its release. Configs and secrets of a Swarm never
change: another content is another object, and the old one stays for as long as a release that may be gone back to has it."""

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from quarterdeck.backends.errors import CommandFailed, EngineRefused
from quarterdeck.backends.hosts.docker.names import MADE, TARGET
from quarterdeck.backends.hosts.docker.operation import UNCHANGED
from quarterdeck.backends.hosts.swarm import calls, names
from quarterdeck.backends.hosts.swarm.calls import Body
from quarterdeck.backends.hosts.swarm.gate import SwarmGate
from quarterdeck.backends.hosts.swarm.spec import Reference
from quarterdeck.backends.secrets.fingerprints import fingerprint, same
from quarterdeck.config.container import ContainerFile, ContainerSpec, Network, SecretFile

if TYPE_CHECKING:
    import docker

_COMPOSE = "com.docker.compose."
_LEFT = "What runs there runs on"


async def configs(gate: SwarmGate, live: str, spec: ContainerSpec) -> list[tuple[Reference, ContainerFile]]:
    if not spec.files:
        return []
    there = {name: id for id, name, _ in await _listed(gate, "configs")}
    found: list[tuple[Reference, ContainerFile]] = []
    for file in spec.files:
        data = file.content.encode()
        name = names.config(live, hashlib.sha256(data).hexdigest())
        if name not in there:
            there[name] = await _create(gate, "configs", name, data, {})
        found.append(((there[name], name), file))
    return found


async def secret_objects(
    gate: SwarmGate, live: str, spec: ContainerSpec, values: Mapping[str, str], known: Body | None
) -> list[tuple[Reference, SecretFile]]:
    """``known``: the container of a service that has the release already: what no value was given for is kept as it is there. Raises
    ``CommandFailed`` where neither is known."""
    if not spec.secrets:
        return []
    gate.hide(values[one.source] for one in spec.secrets if one.source in values)
    there = await _listed(gate, "secrets")
    before = {
        str(one["File"]["Name"]): (str(one["SecretID"]), str(one["SecretName"]))
        for one in (known or {}).get("Secrets") or ()
        if one.get("File")
    }
    found: list[tuple[Reference, SecretFile]] = []
    made: dict[str, Reference] = {}
    for file in spec.secrets:
        reference = made.get(file.source)
        if reference is None and file.source in values:
            reference = await asyncio.to_thread(_holding, there, file.source, values[file.source])
        elif reference is None:
            reference = before.get(file.target)
            gate.keep_no_words()
        if reference is None and file.source in values:
            value = values[file.source]
            name = names.secret(live, file.source, secrets.token_hex(4))
            labels = {names.SOURCE: file.source, names.FINGERPRINT: await asyncio.to_thread(fingerprint, value)}
            reference = (await _create(gate, "secrets", name, value.encode(), labels), name)
        if reference is None:
            raise CommandFailed(
                gate.host,
                gate.words,
                f"the secret {file.source} is not known here, and the swarm tells nobody its value",
                exit_status=None,
                left=UNCHANGED,
                advice="stage the release again",
            )
        made[file.source] = reference
        found.append((reference, file))
    return found


def _holding(there: Sequence[tuple[str, str, Mapping[str, str]]], source: str, value: str) -> Reference | None:
    """One that holds ``value``: told by its fingerprint, which takes a while to compare."""
    for id, name, labels in there:
        if labels.get(names.SOURCE) == source and same(value, labels.get(names.FINGERPRINT, "")):
            return id, name
    return None


async def networks(gate: SwarmGate, spec: ContainerSpec) -> dict[str, str]:
    """Their ids by name, for Swarm itself puts these in the place of names. Makes those that are missing, as overlay networks. Raises
    ``CommandFailed`` where one is external and not there, or of one node."""
    if spec.network_mode or not spec.networks:
        return {}
    listed: list[Body] = await gate.ask(lambda client: calls.get(client, "/networks"))
    there = {str(one["Name"]): one for one in listed}
    found: dict[str, str] = {}
    for network in spec.networks:
        one = there.get(network.name)
        if one is None and network.external:
            raise _unfit(
                gate,
                network,
                "is not there, and it is external: qd does not make it",
                "docker network create -d overlay",
            )
        if one is not None and one.get("Scope") != "swarm":
            raise _unfit(gate, network, "is a network of one node", "give it another name, or remove that one:")
        found[network.name] = str(one["Id"]) if one is not None else await _make_network(gate, spec, network)
    return found


def _unfit(gate: SwarmGate, network: Network, why: str, advice: str) -> CommandFailed:
    return CommandFailed(
        gate.host,
        gate.words,
        f"the network {network.name} {why}",
        exit_status=None,
        left=_LEFT,
        advice=f"{advice} {network.name}",
    )


async def _make_network(gate: SwarmGate, spec: ContainerSpec, network: Network) -> str:
    compose = {f"{_COMPOSE}project": spec.project} if spec.project else {}
    pools = [
        {"Subnet": subnet, **({"Gateway": gateway} if gateway else {})}
        for subnet, gateway in zip(network.subnets, [*network.gateways, *[""] * len(network.subnets)], strict=False)
    ]
    body = {
        "Name": network.name,
        "CheckDuplicate": True,
        "Driver": network.driver if network.driver not in ("", "bridge") else "overlay",
        "Options": dict(network.driver_opts),
        "Internal": network.internal,
        "Attachable": network.attachable,
        "EnableIPv6": network.enable_ipv6,
        "Labels": {**network.labels, **compose, MADE: "yes"},
        **({"IPAM": {"Driver": "default", "Config": pools}} if pools else {}),
    }

    def create(client: "docker.APIClient") -> str:
        return str(calls.post(client, "/networks/create", body)["Id"])

    def is_made(client: "docker.APIClient") -> str | None:
        listed = calls.get(client, "/networks", name=[network.name])
        return next((str(one["Id"]) for one in listed if one["Name"] == network.name), None)

    await gate.check()
    gate.touched = True
    try:
        return await gate.managers.change(gate.words, create, is_made, deadline=gate.left)
    except EngineRefused as error:
        made = await gate.ask(is_made) if error.status == 409 else None
        if made is None:
            raise
        return made


async def _listed(gate: SwarmGate, kind: str) -> list[tuple[str, str, Mapping[str, str]]]:
    """Ids, names and labels of the target's ``configs`` or ``secrets``."""
    filters = [f"{TARGET}={gate.fence.target}"]
    found: list[Body] = await gate.ask(lambda client: calls.get(client, f"/{kind}", label=filters))
    return [
        (str(one["ID"]), str(one["Spec"]["Name"]), one["Spec"].get("Labels") or {})
        for one in found
        if names.REGISTER not in (one["Spec"].get("Labels") or {})
    ]


async def _create(gate: SwarmGate, kind: str, name: str, data: bytes, labels: Mapping[str, str]) -> str:
    body = {"Name": name, "Labels": {TARGET: gate.fence.target, **labels}, "Data": base64.b64encode(data).decode()}

    def create(client: "docker.APIClient") -> str:
        made: Any = calls.post(client, f"/{kind}/create", body)
        return str(made["ID"])

    def is_made(client: "docker.APIClient") -> str | None:
        listed = calls.get(client, f"/{kind}", name=[name])
        return next((str(one["ID"]) for one in listed if one["Spec"]["Name"] == name), None)

    await gate.check()
    gate.touched = True
    try:
        return await gate.managers.change(gate.words, create, is_made, deadline=gate.left)
    except EngineRefused as error:
        made = await gate.ask(is_made) if error.status == 409 else None
        if made is not None:
            return made
        raise CommandFailed(
            gate.host,
            gate.words,
            f"the swarm takes no {kind.removesuffix('s')} {name}: {error.explanation}",
            exit_status=None,
            left=_LEFT,
            advice="a config of a swarm holds 1 to 1,023,999 bytes, a secret 1 to 511,999",
        ) from None


async def remove_unused(gate: SwarmGate) -> None:
    """Of the target's configs and secrets what no service has: the swarm itself refuses to remove the others."""
    for kind in ("configs", "secrets"):
        for id, _, _ in await _listed(gate, kind):
            try:
                await gate.remove(f"/{kind}/{id}")
            except EngineRefused:
                continue  # it is looked for again the next time
