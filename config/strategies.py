"""The keys of a strategy: the order and the pace in which the hosts of a target move, and what is waited for on the way."""

from collections.abc import Mapping
from typing import Any

from quarterdeck.config import scalars
from quarterdeck.config.approval_reading import APPROVAL
from quarterdeck.config.hooks import HOOK
from quarterdeck.config.kinds import COMMAND, DURATION, NAME, SHARE, SOME_TIME, WEIGHT
from quarterdeck.config.model import Analyse, Bake, CanaryStep, Hook, Pause, Run, SetWeight, Share, Strategy
from quarterdeck.config.nodes import MappingNode, SequenceNode
from quarterdeck.config.parts import later
from quarterdeck.config.problems import Problems
from quarterdeck.config.shapes import Choice, Either, Key, Keys, ListOf, Scalar

DEFAULT_STRATEGY = Strategy(kind="rolling", max_unavailable=Share(count=1))
_STRATEGIES = {"rolling": DEFAULT_STRATEGY, "recreate": Strategy(kind="recreate")}

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
        _ORDER,
        Key("pause", DURATION, "The time between two batches.", default="0"),
        _BAKE,
    ),
    make=_rolling,
    refused=later("max_surge"),
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
    "pause": lambda it: it,
    "run": Run,
    "bake": lambda it: it,
    "analysis": Analyse,
    "approval": lambda it: it,
}


def _step(**found: Any) -> CanaryStep:
    name, value = next(iter(found.items()))
    step: CanaryStep = _MAKE[name](value)
    return step


STEP = Keys(
    "a step",
    (
        Key("set_weight", WEIGHT, "How many percent of the hosts run the new release from here on."),
        Key("pause", PAUSE, "How long the rollout stands still here; {} is until somebody promotes."),
        Key(
            "run",
            Either(Scalar(COMMAND.expected, lambda text: Hook(run=scalars.some_text(text)), COMMAND.json), HOOK),
            "A command, as in hooks: on the first host that has the new release, on each that has it, or here.",
        ),
        Key("analysis", ANALYSIS_NAMES, "What is measured here before it goes on: names of `analyses`."),
        Key("approval", APPROVAL, "Who must agree here before it goes on; nobody promotes it past that."),
        _BAKE,
    ),
    make=_step,
    one_of=("set_weight", "pause", "run", "analysis", "approval", "bake"),
    refused=later("set_scale", "set_route", "set_flag", "notify"),
)


def _in_order(node: MappingNode, values: Mapping[str, Any], problems: Problems) -> bool:
    """Weights only grow: on hosts a step back would be a rollback. Nothing comes after the bake, and it watches all hosts."""
    steps: tuple[CanaryStep, ...] | None = values.get("steps")
    listed = node.value("steps")
    if steps is None or not isinstance(listed, SequenceNode):
        return True  # reported already
    before = 0.0
    sound = True
    for number, (step, at) in enumerate(zip(steps, listed.items, strict=True)):
        wrong = ""
        if isinstance(step, SetWeight):
            if step.percent <= before:
                wrong = f"set_weight {step.percent:g} comes after {before:g}: each must be more than the one before"
            before = max(before, step.percent)
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
_LATER_STRATEGIES = later("blue_green", "ab", "flag")
STRATEGY = Either(
    Choice(
        tuple(_STRATEGIES),
        _STRATEGIES.__getitem__,
        {**_LATER_STRATEGIES, "canary": "needs its steps: write canary: {steps: […]}"},
    ),
    Keys(
        "a strategy",
        (
            Key("rolling", ROLLING, "Batch after batch, with the health gate between."),
            Key("recreate", RECREATE, "Stop everywhere, switch everywhere, start everywhere."),
            Key("canary", CANARY, "A few hosts first, then more, with pauses and commands between."),
        ),
        make=lambda rolling=None, recreate=None, canary=None: rolling or recreate or canary,
        one_of=("rolling", "recreate", "canary"),
        refused=_LATER_STRATEGIES,
    ),
)
