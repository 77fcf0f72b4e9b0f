"""Gives the tests of this folder the playground."""

from tests.playground_fixture import playground

__all__ = ["playground"]
