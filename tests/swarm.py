"""A real Docker Swarm on this machine: three managers, each an engine in a network namespace of its own, and a registry for them.

Leaves no process, mount, namespace or cable behind, however the tests end. The kernel may lack what Swarm's virtual addresses and its
routing mesh need (IPVS): services here say ``endpoint_mode: dnsrr`` and publish their ports in host mode.
"""

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import docker
import docker.errors
import docker.types
import httpx

from tests.engine import SERVES, make_image, need_docker, own_net, program_of, stands_still
from tests.engine_certificates import Authority, tls_arguments
from tests.requirements_here import need
from tests.sshd import wait_for
from tests.swarm_in_motion import again, set_heartbeat, wait
from tests.swarm_leftovers import SCRIPT, directory_of, remove_leftovers
from tests.swarm_node import TLS_PORT, Node
from tests.swarm_registry import has_registry, is_refused

# Seconds. A node that has missed three of them is down: with Swarm's own, not one whose engine got no processor.
_HEARTBEAT: Final = 5.0
_QUICK_HEARTBEAT: Final = 1.0
_REFUSING: Final = Path(__file__).with_name("refusing_registry.py")
_LONG: Final = 90.0  # s; an election takes up to 20 of them on a machine with nothing else to do
_NOT_YET: Final = (OSError, docker.errors.DockerException)  # requests' own errors are OSErrors
_OF_EVERY_ENGINE: Final = {"bridge", "host", "none", "ingress", "docker_gwbridge"}


def need_swarm() -> None:
    """Skips, or fails where everything is required, when no Swarm can be started here."""
    need_docker()
    for program, package in (
        ("docker-registry", "docker-registry"),
        ("nsenter", "util-linux"),
        ("unshare", "util-linux"),
    ):
        need(program_of(program) is not None, f"{program} (package {package})")


@dataclass
class Swarm:
    """Nodes are named by their index. Whoever stops or freezes one need not bring it back: ``clean`` does. The others find it
    down after 15 s, or 3 where ``notice_soon`` was called."""

    directory: Path
    net: int
    nodes: list[Node]
    registry: str
    _held: socket.socket = field(repr=False)
    _processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict, repr=False)
    _registries: list[subprocess.Popen[bytes]] = field(
        default_factory=list, repr=False
    )  # of this machine; nodes start theirs
    _watchdog: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _clients: dict[int, docker.APIClient] = field(default_factory=dict, repr=False)
    _frozen: set[int] = field(default_factory=set, repr=False)
    _doubtful: set[int] = field(default_factory=set, repr=False)  # nodes that may be no managers
    _booted: set[int] = field(default_factory=set, repr=False)  # nodes whose registry may not answer yet
    _notices_soon: bool = field(default=False, repr=False)
    _registry: str = ""  # what was done to it: down, frozen
    _pushed: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def managers(self) -> list[str]:
        """Every manager's engine, as the fleet file names one."""
        return [node.docker for node in self.nodes]

    @property
    def nodes_template(self) -> str:
        """Any node's engine, with its hostname for ``{hostname}``. Over SSH the path is the same, on any sshd of this machine."""
        return f"unix://{self.directory}/{{hostname}}/engine.sock"

    @property
    def certificates(self) -> Path:
        """With what the engines know, as the fleet file's ``tls`` wants it."""
        return self.directory / "certificates" / "client"

    def api(self, index: int) -> docker.APIClient:
        """The SDK's own client of that node's engine, for what a test prepares and looks at."""
        if index not in self._clients:
            self._clients[index] = docker.APIClient(base_url=self.nodes[index].docker, version="auto", timeout=30)
        return self._clients[index]

    def log(self, index: int) -> str:
        """Of that node's engine."""
        return (self.directory / f"{self.nodes[index].hostname}.log").read_text(errors="replace")

    @property
    def any_api(self) -> docker.APIClient:
        """A client of a manager that is neither stopped nor frozen, nor demoted."""
        there = [index for index in self._processes if index not in self._frozen]
        there.sort(key=self._doubtful.__contains__)
        for index in there:
            with contextlib.suppress(*_NOT_YET):
                if index not in self._doubtful or self._is_member(index):
                    return self.api(index)
        return self.api(there[0])

    @property
    def leader(self) -> int:
        """The leader's index, as a manager knows it that is neither stopped nor frozen. Where they choose one, that is waited for."""
        found: list[int] = []

        def is_there() -> bool:
            of_now = [one for one in self.members().values() if one.get("ManagerStatus", {}).get("Leader")]
            found.extend(self._index_of(one) for one in of_now)
            return bool(found)

        wait(is_there, "the swarm has a leader")
        return found[0]

    def members(self) -> dict[str, dict[str, Any]]:
        """Nodes as the API describes them, by ID. Raises ``LookupError`` while no leader is there to ask."""
        try:
            return {node["ID"]: node for node in self.any_api.nodes()}
        except _NOT_YET as error:
            raise LookupError(f"no manager answers for the swarm: {error}") from error

    def _index_of(self, member: Mapping[str, Any]) -> int:
        hostname = member["Description"]["Hostname"]
        return next(node.index for node in self.nodes if node.hostname == hostname)

    def _run(self, command: str, *more: str) -> None:
        subprocess.run(
            ["sh", str(SCRIPT), command, str(self.directory), str(self.net), *more],
            check=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )

    def _become(self, log: str, command: str, *more: str) -> subprocess.Popen[bytes]:
        with (self.directory / log).open("ab") as written:
            return subprocess.Popen(
                ["sh", str(SCRIPT), command, str(self.directory), str(self.net), *more],
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
                start_new_session=True,
            )

    def start(self) -> None:
        """All of it, from nothing; waits until every manager is there."""
        self._run("up")
        authority = Authority(self.directory / "certificates")
        authority.directory("client")
        for node in self.nodes:
            authority.directory(node.hostname, node.address)
        self._registries = [self._become("registry.log", "registry")]
        for node in self.nodes:
            self._boot(node.index)
        for node in self.nodes:
            self._wait_for_engine(node.index)
        first = self.nodes[0]
        self.api(0).init_swarm(
            advertise_addr=first.address,
            listen_addr=f"{first.address}:2377",
            swarm_spec=self.api(0).create_swarm_spec(dispatcher_heartbeat_period=int(_HEARTBEAT * 1e9)),
        )
        for node in self.nodes[1:]:
            self._join(node.index)
        wait_for(self._registry_answers, "the registry answers", _LONG)
        self.wait_until_whole()

    def _registry_answers(self) -> bool:
        return self._asked_registry() == 200

    def _asked_registry(self) -> int:
        try:
            return httpx.get(f"http://{self.registry}/v2/", trust_env=False).status_code
        except httpx.HTTPError:
            return 0

    def _boot(self, index: int) -> None:
        node = self.nodes[index]
        self._booted.add(index)
        self._processes[index] = self._become(
            f"{node.hostname}.log",
            *("start", str(index + 1)),
            *tls_arguments(self.directory / "certificates" / node.hostname, node.address, TLS_PORT),
        )

    def _wait_for_engine(self, index: int) -> None:
        process = self._processes[index]

        def answers_or_ended() -> bool:
            if process.poll() is not None:
                return True
            try:
                return self.api(index).ping() is True
            except _NOT_YET:
                return False

        wait_for(answers_or_ended, f"the engine of {self.nodes[index].hostname} answers", _LONG)
        if process.poll() is not None:
            raise RuntimeError(f"the engine of {self.nodes[index].hostname} ended:\n{self.log(index)[-3000:]}")

    def _join(self, index: int) -> None:
        """As a manager, through one that is there."""
        node = self.nodes[index]
        inside = next(other for other in self.nodes if other.index != index and self._is_member(other.index))
        self.api(index).join_swarm(
            remote_addrs=[f"{inside.address}:2377"],
            join_token=self.api(inside.index).inspect_swarm()["JoinTokens"]["Manager"],
            advertise_addr=node.address,
            listen_addr=f"{node.address}:2377",
        )

    def _is_member(self, index: int) -> bool:
        said = self.api(index).info()["Swarm"]
        return said["LocalNodeState"] == "active" and bool(said["ControlAvailable"])

    def wait_until_whole(self) -> None:
        """Every node is a manager that is ready, takes tasks and can pull images, and there is a leader, each of them says so."""
        wait_for(lambda: all(self._sees_all(node.index) for node in self.nodes), "every node is back", _LONG)
        wait_for(lambda: all(self._can_pull(index) for index in sorted(self._booted)), "nodes reach registries", _LONG)

    def _can_pull(self, index: int) -> bool:
        """A node's own registry begins beside its engine."""
        with contextlib.suppress(*_NOT_YET):
            if has_registry(self.api(index), self.registry):
                self._booted.discard(index)
        return index not in self._booted

    def _sees_all(self, index: int) -> bool:
        try:
            members = self.api(index).nodes()
        except _NOT_YET:
            return False
        good = {
            node["Description"].get("Hostname")
            for node in members
            if node["Status"]["State"] == "ready"
            and node["Spec"]["Availability"] == "active"
            and node.get("ManagerStatus", {}).get("Reachability") == "reachable"
        }
        leads = any(node.get("ManagerStatus", {}).get("Leader") for node in members)
        return leads and len(members) == len(self.nodes) and good == {node.hostname for node in self.nodes}

    def image(
        self,
        name: str,
        version: str,
        *,
        command: Sequence[str] | None = None,
        files: Mapping[str, str] | None = None,
        exits: bool = False,
        healthy: bool = True,
        changes: Sequence[str] = (),
    ) -> str:
        """Pushes an image as ``DockerEngine.image`` makes it (port 8080 with /version and /health) and gives its reference by digest.

        No node has it yet. ``exits``: its process says ``oops`` and ends at once with 7. ``healthy`` False: there is no /health.
        ``command`` instead of all that, ``files`` and ``changes`` as there.
        """
        known = repr((name, version, command, files, exits, healthy, changes))
        if known not in self._pushed:
            client, tagged = self.any_api, f"{self.registry}/{name}:{version}"
            words = command or ["sh", "-c", "echo oops; exit 7" if exits else SERVES]
            made = make_image(client, tagged, words, files, healthy=healthy, changes=changes)
            said = client.push(tagged)
            assert "errorDetail" not in said, said
            digests: list[str] = client.inspect_image(tagged)["RepoDigests"]
            client.remove_image(made, force=True)
            self._pushed[known] = next(one for one in digests if one.startswith(f"{self.registry}/{name}@"))
        return self._pushed[known]

    def service(
        self,
        name: str,
        image: str,
        *,
        port: int | None = None,
        replicas: int = 3,
        labels: Mapping[str, str] | None = None,
    ) -> str:
        """Creates a plain one and gives its ID at once. ``port``: published in host mode by every task, for 8080."""
        template = docker.types.TaskTemplate(docker.types.ContainerSpec(image, stop_grace_period=3_000_000_000))
        made: str = self.any_api.create_service(
            template,
            name=name,
            labels=dict(labels or {}),
            mode=docker.types.ServiceMode("replicated", replicas),
            endpoint_spec=in_host_mode(port),
        )["ID"]
        return made

    def running_on(self, service: str) -> list[int]:
        """Indexes of the nodes where its tasks run, one for each task, as the swarm knows it."""
        members = self.members()
        tasks = self.any_api.tasks(filters={"service": service})
        return sorted(self._index_of(members[one["NodeID"]]) for one in tasks if one["Status"]["State"] == "running")

    def node_of(self, task: Mapping[str, Any]) -> int:
        """The index of the node that it is on."""
        return self._index_of(again(self.members)[task["NodeID"]])

    def inside(self, task: Mapping[str, Any], *command: str) -> str:
        """Run in the task's container, by way of its own node's engine: what it printed."""
        engine = self.api(self.node_of(task))
        made = engine.exec_create(task["Status"]["ContainerStatus"]["ContainerID"], list(command))
        said: bytes = engine.exec_start(made["Id"])
        return said.decode()

    def stop_node(self, index: int) -> None:
        """As a machine that is lost: its cable first, so that nobody is told, then its engine and all that ran on it."""
        self._run("lose", str(index + 1))
        self._frozen.discard(index)
        process = self._processes.pop(index, None)
        if process is not None:
            process.wait(timeout=30)

    def start_node(self, index: int) -> None:
        """Boots a stopped one with the disk that it had, and waits until the swarm counts it as ready and as a manager again, and it
        can pull images."""
        if index in self._processes:
            return
        self._boot(index)
        self._wait_for_engine(index)
        wait_for(lambda: self._is_back(index), f"{self.nodes[index].hostname} is back", _LONG)
        wait_for(lambda: self._can_pull(index), f"{self.nodes[index].hostname} reaches a registry", _LONG)

    def _is_back(self, index: int) -> bool:
        """Its agent has a session (it is not active before), and it has a leader to ask, by whom it is ready."""
        try:
            said = self.api(index).info()["Swarm"]
            own = self.api(index).inspect_node(said["NodeID"])
        except _NOT_YET:
            return False
        reachable = own.get("ManagerStatus", {}).get("Reachability") == "reachable"
        ready: bool = own["Status"]["State"] == "ready"
        return ready and reachable and said["LocalNodeState"] == "active"

    def stop_registry(self) -> None:
        """Of the machine, and of every node: nobody listens any more. ``clean`` starts it again."""
        self._run("registry-down")
        for process in self._registries:
            process.wait(timeout=30)
        self._registries.clear()
        self._registry = "down"

    def freeze_registry(self) -> None:
        """The same: connections are taken and nothing is answered. ``clean`` thaws it."""
        self._run("registry-freeze")
        self._registry = "frozen"

    def refuse_at_registry(self, status: int) -> None:
        """Every question is answered with that status of HTTP, 401 or 403, each node's too. ``clean`` brings the registry back."""
        self.stop_registry()
        command = (sys.executable, str(_REFUSING), self.registry.rpartition(":")[2], str(status))
        for number in ("", *(str(node.index + 1) for node in self.nodes)):
            self._registries.append(self._become("registry.log", "instead", number, *command))
        wait_for(lambda: self._asked_registry() == status, "the registry refuses", _LONG)
        engines = [self.api(index) for index in self._processes if index not in self._frozen]
        wait(
            lambda: all(is_refused(engine, self.registry) for engine in engines), "every node's registry refuses", _LONG
        )

    def mend_registry(self) -> None:
        """As at the beginning; those of nodes ``wait_until_whole`` waits for."""
        self._booted.update(self._processes)
        if self._registry == "frozen":
            self._run("registry-thaw")
        elif self._registry == "down":
            self.stop_registry()  # what stands in its place
            for number in ("", *(str(index + 1) for index in self._processes)):
                self._registries.append(self._become("registry.log", "registry", *([number] if number else [])))
        self._registry = ""
        wait_for(self._registry_answers, "the registry answers", _LONG)

    def set_node(
        self,
        index: int,
        *,
        role: Literal["manager", "worker"] = "manager",
        availability: Literal["active", "pause", "drain"] = "active",
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """What is not given is as at the beginning: an active manager without labels."""

        def read_and_change() -> None:
            member = next(one for one in self.members().values() if self._index_of(one) == index)
            self.any_api.update_node(
                member["ID"],
                member["Version"]["Index"],
                {"Role": role, "Availability": availability, "Labels": dict(labels or {})},
            )

        if role == "worker":
            self._doubtful.add(index)
        again(read_and_change)

    def leave(self, index: int) -> None:
        """It is no node of the swarm any more. A manager that leaves without a word takes the others' majority with it for a while."""
        self.set_node(index, role="worker")
        wait_for(lambda: not self._is_member(index), f"{self.nodes[index].hostname} is no manager", _LONG)
        self.api(index).leave_swarm(force=True)

    def notice_soon(self) -> None:
        """That a node is lost, or hangs: after 3 s from now on, until ``clean``. By then an engine that got no processor is down, too."""
        self._notices_soon = True
        set_heartbeat(self, _QUICK_HEARTBEAT)

    def freeze(self, index: int) -> None:
        """SIGSTOP to its engine: connections are taken and nothing is answered. What runs in its containers goes on."""
        self._frozen.add(index)
        process = self._processes[index]
        process.send_signal(signal.SIGSTOP)
        wait_for(lambda: stands_still(process.pid), "every thread stands still")

    def thaw(self, index: int) -> None:
        self._frozen.discard(index)
        self._processes[index].send_signal(signal.SIGCONT)

    def clean(self) -> None:
        """All nodes are back, ready and active managers without labels; no service, task, container, configuration, secret, network or
        volume is left; a node is down after 15 s. Images stay. Raises ``TimeoutError`` with what was in the way, after starting over for
        those who come next: so it is where most of the managers have left the swarm for good."""
        for node in self.nodes:
            if node.index in self._frozen:
                self.thaw(node.index)
            if node.index not in self._processes:
                self._boot(node.index)
        for node in self.nodes:
            self._wait_for_engine(node.index)
        self._doubtful.update(self._processes)
        if self._registry:
            self.mend_registry()
        in_the_way = "nothing was looked at yet"

        def is_clean() -> bool:
            nonlocal in_the_way
            try:
                in_the_way = self._remove_something()
            except (*_NOT_YET, LookupError, StopIteration) as error:
                in_the_way = str(error)
            return not in_the_way

        try:
            wait_for(is_clean, "the swarm is clean", _LONG)
            self.wait_until_whole()
            self._doubtful.clear()
        except TimeoutError as error:
            self._start_over()
            raise TimeoutError(f"{error}; in its way: {in_the_way or 'a node that is not back'}") from None

    def _start_over(self) -> None:
        self._end()
        self.start()

    def _remove_something(self) -> str:
        """Takes one step towards a clean swarm; says which, nothing when there was none to take."""
        if in_the_way := self._bring_members_back():
            return in_the_way
        client = self.any_api
        if services := client.services():
            for service in services:
                client.remove_service(service["ID"])
            return "services"
        for node in self.nodes:
            engine = self.api(node.index)
            if containers := engine.containers(all=True):
                for container in containers:
                    with contextlib.suppress(docker.errors.APIError):  # the swarm removes it too
                        engine.remove_container(container["Id"], force=True, v=True)
                return f"containers on {node.hostname}"
        if client.tasks():
            return "tasks"
        for kind, found, remove in (
            ("configurations", client.configs(), client.remove_config),
            ("secrets", client.secrets(), client.remove_secret),
        ):
            if found:
                for one in found:
                    remove(one["ID"])
                return kind
        for node in self.nodes:
            engine = self.api(node.index)
            if networks := [one for one in engine.networks() if one["Name"] not in _OF_EVERY_ENGINE]:
                for network in networks:
                    engine.remove_network(network["Id"])
                return f"networks on {node.hostname}"
            if volumes := engine.volumes()["Volumes"]:
                for volume in volumes:
                    engine.remove_volume(volume["Name"], force=True)
                return f"volumes on {node.hostname}"
        if self._notices_soon:
            set_heartbeat(self, _HEARTBEAT)
            self._notices_soon = False
        return ""

    def _bring_members_back(self) -> str:
        """Whoever left joins again, whoever was demoted, drained or labelled is as at the beginning, and nobody else is listed. Says what
        has to be waited for."""
        members = self.members()
        for node in self.nodes:
            said = self.api(node.index).info()["Swarm"]
            if said["LocalNodeState"] == "inactive":
                self._join(node.index)
            elif said["LocalNodeState"] == "error" or said["NodeID"] not in members:
                self.api(node.index).leave_swarm(force=True)
                self._join(node.index)
        own = {self.api(node.index).info()["Swarm"]["NodeID"] for node in self.nodes}
        for member in self.members().values():
            version, spec, hostname = member["Version"]["Index"], member["Spec"], member["Description"].get("Hostname")
            if member["ID"] not in own:
                if spec["Role"] == "manager":
                    self.any_api.update_node(member["ID"], version, {"Role": "worker", "Availability": "drain"})
                else:
                    self.any_api.remove_node(member["ID"], force=True)
                return f"what {hostname} was before it left"
            if spec["Role"] == "worker":
                # Told otherwise in the middle of its demotion it would never be a manager again; after it, that takes half a minute.
                index = self._index_of(member)
                if not self._is_member(index):
                    self.api(index).leave_swarm(force=True)
                return f"{hostname}, which is or becomes a worker"
            if spec["Availability"] != "active" or spec.get("Labels"):
                self.any_api.update_node(
                    member["ID"], version, {"Role": "manager", "Availability": "active", "Labels": {}}
                )
        return ""

    def _end(self) -> None:
        for client in self._clients.values():
            client.close()
        try:
            self._run("down")
        finally:
            for process in (*self._processes.values(), *self._registries):
                process.wait(timeout=30)
            for of_these in (
                self._clients,
                self._processes,
                self._frozen,
                self._pushed,
                self._doubtful,
                self._booted,
                self._registries,
            ):
                of_these.clear()
            self._notices_soon = False
            self._registry = ""

    def close(self) -> None:
        """Ends all of it."""
        try:
            self._end()
        finally:
            if self._watchdog is not None:
                self._watchdog.kill()
                self._watchdog.communicate(timeout=10)
            self._held.close()


def in_host_mode(port: int | None) -> docker.types.EndpointSpec:
    """The ``endpoint_spec`` of a service whose tasks each publish their 8080 as ``port`` of their node, or nothing."""
    endpoint = docker.types.EndpointSpec(mode="dnsrr")
    if port is not None:
        endpoint["Ports"] = [{"Protocol": "tcp", "TargetPort": 8080, "PublishedPort": port, "PublishMode": "host"}]
    return endpoint


def start_swarm(count: int = 3) -> Swarm:
    """A swarm of so many managers; what runs that were killed have left of theirs goes first."""
    remove_leftovers()
    held, net = own_net()
    directory = directory_of(net)
    nodes = [
        Node(index, name, directory / name / "engine.sock", f"10.{net}.0.{index + 1}")
        for index, name in enumerate(f"node-{number}" for number in range(1, count + 1))
    ]
    swarm = Swarm(directory, net, nodes, f"127.0.0.1:{15000 + net}", held)
    # Ends what was left, should this process be killed: its end closes the pipe. The network is the watchdog's too, for so long.
    swarm._watchdog = subprocess.Popen(
        ["sh", "-c", 'cat >/dev/null; exec sh "$@"', "watchdog", str(SCRIPT), "down", str(directory), str(net)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=(held.fileno(),),
    )
    try:
        swarm.start()
    except BaseException:
        swarm.close()
        raise
    return swarm
