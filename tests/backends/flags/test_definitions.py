"""Flag definitions as text: what share is read from them, and that nothing else is changed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.backends.flags.contract import FlagState
from quarterdeck.backends.flags.definitions import NoDefinition, read_share, with_share
from quarterdeck.config.flags import FlagdFlag
from tests.backends.flags.kinds import DEFINITIONS

FLAG = FlagdFlag("/f", "new-checkout", name="checkout")


def text(**keys: Any) -> str:
    variants = {"on": True, "off": False}
    definition = {"state": "ENABLED", "variants": variants, "defaultVariant": "off", **keys}
    return json.dumps({"flags": {"new-checkout": {k: v for k, v in definition.items() if v is not ...}}})


def share(*parts: Any) -> dict[str, Any]:
    return {"fractional": list(parts)}


BUCKET = {"cat": [{"var": "$flagd.flagKey"}, {"var": "email"}]}


@pytest.mark.parametrize(
    ("keys", "state"),
    [
        ({}, FlagState(0)),
        ({"defaultVariant": "on"}, FlagState(100)),
        ({"targeting": {}}, FlagState(0)),
        ({"targeting": None}, FlagState(0)),
        ({"state": "DISABLED", "defaultVariant": "on"}, FlagState(100, enabled=False)),
        ({"targeting": share(["on", 5], ["off", 95])}, FlagState(5)),
        ({"targeting": share(["off", 95], ["on", 5])}, FlagState(5)),
        ({"targeting": share(BUCKET, ["on", 5], ["off", 95])}, FlagState(5)),
        ({"targeting": share(["on"], ["off", 3])}, FlagState(25)),
        ({"targeting": share(["on", 1])}, FlagState(100)),
        ({"targeting": share(["on", 5], ["off", 95]), "defaultVariant": ...}, FlagState(5)),
    ],
    ids=str,
)
def test_a_share_is_read(keys: dict[str, Any], state: FlagState) -> None:
    assert read_share(text(**keys), FLAG) == state


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"defaultVariant": None}, "it has no targeting, and its defaultVariant is null"),
        ({"targeting": {"if": [True, "on"]}}, "no share of on and off"),
        ({"targeting": share(["on", 5], ["grey", 95])}, "no share of on and off"),
        ({"targeting": share(["on", 5.5], ["off", 94.5])}, "no share of on and off"),
        ({"targeting": share(["on", True], ["off", 1])}, "no share of on and off"),
        ({"targeting": share(["on", 0], ["off", 0])}, "no share of on and off"),
        ({"targeting": share()}, "no share of on and off"),
        ({"targeting": share(["on", {"var": "w"}], ["off", 1])}, "no share of on and off"),
        ({"targeting": share(["on", 5], ["off", 95]), "defaultVariant": "on"}, "whoever has no targetingKey gets it"),
    ],
    ids=str,
)
def test_what_is_no_share_is_told(keys: dict[str, Any], problem: str) -> None:
    (told,) = read_share(text(**keys), FLAG).problems
    assert problem in told


@pytest.mark.parametrize(
    ("whole", "why"),
    [
        ("", "it is no JSON"),
        ("flags: {}", "it is no JSON"),
        ('{"flags": {"a": NaN}}', "NaN is no number"),
        ("[" * 100_000, "it is no JSON"),
        ("[]", "it is no object with flags in it"),
        ("{}", "it has no flags"),
        ('{"flags": []}', "its flags are a list"),
        ('{"flags": {"new-checkuot": {}}}', "it has no flag new-checkout"),
        ('{"flags": {"new-checkout": {}, "new-checkout": {}}}', "flags has new-checkout twice"),
        ('{"flags": {"new-checkout": {"state": "ENABLED", "variants": {"on": true}}}}', "it has no variant off"),
    ],
)
def test_what_can_not_be_worked_with_says_why(whole: str, why: str) -> None:
    with pytest.raises(NoDefinition, match=why):
        read_share(whole, FLAG)
    with pytest.raises(NoDefinition, match=why):
        with_share(whole, FLAG, 5)


def test_nothing_else_is_changed_by_a_letter() -> None:
    new = with_share(DEFINITIONS, FLAG, 5)
    added = ', "targeting": {"fractional": [["on", 5], ["off", 95]]}'
    assert new.count(added) == 1
    assert new.replace(added, "") == DEFINITIONS
    higher = with_share(new, FLAG, 20)
    assert higher == new.replace('["on", 5], ["off", 95]', '["on", 20], ["off", 80]')


def test_the_same_share_is_the_same_text() -> None:
    once = with_share(DEFINITIONS, FLAG, 5)
    assert with_share(once, FLAG, 5) == once


def test_at_all_of_it_also_those_get_it_who_have_no_key_and_not_before_and_not_after() -> None:
    def default(of: str) -> str:
        found: str = json.loads(of)["flags"]["new-checkout"]["defaultVariant"]
        return found

    whole = with_share(text(), FLAG, 100)
    assert default(whole) == "on"
    assert default(with_share(whole, FLAG, 20)) == "off"
    assert default(with_share(text(), FLAG, 20)) == "off"


def test_the_bucket_is_the_flag_s_own_or_what_the_fleet_file_names() -> None:
    by_mail = FlagdFlag("/f", "new-checkout", bucket="email")
    assert json.loads(with_share(text(), by_mail, 5))["flags"]["new-checkout"]["targeting"] == share(
        BUCKET, ["on", 5], ["off", 95]
    )
    there = text(targeting=share({"var": "tenant"}, ["on", 5], ["off", 95]))
    assert '{"var": "tenant"}, ["on", 20]' in with_share(there, by_mail, 20)


def test_it_is_disabled_and_enabled_again() -> None:
    off = with_share(text(), FLAG, 20, enabled=False)
    assert read_share(off, FLAG) == FlagState(20, enabled=False)
    assert read_share(with_share(off, FLAG, 20), FLAG) == FlagState(20)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    others=st.dictionaries(st.text(max_size=6).filter(lambda name: name != "new-checkout"), JSON, max_size=4),
    beside=st.dictionaries(st.text(max_size=6).filter(lambda name: name != "flags"), JSON, max_size=2),
    own=st.dictionaries(st.sampled_from(["metadata", "title"]), JSON),
    indent=st.sampled_from([None, 1, "\t"]),
    percents=st.lists(st.integers(0, 100), min_size=1, max_size=3),
)
def test_whatever_else_the_file_holds(
    others: dict[str, Any], beside: dict[str, Any], own: dict[str, Any], indent: Any, percents: list[int]
) -> None:
    mine = {**json.loads(text())["flags"]["new-checkout"], **own}
    before = {**beside, "flags": {**others, "new-checkout": mine}}
    now = json.dumps(before, indent=indent)
    for percent in percents:
        now = with_share(now, FLAG, percent)
        assert read_share(now, FLAG) == FlagState(percent)
        after = json.loads(now)
        for key in ("state", "targeting", "defaultVariant"):
            after["flags"]["new-checkout"].pop(key)
        expected = json.loads(json.dumps(before))
        for key in ("state", "defaultVariant"):
            expected["flags"]["new-checkout"].pop(key)
        assert after == expected
