"""What an analysis has measured, as rows."""

from quarterdeck.rollouts.measured import MetricSeen
from quarterdeck.tui.room.rollout_rows import metric_rows


def rows(metric: MetricSeen, width: int = 78) -> list[str]:
    return ["".join(span.text for span in row).rstrip() for row in metric_rows([metric], width)]


def told(metric: MetricSeen, width: int = 78) -> str:
    [row] = rows(metric, width)
    return row


def test_the_new_release_stands_beside_the_one_before() -> None:
    seen = MetricSeen("p95", "measuring", 12, 30, 0, 0, "0.4", "0.3", "0.4: value < 1")
    assert told(seen) == "> p95             12/30 new 0.4  old 0.3  0.4: value < 1"


def test_what_failed_or_was_not_measured_is_counted() -> None:
    seen = MetricSeen("smoke", "failed", 5, None, 2, 1, "", "", "ended with 1", dry_run=True)
    assert told(seen) == "x smoke               5  2 failed 1 not measured (dry run)  ended with 1"


def test_what_the_samples_could_have_seen_is_read_on_a_small_terminal_too() -> None:
    why = (
        "0.9 % of 1502 requests bad on the canary, 1.0 % of 28511 on the baseline; "
        "2.1 % or more on the canary would have been seen nine times of ten"
    )
    assert rows(MetricSeen("answers", "measuring", 7, 30, 0, 0, "0.0258", "0.0173", why)) == [
        "> answers          7/30 new 0.0258  old 0.0173",
        "   0.9 % of 1502 requests bad on the canary, 1.0 % of 28511 on the baseline;",
        "   2.1 % or more on the canary would have been seen nine times of ten",
    ]
    assert len(rows(MetricSeen("answers", "measuring", 7, 30, 0, 0, "0.0258", "0.0173", why), 198)) == 1


def test_a_metric_whose_rollout_was_ended_measures_no_more() -> None:
    assert told(MetricSeen("p95", "stopped", 4, 15, 0, 0, "0.1", "", "0.1: value < 1")).startswith(". p95 ")


def test_a_very_long_why_is_cut_and_control_characters_are_harmless() -> None:
    shown = rows(MetricSeen("a\x1b[31m", "error", 0, 1, 0, 1, "", "", "no answer\x1b]0;x\x07 " * 60), 60)
    assert "\x1b" not in "".join(shown)
    assert len(shown) == 5
    assert all(len(row) <= 60 for row in shown)
    assert shown[-1].endswith("..")
