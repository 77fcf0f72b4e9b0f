"""Commands on a playground host behave as on an OpenSSH server: through asyncssh, and through OpenSSH's own client."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import subprocess
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest

from quarterdeck.backends.playground import Playground
from tests.playground.by_hand import DEADLINE, alive, connected, wait_for
from tests.requirements_here import need

pytestmark = pytest.mark.timeout(240)

BIG = b"".join(hashlib.sha256(number.to_bytes(4)).digest() for number in range(320_000))  # 10 MB that don't repeat


@pytest.fixture
async def connection(playground: Playground) -> AsyncIterator[asyncssh.SSHClientConnection]:
    async with connected(playground, "stg-1") as opened:
        yield opened


@pytest.fixture
def openssh(playground: Playground) -> list[str]:
    program = shutil.which("ssh")
    need(program is not None, "OpenSSH's client (package openssh-client)")
    return [str(program), "-F", str(playground.ssh_config)]


def run(command: list[str], data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, input=data, capture_output=True, timeout=DEADLINE, check=False)


@pytest.mark.parametrize("status", [0, 1, 3, 127, 255])
async def test_the_exit_status_comes_back(connection: asyncssh.SSHClientConnection, status: int) -> None:
    assert (await connection.run(f"exit {status}")).exit_status == status


async def test_a_command_that_a_signal_ends_has_no_exit_status(connection: asyncssh.SSHClientConnection) -> None:
    ended = await connection.run("kill -9 $$")
    assert ended.exit_signal is not None
    assert ended.exit_signal[0] == "KILL"
    assert ended.exit_status == -1


async def test_output_and_errors_stay_apart(connection: asyncssh.SSHClientConnection) -> None:
    ended = await connection.run("echo out; echo err >&2")
    assert (ended.stdout, ended.stderr) == ("out\n", "err\n")


async def test_ten_megabytes_of_input_arrive_whole(connection: asyncssh.SSHClientConnection) -> None:
    ended = await connection.run("cat > big && sha256sum < big && rm big", input=BIG, encoding=None)
    assert ended.stdout == f"{hashlib.sha256(BIG).hexdigest()}  -\n".encode()


async def test_ten_megabytes_of_output_arrive_whole(connection: asyncssh.SSHClientConnection) -> None:
    ended = await connection.run("cat", input=BIG, encoding=None)
    assert ended.stdout == BIG


async def test_input_that_nobody_reads_blocks_nothing(connection: asyncssh.SSHClientConnection) -> None:
    def await_file(name: str) -> str:
        return f"until [ -e {name} ]; do sleep 0.02; done"

    command = f"{await_file('close')}; exec <&-; {await_file('end')}; rm close end; exit 7"
    process = await connection.create_process(command, encoding=None)
    process.stdin.write(BIG)
    async with asyncio.timeout(DEADLINE):
        # More than any pipe holds was taken. Nothing tells when the other side stops reading, so it is asked for.
        while process.channel.get_write_buffer_size() > len(BIG) - 1_000_000:  # noqa: ASYNC110  # see above
            await asyncio.sleep(0.01)
        await connection.run("touch close")
        await process.stdin.drain()  # all of it is taken, though nobody wants it
        await connection.run("touch end")
    assert (await process.wait(timeout=DEADLINE)).exit_status == 7


async def test_a_command_sees_the_end_of_its_input_and_may_go_on(connection: asyncssh.SSHClientConnection) -> None:
    ended = await connection.run("cat >/dev/null; echo after the end; exit 4", input="something")
    assert (ended.stdout, ended.exit_status) == ("after the end\n", 4)


async def test_a_host_has_a_home_and_nothing_of_the_starter_s_environment(
    connection: asyncssh.SSHClientConnection, playground: Playground, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = await connection.run("pwd; echo $HOME; env", env={"LANG": "C.UTF-8", "LD_PRELOAD": "/nothing"})
    lines = str(ended.stdout).splitlines()
    home = str(playground.host("stg-1").home)
    assert lines[:2] == [home, home]
    names = {line.split("=")[0] for line in lines[2:]}
    assert {"PATH", "USER", "SHELL", "LANG", "SSH_CONNECTION"} <= names
    assert not {"PYTHONPATH", "VIRTUAL_ENV", "LD_PRELOAD", "SSH_AUTH_SOCK", "PYTEST_CURRENT_TEST"} & names


async def test_what_runs_in_the_background_outlives_the_channel_and_the_connection(playground: Playground) -> None:
    async with connected(playground, "stg-2") as connection:
        ended = await connection.run("sleep 300 </dev/null >/dev/null 2>&1 & echo $!")
    pid = int(str(ended.stdout))
    try:
        assert alive(pid)
    finally:
        os.kill(pid, 9)


async def test_a_command_goes_on_when_its_client_goes_away(playground: Playground) -> None:
    home = playground.host("stg-2").home
    async with connected(playground, "stg-2") as connection:
        await connection.create_process("rm -f went-on; read line; sleep 0.2; echo yes > went-on")
        wait_for(lambda: not (home / "went-on").exists(), "the command has begun")
        connection.abort()
    wait_for((home / "went-on").exists, "the command has ended")


async def test_a_follower_ends_with_its_connection(playground: Playground) -> None:
    """What writes to a client that is gone gets SIGPIPE: a followed log leaves no process."""
    async with connected(playground, "stg-2") as connection:
        process = await connection.create_process("echo $$; while :; do echo line; sleep 0.01; done")
        pid = int(await asyncio.wait_for(process.stdout.readline(), DEADLINE))
        assert alive(pid)
        connection.abort()
    wait_for(lambda: not alive(pid), "the follower has ended")


@pytest.mark.parametrize("ended_input", [False, True])
async def test_signals_reach_the_whole_group(connection: asyncssh.SSHClientConnection, ended_input: bool) -> None:
    process = await connection.create_process("sleep 300 & echo $!; wait")
    child = int(await asyncio.wait_for(process.stdout.readline(), DEADLINE))
    if ended_input:
        process.stdin.write_eof()
    process.send_signal("TERM")
    ended = await process.wait(timeout=DEADLINE)
    assert ended.exit_signal is not None
    assert ended.exit_signal[0] == "TERM"
    wait_for(lambda: not alive(child), "the child has ended too")


async def test_many_sessions_at_once(connection: asyncssh.SSHClientConnection) -> None:
    async def one(number: int) -> None:
        ended = await connection.run(f"cat; exit {number}", input=f"session {number}\n" * 1000)
        assert (ended.stdout, ended.exit_status) == (f"session {number}\n" * 1000, number)

    async with asyncio.TaskGroup() as sessions:
        for number in range(20):
            sessions.create_task(one(number))


async def test_a_terminal_is_a_real_one(connection: asyncssh.SSHClientConnection) -> None:
    process = await connection.create_process(term_type="xterm", term_size=(97, 31))
    process.stdin.write("stty -echo; stty size; test -t 0 && test -t 1; exit $?\n")
    ended = await process.wait(timeout=DEADLINE)
    assert "31 97" in str(ended.stdout)
    assert ended.exit_status == 0


async def test_files_go_over_sftp(connection: asyncssh.SSHClientConnection, playground: Playground) -> None:
    async with connection.start_sftp_client() as sftp:
        async with sftp.open("over-sftp", "wb") as file:
            await file.write(BIG[:1_000_000])
        assert await sftp.realpath(".") == str(playground.host("stg-1").home)
        async with sftp.open("over-sftp", "rb") as file:
            content: object = await file.read()  # asyncssh says str
            assert content == BIG[:1_000_000]
        await sftp.remove("over-sftp")


async def test_keepalives_are_answered(playground: Playground) -> None:
    async with asyncssh.connect(
        "dev-1",
        config=[str(playground.ssh_config)],
        known_hosts=str(playground.known_hosts),
        keepalive_interval=0.5,
        keepalive_count_max=60,  # so many may be late on a busy machine
    ) as connection:
        assert (await connection.run("sleep 3; echo still here", timeout=DEADLINE)).stdout == "still here\n"


async def test_forwarding_goes_to_the_host_s_own_loopback_and_nowhere_else(
    connection: asyncssh.SSHClientConnection, playground: Playground
) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"from the host")
        writer.close()

    server = await asyncio.start_server(greet, playground.host("stg-1").address, 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        for name in ("127.0.0.1", "localhost", playground.host("stg-1").address):
            reader, writer = await connection.open_connection(name, port)
            assert await asyncio.wait_for(reader.read(), DEADLINE) == b"from the host"
            writer.close()
    for name, wanted in (("127.0.0.1", port), ("192.0.2.1", 80), ("example.invalid", 80)):
        with pytest.raises(asyncssh.ChannelOpenError) as refused:
            await asyncio.wait_for(connection.open_connection(name, wanted), DEADLINE)
        prohibited = refused.value.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
        assert prohibited is (name != "127.0.0.1")


async def test_nobody_else_gets_in(playground: Playground) -> None:
    stranger = asyncssh.generate_private_key("ssh-ed25519")
    host = playground.host("dev-1")
    own = playground.identity
    for user, key in ((playground.user, stranger), ("somebody-else", own), (playground.user, None)):
        with pytest.raises(asyncssh.PermissionDenied):
            await asyncssh.connect(
                host.address,
                host.port,
                username=user,
                client_keys=[key] if key is not None else None,
                known_hosts=str(playground.known_hosts),
                config=None,
                agent_path=None,
                login_timeout=DEADLINE,
            )


async def test_no_listener_can_be_opened_through_a_host(connection: asyncssh.SSHClientConnection) -> None:
    with pytest.raises((asyncssh.ChannelListenError, asyncssh.ChannelOpenError)):
        await connection.forward_remote_port("", 0, "127.0.0.1", 9)


def test_only_loopback_is_listened_on(playground: Playground) -> None:
    listening = set()
    for host in playground.hosts:
        pid = playground.host_pid(host.name)
        inodes = set()
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
        for table in ("tcp", "tcp6", "udp", "udp6"):
            with open(f"/proc/{pid}/net/{table}") as file:
                for line in file.read().splitlines()[1:]:
                    words = line.split()
                    if f"socket:[{words[9]}]" in inodes and words[3] in ("0A", "07"):
                        listening.add((table, words[1].split(":")[0]))
    assert len(listening) == len(playground.hosts)
    # IPv4 addresses stand there in the machine's byte order: 127.x.y.z ends with 7F on little-endian ones.
    assert all(table == "tcp" and "7F" in (address[:2], address[-2:]) for table, address in listening)


def test_openssh_s_client_works(openssh: list[str], playground: Playground) -> None:
    assert run([*openssh, "prod-1", "exit 5"]).returncode == 5
    ended = run([*openssh, "prod-1", "cat > big; sha256sum < big; rm big"], BIG)
    assert ended.stdout.split()[0].decode() == hashlib.sha256(BIG).hexdigest()
    assert run([*openssh, "prod-1", "cat"], BIG).stdout == BIG
    assert run([*openssh, "prod-1", "kill -9 $$"]).returncode == 255
    assert run([*openssh, "prod-1"], b"echo $((6 * 7)); exit 6\n").stdout == b"42\n"
    assert b"/dev/pts/" in run([*openssh, "-tt", "prod-1", "tty"]).stdout
    assert (
        run([*openssh, "prod-1", "sleep 300 </dev/null >/dev/null 2>&1 & echo $!; trap 'kill $!' EXIT"]).returncode == 0
    )


def test_openssh_s_client_refuses_another_host_key(openssh: list[str], playground: Playground, tmp_path: Path) -> None:
    address, other = playground.host("prod-1").address, playground.host("prod-2").address
    lines = [line for line in playground.known_hosts.read_text().splitlines() if f"[{other}]" in line]
    (tmp_path / "known").write_text(lines[0].replace(other, address) + "\n")
    ended = run([*openssh, "-o", f"UserKnownHostsFile={tmp_path}/known", "prod-1", "true"])
    assert ended.returncode == 255
    assert b"verification failed" in ended.stderr


def test_openssh_s_client_jumps_from_host_to_host(openssh: list[str], playground: Playground) -> None:
    # As -J does, which can't cope with a space in the path of the configuration.
    jump = f"ProxyCommand={openssh[0]} -F '{playground.ssh_config}' -W %h:%p dev-1"
    ended = run([*openssh, "-o", jump, "prod-1", "cat .hostname"])
    assert ended.stdout == b"prod-1\n", ended.stderr


def test_openssh_s_client_forwards_a_port(openssh: list[str], playground: Playground) -> None:
    host = playground.host("prod-1")
    command = [*openssh, "-W", f"127.0.0.1:{host.port}", "prod-1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as forwarding:
        assert forwarding.stdout is not None
        # The host's own SSH port, by way of its loopback: its banner is what answers.
        assert b"QuarterdeckPlayground" in forwarding.stdout.readline()
        forwarding.terminate()


def test_the_address_of_a_host_is_no_secret(playground: Playground) -> None:
    """A service is reached from this machine at the host's own address, without SSH: nothing listens there yet."""
    host = playground.host("dev-1")
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://{host.address}:9/", timeout=DEADLINE)
