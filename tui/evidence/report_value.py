"""A post-mortem as one JSON document: docs/report.md has its fields, and pipelines depend on them. Pure."""

from typing import Any

import msgspec

from quarterdeck.history.records import Event
from quarterdeck.rollouts.differences.releases import to_value
from quarterdeck.rollouts.post_mortem.values import Linked, PostMortem
from quarterdeck.tui.cli.reading import approval_value, as_value, step_value
from quarterdeck.tui.evidence.markdown import event_text
from quarterdeck.tui.evidence.story import sentences


def report_value(found: PostMortem, fleet: str) -> dict[str, Any]:
    """In the words of the design; times are ISO 8601 UTC, amounts of time seconds."""
    detected = found.detected
    return as_value(found.rollout) | {
        "fleet": fleet,
        "exit_status": found.exit_status,
        "summary": sentences(found),
        "detected": msgspec.to_builtins(detected) if detected is not None else None,
        "time_to_detect": detected.seconds if detected is not None else None,
        "time_to_restore": found.restored_seconds,
        "restored_by": _linked_value(found.restored_by) if found.restored_by is not None else None,
        "restores": [_linked_value(one) for one in found.restores],
        "around": found.around,
        "timeline": [_event_value(event) for event in found.events],
        "timeline_left_out": found.left_out,
        "hosts": [msgspec.to_builtins(one) for one in found.hosts],
        "steps": [step_value(step) for step in found.steps],
        "words": [approval_value(word) for word in found.approvals],
        "metrics": [msgspec.to_builtins(metric) for metric in found.metrics],
        "difference": to_value(found.difference) if found.difference is not None else None,
        "set_aside": {
            "override": list(found.rollout.options.get("override") or ()),
            "force": bool(found.rollout.options.get("force")),
            "supersede": bool(found.rollout.options.get("supersede")),
        },
        "logs": msgspec.to_builtins(found.logs) if found.logs is not None else None,
    }


def _linked_value(one: Linked) -> dict[str, Any]:
    return {
        "rollout": one.rollout,
        "kind": one.kind,
        "status": one.state,
        "by": one.by,
        "asked_because": one.reason,
        "created": one.requested,
        "ended": one.ended,
        "to": one.release,
        "seconds": one.seconds,
    }


def _event_value(event: Event) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "time": event.time,
        "kind": event.kind,
        "target": event.target,
        "rollout": event.rollout,
        "host": event.host,
        "by": event.who,
        "text": event_text(event),
        "body": event.body,
    }
