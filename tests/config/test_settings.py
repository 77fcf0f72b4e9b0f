"""The settings file: every key documented, every fault at once with its place, and never a reason not to start."""

from pathlib import Path

import pytest

from quarterdeck.config.problems import Problem
from quarterdeck.config.scalars import Unfit
from quarterdeck.config.settings import (
    DEFAULTS,
    Bound,
    Known,
    Settings,
    default_of,
    describe,
    key_name,
    read_settings,
    settings_path,
)

KNOWN = Known(
    ("dark", "light"),
    {
        "rollback": Bound(("R",)),
        "deploy": Bound(("D",)),
        "find": Bound(("slash",)),
        "follow": Bound(("f",), "logs"),
        "mark": Bound(("m",), "logs"),
        "sort": Bound(("o",), "matrix"),
    },
)


def read(tmp_path: Path, text: str) -> tuple[Settings, list[str]]:
    path = tmp_path / "settings.yml"
    path.write_text(text)
    settings, problems = read_settings(path, KNOWN)
    return settings, [place(problem) for problem in problems]


def place(problem: Problem) -> str:
    return f"{problem.line}:{problem.column}: {problem.message}"


def test_without_a_file_or_with_an_empty_one_everything_has_its_default(tmp_path: Path) -> None:
    assert read_settings(tmp_path / "none.yml", KNOWN) == (DEFAULTS, ())
    assert read(tmp_path, "") == (DEFAULTS, [])
    assert read(tmp_path, "# nothing yet\n") == (DEFAULTS, [])


def test_what_is_written_holds(tmp_path: Path) -> None:
    settings, problems = read(
        tmp_path,
        "look: light\nkeymap: {rollback: [ctrl-r, f2], find: [F]}\ncolumns: [back, age]\n"
        "rates: {logs: 4, observe: 1m}\nbell: false\nlog_lines: 5000\nconfirm: name\n",
    )
    assert problems == []
    assert (settings.look, settings.columns, settings.bell) == ("light", ("back", "age"), False)
    assert dict(settings.keymap) == {"rollback": ("ctrl+r", "f2"), "find": ("F",)}
    assert (settings.rates.logs, settings.rates.observe) == (4, 60.0)
    assert (settings.log_lines, settings.confirm, settings.mouse) == (5000, "name", False)


def test_all_faults_are_said_at_once_and_the_right_keys_hold(tmp_path: Path) -> None:
    settings, problems = read(
        tmp_path,
        "look: drak\nbel: false\nkeymap:\n  rolback: [x]\n  deploy: [alt+d]\nrates: {logs: 99}\ntitle: false\nmouse: yes\n",
    )
    assert settings.title is False
    assert (settings.look, settings.bell, settings.rates.logs, dict(settings.keymap)) == (None, True, 4, {})
    assert [problem.split(": ")[0] for problem in problems] == ["1:7", "2:1", "4:3", "5:12", "6:15", "8:8"]
    assert "unknown key `bel`" in problems[1]
    assert "too many terminals don't send it" in problems[3]


def test_the_nearest_name_is_said(tmp_path: Path) -> None:
    path = tmp_path / "settings.yml"
    path.write_text("loook: dark\nkeymap: {rolback: [x]}\n")
    assert [problem.nearest for problem in read_settings(path, KNOWN)[1]] == ["look", "rollback"]


@pytest.mark.parametrize(
    ("keymap", "fault"),
    [
        ("{deploy: [R]}", "the key `R` of `deploy` is that of `rollback` already (give it another one as well)"),
        ("{deploy: [x], rollback: [x]}", "the key `x` of `deploy` is that of `rollback` already"),
        ("{follow: [m]}", "the key `m` of `follow` is that of `mark` already (give it another one as well)"),
        ("{follow: [R]}", "the key `R` of `follow` is that of `rollback` already (give it another one as well)"),
        ("{deploy: [o]}", "the key `o` of `deploy` is that of `sort` already (give it another one as well)"),
    ],
)
def test_one_key_for_two_actions_is_a_fault_that_names_both(keymap: str, fault: str, tmp_path: Path) -> None:
    settings, problems = read(tmp_path, f"keymap: {keymap}\n")
    assert any(problem.endswith(fault) for problem in problems), problems
    assert "deploy" not in settings.keymap
    assert "follow" not in settings.keymap


def test_keys_may_be_swapped_and_two_panes_may_share_one(tmp_path: Path) -> None:
    settings, problems = read(tmp_path, "keymap: {deploy: [R], rollback: [D], follow: [o], mark: []}\n")
    assert problems == []
    assert settings.keymap["mark"] == ()


@pytest.mark.parametrize(
    ("text", "name"),
    [("/", "slash"), ("?", "question_mark"), ("[", "left_square_bracket"), ("ctrl-p", "ctrl+p"), ("ESC", "escape"),
     ("F5", "f5"), ("R", "R"), ("question_mark", "question_mark"), ("@", "at"), ("-", "minus")],
)  # fmt: skip
def test_a_key_has_one_name_however_it_is_written(text: str, name: str) -> None:
    assert key_name(text) == name


@pytest.mark.parametrize(
    "text", ["", " ", "alt+x", "ctrl+enter", "ctrl+c", "ctrl+q", "ctrl+m", "f13", "xx", "\x1b", "ctrl+"]
)
def test_what_is_no_key_or_can_not_be_moved_is_refused(text: str) -> None:
    with pytest.raises(Unfit):
        key_name(text)


def test_every_key_has_a_sentence_and_the_default_of_the_model() -> None:
    described = describe(KNOWN)
    assert {name for name, _, _ in described} == {
        "look", "keymap", "columns", "rates.logs", "rates.observe", "bell", "title", "mouse", "timestamps", "log_lines",
        "confirm",
    }  # fmt: skip
    for name, sentence, default in described:
        assert sentence.endswith("."), name
        if default and name != "look":  # where none is chosen, NO_COLOR and --slow have a say
            value: object = DEFAULTS
            for part in name.split("."):
                value = getattr(value, part)
            assert default_of(name, KNOWN) == value, name


def test_a_file_that_is_no_mapping_or_no_text_has_defaults_and_says_so(tmp_path: Path) -> None:
    for text in ("- a\n", "look: [\n", "just words\n", "a: !!python/object:os.system x\n"):
        settings, problems = read(tmp_path, text)
        assert settings == DEFAULTS
        assert problems
    (tmp_path / "settings.yml").write_bytes(b"look: \xff\n")
    assert read_settings(tmp_path / "settings.yml", KNOWN)[1][0].message == "this is not UTF-8 text"


def test_where_it_lies() -> None:
    assert settings_path({"XDG_CONFIG_HOME": "/c", "HOME": "/h"}) == Path("/c/quarterdeck/settings.yml")
    assert settings_path({"XDG_CONFIG_HOME": "relative", "HOME": "/h"}) == Path("/h/.config/quarterdeck/settings.yml")
