"""What a test needs of the machine it runs on: a reason to skip, which is a failure where everything is required."""

import os

import pytest


def need(condition: bool, reason: str) -> None:
    """Skips the test unless ``condition``; with ``QD_TEST_REQUIRE=all`` in the environment it fails instead."""
    if condition:
        return
    if os.environ.get("QD_TEST_REQUIRE") == "all":
        pytest.fail(f"needed here, and missing: {reason}", pytrace=False)
    pytest.skip(reason)
