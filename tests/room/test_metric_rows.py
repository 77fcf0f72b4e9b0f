"""What an analysis has measured, as rows."""

from quarterdeck.rollouts.measured import MetricSeen
from quarterdeck.tui.room.rollout_rows import metric_rows


def told(metric: MetricSeen, width: int = 78) -> str:
    [row] = metric_rows([metric], width)
    return "".join(span.text for span in row).rstrip()


def test_the_new_release_stands_beside_the_one_before() -> None:
    seen = MetricSeen("p95", "measuring", 12, 30, 0, 0, "0.4", "0.3", "0.4: value < 1")
    assert told(seen) == "> p95             12/30 new 0.4  old 0.3  0.4: value < 1"


def test_what_failed_or_was_not_measured_is_counted() -> None:
    seen = MetricSeen("smoke", "failed", 5, None, 2, 1, "", "", "ended with 1", dry_run=True)
    assert told(seen) == "x smoke               5  2 failed 1 not measured (dry run)  ended with 1"


def test_a_long_why_is_cut_and_control_characters_are_harmless() -> None:
    seen = MetricSeen("a\x1b[31m", "error", 0, 1, 0, 1, "", "", "no answer\x1b]0;x\x07 " * 20)
    assert "\x1b" not in told(seen, 60)
    assert len(told(seen, 60)) <= 60
