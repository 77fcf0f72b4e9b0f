"""`flags` and the strategy `flag`: what is read, and where each mistake is."""

import msgspec
import pytest

from quarterdeck.config.flags import CommandFlag, FlagdFlag, UnleashFlag
from quarterdeck.config.model import Pause, Run, SecretReference, SetFlag, Share
from tests.config.conftest import Load, Refuse

GOOD = """\
fleet: x
state: /tmp/x
hosts: {a: {ssh: a}, b: {ssh: b}, box: {docker: "unix:///x"}}
environments:
  staging: {hosts: [a]}
  production: {hosts: [a, b]}
analyses:
  smoke: [{name: smoke, metric: {command: "true"}}]
  beside: [{name: times, metric: {probe: {}}, compare: baseline, count: 30}]
  lines: [{name: lines, metric: {logs: {}}, success: value < 1}]
flags:
  checkout: {flagd: {hosts: [a, b], file: /etc/flagd/flags.json, flag: new-checkout}}
  search: {unleash: {url: "https://u.example.com", flag: s, environment: prod, token: {env: T}}}
  prices: {command: {read: cat p, set: 'echo "$1" > p'}}
services:
  api:
    artifact: {tarball: x.tgz}
    path: "/srv/{environment}/api"
    unit: api.service
    environments: {staging: {strategy: rolling}}
    strategy:
      flag:
        use: checkout
        safeguards: [smoke]
        steps: [{set_flag: 5}, {pause: 10m}, {run: bin/x}, {set_flag: 100}, {bake: 1h}]
"""
USE, SAFEGUARDS, STEPS = 23, 24, 25  # the lines


def test_all_three_kinds_are_read(load: Load) -> None:
    flags = load(GOOD).flags
    assert flags["checkout"] == FlagdFlag(
        "/etc/flagd/flags.json", "new-checkout", name="checkout", hosts=("a", "b"), on="on", off="off"
    )
    assert flags["search"] == UnleashFlag(
        "https://u.example.com", "s", "prod", SecretReference("env", "T"), name="search", project="default"
    )
    assert flags["prices"] == CommandFlag("cat p", 'echo "$1" > p', name="prices")
    for flag in flags.values():
        assert msgspec.convert(msgspec.to_builtins(flag), FlagdFlag | UnleashFlag | CommandFlag) == flag


def test_the_strategy_is_read(load: Load) -> None:
    target = load(GOOD).targets["production/api"]
    strategy = target.strategy
    assert (strategy.kind, strategy.flag, strategy.safeguards) == ("flag", "checkout", ("smoke",))
    assert strategy.max_unavailable == Share(count=1)
    assert [type(step) for step in strategy.steps][:4] == [SetFlag, Pause, Run, SetFlag]
    assert [step.percent for step in strategy.steps if isinstance(step, SetFlag)] == [5, 100]
    assert [hook.run for hook in target.hooks.steps] == ["bin/x"]
    batches = load(GOOD.replace("use: checkout", "use: checkout\n        batches: [1, 100%]")).targets["production/api"]
    assert batches.strategy.batches == (Share(count=1), Share(percent=100))
    assert batches.strategy.max_unavailable is None


CASES = [
    ("hosts: [a, b], file", "hosts: [a, c], file", 12, "there is no host `c`", None),
    ("hosts: [a, b], file", "hosts: [box], file", 12, "`box` is a Docker engine", None),
    ("file: /etc/flagd/flags.json", "file: flags.json", 12, "it must begin with / or ~/", None),
    ("flag: new-checkout}", "flag: n, on: x, off: x}", 12, "the same variant", None),
    ("flag: new-checkout}", "flga: n}", 12, "unknown key `flga`", "flag"),
    ("flag: new-checkout}", "timeout: 5}", 12, "expected a duration", "5s"),
    ('"https://u.example.com"', '"https://me:pw@u.example.com"', 13, "this URL has a login", None),
    ('"https://u.example.com"', "u.example.com", 13, "expected a URL", None),
    ('"https://u.example.com"', '"http://u.example.com"', 13, "the token would go over the network without", None),
    ("token: {env: T}", "token: hunter2", 13, "this file never holds it", None),
    ("{read: cat p, set", "{set", 14, "`read` is missing", None),
    ("command: {read", "comand: {read", 14, "unknown key `comand`", "command"),
    ("use: checkout", "use: chekout", USE, "there is no flag `chekout`", "checkout"),
    ("environments: {staging: {strategy: rolling}}", "env: {}", USE, "the flag of staging/api already", None),
    ("safeguards: [smoke]", "safeguards: [smkoe]", SAFEGUARDS, "there is no analysis `smkoe`", "smoke"),
    ("safeguards: [smoke]", "safeguards: [beside]", SAFEGUARDS, "`beside` compares with the release before", None),
    ("safeguards: [smoke]", "safeguards: [lines]", SAFEGUARDS, "nothing says where they are", None),
    ("safeguards: [smoke]", "safeguards: smoke", SAFEGUARDS, "expected a list of names", None),
    ("{set_flag: 5}", "{set_flag: 0}", STEPS, "a whole percentage from 1 to 100", None),
    ("{set_flag: 5}", "{set_flag: 2.5}", STEPS, "a whole percentage from 1 to 100", None),
    ("{set_flag: 5}", "{set_flag: 100}", STEPS, "set_flag 100 comes after 100", None),
    ("{set_flag: 5}", "{set_weight: 5}", STEPS, "`set_weight` is about hosts", None),
    ("{set_flag: 5}", "{set_flga: 5}", STEPS, "unknown key `set_flga`", "set_flag"),
    ("{bake: 1h}", "{bake: 1h}, {pause: 1m}", STEPS, "`bake` is the last step", None),
    (
        "[{set_flag: 5}, {pause: 10m}, {run: bin/x}, {set_flag: 100}, {bake: 1h}]",
        "[{bake: 1h}]",
        STEPS,
        "needs a",
        None,
    ),
    (
        "{set_flag: 5}, {pause: 10m}, {run: bin/x}, {set_flag: 100}, {bake: 1h}",
        "{pause: 1m}",
        STEPS,
        "needs a step",
        None,
    ),
    ("{bake: 1h}", "{analysis: [beside]}", STEPS, "has its place in a canary's step", None),
    ("{bake: 1h}", "{analysis: [nix]}", STEPS, "there is no analysis `nix`", None),
    ("{run: bin/x}", "{run: {run: bin/x, timeout: 1h}}", None, "progress_deadline (600s) must be longer", None),
    ("use: checkout", "max_unavailable: 1", USE, "`use` is missing in a flag strategy", None),
    ("{staging: {strategy: rolling}}", "{staging: {strategy: flag}}", 20, "`flag` needs its flag and its steps", None),
]


@pytest.mark.parametrize(("old", "new", "line", "message", "nearest"), CASES, ids=[f"{c[1]}: {c[3]}" for c in CASES])
def test_a_mistake_is_told_where_it_is(
    old: str, new: str, line: int | None, message: str, nearest: str | None, refuse: Refuse
) -> None:
    assert GOOD.count(old) == 1
    found = [problem for problem in refuse(GOOD.replace(old, new)) if message in problem.message]
    assert len(found) == 1, "told once"
    assert line is None or found[0].line == line
    assert found[0].nearest == nearest
    assert "hunter2" not in str(found[0])
    assert "pw@" not in str(found[0])


def test_all_mistakes_at_once(refuse: Refuse) -> None:
    broken = (
        GOOD.replace("[a, b], file", "[c], file").replace("use: checkout", "use: chekout").replace("[smoke]", "[x]")
    )
    told = [problem.message for problem in refuse(broken)]
    assert [word for word in ("host `c`", "flag `chekout`", "analysis `x`") if any(word in one for one in told)] == [
        "host `c`",
        "flag `chekout`",
        "analysis `x`",
    ]


def test_an_included_file_has_none(refuse: Refuse) -> None:
    problems = refuse(GOOD.replace("fleet: x\n", "fleet: x\ninclude: [b.yml]\n"), **{"b.yml": "flags: {}\n"})
    assert any("`flags` may stand in the main file only" in problem.message for problem in problems)


def test_set_flag_is_no_step_of_a_canary(refuse: Refuse) -> None:
    canary = "strategy: {canary: {steps: [{set_weight: 5}, {set_flag: 5}]}}"
    problems = refuse(GOOD.replace("{strategy: rolling}", f"{{{canary}}}"))
    assert any("`set_flag` is a step of the strategy `flag`" in problem.message for problem in problems)
