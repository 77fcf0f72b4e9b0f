"""A command on an embedded SSH host: a real /bin/sh whose input, output, signals and exit status go over the channel.

As with OpenSSH, the end of the channel ends no process: what runs in the background goes on, what writes gets SIGPIPE,
and a channel stays open while a background process holds its output.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import subprocess
import termios
from collections.abc import Callable
from functools import partial

import asyncssh
from asyncssh.stream import SSHServerStreamSession

from quarterdeck.backends.playground.layout import PlaygroundHost

ACCEPTED = ("LANG", "LC_")  # variables a client may send, as Debian's sshd_config says


class RunningCommands:
    """The child processes of one host, reaped when SIGCHLD comes."""

    def __init__(self) -> None:
        self._running: dict[subprocess.Popen[bytes], Callable[[int], None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, process: subprocess.Popen[bytes], ended: Callable[[int], None]) -> None:
        self._running[process] = ended
        self.reap()  # it may have ended before it was known here

    def reap(self) -> None:
        for process, ended in list(self._running.items()):
            status = process.poll()
            if status is not None:
                del self._running[process]
                ended(status)

    def attach(self, work: "asyncio.Task[None]") -> None:
        self._tasks.add(work)
        work.add_done_callback(self._tasks.discard)


class _Output(asyncio.Protocol):
    def __init__(self, session: "HostSession", datatype: int | None) -> None:
        self._session = session
        self._datatype = datatype

    def data_received(self, data: bytes) -> None:
        self._session.send(data, self._datatype)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._session.output_ended()


class _Input(asyncio.BaseProtocol):
    def __init__(self, channel: "asyncssh.SSHServerChannel[bytes]") -> None:
        self._channel = channel
        self.closed = False

    def pause_writing(self) -> None:
        self._channel.pause_reading()

    def resume_writing(self) -> None:
        # Not at once: the transport calls this from the middle of a write and throws away what would be added with an end.
        asyncio.get_running_loop().call_soon(self._channel.resume_reading)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.closed = True
        self._channel.resume_reading()  # what comes now is thrown away: a client that writes on must not hang


class HostSession(asyncssh.SSHServerSession[bytes]):
    """One channel: a command, a shell, or SFTP."""

    def __init__(self, host: PlaygroundHost, environment: dict[str, str], commands: RunningCommands) -> None:
        self._host = host
        self._environment = environment
        self._commands = commands
        self._channel: asyncssh.SSHServerChannel[bytes] | None = None
        self._command: str | None = None
        self._terminal: tuple[str, tuple[int, int, int, int]] | None = None
        self._terminal_file: int | None = None
        self._sftp: SSHServerStreamSession[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._status: int | None = None
        self._input: asyncio.WriteTransport | None = None
        self._input_protocol: _Input | None = None
        self._waiting_input = bytearray()  # what came before the pipe was ready
        self._input_ended = False
        self._outputs: list[asyncio.ReadTransport] = []
        self._open_outputs = 0

    # What the client asks for

    def connection_made(self, chan: "asyncssh.SSHServerChannel[bytes]") -> None:
        self._channel = chan

    def pty_requested(self, term_type: str, term_size: tuple[int, int, int, int], _term_modes: object) -> bool:
        self._terminal = (term_type, term_size)
        return True

    def shell_requested(self) -> bool:
        return True

    def exec_requested(self, command: str) -> bool:
        self._command = command
        return True

    def subsystem_requested(self, subsystem: str) -> bool:
        channel = self._channel
        if subsystem != "sftp" or channel is None:
            return False
        self._sftp = SSHServerStreamSession(None, lambda _channel: asyncssh.SFTPServer(channel), sftp_version=3)
        self._sftp.connection_made(channel)
        return True

    def session_started(self) -> None:
        if self._sftp is not None:
            self._sftp.session_started()
        else:
            self._commands.attach(asyncio.get_running_loop().create_task(self._run()))

    def data_received(self, data: bytes, datatype: int | None) -> None:
        if self._sftp is not None:
            self._sftp.data_received(data, datatype)
        elif self._input is None:
            self._waiting_input += data
        elif self._input_protocol is not None and not self._input_protocol.closed:
            self._input.write(data)

    def eof_received(self) -> bool:
        if self._sftp is not None:
            return bool(self._sftp.eof_received())
        self._input_ended = True
        if self._input is not None and self._terminal is None:
            self._input.close()  # after what is still to be written
        return True  # output goes on

    def signal_received(self, signal: str) -> None:
        self._send_signal(signal)

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        if self._terminal_file is not None:
            _set_size(self._terminal_file, (width, height, pixwidth, pixheight))

    def pause_writing(self) -> None:
        if self._sftp is not None:
            self._sftp.pause_writing()
        for output in self._outputs:
            output.pause_reading()

    def resume_writing(self) -> None:
        if self._sftp is not None:
            self._sftp.resume_writing()
        for output in self._outputs:
            output.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._channel = None
        if self._sftp is not None:
            self._sftp.connection_lost(exc)
        if self._input is not None:
            self._input.close()
        for output in self._outputs:
            output.close()

    # The process

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        channel = self._channel
        if channel is None:
            return
        for name, value in channel.get_environment().items():
            if name.startswith(ACCEPTED):
                self._environment[name] = value
        try:
            to_process, from_process = self._spawn()
        except OSError as error:
            channel.write_stderr(f"{self._host.name}: can't start /bin/sh: {error.strerror}\n".encode())
            channel.exit(126)
            return
        self._open_outputs = len(from_process)
        for descriptor, datatype in from_process:
            output, _ = await loop.connect_read_pipe(
                partial(_Output, self, datatype),
                os.fdopen(descriptor, "rb", buffering=0),
            )
            self._outputs.append(output)
        protocol = _Input(channel)
        self._input_protocol = protocol
        self._input, _ = await loop.connect_write_pipe(lambda: protocol, os.fdopen(to_process, "wb", buffering=0))
        if self._waiting_input:
            self._input.write(bytes(self._waiting_input))
            self._waiting_input.clear()
        if self._input_ended:
            self.eof_received()
        if self._channel is None:  # the client went away meanwhile
            self.connection_lost(None)
        if self._process is not None:
            self._commands.add(self._process, self._ended)

    def _spawn(self) -> tuple[int, list[tuple[int, int | None]]]:
        """Starts the shell; gives our ends: where its input goes, and where its output and errors come from."""
        arguments = ["sh", "-c", self._command] if self._command is not None else ["-sh"]
        if self._terminal is not None:
            return self._spawn_on_terminal(arguments, *self._terminal)
        its_input, to_process = os.pipe()
        from_output, its_output = os.pipe()
        from_errors, its_errors = os.pipe()
        try:
            self._process = subprocess.Popen(
                arguments,
                executable="/bin/sh",
                stdin=its_input,
                stdout=its_output,
                stderr=its_errors,
                cwd=self._host.home,
                env=self._environment,
                start_new_session=True,
                umask=0o022,
            )
        except OSError:
            for descriptor in (to_process, from_output, from_errors):
                os.close(descriptor)
            raise
        finally:
            for descriptor in (its_input, its_output, its_errors):
                os.close(descriptor)
        return to_process, [(from_output, None), (from_errors, asyncssh.EXTENDED_DATA_STDERR)]

    def _spawn_on_terminal(
        self, arguments: list[str], kind: str, size: tuple[int, int, int, int]
    ) -> tuple[int, list[tuple[int, int | None]]]:
        ours, its = os.openpty()
        _set_size(its, size)
        try:
            self._process = subprocess.Popen(
                arguments,
                executable="/bin/sh",
                stdin=its,
                stdout=its,
                stderr=its,
                cwd=self._host.home,
                env={**self._environment, "TERM": kind or "dumb", "PS1": f"{self._host.name}$ "},
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
                umask=0o022,
            )
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(its)
        self._terminal_file = ours
        return os.dup(ours), [(ours, None)]

    def send(self, data: bytes, datatype: int | None) -> None:
        if self._channel is not None:
            self._channel.write(data, datatype)

    def output_ended(self) -> None:
        self._open_outputs -= 1
        if self._open_outputs == 0:
            self._terminal_file = None
        self._report()

    def _ended(self, status: int) -> None:
        self._status = status
        self._report()

    def _report(self) -> None:
        """Sends the exit status once the process has ended and all that it wrote has been read."""
        if self._status is None or self._open_outputs > 0 or self._channel is None:
            return
        channel, self._channel = self._channel, None
        if self._status >= 0:
            channel.exit(self._status)
        else:
            channel.exit_with_signal(signal.Signals(-self._status).name.removeprefix("SIG"))
        if self._input is not None:
            self._input.close()

    def _send_signal(self, name: str) -> None:
        """To the command's whole process group, as OpenSSH does."""
        number = getattr(signal, f"SIG{name}", None)
        if self._process is not None and self._status is None and isinstance(number, signal.Signals):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


def _set_size(terminal: int, size: tuple[int, int, int, int]) -> None:
    columns, rows, width, height = size
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, width, height))
