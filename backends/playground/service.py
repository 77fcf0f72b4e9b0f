"""The program inside the playground's artifacts: a small HTTP server with start, stop, restart and status, or in the foreground.

It runs on its own (``python3 -I -S service.py start``), so it must import nothing but the standard library, and little
of that: the time until it answers is the time a switch takes.
"""

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

BASE = os.path.dirname(os.path.realpath(__file__))
STOP_DEADLINE = 5.0  # seconds from SIGTERM to SIGKILL
REQUEST_DEADLINE = 10.0  # seconds a client may take to send a request, or to send the next one
HEALTHY_UNTIL = 40  # requests that a release with the fault «traffic» answers before every fifth one fails
LOG_LIMIT = 8_000_000  # bytes; then the file is renamed to .1


class ServiceError(Exception):
    """One sentence for whoever started the command."""


class Settings:
    """What the release and its environment say. Raises ``ServiceError`` when something is missing."""

    def __init__(self) -> None:
        release = dict(line.split("=", 1) for line in _read(os.path.join(BASE, "RELEASE")).split())
        self.service, self.version, self.fault = release["service"], release["version"], release["fault"]
        home = os.environ.get("HOME", "/")
        # A playground host has an address of its own; anywhere else the service listens on the usual one.
        self.address = _read(os.path.join(home, ".address")).strip() or "127.0.0.1"
        self.host = _read(os.path.join(home, ".hostname")).strip() or socket.gethostname()
        port = os.environ.get("PORT", "")
        if not port.isdigit():
            raise ServiceError(f"PORT must be a number, not {port!r}")
        self.port = int(port)
        self.greeting = os.environ.get("GREETING", "hello")
        self.shared = os.path.abspath(os.environ.get("QD_SHARED") or os.path.join(BASE, "..", "..", "shared"))
        self.pid_file = os.path.join(self.shared, f"{self.service}.pid")
        self.log_file = os.path.join(self.shared, "log", f"{self.service}.log")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def start_ticks(pid: int) -> str:
    """When the process started; empty when it is gone. With it a recycled id is told from the service's own."""
    text = _read(f"/proc/{pid}/stat")
    fields = text[text.rindex(")") + 2 :].split() if text else ["Z"]
    return "" if fields[0] in ("Z", "X") else fields[19]


def running(settings: Settings) -> tuple[int, str] | None:
    """The id and the version of the process that runs, None when none does."""
    words = _read(settings.pid_file).split()
    if len(words) != 3 or not words[0].isdigit() or start_ticks(int(words[0])) != words[1]:
        return None
    return int(words[0]), words[2]


class Log:
    """One line per write to a file opened for appending, so that lines of several threads never mix. None: to standard output, which
    somebody else keeps."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        if path is None:
            self._file, self._size = sys.stdout.fileno(), 0
        else:
            self._open(path)

    def _open(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._size = os.fstat(self._file).st_size

    def write(self, level: str, text: str) -> None:
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        line = f"{stamp}.{int(now * 1000) % 1000:03}Z {level} {text}\n".encode()
        with self._lock:
            try:
                self._size += os.write(self._file, line)
                if self._path is not None and self._size > LOG_LIMIT:
                    os.rename(self._path, self._path + ".1")
                    os.close(self._file)
                    self._open(self._path)
            except OSError:
                pass  # a full disk must not take the service down


class Server:
    """Serves one listening socket, a thread per connection, until SIGTERM; what is being answered then is finished."""

    def __init__(self, settings: Settings, listener: socket.socket, log: Log) -> None:
        self.settings = settings
        self.log = log
        self._listener = listener
        self._stopping = False
        self._lock = threading.Lock()
        self._served = 0  # requests to /
        self._answering = 0
        self._started = time.monotonic()

    def run(self) -> None:
        woken, wake = os.pipe()

        def stop(_number: int, _frame: object) -> None:
            self._stopping = True
            os.write(wake, b"!")

        signal.signal(signal.SIGTERM, stop)
        self._listener.setblocking(False)
        while not self._stopping:
            # A handler that raised could do so between accept() and the answer; this one only wakes the loop.
            select.select([self._listener.fileno(), woken], [], [])
            self._accept_all()  # the last time after SIGTERM: those who are connected already get their answer
        self._listener.close()
        before = time.monotonic() + STOP_DEADLINE / 2
        while self._answering and time.monotonic() < before:
            time.sleep(0.002)
        self.log.write("INFO", f"{self.settings.service} {self.settings.version} stopped")

    def _accept_all(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # too many open files, or the client was quicker
                self.log.write("WARN", f"accept: {error}")
                return
            connection.settimeout(REQUEST_DEADLINE)
            with self._lock:
                self._answering += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                buffered = b""
                while True:
                    while b"\r\n\r\n" not in buffered:
                        received = connection.recv(65536)
                        if not received or len(buffered) > 65536:
                            return
                        buffered += received
                    head, _, buffered = buffered.partition(b"\r\n\r\n")
                    if not self._answer(connection, head.decode("latin-1")) or self._stopping:
                        return
                    with self._lock:
                        self._answering -= 1  # between two requests nothing is owed to the client
                    try:
                        buffered = buffered or connection.recv(65536)
                    finally:
                        with self._lock:
                            self._answering += 1
        except OSError:
            pass  # the client went away
        finally:
            with self._lock:
                self._answering -= 1

    def _answer(self, connection: socket.socket, head: str) -> bool:
        """Answers one request; False when the connection is to be closed."""
        began = time.monotonic()
        lines = head.split("\r\n")
        words = lines[0].split(" ")
        fields = (line.partition(":") for line in lines[1:])
        headers = {name.strip().lower(): value.strip() for name, _, value in fields}
        if len(words) != 3 or words[0] not in ("GET", "HEAD") or "content-length" in headers:
            status, kind, body = 405, "text/plain", "only GET and HEAD\n"
        else:
            status, kind, body = self._page(words[1].split("?")[0], headers.get("accept", ""))
        keep = not self._stopping and words[-1] == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        content = body.encode()
        connection.sendall(
            f"HTTP/1.1 {status} {'OK' if status == 200 else 'Error'}\r\nContent-Type: {kind}; charset=utf-8\r\n"
            f"Content-Length: {len(content)}\r\nX-Version: {self.settings.version}\r\nX-Host: {self.settings.host}\r\n"
            f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n".encode()
            + (b"" if words[0] == "HEAD" else content)
        )
        if status != 200 or words[1:2] != ["/healthz"]:  # a check every second would bury everything else
            seconds = time.monotonic() - began
            self.log.write("INFO" if status < 500 else "ERROR", f"{lines[0]!r} {status} {seconds * 1000:.1f}ms")
        return keep and status != 405

    def _page(self, path: str, accept: str) -> tuple[int, str, str]:
        """Status, content type and body."""
        pages: dict[str, Callable[[str], tuple[str, str]]] = {
            "/": self._front,
            "/healthz": self._health,
            "/version": lambda _accept: ("text/plain", f"{self.settings.version}\n"),
        }
        page = pages.get(path)
        if page is None:
            return 404, "text/plain", "not found\n"
        try:
            return 200, *page(accept)
        except Exception as error:
            import traceback

            trace = traceback.format_exc().rstrip().replace(f'"{__file__}"', f'"{self.settings.service}/service.py"')
            self.log.write("ERROR", f"GET {path} failed\n{trace}")
            return 500, "text/plain", f"{self.settings.service} {self.settings.version}: {error}\n"

    def _front(self, accept: str) -> tuple[str, str]:
        settings = self.settings
        with self._lock:
            self._served += 1
            served = self._served
        if settings.fault == "health":
            raise RuntimeError("no database: the schema is older than this release")
        if settings.fault == "traffic" and served > HEALTHY_UNTIL and served % 5 == 0:
            raise RuntimeError(f"no free connection in the pool after {served} requests")
        text = f"{settings.greeting}, this is {settings.service} {settings.version} on {settings.host}"
        return self._as(accept, text, {"greeting": settings.greeting})

    def _health(self, accept: str) -> tuple[str, str]:
        if self.settings.fault == "health":
            raise RuntimeError("no database: the schema is older than this release")
        seconds = round(time.monotonic() - self._started, 3)
        text = f"ok, {self.settings.service} {self.settings.version}"
        return self._as(accept, text, {"status": "ok", "seconds": seconds, "requests": self._served})

    def _as(self, accept: str, text: str, values: dict[str, object]) -> tuple[str, str]:
        if accept.startswith("text/"):
            return "text/plain", text + "\n"
        import json

        settings = self.settings
        release = {"service": settings.service, "version": settings.version, "host": settings.host}
        return "application/json", json.dumps({**release, **values}) + "\n"


def start(settings: Settings) -> str:
    """Starts the service in the background and returns when it takes connections. Raises ``ServiceError``."""
    found = running(settings)
    if found is not None:
        return f"{settings.service} {found[1]} runs already, process {found[0]}"
    os.makedirs(os.path.dirname(settings.log_file), exist_ok=True)
    log = Log(settings.log_file)
    listener = _listen(settings.address, settings.port)
    ready, announce = os.pipe()
    child = os.fork()
    if child == 0:
        _become_daemon(settings, listener, log, announce)
    os.close(announce)
    listener.close()
    os.waitpid(child, 0)
    if os.read(ready, 1) != b"+":  # the end of the pipe: it died before it had written its pid file
        raise ServiceError(f"{settings.service} did not start, see {settings.log_file}")
    return f"{settings.service} {settings.version} started on {settings.address}:{settings.port}"


def _listen(address: str, port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(256)
    except OSError as error:
        raise ServiceError(f"can't listen on {address}:{port}: {error.strerror}") from error
    return listener


def serve(settings: Settings) -> None:
    """Serves until SIGTERM, on every address, with its log on standard output: the one process of a container."""
    log = Log(None)
    listener = _listen("0.0.0.0", settings.port)  # noqa: S104 # within the container: what reaches it from outside is published
    log.write("INFO", f"{settings.service} {settings.version} started on port {settings.port}")
    Server(settings, listener, log).run()


def _become_daemon(settings: Settings, listener: socket.socket, log: Log, announce: int) -> None:
    """Never returns. Keeps nothing of the starter: no terminal, no working directory, no open file (a lock)."""
    status = 1
    try:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        os.chdir(settings.shared)  # the release's directory may be removed while this one still runs
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        kept = sorted((listener.fileno(), announce, log._file))
        for low, high in zip([2, *kept], [*kept, 65536], strict=True):
            os.closerange(low + 1, high)
        temporary = f"{settings.pid_file}.{os.getpid()}"
        with open(temporary, "w", encoding="ascii") as file:
            file.write(f"{os.getpid()} {start_ticks(os.getpid())} {settings.version}\n")
        os.rename(temporary, settings.pid_file)
        server = Server(settings, listener, log)
        log.write("INFO", f"{settings.service} {settings.version} started on {settings.address}:{settings.port}")
        os.write(announce, b"+")
        os.close(announce)
        server.run()
        status = 0
    except BaseException as error:
        log.write("ERROR", f"{settings.service} {settings.version} ended: {error!r}")
    finally:
        os._exit(status)


def stop(settings: Settings) -> str:
    """Ends the service and returns when its port is free. Raises ``ServiceError``: something else holds the port."""
    found = running(settings)
    if found is not None:
        pid = found[0]
        ticks = start_ticks(pid)
        began = time.monotonic()
        _signal(pid, signal.SIGTERM)
        killed = False
        while ticks and start_ticks(pid) == ticks:
            if not killed and time.monotonic() - began > STOP_DEADLINE:
                killed = True
                _signal(pid, signal.SIGKILL)
            if time.monotonic() - began > 2 * STOP_DEADLINE:
                raise ServiceError(f"process {pid} can't be ended")
            time.sleep(0.002)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(settings.pid_file)
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex((settings.address, settings.port)) == 0:
            raise ServiceError(f"{settings.address}:{settings.port} is held by a process that is not this service")
    return f"{settings.service} {'was not running' if found is None else found[1] + ' stopped'}"


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def main(arguments: list[str]) -> int:
    """The exit status: 0 done (for status: it runs), 1 failed, 2 usage, 3 (status only) it does not run."""
    actions = {"start": [start], "stop": [stop], "restart": [stop, start]}
    try:
        settings = Settings()
        if arguments == ["status"]:
            found = running(settings)
            print(f"{settings.service} {'is not running' if found is None else f'{found[1]} runs, process {found[0]}'}")
            return 3 if found is None else 0
        if arguments == ["serve"]:
            serve(settings)
            return 0
        if len(arguments) != 1 or arguments[0] not in actions:
            print("usage: service start | stop | restart | status | serve", file=sys.stderr)
            return 2
        for action in actions[arguments[0]]:
            print(action(settings))
    except (ServiceError, OSError) as error:
        print(f"{os.path.basename(BASE)}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
