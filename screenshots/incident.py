"""Films an incident on real hosts, picture by picture: a bad canary at 25 %, the alert, the rollback, the report.

Four of the playground's hosts are the production of a fleet of its own, which a client sends requests to all the time. Nothing
is staged but the release: what the pictures show is what the control room had on a pseudo-terminal at that moment.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from screenshots.drawing import png, svg
from tests.room.terminal import Terminal

FOLDER = Path(__file__).resolve().parent / "incident"
QD = [sys.executable, "-m", "quarterdeck.tui.main"]
SIZE = (100, 30)
TARGET = "production/shop"
PORT = 17095
HOSTS = {"web-1": "prod-1", "web-2": "prod-2", "web-3": "prod-3", "web-4": "stg-2"}

FLEET = """\
fleet: acme
state: {state}
ssh: {{config: ["{playground}/ssh/config"], known_hosts: ["{playground}/ssh/known_hosts"]}}
runbooks: {{shop: "{playground}/runbooks/web.md"}}
hosts: {{{hosts}, canary: {{ssh: stg-1}}}}
environments:
  staging: {{hosts: [canary]}}
  production: {{hosts: [{names}], after: staging}}
services:
  shop:
    artifact: {{tarball: "{playground}/artifacts/web-{{version}}.tar.gz"}}
    path: ~/shop
    env: {{PORT: "{port}"}}
    commands: {{start: bin/service start, stop: bin/service stop, restart: bin/service restart, status: bin/service status}}
    health: {{http: {{path: /healthz, port: {port}, status: 200}}, interval: 1s, timeout: 3s, healthy_deadline: 8s}}
    logs: {{files: ["~/shop/shared/log/*.log"]}}
    rollback: {{automatic: false}}
"""

CANARY = """\
    strategy: {{canary: {{steps: [{{set_weight: 25}}, {{analysis: [golden-signals]}}, {{set_weight: 100}}]}}}}
analyses:
  golden-signals:
    - {{name: errors, metric: {{logs: {{}}}}, compare: baseline, interval: 4s, count: 8}}
    - {{name: answers, metric: {{probe: {{}}}}, interval: 2s, count: 20}}
"""


class Film:
    """``home``: where commands run; its environment is that of an operator called maya."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(home), "XDG_STATE_HOME": f"{home}/state", "USER": "maya",
            "LANG": "C.UTF-8", "QD_PLAYGROUND_ENGINE": "no", "QD_FLEET": f"{home}/fleet.yml",
        }  # fmt: skip

    def qd(self, *words: str) -> str:
        done = subprocess.run(
            [*QD, *words],
            cwd=self.home,
            env=self.environment,
            check=True,
            timeout=180,
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout

    def picture(
        self, terminal: Terminal, name: str, shows: str, *, settle: float = 1.0, deadline: float = 30.0
    ) -> None:
        """Waits for ``shows``, and takes it. Raises AssertionError where that does not come."""
        terminal.wait_for(shows, deadline=deadline)
        time.sleep(settle)
        terminal.wait_for(shows, deadline=deadline)
        (FOLDER / f"{name}.png").write_bytes(png(svg(terminal.screen)))
        print(f"screenshots/incident/{name}.png")


def film() -> list[str]:
    """The whole sequence; gives the name of the picture that did not come, with which it ends. Raises CalledProcessError for a command
    that fails."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="qd-incident-") as directory:
        made = Film(Path(directory))
        playground = Path(directory) / "state/quarterdeck/playground"
        try:
            made.qd("demo", "up")
            addresses = _write_fleet(made.home, playground)
            for target, version in (
                ("staging/shop", "v1"),
                (TARGET, "v1"),
                ("staging/shop", "v2"),
                (TARGET, "v2"),
                ("staging/shop", "v4"),
            ):
                made.qd("deploy", target, version, "--wait", "--reason", "CHG-811")
            _write_fleet(made.home, playground, CANARY)
            with traffic(addresses):
                _incident(made)
            return []
        except AssertionError as error:
            return [f"incident: {error}"]
        finally:
            made.qd("demo", "down")


def _incident(made: Film) -> None:
    with Terminal(["env", "-C", str(made.home), *QD, TARGET], size=SIZE, environment=made.environment) as terminal:
        terminal.wait_for("LIVE")
        made.picture(terminal, "1-before", "healthy", settle=8.0)
        made.qd("deploy", TARGET, "v4", "--detach", "--reason", "CHG-812 new checkout")
        terminal.wait_for("v4 1/4")
        terminal.send("\r")
        made.picture(terminal, "2-canary-at-25", "golden-signals", settle=5.0)
        terminal.send("1")
        made.picture(terminal, "3-alert", "!!", settle=2.0, deadline=90.0)
        terminal.send("l")
        made.picture(terminal, "4-logs", "ERROR", settle=2.0)
        terminal.send("1")
        time.sleep(0.6)
        terminal.send("R")
        made.picture(terminal, "5-rollback-card", "y roll back", settle=2.0)
        terminal.send("y")
        made.picture(terminal, "6-rolled-back", "succeeded  rollback", settle=0.5)
        terminal.send("n")
        terminal.wait_for("reason", deadline=10.0)
        time.sleep(0.6)
        terminal.send("5xx on the canary of v4\r")
        time.sleep(1.5)
        terminal.send("\x1b")
        made.picture(terminal, "7-after", "healthy", settle=4.0)
        terminal.send(":report\r")
        made.picture(terminal, "8-report", "written to ~/", settle=0.5, deadline=60.0)
    (report,) = made.home.glob("rollout-*.md")
    (FOLDER / "report.md").write_text(report.read_text(encoding="utf-8"), encoding="utf-8")
    print("screenshots/incident/report.md")


def _write_fleet(home: Path, playground: Path, strategy: str = "") -> list[str]:
    """Gives the addresses of the hosts of production."""
    listed = ", ".join(f"{name}: {{ssh: {alias}}}" for name, alias in HOSTS.items())
    text = (FLEET + strategy).format(
        state=home / "journal", playground=playground, hosts=listed, names=", ".join(HOSTS), port=PORT
    )
    (home / "fleet.yml").write_text(text)
    words = (playground / "ssh/config").read_text().split()
    named = {
        words[at + 1]: words[at + 3] for at, word in enumerate(words) if word == "Host" and words[at + 2] == "HostName"
    }
    return [named[alias] for alias in HOSTS.values()]


@contextmanager
def traffic(addresses: list[str]) -> Iterator[None]:
    """A client that asks one host after the other, 40 times a second, as a balancer would send it."""
    over = threading.Event()

    def ask() -> None:
        number = 0
        while not over.wait(0.025):
            number += 1
            try:
                urllib.request.urlopen(f"http://{addresses[number % len(addresses)]}:{PORT}/", timeout=2).read()
            except (urllib.error.URLError, OSError):
                continue  # what fails is what the pictures are about

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(5)
