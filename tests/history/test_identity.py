"""Who acts: the unix user, the person behind sudo, the machine and where from."""

import os
import pwd
from pathlib import Path

import pytest

from quarterdeck.history import identity
from quarterdeck.history.identity import current_operator
from quarterdeck.history.records import Operator


@pytest.fixture(autouse=True)
def no_login_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine whose kernel keeps no record of logins; the environment as it is without sudo and SSH."""
    read = Path.read_text
    monkeypatch.setattr(
        Path,
        "read_text",
        lambda self, *a, **k: str(identity.NO_LOGIN) if self.name == "loginuid" else read(self, *a, **k),
    )
    for name in ("SUDO_UID", "SUDO_USER", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)


def test_the_operator_is_the_unix_user_on_this_machine() -> None:
    me = pwd.getpwuid(os.getuid()).pw_name
    machine = os.uname().nodename.split(".")[0]
    assert current_operator() == Operator(me, os.getuid(), None, machine)
    assert current_operator().label == f"{me}@{machine}"


def test_the_person_behind_sudo_and_the_address_of_ssh_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    person = next(entry for entry in pwd.getpwall() if entry.pw_uid not in (0, os.getuid()))
    monkeypatch.setenv("SUDO_UID", str(person.pw_uid))
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.7 50000 10.0.0.1 22")
    operator = current_operator()
    machine = os.uname().nodename.split(".")[0]
    assert (operator.uid, operator.login, operator.where) == (os.getuid(), person.pw_name, f"{machine} from 10.0.0.7")
    assert operator.label == f"{person.pw_name}@{machine}"


def test_nonsense_in_the_environment_is_no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    for nonsense in ("", "alice", "-1", "9" * 50, "²", str(os.getuid())):
        monkeypatch.setenv("SUDO_UID", nonsense)
        assert current_operator().login is None


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "61234")
    assert current_operator().login == "61234"
