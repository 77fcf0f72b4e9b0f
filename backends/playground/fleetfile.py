"""The files that make a playground usable: fleet.yml, the SSH client's configuration and its known hosts."""

import json

from quarterdeck.backends.playground import container_image
from quarterdeck.backends.playground.layout import (
    ENGINE_ENVIRONMENT,
    ENVIRONMENTS,
    EngineHost,
    Playground,
    write_atomically,
)


def write_fleet_file(playground: Playground) -> None:
    write_atomically(playground.fleet_file, fleet_file(playground), 0o644)


def fleet_file(playground: Playground) -> str:
    """YAML; every text that depends on the machine is a JSON string, which YAML reads as it is."""
    quoted, engine = json.dumps, playground.engine
    lines = [
        "# The playground's fleet: made by `qd demo up`, removed by `qd demo down`.",
        "fleet: playground",
        f"state: {quoted(str(playground.state))}",
        "ssh:",
        f"  config: [{quoted(str(playground.ssh_config))}]",
        f"  known_hosts: [{quoted(str(playground.known_hosts))}]",
        "runbooks:",
        # Whole paths: the file is copied and changed by people who try things out.
        *(
            f"  {service}: {quoted(str(playground.directory / 'runbooks' / f'{service}.md'))}"
            for service in playground.services
        ),
        "",
        "hosts:",
        *(f"  {host.name}: {{ssh: {host.name}}}" for host in playground.hosts),
        *([f"  {engine.name}: {{docker: {quoted(f'unix://{engine.socket}')}}}"] if engine is not None else []),
        "",
        "environments:",
    ]
    after = {"production": "staging"}
    for environment, hosts in ENVIRONMENTS.items():
        engines = [engine.name] if engine is not None and environment == ENGINE_ENVIRONMENT else []
        lines += [
            f"  {environment}:",
            f"    hosts: [{', '.join([*hosts, *engines])}]",
            *([f"    after: {after[environment]}"] if environment in after else []),
            "    # Shown in every answer: change it, deploy again, and take it back.",
            f"    env: {{GREETING: hello from {environment}}}",
        ]
    lines += ["", "services:"]
    for service, port in playground.services.items():
        artifact = f"{playground.artifacts}/{service}-{{version}}.tar.gz"
        path = f"~/{service}"  # every host has a home of its own
        answer = '"version": "{version}"'
        lines += [
            f"  {service}:",
            "    artifact:",
            f"      tarball: {quoted(artifact)}",
            f"      sha256: {quoted(artifact + '.sha256')}",
            f"    path: {path}",
            f'    env: {{PORT: "{port}"}}',
            "    commands:",
            "      start: bin/service start",
            "      stop: bin/service stop",
            "      restart: bin/service restart",
            "      status: bin/service status",
            "    health:",
            "      http:",
            f"        {{path: /healthz, port: {port}, status: 200, contains: {quoted(answer)}}}",
            "      interval: 1s",
            "      timeout: 3s",
            "      healthy_deadline: 8s",
            "    strategy: {rolling: {max_unavailable: 1}}",
            *_HOOKS.get(service, ()),
            "    keep: {releases: 5}",
            f'    logs: {{files: ["{path}/shared/log/*.log"]}}',
        ]
    if engine is not None:
        lines += _container_service(engine)
    return "\n".join(lines) + "\n"


def _container_service(engine: EngineHost) -> list[str]:
    quoted = json.dumps
    answer = '"version": "{version}"'
    elsewhere = ", ".join(f"{environment}: null" for environment in ENVIRONMENTS if environment != ENGINE_ENVIRONMENT)
    return [
        f"  {engine.service}:",
        "    # A container on this machine's Docker engine. Its images were made there: no registry has them.",
        f"    artifact: {{image: {engine.repository}, image_on: {engine.name}}}",
        "    container:",
        f"      container_name: {engine.container}",
        f"      hostname: {engine.name}",
        "      network_mode: bridge",
        f'      ports: ["{engine.address}:{engine.port}:{container_image.PORT}"]',
        "      read_only: true",
        f"      cap_drop: [{', '.join(container_image.CAP_DROP)}]",
        f"      cap_add: [{', '.join(container_image.CAP_ADD)}]",
        "      stop_grace_period: 5s",
        f"      labels: {{{container_image.LABEL}: {quoted(engine.word)}}}",
        "      volumes:  # Python and its libraries are this machine's own",
        *(
            f"        - {{type: bind, source: {quoted(path)}, target: {quoted(path)}, read_only: true,"
            " bind: {create_host_path: false}}"
            for path in container_image.mounted_paths()
        ),
        f'    env: {{PORT: "{container_image.PORT}"}}',
        "    health:",
        "      # Asked from here, at the published port: a container's own address can't be reached on every engine.",
        "      from: bastion",
        "      http:",
        f"        {{path: /healthz, port: {container_image.PORT}, status: 200, contains: {quoted(answer)}}}",
        "      interval: 1s",
        "      timeout: 3s",
        "      healthy_deadline: 8s",
        "    keep: {releases: 5}",
        f"    environments: {{{elsewhere}}}",
    ]


def write_runbooks(playground: Playground) -> None:
    """One Markdown file a service, named by the fleet file: they must be there before it."""
    directory = playground.directory / "runbooks"
    directory.mkdir(exist_ok=True)
    for service, port in playground.services.items():
        write_atomically(directory / f"{service}.md", _RUNBOOK.format(service=service, port=port), 0o644)


_RUNBOOK = """\
# {service} is ill

1. **Which release did it?** The matrix shows what changed last; `d` shows how.
2. Errors began with a release: press `R`, read the card, press `y`.
3. Then look: `l` its logs, `h` its health. Every answer of {service} names its version.

## How to see it yourself
- `/healthz` on port {port} of each host says 200 when it is well.
- `v3` of the playground fails its health check, `v4` fails only under traffic.

## It did not help
- `A` aborts a rollout that is under way, and takes it back.
- Write down what you saw: `n`. The next one on call reads it.
"""

_HOOKS = {
    "api": (
        "    hooks:",
        "      before: [{run: 'test -x bin/service', where: each}]",
        "      after: [{run: bin/service status, where: one}]",
    )
}


def write_ssh_files(playground: Playground, host_keys: dict[str, str]) -> None:
    """``host_keys``: each host's public key, as ``ssh-ed25519 AAAA…``."""
    lines = []
    for host in playground.hosts:
        lines += [f"Host {host.name}", f"  HostName {host.address}", f"  Port {host.port}", ""]
    lines += [
        f"Host {' '.join(host.name for host in playground.hosts)}",
        f"  User {playground.user}",
        f"  IdentityFile {_client_path(str(playground.identity))}",
        "  IdentitiesOnly yes",
        f"  UserKnownHostsFile {_client_path(str(playground.known_hosts))}",
        "  GlobalKnownHostsFile none",
        "  StrictHostKeyChecking yes",
        "  BatchMode yes",
    ]
    write_atomically(playground.ssh_config, "\n".join(lines) + "\n")
    known = [f"[{host.address}]:{host.port} {host_keys[host.name]}\n" for host in playground.hosts]
    write_atomically(playground.known_hosts, "".join(known))


def _client_path(path: str) -> str:
    """As the ssh client's configuration wants it: spaces are kept by quotes, a percent sign is doubled."""
    return '"' + path.replace("%", "%%") + '"'
