"""What YAML would turn into numbers, booleans, dates or base-60 stays the text that was written."""

import pytest

from tests.config.conftest import Load, Refuse

FLEET = """
fleet: {fleet}
hosts: {{a: {{ssh: a}}}}
environments: {{e: {{hosts: [a]}}}}
services:
  s:
    artifact: {{tarball: x.tgz}}
    path: /srv/s
    unit: s.service
    env: {{VALUE: {value}}}
"""
TRAPS = [
    *(
        "1.10",
        "0123456",
        "12:30",
        "22:22:22",
        "on",
        "off",
        "no",
        "yes",
        "y",
        "n",
        "True",
        "FALSE",
        "1e3",
        "1_000",
        "0x1F",
    ),
    *(
        "0o17",
        "0b1",
        ".5",
        "5.",
        "+1",
        "-0",
        ".inf",
        "-.INF",
        ".nan",
        "2026-12-20",
        "2001-12-14t21:59:43.10-05:00",
        "=",
    ),
    *(
        "1.0.0",
        "1,000",
        "true",
        "false",
        "007",
        "12e03",
        "685_230.15",
        "190:20:30",
        "é",
        "日本",
        "a b",
        "$HOME",
        "$(id)",
    ),
]


@pytest.mark.parametrize("text", TRAPS)
@pytest.mark.parametrize("parser", ["c", "python"])
def test_a_plain_value_is_its_text(text: str, parser: str, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    if parser == "python":
        monkeypatch.setattr("yaml.__with_libyaml__", False)
    value = text if "," not in text else f'"{text}"'
    assert load(FLEET.format(fleet="x", value=value)).targets["e/s"].env["VALUE"] == text


@pytest.mark.parametrize("text", ["1.10", "0123456", "on", "no", "1e3", "null", "2026-12-20"])
def test_names_are_their_text_too(text: str, load: Load) -> None:
    fleet = load(
        f"""
        fleet: {text}
        hosts: {{{text}: {{ssh: {text}, labels: {{{text}: {text}}}}}}}
        environments: {{{text}: {{hosts: ['{text}']}}}}
        services: {{{text}: {{artifact: {{tarball: x}}, path: /srv/x, unit: x.service}}}}
        """.replace(": null", ': "null"').replace("ssh: null", 'ssh: "null"')
    )
    assert (fleet.name, list(fleet.hosts), fleet.services) == (text, [text], (text,))
    assert fleet.hosts[text].ssh == text
    assert fleet.hosts[text].labels == {text: text}
    assert list(fleet.targets) == [f"{text}/{text}"]


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_what_could_be_nothing_must_be_quoted(text: str, load: Load, refuse: Refuse) -> None:
    problem = refuse(FLEET.format(fleet="x", value=text))[0]
    assert (problem.line, problem.message.split(",")[0]) == (10, "expected text")
    assert load(FLEET.format(fleet="x", value=f'"{text}"')).targets["e/s"].env["VALUE"] == text


def test_blocks_and_quotes_give_what_yaml_says(load: Load) -> None:
    fleet = load(
        r"""
        fleet: x
        hosts: {a: {ssh: a}}
        environments: {e: {hosts: [a]}}
        services:
          s:
            artifact: {tarball: x.tgz}
            path: /srv/s
            unit: s.service
            env:
              BLOCK: |
                on
                 two
              FOLDED: >-
                one
                two
              DOUBLE: "a\tb\u00e9\n"
              SINGLE: 'it''s'
              EMPTY: ""
              # a tilde, a hash and braces within text
              ODD: a # b
        """
    )
    env = fleet.targets["e/s"].env
    assert env == {
        "BLOCK": "on\n two\n",
        "FOLDED": "one two",
        "DOUBLE": "a\tbé\n",
        "SINGLE": "it's",
        "EMPTY": "",
        "ODD": "a",
    }


@pytest.mark.parametrize("text", ["yes", "on", "True", "TRUE", "1", "y", '""'])
def test_only_true_and_false_are_booleans(text: str, refuse: Refuse) -> None:
    problems = refuse(FLEET.format(fleet="x", value="x") + f"    rollback: {{automatic: {text}}}\n")
    assert [(p.line, p.column, p.expected) for p in problems] == [(11, 27, "`true` or `false`")]
