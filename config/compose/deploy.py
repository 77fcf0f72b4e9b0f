"""Compose's `deploy`: its keys, a sentence for each, and what a swarm makes of them. What an engine makes of it is in limits.py."""

import re
from typing import Any

import msgspec

from quarterdeck.config.compose.mounts import SIZE
from quarterdeck.config.compose.parts import CPUS, DURATION, LABELS, LATER, PIDS, gpu_keys, whole
from quarterdeck.config.compose.shapes import NUMBER_OR_TEXT
from quarterdeck.config.container import Deploy, Pace, Restart
from quarterdeck.config.problems import Problems, nearest
from quarterdeck.config.scalars import Unfit
from quarterdeck.config.shapes import Choice, Fields, Key, Keys, ListOf, Scalar

_MOST = 1_000_000  # replicas, tasks at once: far more than any swarm has
_LONGEST = 1000  # characters of a constraint
_JOBS = dict.fromkeys(("replicated-job", "global-job"), "is not supported: a job ends, and a release runs on")
_ATTRIBUTES = ("node.id", "node.hostname", "node.ip", "node.role", "node.platform.os", "node.platform.arch")
_LABEL = re.compile(r"(?:node|engine)\.labels\.[A-Za-z0-9_.-]+")
_CONSTRAINT = re.compile(r"\s*(\S+?)\s*(==|!=)\s*(\S(?:.*\S)?)\s*")
_VALUE = re.compile(r"[A-Za-z0-9:\-_ .*()?+\[\]\\^$|/]+")  # what a swarm takes
_ATTRIBUTE_WORDS = f"{', '.join(_ATTRIBUTES)}, node.labels.NAME and engine.labels.NAME"


def constraint(text: str) -> str:
    """`node.role == worker` of any spacing, as one that a swarm can keep. Raises ``Unfit``."""
    if len(text) > _LONGEST:
        raise Unfit(f"it is longer than {_LONGEST} characters")
    found = _CONSTRAINT.fullmatch(text)
    if found is None or not _VALUE.fullmatch(found[3]):
        alone = re.fullmatch(r"\s*([^\s=!]+)\s*=\s*([^\s=!]+)\s*", text)
        raise Unfit("", nearest=f"{alone[1]} == {alone[2]}" if alone else None)
    name, sign, value = found.groups()
    if name not in _ATTRIBUTES and not _LABEL.fullmatch(name):
        near = nearest(name, _ATTRIBUTES)
        raise Unfit(f"a swarm knows {_ATTRIBUTE_WORDS}", nearest=f"{near} {sign} {value}" if near is not None else None)
    if name == "node.role" and value not in ("manager", "worker"):
        raise Unfit("a node is a manager or a worker")
    return f"{name} {sign} {value}"


def spread(text: str) -> str:
    """The label over whose values tasks are spread. Raises ``Unfit``."""
    if not _LABEL.fullmatch(text):
        raise Unfit("tasks are spread over node.labels.NAME or engine.labels.NAME")
    return text


def ratio(text: str) -> float:
    """A part of all, from 0 to 1. Raises ``Unfit``."""
    if not re.fullmatch(r"[01]?(\.[0-9]{1,9})?", text) or not text or not 0 <= float(text) <= 1:
        raise Unfit
    return float(text)


REPLICAS = whole(0, _MOST, "a number of replicas")
_LIMITS = Keys(
    "the limits",
    (
        Key("cpus", CPUS, "The CPUs that it may use."),
        Key("memory", SIZE, "The memory that it may use."),
        Key("pids", PIDS, "How many processes it may have."),
    ),
    compose=True,
)
_RESERVATIONS = Keys(
    "the reservations",
    (
        Key("cpus", CPUS, "The CPUs that a node must have free for each of a swarm's tasks."),
        Key(
            "memory",
            SIZE,
            "The memory that is its own when there is little; on a swarm, what a node must have free for each task.",
        ),
        Key(
            "devices",
            ListOf(gpu_keys("a reserved device", needed=True), "a list of devices"),
            "GPUs and the like.",
        ),
    ),
    refused={"generic_resources": LATER},
    compose=True,
)
_RESTART_POLICY = Keys(
    "the restart policy",
    (
        Key("condition", Choice(("none", "on-failure", "any")), "When it is started again.", default="any"),
        Key("delay", DURATION, "How long a swarm waits before it starts a task again."),
        Key(
            "max_attempts",
            whole(0, 999_999, "a whole number"),
            "How often it is tried; on an engine for on-failure only.",
        ),
        Key("window", DURATION, "The time in which a swarm counts attempts. Without it: all of them count."),
    ),
    compose=True,
)
_PACE = (
    Key(
        "parallelism",
        whole(0, _MOST, "a number of tasks, 0 for all"),
        "How many tasks a swarm replaces at once; 0: all.",
    ),
    Key("delay", DURATION, "How long a swarm waits between two groups of tasks."),
    Key("monitor", DURATION, "How long a swarm watches a new task for a failure."),
    Key(
        "max_failure_ratio",
        Scalar("a part of the tasks from 0 to 1, such as 0.2", ratio, NUMBER_OR_TEXT),
        "The part of the tasks that may fail.",
    ),
    Key(
        "failure_action",
        Choice(("pause", "continue", "rollback")),
        "What a swarm does when more fail: it pauses in any case, and Quarterdeck goes on from there.",
    ),
)
_ORDER = Choice(("start-first", "stop-first"))
_UPDATE_CONFIG = Keys(
    "the update config",
    (*_PACE, Key("order", _ORDER, "Whether the new container starts before the old one stops.")),
    compose=True,
)
_ROLLBACK_CONFIG = Keys(
    "the rollback config",
    (*_PACE, Key("order", _ORDER, "Whether the earlier release's task starts before the later one's stops.")),
    compose=True,
)
_PLACEMENT = Keys(
    "the placement",
    (
        Key(
            "constraints",
            ListOf(
                Scalar("a constraint such as node.role == worker", constraint),
                'a list of constraints such as ["node.role == worker"]',
            ),
            "What must hold of a node for a task to run there.",
        ),
        Key(
            "preferences",
            ListOf(
                Keys(
                    "a preference",
                    (
                        Key(
                            "spread",
                            Scalar("a label of nodes such as node.labels.zone", spread),
                            "The label over whose values tasks are spread evenly.",
                            required=True,
                        ),
                    ),
                    make=lambda spread: spread,
                    compose=True,
                ),
                "a list of preferences such as [{spread: node.labels.zone}]",
            ),
            "Over what the tasks are spread.",
        ),
        Key("max_replicas_per_node", whole(0, _MOST, "a number of tasks"), "How many tasks one node may have; 0: any."),
    ),
    compose=True,
)
DEPLOY = Keys(
    "the deploy part",
    (
        Key(
            "resources",
            Keys(
                "the resources",
                (
                    Key("limits", _LIMITS, "What it may use at most."),
                    Key("reservations", _RESERVATIONS, "What is kept for it."),
                ),
                compose=True,
            ),
            "Memory, CPUs, processes, GPUs.",
        ),
        Key("restart_policy", _RESTART_POLICY, "When it is started again."),
        Key("update_config", _UPDATE_CONFIG, "How tasks are replaced on a swarm; on an engine only `order`."),
        Key("rollback_config", _ROLLBACK_CONFIG, "How tasks are replaced on a swarm, on the way back."),
        Key(
            "mode",
            Choice(("replicated", "global"), refused=_JOBS),
            "How many tasks a swarm runs: so many replicas, or one on each node. On engines only replicated.",
        ),
        Key("replicas", REPLICAS, "How many tasks a swarm runs. On engines only 1, for each host."),
        Key("placement", _PLACEMENT, "On which nodes of a swarm."),
        Key(
            "endpoint_mode",
            Choice(("vip", "dnsrr")),
            "Whether its name leads to one address for all tasks of a swarm's service, or to those of each.",
        ),
        Key("labels", LABELS, "Labels of a swarm's service; those of its containers are the service's `labels`."),
    ),
    compose=True,
)


def deploy_of(service: Fields, problems: Problems) -> Deploy | None:
    """What a swarm is told beside the container itself; None where nothing of it is said, or only what holds anyway."""
    found: dict[str, Any] = {}
    deploy = _below(service, "deploy")
    for key in ("mode", "replicas", "endpoint_mode"):
        if key in deploy.values:
            found[key] = deploy.values[key]
    if "scale" in service.values:
        scale = service.values["scale"]
        if found.setdefault("replicas", scale) != scale:
            problems.add(service.node.key("scale"), "`scale` and `deploy.replicas` say different things")
    if "labels" in deploy.values:
        found["labels"] = {name: text or "" for name, text in deploy.values["labels"].items()}
    placement = _below(deploy, "placement").values
    found |= {key: placement[key] for key in ("constraints", "preferences") if key in placement}
    if placement.get("max_replicas_per_node"):
        found["max_replicas_per_node"] = placement["max_replicas_per_node"]
    reserved = _below(_below(deploy, "resources"), "reservations").values
    found |= {f"reserved_{key}": reserved[key] for key in ("cpus", "memory") if key in reserved}
    restart = _restart(service, _policy(deploy), problems)
    if restart is not None:
        found["restart"] = restart
    for key, part in (("update", "update_config"), ("rollback", "rollback_config")):
        if isinstance(pace := deploy.values.get(part), Fields):
            found[key] = _pace(pace)
    made = Deploy(**found)
    return None if made == Deploy() else made


def _policy(deploy: Fields) -> Restart | None:
    policy = deploy.values.get("restart_policy")
    return Restart(**policy.values) if isinstance(policy, Fields) else None


def _restart(service: Fields, policy: Restart | None, problems: Problems) -> Restart | None:
    """`deploy.restart_policy`, else what `restart` means on a swarm."""
    short: str = service.values.get("restart") or ""
    if not short:
        return policy
    name, _, attempts = short.partition(":")
    condition = {"no": "none", "on-failure": "on-failure"}.get(name, "any")
    if policy is None:
        return Restart(condition, max_attempts=int(attempts) if attempts else None)
    if policy.condition != condition or (attempts and policy.max_attempts != int(attempts)):
        problems.add(service.node.key("restart"), "`restart` and `deploy.restart_policy` say different things")
    return policy


def _pace(fields: Fields) -> Pace:
    found = dict(fields.values)
    if "failure_action" in found:
        found["failure_action"] = "pause"
    return Pace(**found)


def _below(fields: Fields, name: str) -> Fields:
    found = fields.values.get(name)
    return found if isinstance(found, Fields) else Fields(msgspec.structs.replace(fields.node, entries={}), {})
