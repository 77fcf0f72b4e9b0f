"""Answers of CI systems, registries, metrics, routers and flags, of any form: a value or an error of ours, never another exception."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx

from quarterdeck.backends.artifacts.checksums import NoChecksum, find
from quarterdeck.backends.artifacts.registry.authorizing import CannotAuthorize, read_token
from quarterdeck.backends.artifacts.registry.challenges import read_challenges
from quarterdeck.backends.artifacts.registry.manifests import Index, NotAnImage, read_configuration, read_manifest
from quarterdeck.backends.builds.opening import open_builds
from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.flags.definitions import NoDefinition, read_share, with_share
from quarterdeck.backends.metrics.prometheus import PrometheusSource
from quarterdeck.backends.routers.haproxy.runtime import read_admin_states, read_rows
from quarterdeck.backends.routers.whole import read_plan
from quarterdeck.config.analyses import PrometheusMetric
from quarterdeck.config.builds import SYSTEMS, Builds
from quarterdeck.config.flags import FlagdFlag
from tests.fuzz.host_answers import runner
from tests.fuzz.target import Choices, Target, text_of, within

PROJECTS: Final = {"github": "a/b", "gitlab": "a/b", "circleci": "gh/a/b", "jenkins": "http://127.0.0.1:9/job/x"}
FLAG: Final = FlagdFlag("/f.json", "f")
METRIC: Final = PrometheusMetric("http://127.0.0.1:9", "up")
SLOWEST: Final = 5.0


@contextlib.contextmanager
def _answering(status: int, headers: dict[str, str], bodies: list[bytes]) -> Iterator[None]:
    """Every server answers so, one body after the other, the last one for ever."""
    asked = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        assert asked < 500, "it asks on and on"
        return httpx.Response(status, headers=headers, content=bodies[min(asked, len(bodies)) - 1])

    class Client(httpx.AsyncClient):
        def __init__(self, **_: Any) -> None:
            super().__init__(transport=httpx.MockTransport(answer))

    real = httpx.AsyncClient
    setattr(httpx, "AsyncClient", Client)  # noqa: B010 # for a type checker a class stays what it is
    try:
        yield
    finally:
        setattr(httpx, "AsyncClient", real)  # noqa: B010


def ci(data: bytes) -> None:
    """The first bytes choose the system, the question and the status; a NUL begins the next answer."""
    choices = Choices(data[:4])
    system = SYSTEMS[choices.below(len(SYSTEMS))]
    status = (200, 200, 201, 204, 301, 400, 401, 403, 404, 410)[choices.below(10)]
    link = ("", '<http://127.0.0.1:9/next>; rel="next"', "<http://elsewhere/>; rel=next", "<>;;rel=next")[
        choices.below(4)
    ]
    question = choices.below(3)
    builds = Builds(
        system,
        PROJECTS[system],
        url="" if system == "jenkins" else "http://127.0.0.1:9",
        version="v{number}-{short_sha}-{tag}-{branch}",
        timeout=20,
    )
    asked = open_builds(builds, Path("/"))
    with _answering(status, {"Link": link} if link else {}, data[4:].split(b"\0")), within(SLOWEST):
        try:
            match question:
                case 0:
                    found = runner().run(_of(asked.recent(20, deadline=2)))
                case 1:
                    found = runner().run(_of(asked.of_commit("a" * 40, deadline=2)))
                case _:
                    one = runner().run(_of(asked.build("1", deadline=2)))
                    found = (one,) if one is not None else ()
        except BackendError as error:
            _names(error, asked.name)
        else:
            for build in found:
                assert not any(ord(c) < 32 for c in f"{build.branch}{build.author}{build.link}{build.version}")


def _names(error: BackendError, name: str) -> None:
    assert str(error).startswith(name), error


async def _of(question: Any) -> Any:
    return await question


def registry(data: bytes) -> None:
    text = text_of(data)
    with within(SLOWEST):
        with contextlib.suppress(NotAnImage):
            found = read_manifest(data, "application/vnd.oci.image.manifest.v1+json")
            if isinstance(found, Index):
                found.here()
                found.images()
        with contextlib.suppress(NotAnImage):
            read_configuration(data).when()
        with contextlib.suppress(CannotAuthorize):
            assert read_token(data).lifetime >= 0
        for header in text.split("\n"):
            read_challenges([header])
        with contextlib.suppress(NoChecksum):
            assert len(find(text, "x.tar.gz")) == 64


def other(data: bytes) -> None:
    text = text_of(data)
    with within(SLOWEST):
        source = PrometheusSource(METRIC, Path("/"))
        with contextlib.suppress(BackendError):
            values, _ = source._read(200, data)
            assert all(isinstance(value, float) for value in values)
        with contextlib.suppress(NoDefinition):
            read_share(text, FLAG)
            assert abs(read_share(with_share(text, FLAG, 25), FLAG).percent - 25) < 0.01
        read_plan(text)
        with contextlib.suppress(ValueError):
            for row in read_rows(text):
                assert row.in_flight >= 0
        read_admin_states(text)


_RUN: Final = {
    "id": 1, "run_number": 2, "status": "completed", "conclusion": "success", "name": "ci", "head_branch": "main", "head_sha": "a" * 40,
    "event": "push", "html_url": "https://x/1", "created_at": "2026-11-30T01:02:03Z", "run_started_at": "2026-11-30T01:02:03Z",
    "updated_at": "2026-11-30T01:05:03Z", "actor": {"login": "maya"},
}  # fmt: skip
_PIPELINE: Final = {
    "id": 5, "iid": 2, "status": "success", "sha": "a" * 40, "ref": "main", "web_url": "https://x", "tag": False,
    "created_at": "2026-11-30T01:02:03Z",
    "started_at": "2026-11-30T01:02:03.000+14:00", "finished_at": "2026-11-30T01:05:03.000Z", "duration": 5, "user": {"username": "maya"},
}  # fmt: skip
_CIRCLE: Final = {
    "items": [{"id": "p", "number": 2, "state": "created", "created_at": "2026-11-30T01:02:03Z", "trigger": {"actor": {"login": "m"}},
               "vcs": {"revision": "a" * 40, "branch": "main"}, "status": "success", "name": "ci", "pipeline_number": 2, "pipeline_id": "p",
               "stopped_at": "2026-11-30T01:05:03Z"}],
    "next_page_token": None,
}  # fmt: skip
_JENKINS: Final = {
    "builds": [
        {
            "number": 2,
            "id": "2",
            "result": "SUCCESS",
            "building": False,
            "timestamp": 1764000000000,
            "duration": 5000,
            "url": "https://x/2/",
            "displayName": "#2",
            "actions": [
                {"lastBuiltRevision": {"SHA1": "a" * 40, "branch": [{"name": "origin/main"}]}},
                {"causes": [{"userName": "Maya"}]},
            ],
        }
    ],
}


def _ci_seeds() -> list[bytes]:
    bodies = [
        json.dumps(body).encode()
        for body in (
            {"workflow_runs": [_RUN]},
            [_PIPELINE],
            _PIPELINE,
            _CIRCLE,
            _JENKINS,
            {"workflow_runs": [_RUN | {"created_at": "0001-01-01T00:00:00+14:00", "run_started_at": None}]},
            [_PIPELINE | {"created_at": "9999-12-31T23:59:59-14:00"}],
            {"builds": [{"number": 2, "timestamp": 10**30, "duration": -1}]},
        )
    ]
    heads = [bytes([system, 0, link, question]) for system in range(4) for link in (0, 1) for question in range(3)]
    return [head + body for head in heads for body in bodies] + [
        heads[-3] + bodies[3] + b"\0" + bodies[3],
        bytes([0, 6, 0, 0]) + b'{"message": "Bad credentials"}',
    ]


def _registry_seeds() -> list[bytes]:
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "sha256:" + "a" * 64, "size": 5}
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "sha256:" + "b" * 64, "size": 6}
    documents: list[Any] = [
        {"schemaVersion": 2, "config": config, "layers": [layer]},
        {"schemaVersion": 2, "manifests": [layer | {"platform": {"os": "linux", "architecture": "amd64"}}]},
        {"schemaVersion": 1},
        {"os": "linux", "architecture": "amd64", "created": "2026-11-30T01:02:03.123456789Z"},
        {"token": "abc", "expires_in": 300},
    ]
    return [json.dumps(document).encode() for document in documents] + [
        b'Bearer realm="https://x/token",service="r",scope="repository:a:pull"\nBasic realm="a \\"b\\""',
        b"Basic" + b" " * 3000 + b"(",
        b"a" * 64 + b"  x.tar.gz\nSHA256 (x.tar.gz) = " + b"A" * 64,
    ]


def _other_seeds() -> list[bytes]:
    vector = {"resultType": "vector", "result": [{"metric": {}, "value": [1, "0.5"]}]}
    share = {"if": [{"fractional": [{"var": "targetingKey"}, ["on", 25], ["off", 75]]}]}
    flag = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off"}
    plan = {"share": 0, "rules": [], "slots": {"blue": {}, "green": {}}}
    return [json.dumps(body).encode() for body in (
        {"status": "success", "data": vector},
        {"status": "success", "data": {"resultType": "scalar", "result": [1, "NaN"]}},
        {"status": "error", "errorType": "bad_data", "error": "x"},
        {"flags": {"f": flag}},
        {"flags": {"f": flag | {"targeting": share["if"][0]}}},
        plan,
    )] + [
        b"# pxname,svname,status,check_status,check_code,last_chk,addr,scur,stot\nb,s1,UP,L7OK,200,,1:80,0,5\n",
        b"1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state\n1 b 1 s1 1.1.1.1 2 0 1\n",
        b'{"x":' + b"[" * 3000,
    ]  # fmt: skip


TARGETS: Final = (
    Target(
        "ci-answers",
        "whatever a CI system answers is builds that can be shown, or an error that names it",
        ci,
        _ci_seeds,
        longest=4096,
        examples=150,
    ),
    Target(
        "registry-answers",
        "whatever a registry answers is an image, a token, a checksum, or an error of ours, in linear time",
        registry,
        _registry_seeds,
        longest=4096,
        examples=150,
    ),
    Target(
        "other-answers",
        "so are answers of Prometheus, definitions of flags, plans and tables of routers",
        other,
        _other_seeds,
        longest=4096,
        examples=150,
    ),
)
