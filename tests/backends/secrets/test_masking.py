"""The mask covers every form, whole, and leaves the rest of the text as it is."""

from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.backends.hosts.contract import SecretValues
from quarterdeck.backends.secrets import MASK, Masker


def test_the_rest_of_the_text_stays_as_it_is() -> None:
    assert Masker(["hunter2"]).mask("a hunter2 b\nhunter2hunter2 c") == f"a {MASK} b\n{MASK} c"
    assert Masker(["hunter2"]).mask("nothing here") == "nothing here"
    assert Masker([]).mask("nothing here") == "nothing here"
    assert Masker(["hunter2"]).mask("") == ""


def test_short_values_are_left_alone() -> None:
    assert Masker(["abc", ""]).mask("abc") == "abc"
    assert Masker(["abcd"]).mask("abcd") == MASK


def test_values_that_overlap_leave_no_rest() -> None:
    assert Masker(["abcd1234", "1234wxyz"]).mask("-abcd1234wxyz-") == f"-{MASK}-"
    assert Masker(["pass", "password"]).mask("-password-") == f"-{MASK}-"
    assert Masker(["my-pass-word", "pass"]).mask("-my-pass-word-") == f"-{MASK}-"
    assert Masker(["aaaa"]).mask("-aaaaaaa-") == f"-{MASK}-"


def test_the_lines_of_a_long_value_are_masked_one_by_one() -> None:
    lines = ["MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", "BKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj", "MzEfYyjiWA4R4/M2bS1GB4t7NXp98C3S"]
    key = "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----", ""])
    masked = Masker([key]).mask("".join(f"12:00 | {line}\n" for line in key.splitlines()))
    assert not any(line in masked for line in lines)
    assert "-----BEGIN PRIVATE KEY-----" in masked


def test_a_masker_shows_nothing_of_its_values() -> None:
    masker = Masker(SecretValues({"TOKEN": "hunter2"}))
    assert repr(masker) == "Masker(1 values)"
    assert masker.mask("hunter2") == MASK


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.text("ab1", min_size=4, max_size=6), max_size=4), st.text("ab1 ", max_size=40))
def test_no_value_is_left_whatever_they_have_in_common(values: list[str], text: str) -> None:
    masked = Masker(values).mask(text)
    assert not any(value in masked for value in values)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.text(st.characters(exclude_characters="*", exclude_categories=["Cs"]), min_size=4, max_size=30),
    st.text(max_size=30),
    st.text(max_size=30),
)
def test_any_value_is_found_in_any_text(value: str, before: str, after: str) -> None:
    masked = Masker([value]).mask(before + value + after)
    assert value not in masked


def test_a_run_of_backslashes_takes_no_time_to_speak_of() -> None:
    # Were every way tried to share them out, this would not end in a lifetime.
    secret = "a" + "\\" * 60 + "b"
    assert Masker([secret]).mask("a" + "\\" * 90 + "c") == "a" + "\\" * 90 + "c"
    assert Masker([secret]).mask("a" + "\\" * 120 + "b") == MASK
