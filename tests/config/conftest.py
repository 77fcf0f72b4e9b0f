"""Writes fleet files and loads them."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Fleet
from quarterdeck.config.problems import FleetFileErrors, Problem

Load = Callable[..., Fleet]
Refuse = Callable[..., list[Problem]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """``load(text, **{"other.yml": text})``: the fleet that fleet.yml with this text declares."""

    def load(text: str, **others: str) -> Fleet:
        for name, content in {"fleet.yml": text, **others}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(content))
        return load_fleet(tmp_path / "fleet.yml")

    return load


@pytest.fixture
def refuse(load: Load) -> Refuse:
    """As ``load``, for a file that must be refused: the problems."""

    def refuse(text: str, **others: str) -> list[Problem]:
        with pytest.raises(FleetFileErrors) as caught:
            load(text, **others)
        assert caught.value.problems
        return list(caught.value.problems)

    return refuse
