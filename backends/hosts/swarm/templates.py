"""What makes a task, compared: Swarm tells it with what it has filled in, and without what is empty. Pure."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from quarterdeck.config.release import canonical

_FILLED_IN: Final = ("Isolation", "Platforms")  # by Swarm, or Docker's client
_OF_A_TASK: Final = ("ContainerSpec", "Resources", "RestartPolicy", "LogDriver", "Networks")
"""Parts in which a task that is other than its service is replaced. Of its place only a node that does not fit any more is a reason."""


def plain(value: Any) -> Any:
    """Without what is empty, which Swarm leaves out, or puts there."""
    if isinstance(value, Mapping):
        inner = {key: plain(one) for key, one in value.items() if key not in _FILLED_IN}
        return {key: one for key, one in inner.items() if one not in (None, "", 0, False, {}, [], ())}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def same_template(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether they make the same tasks, however often a restart was asked for."""
    return bool(plain(_comparable(one)) == plain(_comparable(other)))


def _comparable(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """Networks of the nodes themselves have ids that are not told beforehand."""
    networks = template.get("Networks") or ()
    named = [one for one in networks if one.get("Aliases")]
    return {**template, "ForceUpdate": 0, "Runtime": "", "Networks": [*named, str(len(networks) - len(named))]}


def is_made_as(spec: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a service of ``spec`` is what ``wanted`` would make it, however often a restart was asked for."""
    return same_template(spec.get("TaskTemplate") or {}, wanted["TaskTemplate"]) and same_reach(spec, wanted)


def same_reach(spec: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether it has as many tasks, and they are reached in the same way."""
    parts = ("Mode", "EndpointSpec")
    return bool(plain([spec.get(part) for part in parts]) == plain([wanted.get(part) for part in parts]))


def same_task(task: Mapping[str, Any], template: Mapping[str, Any]) -> bool:
    """Whether a task that was made as ``task`` says is what ``template`` would make now, restarts that were asked for included."""
    if int(task.get("ForceUpdate") or 0) != int(template.get("ForceUpdate") or 0):
        return False
    return all(plain(task.get(part)) == plain(template.get(part)) for part in _OF_A_TASK)


def made_as(spec: Mapping[str, Any]) -> str:
    """What is compared to tell that somebody has changed a service: all of its ``spec`` but labels, and how it is updated."""
    parts = {key: spec.get(key) for key in ("TaskTemplate", "Mode", "EndpointSpec")}
    return hashlib.sha256(canonical(plain(parts))).hexdigest()[:16]
