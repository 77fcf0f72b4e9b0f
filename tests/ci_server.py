"""A local HTTP server that answers as GitHub Actions, GitLab CI, CircleCI and Jenkins do: paths, shapes, pages, headers, words are those of
their documentation, written down. No real one is asked by any test."""

import base64
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "ci-t0ken-0123456789"
SYSTEMS = ("github", "gitlab", "circleci", "jenkins")
LARGEST_PAGE = 3  # whatever is asked for: there are several pages soon
# What each system calls the states, of those that all of them know.
WORDS: dict[str, dict[str, Any]] = {
    "github": {
        "queued": ("queued", None),
        "running": ("in_progress", None),
        "passed": ("completed", "success"),
        "failed": ("completed", "failure"),
        "cancelled": ("completed", "cancelled"),
        "unknown": ("completed", "skipped"),
    },
    "gitlab": {
        "queued": "pending",
        "running": "running",
        "passed": "success",
        "failed": "failed",
        "cancelled": "canceled",
        "unknown": "manual",
    },
    "circleci": {
        "queued": "on_hold",
        "running": "running",
        "passed": "success",
        "failed": "failed",
        "cancelled": "canceled",
        "unknown": "not_run",
    },
    "jenkins": {
        "queued": None,
        "running": None,
        "passed": "SUCCESS",
        "failed": "FAILURE",
        "cancelled": "ABORTED",
        "unknown": "NOT_BUILT",
    },
}
Answer = tuple[int, Any, dict[str, str]]


@dataclass
class CiServer:
    """``builds``: the newest first, of ``add``. ``busy``: so many requests are answered with 429 first; ``reset``: seconds from now when
    it answers again, by the system's own headers. ``said_back``: a refusal holds the token that was sent. ``drip``: seconds between two
    bytes. ``huge``: bytes of every answer. ``moved``: where every path leads."""

    url: str = ""
    builds: list[dict[str, Any]] = field(default_factory=list)
    token: str = TOKEN
    expired: bool = False
    forbidden: bool = False
    said_back: bool = False
    busy: int = 0
    reset: float | None = None
    drip: float = 0.0
    huge: int = 0
    moved: str = ""
    elsewhere: bool = False  # the next page is on another server
    silent: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)

    def add(self, number: int, status: str, commit: str = "", **more: Any) -> None:
        self.builds.insert(0, {"number": number, "status": status, "commit": commit or f"{number:040x}"} | more)

    def settings(self, system: str) -> dict[str, Any]:
        """What a fleet file says of it."""
        match system:
            case "github":
                return {"github": "acme/api", "url": self.url}
            case "gitlab":
                return {"gitlab": "acme/api", "url": self.url}
            case "circleci":
                return {"circleci": "gh/acme/api", "url": self.url}
            case _:
                return {"jenkins": f"{self.url}/job/api", "username": "qd"}

    # answering

    def answer(self, path: str, headers: Any) -> Answer:
        self.asked.append(path)
        self.silent.wait(20)
        if self.huge:
            return 200, "x" * self.huge, {}
        if self.moved:
            return 301, {"message": "Moved Permanently"}, {"Location": self.moved + path}
        if self.busy:
            self.busy -= 1
            return 429, {"message": "Too many requests"}, {"Retry-After": "0"}
        place = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(place.query).items()}
        for pattern, system in (
            (r"/repos/acme/api/actions(/workflows/build\.yml)?/runs", "github"),
            (r"/api/v4/projects/acme%2Fapi/pipelines(?:/(\d+))?", "gitlab"),
            (r"/api/v2/(?:project/gh/acme/api/pipeline(?:/(\d+))?|pipeline/([^/]+)/workflow)", "circleci"),
            (r"/job/api(?:/(\d+))?/api/json", "jenkins"),
        ):
            if found := re.fullmatch(pattern, place.path):
                if refused := self._refused(system, headers):
                    return refused
                answer: Answer = getattr(self, f"_{system}")(query, *found.groups())
                return answer
        return 404, {"message": "Not Found"}, {}

    def _refused(self, system: str, headers: Any) -> Answer | None:
        sent = {
            "github": headers.get("Authorization", "").removeprefix("Bearer "),
            "gitlab": headers.get("PRIVATE-TOKEN", ""),
            "circleci": headers.get("Circle-Token", ""),
            "jenkins": headers.get("Authorization", ""),
        }[system]
        if system == "jenkins":
            sent = base64.b64decode(sent.removeprefix("Basic ")).decode().removeprefix("qd:")
        if self.reset is not None:
            at = str(int(time.time() + self.reset))
            if system == "github":
                body = {"message": "API rate limit exceeded for user ID 1."}
                return 403, body, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": at}
            return 429, {"message": "Retry later"}, {"RateLimit-Remaining": "0", "RateLimit-Reset": at}
        if self.expired:
            return 401, {"error": "invalid_token", "error_description": "Token is expired."}, {}
        if sent != self.token:
            words = f"Bad credentials: {sent}" if self.said_back else "Bad credentials"
            return 401, {"message": words}, {}
        if self.forbidden:
            return 403, {"message": "Resource not accessible by personal access token"}, {}
        return None

    def _page(self, found: list[Any], query: dict[str, str], path: str) -> tuple[list[Any], dict[str, str]]:
        size = min(int(query.get("per_page", "30")), LARGEST_PAGE)
        page = int(query.get("page", "1"))
        more = len(found) > page * size
        rest = "&".join(f"{name}={value}" for name, value in query.items() if name != "page")
        server = "http://127.0.0.1:1" if self.elsewhere else self.url
        link = {"Link": f'<{server}{path}?{rest}&page={page + 1}>; rel="next"'} if more else {}
        return found[(page - 1) * size : page * size], link

    def _github(self, query: dict[str, str], workflow: str | None) -> Answer:
        runs = [
            {
                "id": 30_000_000_000 + one["number"],
                "name": one.get("workflow", "build"),
                "run_number": one["number"],
                "run_attempt": 1,
                "event": "push",
                "status": WORDS["github"][one["status"]][0],
                "conclusion": WORDS["github"][one["status"]][1],
                "head_branch": one.get("branch", "main"),
                "head_sha": one["commit"],
                "html_url": f"https://github.com/acme/api/actions/runs/{one['number']}",
                "created_at": "2026-11-29T10:00:00Z",
                "run_started_at": "2026-11-29T10:00:00Z",
                "updated_at": "2026-11-29T10:02:30Z",
                "actor": {"login": one.get("author", "maya"), "id": 1},
            }
            for one in self.builds
            if query.get("head_sha", one["commit"]) == one["commit"]
            and query.get("branch", one.get("branch", "main")) == one.get("branch", "main")
        ]
        page, link = self._page(runs, query, f"/repos/acme/api/actions{workflow or ''}/runs")
        return 200, {"total_count": len(runs), "workflow_runs": page}, link

    def _gitlab(self, query: dict[str, str], number: str | None) -> Answer:
        found = []
        for one in self.builds:
            listed = {
                "id": one["number"],
                "iid": one["number"],
                "project_id": 1,
                "status": WORDS["gitlab"][one["status"]],
                "source": "push",
                "ref": one.get("tag") or one.get("branch", "main"),
                "sha": one["commit"],
                "web_url": f"https://gitlab.com/acme/api/-/pipelines/{one['number']}",
                "created_at": "2026-11-29T11:00:00.000+01:00",
                "updated_at": "2026-11-29T11:02:30.000+01:00",
            }
            details = {
                "tag": bool(one.get("tag")),
                "user": {"username": one.get("author", "maya")},
                "started_at": "2026-11-29T11:00:00.000+01:00",
                "finished_at": "2026-11-29T11:02:30.000+01:00",
                "duration": 150,
            }
            if number == str(one["number"]):
                return 200, listed | details, {}
            if query.get("sha", one["commit"]) == one["commit"] and query.get("ref", listed["ref"]) == listed["ref"]:
                found.append(listed)
        if number is not None:
            return 404, {"message": "404 Not found"}, {}
        page, link = self._page(found, query, "/api/v4/projects/acme%2Fapi/pipelines")
        return 200, page, link

    def _circleci(self, query: dict[str, str], number: str | None, pipeline: str | None) -> Answer:
        found = []
        for one in self.builds:
            body = {
                "id": f"id-{one['number']}",
                "number": one["number"],
                "project_slug": "gh/acme/api",
                "state": "created",
                "created_at": "2026-11-29T10:00:00.000Z",
                "updated_at": "2026-11-29T10:00:00.000Z",
                "errors": [],
                "trigger": {"type": "webhook", "actor": {"login": one.get("author", "maya"), "avatar_url": None}},
                "vcs": {"revision": one["commit"], "branch": one.get("branch", "main")}
                | ({"tag": one["tag"], "branch": None} if one.get("tag") else {}),
            }
            if pipeline == body["id"]:
                ended = None if one["status"] in ("running", "queued") else "2026-11-29T10:02:30Z"
                states = one.get("workflows") or [("build", WORDS["circleci"][one["status"]])]
                items = [
                    {
                        "id": f"w{at}",
                        "name": name,
                        "status": state,
                        "created_at": f"2026-11-29T10:00:{at:02}Z",
                        "stopped_at": ended,
                    }
                    for at, (name, state) in enumerate(states)
                ]
                return 200, {"items": items[::-1], "next_page_token": None}, {}
            if number == str(one["number"]):
                return 200, body, {}
            if query.get("branch", one.get("branch", "main")) == one.get("branch", "main"):
                found.append(body)
        if number is not None or pipeline is not None:
            return 404, {"message": "Pipeline not found"}, {}
        start = int(query.get("page-token", "0"))
        end = start + LARGEST_PAGE
        return 200, {"items": found[start:end], "next_page_token": str(end) if end < len(found) else None}, {}

    def _jenkins(self, query: dict[str, str], number: str | None) -> Answer:
        found = []
        for one in self.builds:
            going = one["status"] in ("running", "queued")
            body = {
                "_class": "org.jenkinsci.plugins.workflow.job.WorkflowRun",
                "number": one["number"],
                "result": WORDS["jenkins"][one["status"]],
                "building": going,
                "timestamp": 1795946400000,
                "duration": 0 if going else 150_000,
                "url": f"{self.url}/job/api/{one['number']}/",
                "actions": [
                    {"causes": [{"shortDescription": "Started by user", "userName": one.get("author", "maya")}]},
                    {},
                    None,
                    {
                        "lastBuiltRevision": {
                            "SHA1": one["commit"],
                            "branch": [
                                {"SHA1": one["commit"], "name": f"refs/remotes/origin/{one.get('branch', 'main')}"}
                            ],
                        }
                    },
                ],
            }
            if number == str(one["number"]):
                return 200, body, {}
            found.append(body)
        if number is not None:
            return 404, "<html>Not Found</html>", {}
        count = re.search(r"\{0,(\d+)\}$", query["tree"])
        assert count is not None, "without a range Jenkins reads every build from its disk"
        return 200, {"allBuilds": found[: int(count[1])]}, {}


@contextmanager
def ci_server() -> Iterator[CiServer]:
    server = CiServer()
    server.silent.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, body, headers = server.answer(self.path, self.headers)
            text = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            if not server.drip:
                self.wfile.write(text)
                return
            for at in range(len(text)):
                try:
                    self.wfile.write(text[at : at + 1])
                except OSError:
                    return
                time.sleep(server.drip)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Who asked has gone away: that is what some tests do."""

    http = Server(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.silent.set()
        http.shutdown()
        http.server_close()
