"""Durations, shares, modes and paths mean what the documentation says and nothing else."""

from typing import Any

import pytest

from quarterdeck.config import scalars
from quarterdeck.config.model import Share
from quarterdeck.config.scalars import Unfit


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("30s", 30.0), ("5m", 300.0), ("2h", 7200.0), ("30d", 2_592_000.0), ("0", 0.0), ("0s", 0.0), ("200ms", 0.2)),
        *(("1h30m", 5400.0), ("0.5s", 0.5), ("1d2h3m4s5ms", 93784.005), ("3650d", 315_360_000.0)),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert scalars.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "5", "s", "5 s", "-5s", "+5s", "5S", "1.5h", "30m1h", "1h1h", "5s\n", "٣s", "1e3s", "3651d", "9" * 400 + "s"],
)
def test_no_durations(text: str) -> None:
    with pytest.raises(Unfit):
        scalars.duration(text)


@pytest.mark.parametrize(
    ("text", "share"), [("1", Share(count=1)), ("25%", Share(percent=25.0)), ("12.5%", Share(percent=12.5))]
)
def test_shares(text: str, share: Share) -> None:
    assert scalars.share(text) == share


@pytest.mark.parametrize("text", ["0", "-1", "01", "1.5", "0%", "101%", "%", "25 %", "1e1", "٣", "", "9" * 50])
def test_no_shares(text: str) -> None:
    with pytest.raises(Unfit):
        scalars.share(text)


@pytest.mark.parametrize(("text", "mode"), [("0644", 0o644), ("644", 0o644), ("0600", 0o600), ("000", 0)])
def test_modes_are_octal(text: str, mode: int) -> None:
    assert scalars.mode(text) == mode


@pytest.mark.parametrize(
    ("read", "text"),
    [
        *((scalars.mode, text) for text in ("0888", "4755", "0o644", "64", "rw-r--r--", "")),
        *(
            (scalars.release_path, text)
            for text in ("", ".", "/", "/a", "..", "a/..", "a/../b", "~/a", "a/", "a/.", "qd.env")
        ),
        *(
            (scalars.host_path, text)
            for text in ("", "a", "/", "//", "/.", "~", "~/", "~root/a", "/a/../b", "~/../a", "./a")
        ),
        *(
            (scalars.ssh_address, text)
            for text in ("", "-a", "a b", "@a", "a@", "a@b@c", "a:", "a:0", "a:65536", "ssh://a")
        ),
        *((scalars.variable, text) for text in ("", "1A", "A-B", "A=B", "A B", "Á", "QD_X", "A\n")),
        *(
            (scalars.matching(scalars.NAME), text)
            for text in ("", "A", "-a", ".a", "_a", "a/b", "a b", "a\n", "é", "a" * 64)
        ),
        *(
            (scalars.matching(scalars.UNIT), text)
            for text in ("", "a", "-a.service", "a b.service", "a/b.service", "a.conf")
        ),
        *((scalars.one_line, text) for text in ("", " ", "a\nb", "a\rb")),
        *((scalars.whole_number(1, 9), text) for text in ("0", "10", "01", "1.0", "1_0", " 1", "1e0", "٣", "")),
    ],
)
def test_unfit(read: Any, text: str) -> None:
    with pytest.raises(Unfit):
        read(text)


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (scalars.release_path, "a//./b", "a/b"),
        (scalars.release_path, "..a/b", "..a/b"),
        (scalars.host_path, "/srv//x/", "/srv/x"),
        (scalars.host_path, "~/./x/", "~/x"),
        (scalars.ssh_address, "deploy@[::1]:22", "deploy@[::1]:22"),
        (scalars.ssh_address, "a.b-c_d", "a.b-c_d"),
        (scalars.matching(scalars.UNIT), "web@1.service", "web@1.service"),
        (scalars.matching(scalars.NAME), "a" * 63, "a" * 63),
    ],
)
def test_fit(read: Any, text: str, value: str) -> None:
    assert read(text) == value
