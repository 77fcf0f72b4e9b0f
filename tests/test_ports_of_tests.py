"""Ports that tests take: no two processes are given the same one."""

import socket
import subprocess
import sys

from tests.sshd import free_port, free_range


def test_no_other_process_is_given_a_port_of_this_one() -> None:
    own = {free_port() for _ in range(50)}
    assert len(own) == 50
    code = "from tests.sshd import free_port; print(*(free_port() for _ in range(400)))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    others = {int(one) for one in told.stdout.split()}
    assert len(others) > 300
    assert not own & others


def test_a_range_is_free_on_all_of_its_addresses() -> None:
    found = free_range(3, "127.0.0.1", "127.0.0.2")
    assert len(found) == 3
    for address in ("127.0.0.1", "127.0.0.2"):
        for port in found:
            with socket.socket() as taken:
                taken.bind((address, port))


def test_what_somebody_listens_on_is_left_out() -> None:
    port = free_range(2)[1]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        assert port not in {free_port() for _ in range(400)}
