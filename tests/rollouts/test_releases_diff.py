"""What differs between two releases, and that secrets' values have no place in it."""

import msgspec

from quarterdeck.config.model import Commands, ConfigFile, Health, Hook, Hooks, HttpCheck, Runner, SecretReference
from quarterdeck.config.release import Release, ResolvedArtifact, SecretRecord
from quarterdeck.rollouts.differences.releases import compare, lines, to_value

OLD = Release(
    "production/web",
    "v1",
    ResolvedArtifact("/a/web-v1.tgz", "a" * 64),
    "/srv/web",
    Runner(commands=Commands("start", "stop")),
    env={"A": "1", "B": "2", "C": "3"},
    files=(ConfigFile("etc/web.yml", "level: info\nport: 1\n"), ConfigFile("etc/old.yml", "x\n")),
    secrets={"TOKEN": SecretRecord(SecretReference("env", "TOKEN"), "00:11")},
    health=Health(http=HttpCheck(80)),
)


def test_nothing_differs_from_itself() -> None:
    difference = compare(OLD, OLD)
    assert difference.empty
    assert to_value(difference)["same"] is True
    assert ("nothing differs", "") in lines(difference)


def test_environment_added_removed_changed() -> None:
    new = msgspec.structs.replace(OLD, env={"A": "1", "B": "two", "D": "4"})
    assert [(c.name, c.before, c.after) for c in compare(OLD, new).env] == [
        ("B", "2", "two"),
        ("C", "3", None),
        ("D", None, "4"),
    ]
    assert ("- C: 3", "-") in lines(compare(OLD, new))
    assert ("+ D: 4", "+") in lines(compare(OLD, new))


def test_files_as_a_unified_diff() -> None:
    new = msgspec.structs.replace(
        OLD, files=(ConfigFile("etc/web.yml", "level: debug\nport: 1\n", 0o600), ConfigFile("etc/new.yml", "y\n"))
    )
    changes = {change.path: change for change in compare(OLD, new).files}
    assert {path: change.kind for path, change in changes.items()} == {
        "etc/new.yml": "added",
        "etc/old.yml": "removed",
        "etc/web.yml": "changed",
    }
    assert changes["etc/web.yml"].diff[0] == "mode 644 to 600"
    assert "-level: info" in changes["etc/web.yml"].diff
    assert "+level: debug" in changes["etc/web.yml"].diff
    assert changes["etc/new.yml"].diff[-1] == "+y"


def test_version_digest_runner_health_and_hooks() -> None:
    new = msgspec.structs.replace(
        OLD,
        version="v2",
        artifact=ResolvedArtifact("/a/web-v2.tgz", "b" * 64),
        runner=Runner(unit="web.service"),
        health=Health(http=HttpCheck(81)),
        hooks=Hooks(before=(Hook("migrate"),)),
    )
    difference = compare(OLD, new)
    assert [change.name for change in difference.facts] == ["version", "digest"]
    assert ("http.port", "80", "81") in [(c.name, c.before, c.after) for c in difference.settings["health"]]
    assert ("unit", None, "web.service") in [(c.name, c.before, c.after) for c in difference.settings["runner"]]
    assert ("before[0].run", None, "migrate") in [(c.name, c.before, c.after) for c in difference.settings["hooks"]]
    assert not difference.empty
    assert difference.counts == {"runner": len(difference.settings["runner"]), "health": 1, "hooks": 1}, (
        "a hook counts once"
    )


def test_secrets_are_compared_by_reference_and_fingerprint() -> None:
    def value(record: SecretRecord | None) -> str:
        return compare(OLD, msgspec.structs.replace(OLD, secrets={"TOKEN": record} if record else {})).secrets[0].value

    assert value(SecretRecord(SecretReference("env", "TOKEN"), "00:11")) == "same"
    assert value(SecretRecord(SecretReference("env", "TOKEN"), "22:33")) == "same reference"
    assert value(SecretRecord(SecretReference("file", "token"), "22:33")) == "other reference"
    assert value(None) == "removed"
    assert compare(msgspec.structs.replace(OLD, secrets={}), OLD).secrets[0].value == "added"
    assert "00:11" not in str(to_value(compare(OLD, msgspec.structs.replace(OLD, secrets={}))))
