"""The keys of a strategy: the order and the pace in which the hosts of a target move, and what is waited for on the way."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from quarterdeck.config import scalars
from quarterdeck.config.approval_reading import APPROVAL
from quarterdeck.config.hooks import HOOK
from quarterdeck.config.kinds import BOOLEAN, COMMAND, DURATION, FLAG_PERCENT, MATCHED, NAME, SHARE, SOME_TIME, WEIGHT
from quarterdeck.config.model import (
    Analyse,
    Bake,
    CanaryStep,
    Hook,
    Pause,
    Run,
    SetFlag,
    SetRoute,
    SetScale,
    SetWeight,
    Share,
    Strategy,
)
from quarterdeck.config.nodes import MappingNode, SequenceNode
from quarterdeck.config.notify_reading import NOTICE
from quarterdeck.config.problems import Problems
from quarterdeck.config.shapes import Choice, Either, Key, Keys, ListOf, Scalar

DEFAULT_STRATEGY = Strategy(kind="rolling", max_unavailable=Share(count=1))

_ORDER = Key("order", Choice(("listed", "reversed", "random")), "The order of the hosts.", default="listed")
ANALYSIS_NAMES = ListOf(NAME, "a list of names such as [golden-signals]", least=1, distinct=True)
BAKE = Either(
    Scalar(SOME_TIME.expected, lambda text: Bake(scalars.positive_duration(text)), SOME_TIME.json),
    Keys(
        "a bake",
        (
            Key("duration", SOME_TIME, "How long it lasts.", required=True, field="seconds"),
            Key("analysis", ANALYSIS_NAMES, "What is measured meanwhile: names of `analyses`.", field="analyses"),
        ),
        make=Bake,
    ),
)
_BAKE = Key("bake", BAKE, "How long all hosts are watched at the end; a release that fails meanwhile is taken back.")


def _rolling(**found: Any) -> Strategy:
    if "batches" not in found:
        found.setdefault("max_unavailable", DEFAULT_STRATEGY.max_unavailable)
    return Strategy(kind="rolling", **found)


ROLLING = Keys(
    "a rolling strategy",
    (
        Key(
            "max_unavailable",
            SHARE,
            "How many hosts may be out of service at once. Without it: 1, or the whole batch where batches are given.",
        ),
        Key(
            "batches",
            ListOf(SHARE, "a list of batch sizes such as [1, 25%, 100%]", least=1),
            "The sizes of the batches; the last one repeats until every host is done.",
        ),
        Key(
            "max_surge",
            SHARE,
            "How many hosts may run both releases at once, where they can: instead of max_unavailable, as none is out of service then.",
        ),
        _ORDER,
        Key("pause", DURATION, "The time between two batches.", default="0"),
        _BAKE,
    ),
    make=_rolling,
)
RECREATE = Keys("a recreate strategy", (_BAKE,), make=lambda **found: Strategy(kind="recreate", **found))

PAUSE = Either(
    Scalar(SOME_TIME.expected, lambda text: Pause(scalars.positive_duration(text)), SOME_TIME.json),
    Keys(
        "a pause",
        (Key("duration", SOME_TIME, "How long it lasts. Without it: until somebody promotes.", field="seconds"),),
        make=Pause,
    ),
)
_MAKE: Mapping[str, Any] = {
    "set_weight": SetWeight,
    "set_scale": SetScale,
    "set_route": lambda it: it,
    "set_flag": SetFlag,
    "pause": lambda it: it,
    "run": Run,
    "bake": lambda it: it,
    "analysis": Analyse,
    "approval": lambda it: it,
    "notify": lambda it: it,
}


def _step(**found: Any) -> CanaryStep:
    name, value = next(iter(found.items()))
    step: CanaryStep = _MAKE[name](value)
    return step


def _rules(**found: tuple[str, ...]) -> SetRoute:
    return SetRoute(tuple((on, value) for on in ("header", "cookie") for value in found.get(on, ())))


_VALUES = ListOf(MATCHED, "a list of values such as [beta, staff]", least=1, distinct=True)
MATCH = Keys(
    "what is matched",
    (
        Key("header", _VALUES, "Values of the header that the service's `router` names (X-Qd-Variant)."),
        Key("cookie", _VALUES, "Values of the cookie that the service's `router` names (qd_variant)."),
    ),
    make=_rules,
)
_WAITING_STEPS = (
    Key("pause", PAUSE, "How long the rollout stands still here; {} is until somebody promotes."),
    Key(
        "run",
        Either(Scalar(COMMAND.expected, lambda text: Hook(run=scalars.some_text(text)), COMMAND.json), HOOK),
        "A command, as in hooks: on the first host that has the new release, on each that has it, or here.",
    ),
    Key("analysis", ANALYSIS_NAMES, "What is measured here before it goes on: names of `analyses`."),
    Key("approval", APPROVAL, "Who must agree here before it goes on; nobody promotes it past that."),
    Key("notify", NOTICE, "People who are told that it has come here; nothing waits for that."),
)
STEP = Keys(
    "a step",
    (
        Key(
            "set_weight",
            WEIGHT,
            "What the new release gets from here on: percent of the requests behind a router, else of the hosts.",
        ),
        Key("set_scale", SHARE, "How many hosts run the new release from here on, whatever its weight; with a router."),
        Key(
            "set_route",
            MATCH,
            "Which requests get the new release from here on, whatever its weight; with a router. {} ends that.",
        ),
        *_WAITING_STEPS,
        _BAKE,
    ),
    make=_step,
    one_of=("set_weight", "set_scale", "set_route", "pause", "run", "analysis", "approval", "notify", "bake"),
    refused={"set_flag": "is a step of the strategy `flag`: a canary is about hosts"},
)
FLAG_STEP = Keys(
    "a step of a flag",
    (
        Key("set_flag", FLAG_PERCENT, "How many percent get what the release has brought from here on."),
        *_WAITING_STEPS,
        _BAKE,
    ),
    make=_step,
    one_of=("set_flag", "pause", "run", "analysis", "approval", "notify", "bake"),
    refused=dict.fromkeys(
        ("set_weight", "set_scale", "set_route"), "is about hosts: all of them have it before the flag goes up"
    ),
)


AB_STEP = Keys(
    "a step of a test", _WAITING_STEPS, make=_step, one_of=("pause", "run", "analysis", "approval", "notify")
)


def _blue_green(
    pre_promotion: Sequence[CanaryStep] = (),
    post_promotion: Sequence[CanaryStep] = (),
    auto_promote: bool = True,
    **found: Any,
) -> Strategy:
    by_hand = () if auto_promote else (Pause(),)
    steps = (SetScale(Share(percent=100.0)), *pre_promotion, *by_hand, SetWeight(100.0), *post_promotion)
    return Strategy(kind="blue_green", **{"scale_down_delay": 30.0} | found, steps=steps)


ONE = Share(count=1)


def _ab(match: SetRoute, scale: Share = ONE, steps: Sequence[CanaryStep] = (Pause(),), **found: Any) -> Strategy:
    return Strategy(kind="ab", **{"max_unavailable": Share(count=1)} | found, steps=(SetScale(scale), match, *steps))


def _in_order(node: MappingNode, values: Mapping[str, Any], problems: Problems) -> bool:
    """Weights only grow: on hosts a step back would be a rollback. Nothing comes after the bake, and it watches all hosts."""
    steps: tuple[CanaryStep, ...] | None = values.get("steps")
    listed = node.value("steps")
    if steps is None or not isinstance(listed, SequenceNode):
        return True  # reported already
    before = 0.0
    sound, somebody = True, False
    for number, (step, at) in enumerate(zip(steps, listed.items, strict=True)):
        wrong = ""
        if isinstance(step, SetWeight):
            if step.percent <= before:
                wrong = f"set_weight {step.percent:g} comes after {before:g}: each must be more than the one before"
            before = max(before, step.percent)
            somebody = True
        elif isinstance(step, SetScale):
            somebody = True
        elif isinstance(step, SetRoute) and step.rules and not somebody:
            wrong = "nobody has the new release yet: `set_scale` or `set_weight` comes before it"
        elif isinstance(step, Bake) and before < 100:
            wrong = "`bake` watches all hosts: it needs `set_weight: 100` before it"
        elif isinstance(step, Bake) and number + 1 < len(steps):
            wrong = "`bake` is the last step: what is to be done after it belongs before it, or to hooks"
        if wrong:
            problems.add(at, wrong)
            sound = False
    if sound and not before:
        problems.add(listed, "a canary needs a step `set_weight`: without one all hosts would move at its end")
        return False
    return sound


CANARY = Keys(
    "a canary strategy",
    (
        Key(
            "steps",
            ListOf(STEP, "a list of steps such as [{set_weight: 25}, {pause: 5m}]", least=1),
            "What is done in turn; the hosts that are left move after the last step.",
            required=True,
        ),
        Key("max_unavailable", SHARE, "How many hosts may be out of service at once.", default="1"),
        _ORDER,
    ),
    make=lambda **found: Strategy(kind="canary", **{"max_unavailable": Share(count=1)} | found),
    check=_in_order,
)
AB = Keys(
    "a test of two releases",
    (
        Key("match", MATCH, "Whose requests get the new release.", required=True),
        Key("scale", SHARE, "How many hosts run the new release meanwhile.", default="1"),
        Key(
            "steps",
            ListOf(AB_STEP, "a list of steps such as [{pause: 1d}, {analysis: [sales]}]", least=1),
            "What is done before it goes to everybody. Without it: a pause until somebody promotes.",
        ),
        Key("max_unavailable", SHARE, "How many hosts may be out of service at once.", default="1"),
        _ORDER,
        _BAKE,
    ),
    make=_ab,
)
BLUE_GREEN = Keys(
    "a blue-green strategy",
    (
        Key(
            "pre_promotion",
            ListOf(AB_STEP, "a list of steps such as [{analysis: [smoke]}]", least=1),
            "What is done while the new instances run on all hosts and get no requests yet.",
        ),
        Key(
            "auto_promote",
            BOOLEAN,
            "Whether the requests go to them then; else once somebody promotes.",
            default="true",
        ),
        Key(
            "post_promotion",
            ListOf(AB_STEP, "a list of steps such as [{analysis: [golden-signals]}]", least=1),
            "What is done when they get all requests.",
        ),
        Key(
            "scale_down_delay",
            DURATION,
            "How long the old instances go on running then: a rollback is one change of the router meanwhile.",
            default="30s",
        ),
        _BAKE,
    ),
    make=_blue_green,
)
_STRATEGIES = {
    "rolling": DEFAULT_STRATEGY,
    "recreate": Strategy(kind="recreate"),
    "blue_green": _blue_green(),
}


def _upwards(node: MappingNode, values: Mapping[str, Any], problems: Problems) -> bool:
    """A flag only goes up: what takes it down is an abort, a failure, a rollback, or the kill switch. Nothing comes after the bake."""
    steps: tuple[CanaryStep, ...] | None = values.get("steps")
    listed = node.value("steps") if "steps" in node.entries else None
    if steps is None or not isinstance(listed, SequenceNode):
        return True  # reported already
    before, sound = 0, True
    for number, (step, at) in enumerate(zip(steps, listed.items, strict=True)):
        wrong = ""
        if isinstance(step, SetFlag):
            if step.percent <= before:
                wrong = f"set_flag {step.percent} comes after {before}: each must be more than the one before"
            before = max(before, step.percent)
        elif isinstance(step, Bake) and number + 1 < len(steps):
            wrong = "`bake` is the last step: what is to be done after it belongs before it"
        elif isinstance(step, Bake) and not before:
            wrong = "`bake` watches what the flag has let through: it needs a `set_flag` before it"
        if wrong:
            problems.add(at, wrong)
            sound = False
    if sound and not before:
        problems.add(listed, "the strategy `flag` needs a step `set_flag`: without one nobody would get it")
        return False
    return sound


FLAG_STRATEGY = Keys(
    "a flag strategy",
    (
        Key("use", NAME, "The flag: one of `flags`.", required=True, field="flag"),
        Key(
            "steps",
            ListOf(FLAG_STEP, "a list of steps such as [{set_flag: 5}, {pause: 10m}, {set_flag: 100}]", least=1),
            "What is done in turn, once every host has the release.",
            required=True,
        ),
        Key(
            "safeguards",
            ANALYSIS_NAMES,
            "What is measured all the time once the flag is up: names of `analyses`; one that fails takes it all back.",
        ),
        *(key for key in ROLLING.keys if key.name != "bake"),
    ),
    make=lambda **found: msgspec.structs.replace(_rolling(**found), kind="flag"),
    check=_upwards,
)
STRATEGY = Either(
    Choice(
        tuple(_STRATEGIES),
        _STRATEGIES.__getitem__,
        {
            "canary": "needs its steps: write canary: {steps: […]}",
            "ab": "needs to know whose requests: write ab: {match: {header: …}}",
            "flag": "needs its flag and its steps: write flag: {use: NAME, steps: […]}",
        },
    ),
    Keys(
        "a strategy",
        (
            Key("rolling", ROLLING, "Batch after batch, with the health gate between."),
            Key("recreate", RECREATE, "Stop everywhere, switch everywhere, start everywhere."),
            Key(
                "blue_green", BLUE_GREEN, "New instances beside the old ones, then all requests at once; with a router."
            ),
            Key("canary", CANARY, "A few hosts or requests first, then more, with pauses and commands between."),
            Key("ab", AB, "Requests with a header or a cookie get the new release, until it goes to everybody."),
            Key("flag", FLAG_STRATEGY, "All hosts as with rolling, and then a feature flag goes up, step by step."),
        ),
        make=lambda **found: next(iter(found.values())),
        one_of=("rolling", "recreate", "blue_green", "canary", "ab", "flag"),
    ),
)
