"""`qd` on a terminal that can show it, on one that can't, without a fleet file; and what its colours are on the wire."""

import re

import pytest

from quarterdeck.tui.room.looks import LOOKS, Look
from quarterdeck.tui.room.rows import Role
from tests.cli.qd_command import Qd
from tests.room.conftest import MakeRoom
from tests.room.seen import pane_text, until
from tests.room.terminal import Terminal

COLOUR = re.compile(rb"\x1b\[(?:[0-9;:]*;)?(?:3[0-9]|4[0-9]|9[0-7]|10[0-7])(?:[;:][0-9;:]*)?m")
ENOUGH = 4.5  # contrast of text, after WCAG 2.2, 1.4.3


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb``, after WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def colours(look: Look, role: Role) -> tuple[str, str]:
    """Of text and of what is behind it."""
    words = look.styles[role].split()
    behind = look.background
    if "on" in words:
        behind = words[words.index("on") + 1]
        words = words[: words.index("on")]
    text = next((word for word in words if word.startswith("#")), look.foreground)
    return (behind, text) if "reverse" in words else (text, behind)


@pytest.mark.parametrize("look", [look for look in LOOKS.values() if not look.ansi], ids=lambda look: look.name)
def test_every_text_can_be_read_on_its_background(look: Look) -> None:
    poor = {role: round(ratio, 2) for role in Role if (ratio := contrast(*colours(look, role))) < ENOUGH}
    assert poor == {}


def test_a_look_that_is_no_true_colour_uses_the_terminal_s_own_colours_only() -> None:
    for look in LOOKS.values():
        if look.ansi:
            assert "#" not in " ".join(look.styles.values())
    words = {"bold", "dim", "reverse", "underline"}
    assert set(" ".join(LOOKS["no-colour"].styles.values()).split()) <= words


@pytest.mark.parametrize(
    ("options", "environment"),
    [((), {"NO_COLOR": "1"}), (("--look", "no-colour"), {}), (("--look", "dark"), {"NO_COLOR": "1"})],
    ids=["NO_COLOR", "look", "NO_COLOR-over-look"],
)
def test_without_colour_not_one_colour_code_is_sent(
    filled: Qd, options: tuple[str, ...], environment: dict[str, str]
) -> None:
    command = filled.command("--fleet", str(filled.fleet_file), *options)
    with Terminal(command, environment=filled.environ(environment)) as terminal:
        terminal.wait_for(">api")
        terminal.wait_for("!!")  # the alert band, the cursor, bold things
        pages = [("?", "help, keys"), ("\x1b", ">api"), ("\x10", "palette:"), ("\x1b", ">api")]
        looks = [(":look light\r", "look light")] if environment else []  # NO_COLOR holds in every look
        for keys, text in (*pages, *looks, ("2345678", "[8 Bu"), ("1", ">api")):
            terminal.send(keys)
            terminal.wait_for(text)
        terminal.send("Q")
        assert terminal.wait_ended() == 0
        found = COLOUR.findall(bytes(terminal.received))
        assert found == []


def test_the_colour_codes_would_be_found(filled: Qd) -> None:
    command = filled.command("--fleet", str(filled.fleet_file), "--look", "ansi-dark")
    with Terminal(command, environment=filled.environ()) as terminal:
        terminal.wait_for(">api")
        terminal.wait_until(lambda: COLOUR.search(bytes(terminal.received)) is not None, "a colour code")


def test_an_ansi_look_sends_no_true_colour(filled: Qd) -> None:
    command = filled.command("--fleet", str(filled.fleet_file), "--slow")
    with Terminal(command, environment=filled.environ()) as terminal:
        terminal.wait_for(">api")
        terminal.send("Q")
        assert terminal.wait_ended() == 0
        assert b"38;2;" not in terminal.received
        assert b"48;2;" not in terminal.received


def test_a_slow_line_is_left_alone_when_nothing_happens(filled: Qd) -> None:
    """At most 150 bytes a second."""
    import time

    command = filled.command("--fleet", str(filled.fleet_file), "--slow")
    with Terminal(command, environment=filled.environ()) as terminal:
        terminal.wait_for(">api")
        terminal.wait_for("!!")
        time.sleep(2.0)  # what it has to draw once
        measured: list[float] = []
        while not measured or (measured[-1] > 150 and len(measured) < 4):  # on a busy machine that may take longer
            before = len(terminal.received)
            time.sleep(12.0)  # longer than its slowest tick: the measure itself
            measured.append((len(terminal.received) - before) / 12.0)
        assert measured[-1] <= 150, measured


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_can_show_nothing_is_told_of_qd_status(filled: Qd, term: str) -> None:
    command = filled.command("--fleet", str(filled.fleet_file))
    with Terminal(["env", f"TERM={term}", *command], size=(200, 24), environment=filled.environ()) as terminal:
        assert terminal.wait_ended() == 2
        terminal.wait_for("qd status prints what runs where")
        assert b"\x1b[?1049h" not in terminal.received


def test_without_a_terminal_qd_names_qd_status(filled: Qd) -> None:
    assert "qd status prints what runs where" in filled(status=2).stderr


def test_options_of_the_room_are_none_of_a_command(filled: Qd) -> None:
    assert "options of the control room" in filled("--slow", "status", status=2).stderr
    for option in ("--look", "--slow", "--mouse", "--read-only"):
        assert option in filled("--help").stdout


def test_without_a_fleet_file_one_sentence_names_the_demo(filled: Qd) -> None:
    filled.fleet_file.unlink()
    with Terminal(["env", "-C", str(filled.directory), *filled.command()], size=(300, 24),
                  environment=filled.environ()) as terminal:  # fmt: skip
        assert terminal.wait_ended() == 2
        assert "qd demo" in terminal.wait_for("there is no fleet file")
        assert b"\x1b[?1049h" not in terminal.received


def test_a_target_that_is_not_there_is_said_before_the_screen_is_taken(filled: Qd) -> None:
    command = filled.command("--fleet", str(filled.fleet_file), "production/apy")
    with Terminal(command, size=(200, 24), environment=filled.environ()) as terminal:
        assert terminal.wait_ended() == 2
        terminal.wait_for("production/api")
        assert b"\x1b[?1049h" not in terminal.received


async def test_the_fleet_file_is_followed_and_a_broken_one_changes_nothing(make_room: MakeRoom, filled: Qd) -> None:
    room = make_room()
    async with room.run_test(size=(160, 30)) as pilot:
        await until(pilot, lambda: "api" in pane_text(room, "matrix"), "the matrix")
        await until(pilot, room.fleet_watch.ready.is_set, "the watch to have looked once")
        good = filled.fleet_file.read_text()
        filled.fleet_file.write_text(good + "nonsense: 1\n")
        await until(pilot, lambda: "unknown key `nonsense`" in room.notice, "the fault")
        assert "fleet.yml:" in room.said
        assert "api" in pane_text(room, "matrix")
        filled.fleet_file.write_text(good.replace("  web:\n", "  shop:\n"))
        await until(pilot, lambda: "shop" in pane_text(room, "matrix"), "the new service")
        assert room.notice == ""
        filled.fleet_file.write_text(good.replace(f"state: {filled.state}", f"state: {filled.directory}/other"))
        await until(pilot, lambda: "another state directory" in room.notice, "what it can't follow")
        assert "shop" in pane_text(room, "matrix")
