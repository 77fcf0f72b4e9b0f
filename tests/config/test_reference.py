"""docs/fleet-file.md has every key that the loader reads, in the words of its description."""

import re
from pathlib import Path

import pytest

from quarterdeck.config import keys
from quarterdeck.config.reference import DOCUMENT, reference, renewed
from tests.config.test_examples import every_keys

TEXT = (Path(__file__).resolve().parents[2] / DOCUMENT).read_text(encoding="utf-8")


def test_the_page_is_what_the_loader_reads() -> None:
    assert renewed(TEXT) == TEXT, "run `make docs`"


def test_a_page_without_a_place_for_the_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for the keys"):
        renewed("# The fleet file\n")


def test_every_key_has_a_row_with_its_sentence() -> None:
    sections = dict(re.findall(r"^### (.+?)\n(.*?)(?=^### |\Z)", reference() + "\n", flags=re.MULTILINE | re.DOTALL))
    shown = 0
    for group in every_keys():
        if group is keys.OVERRIDE:
            continue
        section = sections[group.title[0].upper() + group.title[1:]]
        for key in group.keys:
            assert f"| `{key.name}` |" in section, (group.title, key.name)
            shown += 1
        assert key.description.replace("<", "&lt;") in section
    assert shown > 150


def test_most_keys_have_an_example_that_is_loaded() -> None:
    rows = re.findall(r"^\| `.*\|$", reference(), flags=re.MULTILINE)
    assert sum(row.endswith("` |") for row in rows) > len(rows) / 2
