"""Title and bell: what goes on, for a window that nobody looks at; both can be turned off and nothing foreign gets in."""

import msgspec

from quarterdeck.config.settings import DEFAULTS
from quarterdeck.history.records import Operator, Rollout, RolloutState
from quarterdeck.rollouts.picture.fleet import Picture
from quarterdeck.rollouts.picture.rollout import RolloutSeen
from quarterdeck.rollouts.picture.target import TargetSeen
from quarterdeck.tui.room.attention import Attention, ended_of, title_of
from tests.cli.qd_command import OPERATOR, Qd
from tests.room.terminal import Terminal


def picture(qd: Qd, state: RolloutState) -> Picture:
    """With the one rollout of the journal that stands still, in ``state``."""
    with qd.journal() as journal:
        rollout: Rollout = journal.rollouts(limit=1)[0]
    mine = msgspec.structs.replace(rollout, state=state, requested_by=OPERATOR.label)
    targets = {"production/api": TargetSeen("production/api", "production", "api", release="r", health="down")}
    return Picture("acme", ("production",), ("api",), targets, (RolloutSeen(mine, "v1", "v2"),))


def test_the_title_says_fleet_failures_and_what_moves(filled: Qd) -> None:
    assert title_of(Picture("acme", (), ())) == "qd acme"
    assert title_of(picture(filled, RolloutState.RUNNING)) == "qd acme: 1 rolling"
    evil = msgspec.structs.replace(Picture("a\x1b]52;c;x\x07\x9bcme", (), ()))
    assert title_of(evil).isprintable()


def test_the_bell_rings_once_for_one_s_own_rollout_and_not_for_others(filled: Qd) -> None:
    moving, ended = picture(filled, RolloutState.RUNNING), picture(filled, RolloutState.SUCCEEDED)
    assert len(ended_of(moving, ended, OPERATOR)) == 1
    assert ended_of(ended, ended, OPERATOR) == []
    assert ended_of(moving, ended, Operator("bob", 1001, None, "bastion-2")) == []
    for bell, rings in ((True, 1), (False, 0)):
        sent: list[str] = []
        attention = Attention(msgspec.structs.replace(DEFAULTS, bell=bell, title=False), sent.append, {"TERM": "xterm"})
        attention.news(moving, ended, OPERATOR)
        attention.news(ended, ended, OPERATOR)
        assert sent == ["\x07"] * rings
        attention.news(ended, ended, OPERATOR, closed=True)
        assert sent == ["\x07"] * 2 * rings, "a way back that has closed rings too"


def test_without_a_title_or_on_a_console_nothing_of_it_is_sent(filled: Qd) -> None:
    for settings, term in ((msgspec.structs.replace(DEFAULTS, title=False), "xterm"), (DEFAULTS, "linux")):
        sent: list[str] = []
        attention = Attention(settings, sent.append, {"TERM": term})
        attention.begin(picture(filled, RolloutState.RUNNING))
        attention.end()
        assert sent == []


def test_a_terminal_gets_its_title_back(filled: Qd) -> None:
    with Terminal(filled.command("--fleet", str(filled.fleet_file)), environment=filled.environ()) as terminal:
        terminal.wait_for(">api")
        terminal.wait_until(lambda: b"\x1b]2;qd acme" in terminal.received, "the title")
        terminal.send("Q")
        assert terminal.wait_ended() == 0
        received = bytes(terminal.received)
        assert received.index(b"\x1b[22;2t") < received.index(b"\x1b]2;") < received.index(b"\x1b[23;2t")
