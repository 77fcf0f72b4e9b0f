"""Makes a release's container, with all that it needs to be there first: networks, volumes, its files and secrets. Starts nothing.

Until it is complete it has another name than the one it is kept under: a container that was cut short is never taken for a release's. One
that needs nothing after it is made is complete at once."""

import secrets
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from quarterdeck.backends.errors import BackendError, CommandFailed, EngineRefused
from quarterdeck.backends.hosts.docker import names, overtaken, ports, secret_files
from quarterdeck.backends.hosts.docker.ending import though_it_ends
from quarterdeck.backends.hosts.docker.gate import Gate
from quarterdeck.backends.hosts.docker.looking import Body, Container, Seen, together
from quarterdeck.backends.hosts.docker.operation import UNCHANGED
from quarterdeck.backends.hosts.docker.refusals import IN_NETWORK
from quarterdeck.backends.hosts.docker.register import State
from quarterdeck.backends.hosts.docker.spec import CreateRequest, create_request
from quarterdeck.backends.hosts.manifest import manifest
from quarterdeck.config.container import ContainerSpec, Network, Volume
from quarterdeck.config.release import Release, canonical

if TYPE_CHECKING:
    import docker

_COMPOSE = "com.docker.compose."


def spec_of(host: str, words: str, release: Release) -> ContainerSpec:
    if release.container is None:
        raise CommandFailed(
            host,
            words,
            f"release {release.id} is no container",
            exit_status=None,
            left=UNCHANGED,
            advice="give the service an image and a container, or the host an SSH entry",
        )
    return release.container


def environment(release: Release, values: Mapping[str, str]) -> dict[str, str]:
    """What the container gets as variables: the release's, the secrets that are no files, and what it is, as on an SSH host."""
    spec = release.container
    in_files = {one.source for one in spec.secrets} if spec is not None else set()
    own = {"QD_TARGET": release.target, "QD_RELEASE": release.id, "QD_VERSION": release.version}
    return {**release.env, **{name: value for name, value in values.items() if name not in in_files}, **own}


def labels(gate: Gate, release: Release, op_id: str, directory: str) -> dict[str, str]:
    spec = spec_of(gate.host, gate.words, release)
    compose = {f"{_COMPOSE}project": spec.project, f"{_COMPOSE}service": spec.service} if spec.project else {}
    return {
        **spec.labels,
        **compose,
        names.TARGET: release.target,
        **({names.FLEET: gate.engine.fleet} if gate.engine.fleet else {}),
        names.NAME: names.live_name(release),
        names.RELEASE: release.id,
        names.DIGEST: release.digest,
        names.EPOCH: str(gate.fence.epoch),
        names.OPERATION: op_id,
        names.MANIFEST: canonical(manifest(release)).decode(),
        **({names.SECRETS: directory} if directory else {}),
    }


class Around:
    """What a release is put into, as it was beside the first look: who has the live name, the image, the container that is kept under
    the release's own name. ``ask`` comes first; it changes nothing."""

    def __init__(self, gate: Gate, release: Release) -> None:
        self.holder: Body | None = None
        self.image: Body | None = None
        self.kept: Body | None = None
        self._gate = gate
        self._release = release

    async def ask(self) -> None:
        gate, live = self._gate, names.live_name(self._release)
        await gate.engine.settled(gate.left)
        found = together(gate.inspect(live), gate.inspect(names.kept_name(live, self._release.id)))
        self.image, (self.holder, self.kept) = await together(gate.find_image(self._release.artifact.location), found)

    def inspected(self, container: Container) -> Body | None:
        """As it was then, where it is one of the two."""
        return next((one for one in (self.kept, self.holder) if one is not None and one["Id"] == container.id), None)


def refuse_a_foreign_holder(gate: Gate, release: Release, holder: Body | None) -> None:
    """Raises ``CommandFailed`` where a container that is not this target's has the live name. Nothing is changed by that."""
    name = names.live_name(release)
    if holder is not None and (holder["Config"].get("Labels") or {}).get(names.TARGET) != release.target:
        raise foreign(gate, name, holder)


def foreign(gate: Gate, name: str, holder: Body) -> CommandFailed:
    other = (holder["Config"].get("Labels") or {}).get(names.TARGET)
    if other == gate.fence.target:
        return CommandFailed(
            gate.host,
            gate.words,
            f"another container of {other} has taken the name {name} meanwhile",
            exit_status=None,
            advice="look who else is at work on this host",
        )
    return CommandFailed(
        gate.host,
        gate.words,
        f"the container {name} is not ours: {holder['Config'].get('Image')}, {holder['State'].get('Status')}"
        + (f", of {other}" if other else f", {holder['Id'][:12]}"),
        exit_status=None,
        left="It was not touched",
        advice=f"remove it, or rename it, or give the service another container_name: docker rename {name} {name}-old",
    )


async def make(
    gate: Gate,
    seen: Seen,
    release: Release,
    values: Mapping[str, str],
    image: Body,
    op_id: str,
    beside: Callable[[State], State] | None = None,
    refused: Collection[str] = (),
) -> Container:
    """The container of ``release``, complete, under the name that it is kept under. What has that name, and does not run, goes first.
    ``beside``: what is remembered while it is made. ``refused``: ports of the host that it could not be started with."""
    spec = spec_of(gate.host, gate.words, release)
    made_as, chosen = await _with_ports(gate, seen, spec, release, refused)
    for volume in spec.volumes:
        await _volume(gate, spec, volume)
    for network in spec.networks if not spec.network_mode else ():
        await _network(gate, spec, network)
    kept = names.kept_name(names.live_name(release), release.id)
    directory = secret_files.new_directory(release.target) if spec.secrets else ""
    request = create_request(
        gate.host,
        made_as,
        image=image["Id"],
        env=environment(release, values),
        labels={
            **labels(gate, release, op_id, directory),
            **({names.PORTS: " ".join(sorted(chosen))} if chosen else {}),
        },
        api_version=gate.engine.api_version,
        secrets=secret_files.binds(spec, directory),
    )
    # Complete as it is made, where nothing has to be done to it afterwards.
    complete = not (request.then_join or spec.files or any(one.name == kept for one in seen.containers))
    name = kept if complete else f"{kept}.making-{secrets.token_hex(4)}"
    if directory:
        async with secret_files.filled(gate, image["Id"], directory, spec, values):
            made = await _create(gate, request, name, beside)
    else:
        made = await _create(gate, request, name, beside)
    if complete:
        return Container(made, kept, image["Id"], 0, "created", request.body["Labels"])
    for network_name, endpoint in request.then_join:
        await join(gate, made, network_name, endpoint)
    if spec.files:
        await _put_files(gate, made, spec)
    await _clear_the_name(gate, seen, kept)
    await gate.act(lambda client: client.rename(made, kept))
    return Container(made, kept, image["Id"], 0, "created", request.body["Labels"])


async def _with_ports(
    gate: Gate, seen: Seen, spec: ContainerSpec, release: Release, refused: Collection[str]
) -> tuple[ContainerSpec, ports.Taken]:
    """One port of each range: free on the engine, and where that can be none that a release needs which may be gone back to."""
    if not ports.has_ranges(spec):
        return spec, frozenset()
    listed: list[Body] = await gate.ask(lambda client: client.containers())
    running = {port for one in seen.running for port in ports.chosen_of(one.labels)}
    kept = {port for one in seen.containers if one.release != release.id for port in ports.chosen_of(one.labels)}
    return ports.choose(spec, refused, running, ports.on_the_engine(listed), kept)


async def _create(gate: Gate, request: CreateRequest, name: str, beside: Callable[[State], State] | None) -> str:
    platform = request.platform or None
    try:
        made: Mapping[str, Any] = await gate.act(
            lambda client: client.create_container_from_config(request.body, name, platform), beside=beside
        )
    except EngineRefused as error:
        raise CommandFailed(
            gate.host,
            gate.words,
            f"the engine makes no such container: {error.explanation}",
            exit_status=None,
            left="What runs there runs on",
            advice="correct the service's description",
        ) from None
    return str(made["Id"])


async def leave(gate: Gate, container: str, network: Network) -> None:
    await gate.act_if_there(
        lambda client: client.disconnect_container_from_network(container, network.name),
        undo=overtaken.of_leaving(gate, container, network),
    )


async def join(gate: Gate, container: str, network: str, endpoint: Mapping[str, Any]) -> None:
    """Connects the container to the network as ``endpoint`` says."""
    addresses = endpoint.get("IPAMConfig", {})

    def connect(client: "docker.APIClient") -> None:
        client.connect_container_to_network(
            container,
            network,
            ipv4_address=addresses.get("IPv4Address"),
            ipv6_address=addresses.get("IPv6Address"),
            aliases=list(endpoint["Aliases"]),
        )

    try:
        await gate.act(connect)
    except EngineRefused as error:
        if IN_NETWORK not in error.explanation:
            raise
        # An overtaken worker's last call came in between: whether with the same names is not known.
        await gate.act_if_there(lambda client: client.disconnect_container_from_network(container, network))
        await gate.act(connect)


async def _put_files(gate: Gate, container: str, spec: ContainerSpec) -> None:
    data = secret_files.files_archive(spec.files)
    try:
        await gate.act(lambda client: client.put_archive(container, "/", data))
    except EngineRefused as error:
        advice = "give it a read_only of false, or the files as a volume" if spec.read_only else ""
        raise CommandFailed(
            gate.host,
            gate.words,
            f"the release's files can't be put into its container: {error.explanation}",
            exit_status=None,
            left="What runs there runs on",
            advice=advice,
        ) from None


async def _clear_the_name(gate: Gate, seen: Seen, kept: str) -> None:
    for one in seen.containers:
        if one.name != kept:
            continue
        if one.runs:  # beside the live one, and wanted anew
            await stop(gate, one)
        await remove(gate, one)


async def stop(gate: Gate, container: Container) -> None:
    """Stops it in its own way: its stop signal, then its grace period. An engine that restarts does not start it again."""
    await set_restart_policy(gate, container.id, {"Name": "no", "MaximumRetryCount": 0})
    spec = container.spec
    grace = max(1, round(spec.stop_grace_period)) if spec is not None else 10
    if container.state == "paused":  # a signal would wait until it goes on
        await gate.act_if_there(lambda client: client.unpause(container.id), 409, 500)
    gate.give(grace)  # its own, which may be longer than that of what takes its place
    undo = overtaken.of_stop(gate, container)
    if await gate.act_if_there(lambda client: client.stop(container.id, timeout=grace), 304, undo=undo):
        await gate.check()  # at once: somebody may have put it back between our look and our call


async def set_restart_policy(gate: Gate, container: str, policy: Any) -> None:
    """Also of one that ends in this very moment."""
    await though_it_ends(
        lambda: gate.act_if_there(
            lambda client: client.update_container(container, restart_policy=policy),
            undo=overtaken.of_restart_policy(gate, container),
        )
    )


async def remove(gate: Gate, container: Container) -> bool:
    """Removes one that does not run, with its anonymous volumes and its secret files; whether it was there."""

    async def it_alone() -> bool:
        return await gate.act_if_there(lambda client: client.remove_container(container.id, v=True))

    return await secret_files.remove_with(gate, container.image, container.labels.get(names.SECRETS, ""), it_alone)


async def _volume(gate: Gate, spec: ContainerSpec, volume: Volume) -> None:
    if volume.external:
        try:
            await gate.ask(lambda client: client.inspect_volume(volume.name))
        except EngineRefused as error:
            if error.status == 404:
                raise _missing(gate, "volume", volume.name) from None
            raise
        return
    given = {**volume.labels, **_made_for(spec, "volume", volume.name)}
    await gate.act(
        lambda client: client.create_volume(
            volume.name, volume.driver or None, dict(volume.driver_opts) or None, labels=given
        )
    )


async def _network(gate: Gate, spec: ContainerSpec, network: Network) -> None:
    found: list[Mapping[str, Any]] = await gate.ask(lambda client: client.networks(names=[network.name]))
    if any(one["Name"] == network.name for one in found):
        return
    if network.external:
        raise _missing(gate, "network", network.name)
    given = {**network.labels, **_made_for(spec, "network", network.name)}
    pools = [
        {"Subnet": subnet, **({"Gateway": gateway} if gateway else {})}
        for subnet, gateway in zip(network.subnets, [*network.gateways, *[""] * len(network.subnets)], strict=False)
    ]
    addresses: Any = {"Driver": "default", "Config": pools} if pools else None
    await gate.act_if_there(
        lambda client: client.create_network(
            network.name,
            network.driver or "bridge",
            dict(network.driver_opts) or None,
            addresses,
            check_duplicate=True,
            internal=network.internal,
            labels=given,
            enable_ipv6=network.enable_ipv6,
            attachable=network.attachable or None,
        ),
        409,
    )


def _made_for(spec: ContainerSpec, kind: str, name: str) -> dict[str, str]:
    """So that Docker Compose knows it as its own. Ours names no target: several may use it."""
    compose = {f"{_COMPOSE}project": spec.project, f"{_COMPOSE}{kind}": name.removeprefix(f"{spec.project}_")}
    return {names.MADE: "yes", **(compose if spec.project else {})}


def _missing(gate: Gate, kind: str, name: str) -> BackendError:
    return CommandFailed(
        gate.host,
        gate.words,
        f"the {kind} {name} is not on the engine, and it is external: qd does not make it",
        exit_status=None,
        left="What runs there runs on",
        advice=f"make it: docker {kind} create {name}",
    )
