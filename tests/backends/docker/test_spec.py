"""What an engine is asked for: the same description for older and newer engines, and which two containers may run side by side."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.docker import names
from quarterdeck.backends.hosts.docker.spec import (
    CreateRequest,
    SecretBind,
    can_run_beside,
    create_request,
    restart_policy,
)
from quarterdeck.config.container import ContainerSpec, Healthcheck, Mount, Network, PublishedPort

SPEC = ContainerSpec(project="acme", service="web")


def asked(spec: ContainerSpec, api: str = "1.41", **more: Any) -> CreateRequest:
    given = {"image": "sha256:1", "env": {}, "labels": {}, **more}
    return create_request("box-1", spec, api_version=api, **given)


def test_nothing_that_waits_is_started_by_an_engine_that_starts() -> None:
    request = asked(msgspec.structs.replace(SPEC, restart="always"))
    assert request.body["HostConfig"]["RestartPolicy"] == {"Name": "no", "MaximumRetryCount": 0}
    assert restart_policy(msgspec.structs.replace(SPEC, restart="on-failure:5")) == {
        "Name": "on-failure",
        "MaximumRetryCount": 5,
    }
    assert restart_policy(SPEC) == {"Name": "no", "MaximumRetryCount": 0}


def test_engines_before_44_are_asked_for_the_other_networks_one_by_one() -> None:
    spec = msgspec.structs.replace(
        SPEC,
        mac_address="02:00:00:00:00:01",
        networks=(
            Network("b", aliases=("web",)),
            Network("a", aliases=("web", "x"), ipv4_address="10.0.0.7"),
            Network("z", priority=10),
        ),
    )
    old, new = asked(spec, "1.43"), asked(spec, "1.44")
    first: dict[str, Any] = {"Aliases": []}
    others = {"a": {"Aliases": ["web", "x"], "IPAMConfig": {"IPv4Address": "10.0.0.7"}}, "b": {"Aliases": ["web"]}}
    assert old.body["NetworkingConfig"]["EndpointsConfig"] == {"z": first}
    assert dict(old.then_join) == others
    assert old.body["MacAddress"] == spec.mac_address
    assert new.body["NetworkingConfig"]["EndpointsConfig"] == {"z": {**first, "MacAddress": spec.mac_address}, **others}
    assert new.then_join == ()
    assert "MacAddress" not in new.body
    assert old.body["HostConfig"]["NetworkMode"] == new.body["HostConfig"]["NetworkMode"] == "z"


@pytest.mark.parametrize(
    ("spec", "api", "words"),
    [
        (msgspec.structs.replace(SPEC, mounts=(Mount("volume", "/x", "v", subpath="a"),)), "1.44", "subpath"),
        (msgspec.structs.replace(SPEC, annotations={"a": "b"}), "1.42", "annotations"),
        (msgspec.structs.replace(SPEC, healthcheck=Healthcheck(start_interval=1.0)), "1.43", "start_interval"),
    ],
)
def test_what_an_engine_is_too_old_for_is_told(spec: ContainerSpec, api: str, words: str) -> None:
    with pytest.raises(BackendError, match=words) as caught:
        asked(spec, api)
    assert "update the engine" in caught.value.advice
    assert asked(spec, "1.47").body


def test_commands_that_are_empty_and_commands_that_are_the_images_differ() -> None:
    assert "Cmd" not in asked(SPEC).body
    assert "Entrypoint" not in asked(SPEC).body
    body = asked(msgspec.structs.replace(SPEC, command=(), entrypoint=())).body
    assert (body["Cmd"], body["Entrypoint"]) == ([], [])
    assert "Init" not in asked(SPEC).body["HostConfig"]
    assert asked(msgspec.structs.replace(SPEC, init=False)).body["HostConfig"]["Init"] is False


def test_binds_are_made_by_the_engine_only_where_they_may_be() -> None:
    spec = msgspec.structs.replace(
        SPEC,
        mounts=(
            Mount("bind", "/a", "/host/a", propagation="rshared", selinux="z"),
            Mount("bind", "/b", "/host/b", read_only=True, create_host_path=False),
            Mount("bind", "/c", "/host/with:colon"),
        ),
    )
    host = asked(spec, secrets=[SecretBind("/dev/shm/x/0", "/run/secrets/KEY")]).body["HostConfig"]
    assert host["Binds"] == ["/host/a:/a:rw,rshared,z"]
    assert host["Mounts"] == [
        {"Type": "bind", "Target": "/b", "ReadOnly": True, "Source": "/host/b"},
        {"Type": "bind", "Target": "/c", "ReadOnly": False, "Source": "/host/with:colon"},
        {"Type": "bind", "Source": "/dev/shm/x/0", "Target": "/run/secrets/KEY", "ReadOnly": True},
    ]


def test_graphics_cards_are_asked_for_as_compose_does() -> None:
    spec = msgspec.structs.replace(
        SPEC, gpus=({"count": "all"}, {"driver": "nvidia", "device_ids": "0,3", "capabilities": "gpu,video"})
    )
    assert asked(spec).body["HostConfig"]["DeviceRequests"] == [
        {"Driver": "", "Count": -1, "Capabilities": [["gpu"]], "DeviceIDs": []},
        {"Driver": "nvidia", "Capabilities": [["gpu", "video"]], "DeviceIDs": ["0", "3"]},
    ]


def port(published: str, ip: str = "", protocol: str = "tcp") -> ContainerSpec:
    return msgspec.structs.replace(SPEC, ports=(PublishedPort(8080, published, ip, protocol),))


def mount(source: str, read_only: bool = False, kind: str = "volume") -> ContainerSpec:
    return msgspec.structs.replace(SPEC, mounts=(Mount(kind, "/data", source, read_only),))


@pytest.mark.parametrize(
    ("new", "old", "why"),
    [
        (SPEC, SPEC, ""),
        (port(""), port(""), ""),  # any free one
        (port("80"), port("80"), "port 80"),
        (port("80", "127.0.0.1"), port("80", "10.0.0.1"), ""),
        (port("80", "127.0.0.1"), port("80"), "port 80"),
        (port("80", "::"), port("80", "10.0.0.1"), "port 80"),
        (port("80"), port("80", protocol="udp"), ""),
        (port("80"), port("81"), ""),
        (port("8000-8009"), port("8000-8009"), ""),  # there is another one in the range
        (port("8000-8009"), port("8005"), "port 8000-8009"),
        (port("8000-8000"), port("8000"), "port 8000-8000"),
        (mount("data"), mount("data"), "both use data"),
        (mount("data", True), mount("data"), "both use data"),
        (mount("data"), mount("data", True), "both use data"),
        (mount("data", True), mount("data", True), ""),
        (mount("data"), mount("other"), ""),
        (mount(""), mount(""), ""),  # anonymous: each its own
        (mount("/srv", kind="bind"), mount("/srv", kind="bind"), "both use /srv"),
        (mount("", kind="tmpfs"), mount("", kind="tmpfs"), ""),
        (msgspec.structs.replace(SPEC, network_mode="host"), SPEC, "its network is host"),
        (SPEC, msgspec.structs.replace(SPEC, network_mode="container:db"), "its network is container:db"),
        (msgspec.structs.replace(SPEC, network_mode="bridge"), SPEC, ""),
        (msgspec.structs.replace(SPEC, mac_address="02:00:00:00:00:01"), SPEC, "fixed MAC"),
        (SPEC, msgspec.structs.replace(SPEC, networks=(Network("n", ipv4_address="10.0.0.7"),)), "fixed address"),
    ],
)
def test_which_may_run_side_by_side(new: ContainerSpec, old: ContainerSpec, why: str) -> None:
    found = can_run_beside(new, old)
    assert why in found
    assert bool(found) == bool(why)


PORTS = st.builds(
    PublishedPort,
    st.just(80),
    st.integers(1, 4).map(str),
    st.sampled_from(["", "0.0.0.0", "127.0.0.1", "10.0.0.1"]),
    st.sampled_from(["tcp", "udp"]),
)


@given(st.lists(PORTS, max_size=3), st.lists(PORTS, max_size=3))
def test_ports_clash_both_ways_or_not_at_all(one: list[PublishedPort], other: list[PublishedPort]) -> None:
    first, second = msgspec.structs.replace(SPEC, ports=tuple(one)), msgspec.structs.replace(SPEC, ports=tuple(other))
    assert bool(can_run_beside(first, second)) == bool(can_run_beside(second, first))


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_targets_never_have_one_slug(one: str, other: str) -> None:
    if one != other:
        assert names.slug(one) != names.slug(other)
    assert all(letter.isascii() and (letter.isalnum() or letter in "-_.") for letter in names.slug(one))
