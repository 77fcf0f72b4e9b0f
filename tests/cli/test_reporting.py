"""``qd report`` and ``qd stats``: documents that foreign text can't break, JSON that scripts depend on, and nothing written anywhere."""

import json
import stat
from collections import Counter

import pytest
from markdown_it import MarkdownIt

from quarterdeck.history.records import RolloutKind, RolloutState
from quarterdeck.rollouts.four_keys import BY
from quarterdeck.tui.cli import counting
from quarterdeck.tui.evidence.charts import chart
from quarterdeck.tui.evidence.escaping import block, inline
from tests.cli.qd_command import EVIL, Qd, release

HOSTILE = (
    "`` ``` | a | \n\n# heading\n```\n<script>alert(1)</script> [x](javascript:1) ![i](http://x/y) **b** &lt; $x$ \\| "
    + EVIL
)
SECTIONS = ["Summary", "Timeline", "Hosts", "Steps", "What differs between the releases"]
SECTIONS += ["What protected it, and what was set aside", "Follow-ups"]


def parsed(text: str) -> "list[tuple[str, str]]":
    """Kind and content of every piece of the document, as a renderer of Markdown takes it."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    pieces = [piece for token in tokens for piece in (token, *(token.children or ()))]
    return [(piece.type, piece.content) for piece in pieces]


def test_a_report_is_whole_and_says_what_happened(filled: Qd) -> None:
    text = filled.inside("report", "3", "--no-logs").stdout
    kinds = parsed(text)
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == SECTIONS
    assert "v3 was on its way to production/api, and was taken back" in text
    assert "switch failed on web-2: web-2: http 500" in text
    assert ("fence", "") not in kinds
    assert "Time to restore" in text
    assert "\x1b" not in text
    assert text.endswith("until when?\n")


def test_foreign_text_breaks_no_table_and_becomes_no_code_and_no_html(filled: Qd) -> None:
    with filled.journal() as journal:
        made = journal.put_release(release("v5", config=f"a: 1\n```\n# not a heading\n{HOSTILE}"))
        armed = journal.arm("production/api", RolloutKind.DEPLOY, to_release=made, reason=HOSTILE)
        before = journal.current_release("production/api")
        plan = {"hosts": [{"host": "web-1", "current": before, "error": HOSTILE}], "warnings": [HOSTILE]}
        journal.set_plan(armed.id, plan, "0" * 64, to_release=made, from_release=before)
        epoch = journal.begin(armed.id, preempt="nothing")
        journal.note(HOSTILE, target="production/api")
        journal.set_state(armed.id, epoch, RolloutState.FAILED, outcome=HOSTILE)
    text = filled.inside("report", str(armed.id), "--no-logs").stdout
    kinds = Counter(kind for kind, _ in parsed(text))
    assert kinds["heading_open"] == 1 + len(SECTIONS)
    assert kinds["table_open"] == 3  # header, timeline, hosts
    assert kinds["fence"] == 1  # the difference
    assert not {"html_block", "html_inline", "code_inline", "link_open", "image", "em_open"} & set(kinds)
    assert not any(kind == "code_block" for kind in kinds)
    cells = [content for kind, content in parsed(text) if kind == "inline"]
    whole = [cell for cell in cells if "alert(1)" in cell and "x/y" in cell.replace("\\", "")]
    assert len(whole) >= 4  # reason, outcome and note, in the header and in the timeline: no pipe has cut them


@pytest.mark.parametrize(
    "text", ["`", "```", "a | b", "<b>", "[a](b)", "# x", "&amp;", "line\nline", "http://x", "_a_", EVIL]
)
def test_inline_text_means_nothing_to_markdown(text: str) -> None:
    kinds = {kind for kind, _ in parsed(f"| a |\n| --- |\n| {inline(text)} |\n")}
    assert kinds <= {
        "table_open", "thead_open", "tr_open", "th_open", "inline", "text", "th_close", "tr_close", "thead_close", "tbody_open",
        "td_open", "td_close", "tbody_close", "table_close", "text_special",
    }  # fmt: skip


def test_a_code_block_ends_where_it_should() -> None:
    lines = block(["a", "````", "```` text", "\x1b[31mred", "two\nlines"])
    assert lines[0].startswith("`````text")
    [fence] = [content for kind, content in parsed("\n".join(lines)) if kind == "fence"]
    assert fence == "a\n````\n```` text\nred\ntwo lines\n"


def test_charts_show_peaks_gaps_and_errors_in_both_alphabets() -> None:
    values = [0.0, 1.0, None, None, 0.5]
    errors = [False, False, False, True, False]
    assert chart(values, errors, 0.0, 1.0) == "▁█ x▅"
    assert chart(values, errors, 0.0, 1.0, ascii_only=True) == ".# x+"
    many = [0.0] * 500 + [9.0] + [0.0] * 500
    assert "█" in chart(many, [False] * 1001, 0.0, 9.0, columns=20)
    assert len(chart(many, [False] * 1001, 0.0, 9.0, columns=20)) == 20
    assert chart([2.0], [False], 2.0, 2.0) == "▅"


def test_the_json_of_a_report(filled: Qd) -> None:
    found = filled.json("report", "3", "--no-logs")
    assert {
        "rollout", "kind", "target", "from", "to", "status", "by", "asked_because", "created", "started", "ended", "seconds", "reason",
        "fleet", "exit_status", "summary", "detected", "time_to_detect", "time_to_restore", "restored_by", "restores", "around",
        "timeline", "timeline_left_out", "hosts", "steps", "words", "metrics", "difference", "set_aside", "logs",
    } == set(found)  # fmt: skip
    assert (found["status"], found["exit_status"], found["logs"]) == ("rolled_back", 3, None)
    assert {"seq", "time", "kind", "target", "rollout", "host", "by", "text", "body"} == set(found["timeline"][0])
    assert {"host", "state", "release", "seconds", "error"} == set(found["hosts"][0])


def test_a_file_is_made_for_its_owner_and_never_written_over(filled: Qd) -> None:
    done = filled.inside("report", "3", "--no-logs", "--to", "incident.md")
    file = filled.directory / "incident.md"
    assert (done.stdout, stat.S_IMODE(file.stat().st_mode)) == ("", 0o600)
    assert file.read_text().startswith("# Rollout 3: deploy of production/api\n")
    refused = filled.inside("report", "3", "--no-logs", "--to", "incident.md", status=2)
    assert "incident.md exists already" in refused.stderr
    nowhere = filled.inside("report", "3", "--no-logs", "--to", "no/such/place.md", status=2)
    assert "name another file with --to" in nowhere.stderr


def test_hosts_that_are_away_and_secrets_that_can_t_be_read_are_said_and_the_report_goes_on(filled: Qd) -> None:
    unread = filled.inside("report", "3")
    assert "a secret can't be read here" in " ".join(unread.stdout.split())
    assert "exit status 3" in unread.stdout
    with_secret = filled.inside("report", "3", environment={"API_TOKEN": "s3cret-value"}).stdout
    assert "declares no logs" in with_secret
    text = filled.fleet_file.read_text().replace(
        "path: /srv/api\n", "path: /srv/api\n    logs: {files: [/var/log/api.log]}\n"
    )
    filled.fleet_file.write_text(text)
    away = filled.inside("report", "3", environment={"API_TOKEN": "s3cret-value"}).stdout
    assert "- web-1: " in away
    assert "- web-2: " in away
    assert "## Follow-ups" in away


def test_neither_command_writes_into_the_journal(filled: Qd) -> None:
    with filled.journal() as journal:
        head = journal.head()
    for words in (["report", "4", "--no-logs"], ["report", "production/web", "--no-logs"], ["stats"]):
        filled.inside(*words, "--read-only")
        filled.inside(*words)
    with filled.journal() as journal:
        assert journal.head() == head


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["report", "99"], "99"),
        (["report", "nothing/here"], "nothing/here"),
        (["report", "3", "--around", "soon"], "no length of time"),
        (["stats", "--since", "0d"], "no length of time"),
        (["stats", "apy"], "api"),
    ],
)
def test_what_can_t_be_told_is_one_sentence(filled: Qd, words: list[str], says: str) -> None:
    done = filled.inside(*words, status=2)
    assert says in done.stderr
    assert done.stdout == ""


def test_statistics_in_words_and_as_json(filled: Qd) -> None:
    text = filled.inside("stats", "--by", "service").stdout
    assert "change failure rate    33%, 1 of 3" in text
    assert "of 3 deployments only" in text
    assert all(len(line) <= 80 for line in text.splitlines() if line.startswith(("SERVICE", "api")))
    found = filled.json("stats", "production", "--by", "week")
    assert {
        "fleet", "of", "since", "until", "begins", "failed_within_hours", "total", "by", "groups", "notes",
    } == set(found)  # fmt: skip
    assert {
        "name", "days", "deployments", "deployments_per_week", "failed", "change_failure_rate", "rollbacks", "time_to_restore",
        "lead_time", "few",
    } == set(found["total"])  # fmt: skip
    assert (found["total"]["deployments"], found["total"]["failed"]) == (3, 1)
    assert filled.json("stats", "api")["total"] | {"days": 0} == filled.json("stats", "production/api")["total"] | {
        "days": 0
    }
    assert filled.json("stats", "staging")["total"]["change_failure_rate"] is None
    assert counting.BY == BY


def test_without_a_journal_there_is_nothing_to_count_and_nothing_to_tell(fleet: Qd) -> None:
    assert json.loads(fleet.inside("stats", "--json").stdout)["notes"] == [
        "nothing was deployed yet: there is nothing to count"
    ]
    assert "there is no journal" in fleet.inside("report", "1", status=None).stderr
    assert not fleet.state.exists()
