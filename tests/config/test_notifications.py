"""Notifications in the fleet file: no login stands in it, no error shows one, and what can't be filled in is said at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from quarterdeck.config.load import FleetFileErrors, load_fleet
from quarterdeck.config.model import Fleet, Notice, SecretReference
from quarterdeck.config.notifications import BODY, PLACEHOLDERS, TITLE, USUAL, Destination
from quarterdeck.config.problems import Problem, render

TOKEN = "xoxb-9911-canary"


def loaded(directory: Path, *notify: Any) -> tuple[Destination, ...]:
    body = {
        "fleet": "acme",
        "state": str(directory / "state"),
        "notify": list(notify),
        "hosts": {"box": {"ssh": "box"}},
        "environments": {"dev": {"hosts": ["box"]}, "production": {"hosts": ["box"]}},
        "services": {
            "api": {
                "artifact": {"tarball": "a-{version}.tgz"},
                "path": "/srv/{environment}",
                "commands": {"start": "s", "stop": "t"},
            }
        },
    }
    file = directory / "fleet.yml"
    file.write_text(json.dumps(body, indent=1))
    return load_fleet(file).notify


def refused(directory: Path, *notify: Any) -> tuple[Problem, ...]:
    with pytest.raises(FleetFileErrors) as caught:
        loaded(directory, *notify)
    return caught.value.problems


def test_a_reference_and_a_url_without_a_login_with_the_usual_words(tmp_path: Path) -> None:
    first, second = loaded(
        tmp_path,
        {"to": {"env": "SLACK_URL"}},
        {"to": "json://localhost:8080/deploys?verify=no", "on": ["started", "failed"], "environments": ["production"]},
    )
    assert first == Destination(1, secret=SecretReference("env", "SLACK_URL"))
    assert (first.on, first.title, first.body) == (USUAL, TITLE, BODY)
    assert (second.number, second.url, second.on) == (
        2,
        "json://localhost:8080/deploys?verify=no",
        ("started", "failed"),
    )
    assert first.is_about("dev", "api")
    assert not second.is_about("dev", "api")
    assert second.is_about("production", "api")


@pytest.mark.parametrize(
    "to",
    [
        f"slack://{TOKEN}/B/C",
        f"https://hooks.slack.com/services/{TOKEN}",
        f"jsons://user:{TOKEN}@example.com/x",
        f"jsons://{TOKEN}@example.com/x",
        f"jsons://example.com/x?+X-Token={TOKEN}",
        f"jsons://example.com/x?-token={TOKEN}",
        f"jsons://example.com/x?:token={TOKEN}",
        f"jsons://example.com/x?token={TOKEN}",
        f"jsons://example.com/x#{TOKEN}",
        f"jsons:///{TOKEN}",
        f"JSON://{TOKEN}",
        TOKEN,
    ],
)
def test_what_may_hold_a_login_is_refused_and_not_shown(tmp_path: Path, to: str) -> None:
    found = refused(tmp_path, {"to": to})
    assert [problem.line for problem in found] == [6]
    assert "{env: NAME}" in found[0].message
    assert TOKEN not in render(found)


@pytest.mark.parametrize(
    "entry", [f"slack://{TOKEN}", {"tto": f"slack://{TOKEN}"}, {"to_env": TOKEN}, {"to": {"url": f"slack://{TOKEN}"}}]
)
def test_nor_where_it_stands_in_the_wrong_place(tmp_path: Path, entry: Any) -> None:
    assert TOKEN not in render(refused(tmp_path, entry))


def test_what_there_is_not_is_named_with_the_nearest(tmp_path: Path) -> None:
    to = {"env": "URL"}
    told = {
        problem.nearest: problem.message
        for problem in refused(
            tmp_path,
            {"to": to, "on": ["faild"], "environments": ["prodution"], "services": ["apy"], "title": "{{targt}}"},
            {"to": to, "body": "{{secret.DATABASE_URL}}"},
        )
    }
    assert {"failed", "production", "api", "{{target}}"} <= told.keys()
    assert any(f"only {', '.join(PLACEHOLDERS)}" in message for message in told.values())
    assert len(refused(tmp_path, {"to": to, "on": []}, {"to": to, "on": ["failed", "failed"]}, {"on": ["failed"]})) == 3


def stepping(
    directory: Path, *steps: Any, notify: Any = ({"name": "oncall", "to": {"env": "URL"}, "on": []},)
) -> Fleet:
    """A fleet whose canary has these steps."""
    loaded(directory)
    file = directory / "fleet.yml"
    body = json.loads(file.read_text())
    body["services"]["api"]["strategy"] = {"canary": {"steps": [{"set_weight": 25}, *steps]}}
    if notify is None:
        del body["notify"]
    else:
        body["notify"] = list(notify)
    file.write_text(json.dumps(body, indent=1))
    return load_fleet(file)


def test_what_steps_tell_and_whom(tmp_path: Path) -> None:
    fleet = stepping(
        tmp_path,
        {"notify": "{{version}} is at 25 %"},
        {"notify": {"to": ["oncall"], "title": "{{target}}", "body": "look"}},
        {"notify": {}},
    )
    (one,) = fleet.notify
    assert (one.name, one.on) == ("oncall", ())
    assert fleet.targets["dev/api"].strategy.steps[1:] == (
        Notice(body="{{version}} is at 25 %"),
        Notice(("oncall",), "{{target}}", "look"),
        Notice(),
    )


@pytest.mark.parametrize(
    ("step", "notify", "words", "nearest"),
    [
        ({"to": ["onkall"]}, [{"name": "oncall", "to": {"env": "URL"}}], "has the name `onkall`", "oncall"),
        ("hello", None, "has nobody to tell", None),
        ("hello", [], "has nobody to tell", None),
        ("{{weigth}}", [{"to": {"env": "URL"}}], "can't be filled in", None),
        ({"to": []}, [{"to": {"env": "URL"}}], "found an empty list", None),
        (
            "hello",
            [{"name": "a", "to": {"env": "URL"}}, {"name": "a", "to": {"env": "V"}}],
            "another destination",
            None,
        ),
        ("hello", [{"to": {"env": "URL"}, "on": []}], "without a `name` no step tells it either", None),
        ("hello", [{"to": {"env": "URL"}, "on": ["faild"]}], "found `faild`", "failed"),
    ],
)
def test_a_step_that_tells_nobody_is_refused(
    tmp_path: Path, step: Any, notify: Any, words: str, nearest: str | None
) -> None:
    with pytest.raises(FleetFileErrors) as caught:
        stepping(tmp_path, {"notify": step}, notify=notify)
    problems = {problem.message for problem in caught.value.problems}
    assert len(problems) == 1, problems
    assert words in problems.pop()
    if nearest is not None:
        assert {problem.nearest for problem in caught.value.problems} == {nearest}
