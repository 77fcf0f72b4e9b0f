"""Assertions in modules that tests share tell what they have seen, as those in tests do. For modules that are imported after this one."""

import sys
from pathlib import Path

import pytest

_shared = {f"tests.{one.stem}" for one in Path(__file__).parent.iterdir() if one.is_dir() or one.suffix == ".py"}
pytest.register_assert_rewrite(*sorted(_shared - sys.modules.keys()))
