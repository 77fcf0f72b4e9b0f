"""When the lifetime of a preview is over, and what follows from it. Pure but for the clock."""

from datetime import UTC, datetime

from quarterdeck.config.model import Fleet, Preview
from quarterdeck.config.previews import written_time
from quarterdeck.rollouts.refusals import Refused


def expired(fleet: Fleet, now: datetime | None = None) -> list[Preview]:
    """Those whose lifetime is over."""
    at = written_time(now or datetime.now(UTC))
    return [preview for preview in fleet.previews.values() if preview.is_over(at)]


def refuse_if_over(fleet: Fleet, environment: str, now: datetime | None = None) -> None:
    """Raises Refused where ``environment`` is a preview whose lifetime is over: nothing goes out to it."""
    preview = fleet.environments[environment].preview
    if preview is not None and preview.is_over(written_time(now or datetime.now(UTC))):
        raise Refused(
            f"the preview {environment} is over since {preview.until}",
            f"qd env extend {environment} --for 2d gives it more time, qd env remove {environment} removes it",
        )
