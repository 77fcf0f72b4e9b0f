"""Real Prometheus servers (Debian's package) on loopback, which scrape an exporter that a test writes itself."""

import contextlib
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from tests.backends.registry.real_registry import HASH
from tests.sshd import wait_for

USER = "reader"


@dataclass
class RealPrometheus:
    """``text`` is what the exporter says (in Prometheus' format) when it is scraped next, five times a second."""

    url: str
    log: Path
    text: str = ""
    scrapes: int = 0
    client: httpx.Client = field(default_factory=lambda: httpx.Client(trust_env=False))

    def say(self, text: str, query: str, expected: object) -> None:
        """Waits until ``query`` gives ``expected``: the values of all series as texts."""
        self.text = text
        # It looks for what it is to scrape five seconds after its start.
        wait_for(lambda: self.values(query) == expected, f"{query} gives {expected}", 30.0)

    def values(self, query: str) -> list[str]:
        answer = self.client.get(f"{self.url}/api/v1/query", params={"query": query}).json()
        return sorted(series["value"][1] for series in answer["data"]["result"])


def prometheus_program() -> str | None:
    return shutil.which("prometheus")


@contextlib.contextmanager
def running_prometheus(folder: Path, *, password: bool = False) -> Iterator[RealPrometheus]:
    """The ports are the kernel's choice. With ``password`` it wants that of ``USER``, the registries' one."""
    program = prometheus_program()
    assert program is not None
    made = RealPrometheus("", folder / "log")

    class Exporter(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.scrapes += 1
            content = made.text.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            return  # not between the tests' own lines

    exporter = ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
    exporter.daemon_threads = True
    thread = threading.Thread(target=exporter.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    scraped = {"job_name": "app", "static_configs": [{"targets": [f"127.0.0.1:{exporter.server_address[1]}"]}]}
    config = {"global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"}, "scrape_configs": [scraped]}
    (folder / "prometheus.yml").write_text(json.dumps(config))
    arguments = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    arguments += ["--web.listen-address=127.0.0.1:0"]
    if password:
        (folder / "web.yml").write_text(json.dumps({"basic_auth_users": {USER: HASH}}))
        arguments.append(f"--web.config.file={folder}/web.yml")
    with made.log.open("wb") as output:
        process = subprocess.Popen(
            [program, *arguments], stdout=output, stderr=subprocess.STDOUT, cwd=folder, env={"GOMAXPROCS": "1"}
        )
    try:

        def listening() -> re.Match[str] | None:
            assert process.poll() is None, made.log.read_text()
            text = made.log.read_text()
            ready = "Server is ready to receive web requests" in text
            return re.search(r"address=127\.0\.0\.1:([1-9][0-9]*)", text) if ready else None

        wait_for(listening, "prometheus listens", 30.0)
        found = listening()
        assert found is not None
        made.url = f"http://127.0.0.1:{found[1]}"
        yield made
    finally:
        made.client.close()
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        exporter.shutdown()
        exporter.server_close()
        thread.join(10)
