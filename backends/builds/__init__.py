"""Builds of CI systems: one contract (``contract``), and a file for each system's documented REST interface. Nothing is changed there."""
