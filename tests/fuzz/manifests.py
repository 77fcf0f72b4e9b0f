"""What hosts keep of releases, as a broken or hostile host might tell it: no more than a named error, and never taken for whole when it
is not."""

import contextlib
import itertools
import shutil
from functools import cache
from pathlib import Path
from typing import Final, cast

import msgspec

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.contract import HostBackend
from quarterdeck.backends.hosts.docker import register
from quarterdeck.backends.hosts.manifest import check_release_id, manifest, parse_manifest
from quarterdeck.config.model import (
    Artifact,
    ConfigFile,
    Environment,
    Fleet,
    Health,
    Host,
    HttpCheck,
    Logs,
    Runner,
    SecretReference,
)
from quarterdeck.config.model import (
    Target as FleetTarget,
)
from quarterdeck.config.release import Release, ResolvedArtifact, SecretRecord, canonical, release_from_json, to_json
from quarterdeck.history.journal import Journal
from quarterdeck.rollouts.adopt import adopt, read_anchors
from quarterdeck.rollouts.manifest import release_in
from tests.backends.ssh.releases import QUICK
from tests.fuzz.host_answers import MARK, Told, runner
from tests.fuzz.target import Choices, Target, scratch, text_of

HOSTS: Final = tuple(Host(f"web-{number}", f"web-{number}") for number in (1, 2, 3))
TARGET: Final = FleetTarget(
    "production", "web", HOSTS, "/srv/web", Artifact("/a/{version}.tgz"), Runner(commands=QUICK)
)


def release_of(choices: Choices) -> Release:
    """Any release."""

    def word(most: int = 40) -> str:
        return choices.word(most).encode("utf-8", "replace").decode()  # no release can say what UTF-8 has not

    return Release(
        TARGET.name,
        word(12),
        ResolvedArtifact(word(), "".join("0123456789abcdef"[choices.below(16)] for _ in range(64))),
        "/srv/web" + word(8),
        Runner(commands=QUICK),
        env={word(8): word() for _ in range(choices.below(4))},
        files=tuple(ConfigFile(word(), word(), 0o600) for _ in range(choices.below(3))),
        secrets={word(8): SecretRecord(SecretReference("env", word()), word()) for _ in range(choices.below(3))},
        health=Health(http=HttpCheck(1 + choices.below(65535), word())) if choices.below(2) else None,
        logs=Logs(files=(word(),)) if choices.below(2) else None,
        commit=word(8) or None,
        created=word(8),
        created_by=word(8),
    )


def any_manifest(data: bytes) -> None:
    text = text_of(data)
    found = parse_manifest(text)
    if found is not None:
        with contextlib.suppress(ValueError):
            release = release_in(found)
            with contextlib.suppress(BackendError):
                check_release_id("host", "test", release.id)
            assert release_from_json(to_json(release)) == release
    state = register.from_label(text)
    if state is not None:
        assert register.from_label(register.to_label(state)) == state
    register.epoch_of({"quarterdeck.epoch": text})


def damaged_manifest(data: bytes) -> None:
    """The bytes choose a release, then what happens to its manifest."""
    choices = Choices(data)
    release = release_of(choices)
    body = canonical(manifest(release))
    found = parse_manifest(body.decode())
    assert found is not None
    assert release_in(found) == release, "what was written is what is read"
    damaged = bytearray(body)
    for _ in range(1 + choices.below(3)):
        at = choices.below(min(len(damaged), 65536)) if damaged else 0
        match choices.below(4):
            case 0:
                del damaged[at:]
            case 1:
                del damaged[at : at + 1 + choices.below(20)]
            case 2:
                damaged[at:at] = damaged[at : at + 1 + choices.below(20)]
            case _ if damaged:
                damaged[at] ^= 1 << choices.below(8)
    seen = parse_manifest(damaged.decode("utf-8", "replace"))
    if seen is None:
        return
    try:
        read = release_in(seen)
    except ValueError:
        return
    # When and by whom, the commit, where the artifact was and the fingerprints' salts are no part of what is run.
    assert (read.digest, read.id) == (release.digest, release.id), "what was changed was taken for whole"


class _Garbage:
    """Every host of it answers what it is given, through the real reader of answers."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self._answers = answers

    async def connect(self, host: Host, *, deadline: float = 20.0) -> "_Named":
        return _Named(host.name, self._answers[host.name])


class _Named(Told):
    def __init__(self, name: str, stdout: bytes) -> None:
        super().__init__(stdout)
        self._host = name

    async def close(self) -> None:
        return None


def whole_answer(release: Release) -> bytes:
    text = canonical(manifest(release)).decode()
    lines = [
        "clock 1764000000",
        "epoch 7",
        "holder rollout 1",
        "anchor 5:ab",
        f"current {release.id}",
        f"good {release.id}",
        f"kept {release.id} intact {text}",
        "service running",
        "disk 1000",
        "done",
    ]
    return "".join(f"{MARK} {line}\n" for line in lines).encode()


GOOD: Final = Release(TARGET.name, "v1", ResolvedArtifact("/a/v1.tgz", "1" * 64), "/srv/web", Runner(commands=QUICK))


@cache
def _empty_state() -> Path:
    state = scratch() / "empty"
    Journal.open(state).close()
    return state


_NUMBERS: Final = itertools.count()


def adopted_garbage(data: bytes) -> None:
    """web-1 and web-2 say what the input says, web-3 what is so."""
    first, _, second = data.partition(b"\0\0")
    state = scratch() / f"state-{next(_NUMBERS)}"
    shutil.copytree(_empty_state(), state)
    fleet = Fleet(
        "acme",
        Path("fleet.yml"),
        state,
        {host.name: host for host in HOSTS},
        {"production": Environment("production", tuple(host.name for host in HOSTS))},
        ("web",),
        {TARGET.name: TARGET},
    )
    backend = cast(HostBackend, _Garbage({"web-1": first, "web-2": second, "web-3": whole_answer(GOOD)}))
    try:
        with Journal.open(state) as journal:
            [found] = runner().run(adopt(backend, fleet, journal, [TARGET.name]))
            assert GOOD.id in found.releases, "the host that is well is heard"
            named = [*found.silent, *found.disagreements]
            for name, answer in (("web-1", first), ("web-2", second)):
                done = f"{MARK} done" in text_of(answer).split("\n")
                assert done or any(line.startswith(f"{name}: ") for line in named), f"{name} is not named"
            runner().run(read_anchors(backend, fleet, journal))
            journal.head()
            [again] = runner().run(adopt(backend, fleet, journal, [TARGET.name]))
            assert not again.changed, "twice is once"
    finally:
        shutil.rmtree(state)


def _seeds() -> list[bytes]:
    body = canonical(manifest(GOOD))
    state = register.to_label(register.State(3, "me", "1:a", "v1-0", ("v1-0",), (), {"v1-0": manifest(GOOD)}))
    return [body, canonical(to_json(GOOD)), state.encode(), b"[" * 4000, b'{"operations":{"a":' + b'{"a":' * 2000]


def _garbage_seeds() -> list[bytes]:
    whole = whole_answer(GOOD)
    other = whole_answer(msgspec.structs.replace(GOOD, version="v2"))
    return [
        whole + b"\0\0" + other,
        other + b"\0\0" + whole,
        whole.replace(b"epoch 7", b"epoch 9223372036854775807"),
        whole.replace(b"epoch 7", b"epoch 999999999999999999999999"),
        whole.replace(b"production/web", b"production/api") + b"\0\0" + whole[:200],
        whole.replace(b"intact", b"damaged"),
    ]


TARGETS: Final = (
    Target(
        "manifests",
        "any bytes in the place of a manifest, or of an engine's register, are a value or none",
        any_manifest,
        _seeds,
        longest=8192,
        examples=300,
    ),
    Target(
        "manifests-damaged",
        "a manifest says what its release said; cut short or changed, it is never taken for whole",
        damaged_manifest,
        lambda: [bytes((n * 37 + k * (2 * n + 3)) % 251 for k in range(160)) for n in range(16)],
        longest=600,
        examples=300,
    ),
    Target(
        "adopt",
        "hosts that say nonsense are named by qd adopt, and the others are heard",
        adopted_garbage,
        _garbage_seeds,
        longest=4096,
        examples=40,
    ),
)
