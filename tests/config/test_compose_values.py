"""Sizes, durations, ports, mounts, words and variables mean what Compose means by them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.config.compose import scalars
from quarterdeck.config.compose.interpolation import interpolate
from quarterdeck.config.compose.mounts import short_mount, short_tmpfs
from quarterdeck.config.compose.ports import exposed, short_ports
from quarterdeck.config.compose.variables import Environment, read_variables
from quarterdeck.config.container import Mount, PublishedPort
from quarterdeck.config.problems import Problems
from quarterdeck.config.scalars import Unfit, docker_address, image_repository

RIGHT: list[tuple[Callable[[str], Any], str, Any]] = [
    (scalars.size, "1024", 1024),
    (scalars.size, "0", 0),
    (scalars.size, "64b", 64),
    (scalars.size, "2k", 2048),
    (scalars.size, "512m", 536870912),
    (scalars.size, "512M", 536870912),
    (scalars.size, "1g", 1073741824),
    (scalars.size, "1gb", 1073741824),
    (scalars.size, "1GiB", 1073741824),
    (scalars.size, "1.5g", 1610612736),
    (scalars.size, "9007199254740993", 9007199254740993),  # no float in between
    (scalars.size_or_unlimited, "-1", -1),
    (scalars.duration, "0", 0.0),
    (scalars.duration, "10s", 10.0),
    (scalars.duration, "1m30s", 90.0),
    (scalars.duration, "1h5m30s20ms", 3930.02),
    (scalars.duration, "1.5m", 90.0),
    (scalars.duration, "250us", 0.00025),
    (scalars.cpus, "0.5", 0.5),
    (scalars.cpus, "2", 2.0),
    (scalars.mode, "0440", 0o440),
    (scalars.mode, "0o755", 0o755),
    (scalars.mode, "01777", 0o1777),
    (scalars.words, "bundle exec thin -p 3000", ("bundle", "exec", "thin", "-p", "3000")),
    (scalars.words, """sh -c 'echo "$$HOME"' a\\ b""", ("sh", "-c", 'echo "$$HOME"', "a b")),
    (scalars.words, "", ()),
    (scalars.extra_host, "db:10.0.0.5", "db:10.0.0.5"),
    (scalars.extra_host, "db=10.0.0.5", "db:10.0.0.5"),
    (scalars.extra_host, "six=[::1]", "six:::1"),
    (scalars.extra_host, "six:::1", "six:::1"),
    (scalars.extra_host, "host.docker.internal:host-gateway", "host.docker.internal:host-gateway"),
    (scalars.security_option, "no-new-privileges:true", "no-new-privileges=true"),
    (scalars.security_option, "seccomp:unconfined", "seccomp=unconfined"),
    (scalars.security_option, "label=type:svirt_apache_t", "label=type:svirt_apache_t"),
    (scalars.bind_source, "/srv//data/./x/", "/srv/data/x"),
    (scalars.project_name, "My Shop_2.0", "myshop_20"),
    (scalars.project_name, "__-", ""),
    (short_ports, "80", (PublishedPort(80),)),
    (short_ports, "8080:80", (PublishedPort(80, "8080"),)),
    (short_ports, "8080:80/udp", (PublishedPort(80, "8080", protocol="udp"),)),
    (short_ports, "127.0.0.1:8080:80", (PublishedPort(80, "8080", "127.0.0.1"),)),
    (short_ports, "127.0.0.1::80", (PublishedPort(80, "", "127.0.0.1"),)),
    (short_ports, "[::1]:8080:80", (PublishedPort(80, "8080", "::1"),)),
    (short_ports, "22:22", (PublishedPort(22, "22"),)),
    (short_ports, "3000-3001", (PublishedPort(3000), PublishedPort(3001))),
    (short_ports, "9090-9091:80-81", (PublishedPort(80, "9090"), PublishedPort(81, "9091"))),
    (short_ports, "8000-8009:80", (PublishedPort(80, "8000-8009"),)),
    (exposed, "8080", ("8080/tcp",)),
    (exposed, "53-54/udp", ("53/udp", "54/udp")),
    (short_mount, "/var/lib/data", Mount("volume", "/var/lib/data")),
    (short_mount, "data:/data", Mount("volume", "/data", "data")),
    (short_mount, "data:/data:nocopy", Mount("volume", "/data", "data", nocopy=True)),
    (short_mount, "/srv/data:/data:ro,Z", Mount("bind", "/data", "/srv/data", read_only=True, selinux="Z")),
    (short_mount, "/srv:/srv:rslave", Mount("bind", "/srv", "/srv", propagation="rslave")),
    (short_tmpfs, "/run", Mount("tmpfs", "/run")),
    (short_tmpfs, "/run:size=64m,mode=1777,noexec", Mount("tmpfs", "/run", size=67108864, mode=0o1777)),
    (docker_address, "unix:///var/run/docker.sock", "unix:///var/run/docker.sock"),
    (
        docker_address,
        "ssh://deploy@box-1:2222/run/user/1000/docker.sock",
        "ssh://deploy@box-1:2222/run/user/1000/docker.sock",
    ),
    (docker_address, "ssh://box-1", "ssh://box-1"),
    (docker_address, "tcp://[2001:db8::1]:2376", "tcp://[2001:db8::1]:2376"),
    (docker_address, "context://prod-eu", "context://prod-eu"),
    (image_repository, "nginx", "nginx"),
    (image_repository, "library/nginx", "library/nginx"),
    (image_repository, "localhost:5000/team/a__b-c.d", "localhost:5000/team/a__b-c.d"),
    (image_repository, "Registry.example.com/x", "Registry.example.com/x"),  # a host name has no case
]
WRONG: list[tuple[Callable[[str], Any], str, str]] = [
    (scalars.size, "lots", ""),
    (scalars.size, "-5m", ""),
    (scalars.size, "9999999p", "larger than an engine can count"),
    (scalars.duration, "30", "the unit is missing"),
    (scalars.duration, "", ""),
    (scalars.duration, "1m 30s", ""),
    (scalars.duration, "9999w", "longer than ten years"),
    (scalars.mode, "440", "permissions begin with 0"),
    (scalars.words, "sh -c 'oops", "can't be split"),
    (scalars.bind_source, "./data", "write the absolute path on the hosts"),
    (scalars.bind_source, "~/data", "whose home"),
    (scalars.bind_source, "/srv/../etc", "must not contain .."),
    (scalars.extra_host, "db", ""),
    (scalars.extra_host, "db:nowhere", ""),
    (scalars.security_option, "seccomp:./profile.json", "a profile of this machine can't be sent"),
    (scalars.namespace("host"), "service:db", "services are rolled out each on its own"),
    (short_ports, "0:80", "a port is a number from 1 to 65535"),
    (short_ports, "80:70000", "a port is a number from 1 to 65535"),
    (short_ports, "80-79", "a range goes up"),
    (short_ports, "8000-8002:80-81", "3 ports of the host can't stand for 2"),
    (short_ports, "1-65535", "more than 1000 ports"),
    (short_ports, "8080:80/icmp", ""),
    (short_mount, "./data:/data", "write the absolute path on the hosts"),
    (short_mount, "~/data:/data", "whose home"),
    (short_mount, "sub/dir:/data", "relative to this machine"),
    (short_mount, "C:\\data:/data", "Windows"),
    (short_mount, "data:data", "absolute path in the container"),
    (short_mount, "data:/data:ro,shared", "`shared` is not supported for a volume"),
    (short_mount, "/srv:/srv:nocopy", "`nocopy` is not supported for a bind"),
    (short_tmpfs, "/run:exec", "`exec` is not supported, only size and mode"),
]


@pytest.mark.parametrize(("read", "text", "value"), RIGHT, ids=[f"{read.__name__} {text}" for read, text, _ in RIGHT])
def test_a_value(read: Callable[[str], Any], text: str, value: Any) -> None:
    assert read(text) == value


@pytest.mark.parametrize(("read", "text", "why"), WRONG, ids=[f"{read.__name__} {text}" for read, text, _ in WRONG])
def test_what_is_no_value(read: Callable[[str], Any], text: str, why: str) -> None:
    with pytest.raises(Unfit) as caught:
        read(text)
    assert why in str(caught.value)


VARIABLES = {"NAME": "web", "EMPTY": "", "TAG": "1.2", "REF": "$NAME"}
FILLED = [
    ("plain", "plain"),
    ("$NAME", "web"),
    ("${NAME}", "web"),
    ("a-$NAME.b-${TAG}c", "a-web.b-1.2c"),
    ("$$NAME $${NAME} 5$$", "$NAME ${NAME} 5$"),
    ("${EMPTY}", ""),
    ("${NAME:-x}", "web"),
    ("${EMPTY:-x}", "x"),
    ("${EMPTY-x}", ""),
    ("${NONE-x}", "x"),
    ("${NONE:-}", ""),
    ("${NONE:-a b:c-d?}", "a b:c-d?"),
    ("${NONE:-${TAG}}", "1.2"),
    ("${NONE:-${ALSO_NONE:-deep}-$NAME}", "deep-web"),
    ("${NONE:-$${x}}", "${x}"),
    ("${NAME:?needed}", "web"),
    ("${EMPTY?needed}", ""),
    ("${NAME:+yes}", "yes"),
    ("${EMPTY:+yes}", ""),
    ("${EMPTY+yes}", "yes"),
    ("${NONE+yes}", ""),
    ("${NAME:+${TAG}}", "1.2"),
    ("$REF", "$NAME"),  # a value is not filled in again
    ("}{", "}{"),
]
UNFILLED = [
    (
        "$NONE",
        "NONE is not set, neither in the environment of qd nor in .env; where nothing is meant, write `${NONE:-}`",
    ),
    ("${NONE:-${ALSO_NONE}}", "ALSO_NONE is not set"),
    ("${NONE:?say which}", "NONE is not set: say which"),
    ("${EMPTY:?say $NAME}", "EMPTY is not set: say $NAME"),
    ("${NONE?}", "NONE is not set"),
    ("$", "write `$$` for a dollar"),
    ("$1", "write `$$` for a dollar"),
    ("a $ b", "write `$$` for a dollar"),
    ("${}", "after `${` comes the name of a variable"),
    ("${1}", "after `${` comes the name of a variable"),
    ("${NAME", "`${NAME` is not closed"),
    ("${NAME:-x", "`${NAME` is not closed"),
    ("${NAME!x}", "`${NAME` is not closed"),
    ("${NONE:-" * 30 + "x" + "}" * 30, "nested more than 20 deep"),
]


@pytest.mark.parametrize(("text", "value"), FILLED)
def test_variables_are_filled_in(text: str, value: str) -> None:
    assert interpolate(text, VARIABLES.get) == value


@pytest.mark.parametrize(("text", "why"), UNFILLED)
def test_variables_that_cannot_be_filled_in(text: str, why: str) -> None:
    with pytest.raises(Unfit) as caught:
        interpolate(text, VARIABLES.get)
    assert why in str(caught.value)


def test_a_value_does_not_grow_without_end() -> None:
    with pytest.raises(Unfit):
        interpolate("$A" * 2000, {"A": "x" * 1000}.get)


# a file of variables, what it gives, the lines with a fault
FILES: list[tuple[str, dict[str, str | None], list[int]]] = [
    ("A=1\n", {"A": "1"}, []),
    ("\ufeffA=1\r\nB=2\r\n", {"A": "1", "B": "2"}, []),
    ("# no\n\n  A = x y  # why\nB=a#b\nC=\nD=#\n", {"A": "x y", "B": "a#b", "C": "", "D": ""}, []),
    ("export A=1\nB: 2\nC\n", {"A": "1", "B": "2", "C": None}, []),
    ('A=\'a # b $NAME \\n\'\nB="a # b $NAME \\n\\t\\"\\$"', {"A": "a # b $NAME \\n", "B": 'a # b web \n\t"$'}, []),
    ("A='one\ntwo'\nB=\"x\n\ny\" # z\nC=3", {"A": "one\ntwo", "B": "x\n\ny", "C": "3"}, []),
    ("A=1\nB=${A}-$NAME\nNAME=mine\nC=$NAME", {"A": "1", "B": "1-web", "NAME": "mine", "C": "web"}, []),
    ("A=1\nB=$NONE\nC=2", {"A": "1", "C": "2"}, [2]),
    ("=x\nA=1\n'B'\n: y\n", {"A": "1", "'B'": None}, [1, 4]),
    ("A=1\nB='open\nC=3\n", {"A": "1"}, [2]),
]


@pytest.mark.parametrize(("text", "values", "faults"), FILES, ids=[repr(text)[:40] for text, *_ in FILES])
def test_a_file_of_variables(text: str, values: dict[str, str | None], faults: list[int], tmp_path: Path) -> None:
    path = tmp_path / "a.env"
    path.write_bytes(text.encode())
    problems = Problems()
    assert read_variables(path, None, problems, VARIABLES.get) == values
    assert [line for _, line, _, _ in problems.found] == faults


def test_where_a_variable_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HERE", "COMPOSE_PROJECT_NAME"):
        monkeypatch.setenv(name, "environment")
    monkeypatch.delenv("THERE", raising=False)
    (tmp_path / ".env").write_text("HERE=file\nTHERE=${HERE}/file\nEMPTY\n")
    problems = Problems()
    environment = Environment(tmp_path, problems, {"COMPOSE_PROJECT_NAME": "ours"})
    names = ("COMPOSE_PROJECT_NAME", "HERE", "THERE", "EMPTY", "NOWHERE")
    assert [environment.lookup(name) for name in names] == ["ours", "environment", "environment/file", None, None]
    assert not problems.found
