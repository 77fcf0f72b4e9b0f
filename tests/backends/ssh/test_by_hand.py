"""The command that a refused login advises goes the way that qd went: user, port and configuration included."""

from pathlib import Path

import pytest

from quarterdeck.backends.hosts.ssh.way import find_way, parse_destination


@pytest.mark.parametrize(
    ("entry", "command"),
    [
        ("web-1", "ssh -v -F {file} web-1 true"),
        ("deploy@10.0.0.1:2222", "ssh -v -F {file} -p 2222 deploy@10.0.0.1 true"),
        ("deploy@[::1]:22", "ssh -v -F {file} -p 22 deploy@::1 true"),
    ],
)
def test_user_port_and_configuration_are_said(tmp_path: Path, entry: str, command: str) -> None:
    file = tmp_path / "config"
    file.write_text("Host web-1\n  User somebody\n")
    assert find_way(parse_destination(entry), [file], []).by_hand == command.format(file=file)


def test_without_a_configuration_of_its_own_it_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_way(parse_destination("deploy@web-1"), [], []).by_hand == "ssh -v deploy@web-1 true"


def test_several_configurations_are_spelled_out(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("Host web-1\n  HostName 10.0.0.1\n  Port 2200\n  ProxyJump me@bastion:23\n")
    other.write_text("Host web-1\n  User deploy\n")
    way = find_way(parse_destination("web-1"), [one, other], [])
    assert way.by_hand == "ssh -v -F none -p 2200 -J me@bastion:23 deploy@10.0.0.1 true"
