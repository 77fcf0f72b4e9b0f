"""A Kamal `config/deploy.yml`: a service for each role, its servers as Docker engines over SSH, a destination as an environment.
What Kamal does and Quarterdeck does not (builds, accessories, its proxy, hooks) is said."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from quarterdeck.config.first_file.draft import CannotBegin, Draft, FoundHost, FoundSecret, FoundService, Said, Told
from quarterdeck.config.first_file.kamal_files import KamalFile, destinations, read_kamal, with_destination
from quarterdeck.config.first_file.naming import free_name, name_of
from quarterdeck.config.first_file.secret_looks import looks_secret
from quarterdeck.config.scalars import VARIABLE, Unfit, docker_address, registry_part
from quarterdeck.config.source import can_stand

NAMES = ("config/deploy.yml", "config/deploy.yaml")
# Of the whole file: known, and why it stays behind. Whatever is not known at all is listed, too.
_LEFT = {
    "accessories": "they are other people's images with data: run them as they run now, or write services of their own",
    "builder": "a release is an image that is there already: build and push it in CI",
    "traefik": "the way requests come in is a router: see docs/routers.md",
    "hooks_path": "commands around the switch are the service's `hooks`",
    "aliases": "qd exec runs a command where a release runs",
    "asset_path": "assets of two releases at once are not kept",
    "sshkit": "connections have limits of their own",
    "error_pages_path": "the way requests come in is a router: see docs/routers.md",
    "run_directory": "nothing is written on the hosts beside containers",
    "secrets_path": "secrets are references: {env: NAME}, file, command, sops, age",
    "minimum_version": "it is about Kamal",
    "require_destination": "a target always names its environment",
    "allow_empty_roles": "a role without servers has no service",
    "readiness_delay": "say it as min_healthy_time of the service's health",
    "retain_containers": "say it as keep: {releases: …, warm: …}",
    "output": "it is about Kamal",
}
_TAKEN = {
    "service", "image", "servers", "registry", "env", "ssh", "volumes", "labels", "logging", "healthcheck", "proxy", "boot",
    "deploy_timeout", "drain_timeout", "stop_wait_time", "primary_role", "primary_web_role",
}  # fmt: skip


class _Role(msgspec.Struct, frozen=True):
    name: str
    servers: tuple[str, ...]
    own: Mapping[str, Any]


def read_kamal_project(path: Path) -> Draft:
    """What ``path`` and its destinations describe. Raises ``CannotBegin``."""
    base = read_kamal(path)
    others = destinations(path)
    reading = _Reading(path)
    reading.left += base.left
    if not others:
        reading.environment("", base)
    for name, file in others.items():
        merged = with_destination(base, file)
        reading.left += merged.left
        reading.environment(name, merged)
    return reading.draft([path.name, *(file.name for file in others.values())])


class _Reading:
    """All environments of a project, one after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.left: list[Said] = []
        self.assumed: list[str] = []
        self.secrets: list[FoundSecret] = []
        self.to_do: list[str] = []
        self.hosts: dict[str, FoundHost] = {}
        self.environments: dict[str, tuple[str, ...]] = {}
        self.services: dict[str, dict[str, Any]] = {}  # by name: the keys in the first environment
        self.places: dict[str, dict[str, dict[str, Any]]] = {}  # service → environment → keys there
        self.registries: dict[str, Any] = {}
        self.fleet = ""

    def draft(self, files: list[str]) -> Draft:
        services = []
        for name in self.services:
            there = self.places[name]
            keys = _shared(list(there.values()))
            differing = {where: _difference(keys, own) for where, own in there.items()}
            differing = {where: what for where, what in differing.items() if what}
            whole = {**keys, "environments": differing} if differing else keys
            services.append(
                FoundService(
                    name,
                    self.path.name,
                    whole,
                    environments=None if set(there) == set(self.environments) else tuple(there),
                )
            )
        if not services:
            raise CannotBegin(f"{self.path} has no service with an image and servers that could be taken over")
        return Draft(
            origins=tuple(files),
            fleet=name_of(self.fleet),
            hosts=tuple(self.hosts.values()),
            environments=self.environments,
            services=tuple(services),
            registries=self.registries,
            assumed=tuple(dict.fromkeys(self.assumed)),
            left=tuple(dict.fromkeys(self.left)),
            secrets=tuple(dict.fromkeys(self.secrets)),
            to_do=tuple(dict.fromkeys(self.to_do)),
        )

    def environment(self, destination: str, file: KamalFile) -> None:
        at = file.path.name
        body = file.body
        for key, value in body.items():
            if key in _LEFT:
                self._left(at, key, _LEFT[key], value)
            elif key not in _TAKEN and not key.startswith("x-"):
                self._left(at, key, "it is not known here", value)
        service, image = (self._text(file, name, body.get(name)) for name in ("service", "image"))
        if not service or not image:
            missing = "service" if not service else "image"
            self._left(at, "the service", f"its `{missing}` is missing, or needs ERB")
            return
        self.fleet = self.fleet or service
        address = self._registry(file, at, body.get("registry"))
        artifact = image if not address or image.startswith(f"{address}/") else f"{address}/{image}"
        roles = self._roles(at, body.get("servers"))
        primary = self._text(file, "primary_role", body.get("primary_role", body.get("primary_web_role"))) or "web"
        by_place: dict[tuple[str, ...], str] = {}
        for role in roles:
            hosts = self._hosts(file, at, role, body.get("ssh"))
            if not hosts:
                continue
            # An environment is a set of hosts: a role with others has one of its own.
            where = by_place.get(hosts)
            if where is None:
                wanted = destination or "production"
                where = wanted if not by_place else name_of(f"{wanted}-{role.name}", "other")
                by_place[hosts] = where
                self.environments[where] = hosts
                if where != wanted:
                    self.assumed.append(
                        f"role {role.name} has servers of its own, so it is in an environment of its own, {where}"
                    )
            is_primary = role.name == primary or len(roles) == 1
            name = name_of(service if is_primary else f"{service}-{role.name}", "service")
            keys = self._keys(file, at, name, artifact, role, is_primary)
            self.services.setdefault(name, keys)
            self.places.setdefault(name, {})[where] = keys

    # parts

    def _roles(self, at: str, servers: Any) -> list[_Role]:
        if isinstance(servers, list):
            servers = {"web": servers}
        if not isinstance(servers, Mapping):
            self._left(at, "servers", "there are none, or ERB makes them: write the hosts of each environment")
            return []
        roles = []
        for name, value in servers.items():
            own = value if isinstance(value, Mapping) else {}
            hosts = own.get("hosts") if isinstance(value, Mapping) else value
            found = []
            for one in hosts if isinstance(hosts, list) else [hosts] if isinstance(hosts, str) else []:
                if isinstance(one, Mapping):  # {host: [tags]}
                    self._left(
                        at,
                        f"servers.{name}: tags of {', '.join(map(str, one))}",
                        "hosts have no variables of their own",
                    )
                    found += [str(host) for host in one]
                elif isinstance(one, str):
                    found.append(one)
            roles.append(_Role(str(name), tuple(found), own))
        return roles

    def _hosts(self, file: KamalFile, at: str, role: _Role, ssh: Any) -> tuple[str, ...]:
        settings = ssh if isinstance(ssh, Mapping) else {}
        user = self._text(file, "ssh.user", settings.get("user")) or "root"
        port = self._text(file, "ssh.port", settings.get("port"))
        for name, value in settings.items():
            if name not in ("user", "port"):
                self._left(at, f"ssh.{name}", "write it for these hosts into ~/.ssh/config, which is read", value)
        names = []
        for server in role.servers:
            erb = file.erb(server)
            shown = f"[{server}]" if server.count(":") > 1 else server
            address = f"ssh://{user}@{shown}{f':{port}' if port and port != '22' else ''}"
            try:
                if erb:
                    raise Unfit(f"it needs ERB, which is not run: {erb}")
                docker_address(address)
            except Unfit as unfit:
                self._left(at, f"servers.{role.name}: {_without_erb(server)}", str(unfit) or "it is no address")
                continue
            same = next((host.name for host in self.hosts.values() if host.docker == address), None)
            if same is None:
                same = free_name(
                    f"{role.name}-{1 + sum(1 for one in self.hosts if one.startswith(role.name))}", self.hosts
                )
                self.hosts[same] = FoundHost(same, docker=address)
            names.append(same)
        if not names:
            self._left(at, f"role {role.name}", "it has no server that could be taken over")
        return tuple(dict.fromkeys(names))

    def _registry(self, file: KamalFile, at: str, registry: Any) -> str:
        """Where the images are; Docker Hub's address is left out of their names."""
        if not isinstance(registry, Mapping):
            if registry is not None:
                self._left(at, "registry", "it is no mapping")
            return ""
        server = self._text(file, "registry.server", registry.get("server"))
        for name, value in registry.items():
            if name not in ("server", "username", "password"):
                self._left(at, f"registry.{name}", "it is not known here", value)
        username, password = registry.get("username"), registry.get("password")
        if username is None and password is None:
            return server
        key = server or "docker.io"
        variable = self._named(file, password) or "KAMAL_REGISTRY_PASSWORD"
        user = self._text(file, "registry.username", username) if isinstance(username, str) else ""
        try:
            registry_part(key)
        except Unfit:
            self._left(at, f"registry.server {key}", "it is no registry's address")
            return server
        if not user:
            named = self._named(file, username)
            self._left(
                at,
                "registry.username",
                f"it is a secret{f' ({named})' if named else ''} or ERB: a login needs it in the file",
            )
            self.to_do.append(
                f"log in where qd runs (docker login {key}), or write registries: {{{key}: {{username: …}}}}"
            )
            return server
        self.registries[key] = {"username": user, "password": {"env": variable}}
        self.secrets.append(FoundSecret(variable, f"{at}: registry.password", "the registry"))
        return server

    def _keys(self, file: KamalFile, at: str, name: str, image: str, role: _Role, is_primary: bool) -> dict[str, Any]:
        body, own = file.body, role.own
        for key, value in own.items():
            if key not in (
                "hosts",
                "cmd",
                "env",
                "labels",
                "logging",
                "proxy",
                "traefik",
                "healthcheck",
                "options",
                "stop_wait_time",
            ):
                self._left(at, f"servers.{role.name}.{key}", _LEFT.get(key, "it is not known here"), value)
        keys: dict[str, Any] = {"artifact": Told({"image": image}, "the version is the tag; Kamal's is the git commit")}
        container: dict[str, Any] = {"restart": "unless-stopped"}
        if command := self._clear(file, at, f"servers.{role.name}", {"cmd": own.get("cmd")}):
            container["command"] = command["cmd"]
        if labels := self._clear(file, at, "labels", {**_pairs(body.get("labels")), **_pairs(own.get("labels"))}):
            container["labels"] = labels
        logging = _pairs(own.get("logging", body.get("logging")))
        if driver := self._text(file, "logging.driver", logging.get("driver")):
            options = self._clear(file, at, "logging.options", _pairs(logging.get("options")))
            container["logging"] = {"driver": driver, **({"options": options} if options else {})}
        self._volumes(file, at, body.get("volumes"), container)
        self._options(file, at, role, own.get("options"), container)
        if seconds := self._seconds(own.get("stop_wait_time", body.get("stop_wait_time", body.get("drain_timeout")))):
            container["stop_grace_period"] = seconds
        keys["container"] = container
        env, references = self._env(file, at, name, body.get("env"), own.get("env"))
        if env:
            keys["env"] = env
        if references:
            keys["secrets"] = references
        asked = own.get("proxy", own.get("traefik"))
        if (is_primary and asked != "false") or (asked is not None and asked != "false"):
            keys["health"] = self._health(file, at, own)
            self.to_do.append(
                f"nobody outside reaches {name} yet, as Kamal's proxy is not taken over: give it a router (docs/routers.md),"
                " or publish ports in its `container`"
            )
        self._boot(at, body.get("boot"), keys)
        return keys

    def _volumes(self, file: KamalFile, at: str, volumes: Any, container: dict[str, Any]) -> None:
        kept = []
        for volume in volumes if isinstance(volumes, list) else []:
            text = self._text(file, "volumes", volume)
            if text.startswith("/"):
                kept.append(text)
            elif text:
                why = "a named volume gets another name here, and would be empty: mount its directory, or declare it in a compose file"
                self._left(at, f"volumes: {text}", why)
        if kept:
            container["volumes"] = kept

    def _options(self, file: KamalFile, at: str, role: _Role, options: Any, container: dict[str, Any]) -> None:
        known = {
            "memory": "mem_limit",
            "cpus": "cpus",
            "user": "user",
            "shm-size": "shm_size",
            "network": "",
            "init": "init",
        }
        for name, value in options.items() if isinstance(options, Mapping) else ():
            text = self._text(file, f"options.{name}", value)
            if known.get(name) and text and not looks_secret("", text):
                container[known[name]] = text
            else:
                self._left(
                    at, f"servers.{role.name}.options.{name}", "write it with Compose's keys into `container`", value
                )

    def _health(self, file: KamalFile, at: str, own: Mapping[str, Any]) -> Any:
        """Kamal 1 has `healthcheck`, Kamal 2 `proxy` with one in it; each has its own defaults."""
        first = own.get("healthcheck", file.body.get("healthcheck"))
        proxy = own.get("proxy", file.body.get("proxy"))
        is_first = isinstance(first, Mapping) or "traefik" in file.body
        settings: Mapping[str, Any] = first if isinstance(first, Mapping) else {}
        if isinstance(proxy, Mapping):
            inner = proxy.get("healthcheck")
            settings = inner if isinstance(inner, Mapping) else settings
            for name, value in proxy.items():
                if name not in ("app_port", "healthcheck"):
                    self._left(at, f"proxy.{name}", "the way requests come in is a router: see docs/routers.md", value)
        for name, value in settings.items():
            if name not in ("path", "port", "interval", "timeout"):
                self._left(at, f"healthcheck.{name}", "say it in `health` of the service", value)
        given = settings.get("port") or (proxy.get("app_port") if isinstance(proxy, Mapping) else None)
        port = self._text(file, "healthcheck.port", given) or ("3000" if is_first else "80")
        path = self._text(file, "healthcheck.path", settings.get("path")) or "/up"
        health: dict[str, Any] = {"http": {"port": port, "path": path}}
        for name in ("interval", "timeout"):
            if seconds := self._seconds(settings.get(name)):
                health[name] = seconds
        if seconds := self._seconds(file.body.get("deploy_timeout")):
            health["healthy_deadline"] = seconds
        if not given:
            self.assumed.append(
                f"the health check asks port {port}, as Kamal {1 if is_first else 2} does where nothing is said"
            )
        return health

    def _env(self, file: KamalFile, at: str, name: str, *given: Any) -> tuple[dict[str, str], dict[str, Any]]:
        clear: dict[str, str] = {}
        references: dict[str, Any] = {}
        for env in given:
            if not isinstance(env, Mapping):
                if env is not None:
                    self._left(at, "env", "it is no mapping, or needs ERB")
                continue
            nested = bool({"clear", "secret", "tags"} & env.keys())
            if "tags" in env:
                self._left(at, "env.tags", "hosts have no variables of their own", env["tags"])
            for variable, value in _pairs(env.get("clear") if nested else env).items():
                self._variable(file, at, name, variable, value, clear, references)
            secret = env.get("secret") if nested else None
            for one in secret if isinstance(secret, list) else []:
                variable, _, source = str(one).partition(":")
                if re.fullmatch(VARIABLE, variable) and re.fullmatch(VARIABLE, source or variable):
                    clear.pop(variable, None)
                    references[variable] = {"env": source or variable}
                    self.secrets.append(FoundSecret(source or variable, f"{at}: env.secret", name))
                else:
                    self._left(
                        at,
                        "a member of env.secret",
                        "it is no name of a variable; it may be a value, so it is not shown",
                    )
        return clear, references

    def _variable(
        self,
        file: KamalFile,
        at: str,
        name: str,
        variable: str,
        value: Any,
        clear: dict[str, str],
        references: dict[str, Any],
    ) -> None:
        where = f"env.clear.{_without_erb(variable)}"
        if not re.fullmatch(VARIABLE, variable):
            self._left(at, where, "it is no name of a variable")
        elif named := file.variable(value):
            references[variable] = {"env": named}
            self.secrets.append(FoundSecret(named, f"{at}: {where}, which was ERB", name))
        elif erb := file.erb(value):
            self._left(at, where, f"ERB is not run: {erb}")
        elif isinstance(value, str) and looks_secret(variable, value):
            references[variable] = {"env": variable}
            self.secrets.append(FoundSecret(variable, f"{at}: {where}", name))
        elif value is None or (isinstance(value, str) and can_stand(value)):
            clear[variable] = value or ""
            references.pop(variable, None)
        else:
            self._left(at, where, "it is no text")

    def _clear(self, file: KamalFile, at: str, part: str, pairs: Mapping[str, Any]) -> dict[str, str]:
        kept = {}
        for name, value in pairs.items():
            text = self._text(file, f"{part}.{_without_erb(name)}", value)
            if text and looks_secret(name if part != "labels" else "", text):
                self._left(at, f"{part}.{_without_erb(name)}", "it looks like a secret, which this file never holds")
            elif text and can_stand(name) and name.strip():
                kept[name] = text
        return kept

    def _boot(self, at: str, boot: Any, keys: dict[str, Any]) -> None:
        if not isinstance(boot, Mapping):
            return
        limit, wait = boot.get("limit"), self._seconds(boot.get("wait"))
        rolling: dict[str, str] = {}
        if isinstance(limit, str) and re.fullmatch(r"[1-9][0-9]{0,2}%?", limit):
            rolling["max_unavailable"] = limit
        if wait:
            rolling["pause"] = wait
        if rolling:
            keys["strategy"] = {"rolling": rolling}
        for name, value in boot.items():
            if name not in ("limit", "wait") or (name == "limit" and "max_unavailable" not in rolling):
                self._left(at, f"boot.{name}", "say it as strategy: {rolling: {…}}", value)

    # words

    def _text(self, file: KamalFile, key: str, value: Any) -> str:
        """``value`` as text; empty, and said, where it is none or needs ERB."""
        if value is None or value == "":
            return ""
        if erb := file.erb(value):
            self._left(file.path.name, key, f"ERB is not run: {erb}")
            return ""
        if not isinstance(value, str) or not can_stand(value):
            self._left(file.path.name, key, "it is no text that a fleet file can hold")
            return ""
        return value

    @staticmethod
    def _named(file: KamalFile, value: Any) -> str:
        """The variable that `[NAME]` or ERB names; empty where there is none, as where the value itself stands there."""
        if isinstance(value, list) and value and isinstance(value[0], str) and re.fullmatch(VARIABLE, value[0]):
            return value[0]
        return file.variable(value)

    @staticmethod
    def _seconds(value: Any) -> str:
        """Kamal writes seconds as a number; `10s` stays as it is. Empty where it is something else."""
        if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,5}", value):
            return f"{value}s"
        return value if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,5}(ms|[smh])", value) else ""

    def _left(self, at: str, what: str, why: str, value: Any = "x") -> None:
        if value not in (None, [], {}):
            self.left.append(Said(at, what, why))


def _pairs(value: Any) -> dict[str, Any]:
    return {str(name): one for name, one in value.items()} if isinstance(value, Mapping) else {}


def _without_erb(text: str) -> str:
    return re.sub(r"ERB-[0-9]+-ERB", "<%…%>", text)


def _shared(every: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What every environment has: one can say otherwise of it, and can't take it away."""
    first, *others = every
    found: dict[str, Any] = {}
    for name, value in first.items():
        if not all(name in other for other in others):
            continue
        if name in ("env", "secrets"):
            value = {one: text for one, text in value.items() if all(one in other[name] for other in others)}
            if not value:
                continue
        found[name] = value
    return found


def _difference(first: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What is otherwise in ``other``: of variables and secrets those that differ, of all else the whole key."""
    found: dict[str, Any] = {}
    for name, value in other.items():
        if first.get(name) == value:
            continue
        if name in ("env", "secrets"):
            value = {one: text for one, text in value.items() if first.get(name, {}).get(one) != text}
        found[name] = value
    return found
