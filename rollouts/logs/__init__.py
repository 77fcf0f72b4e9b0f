"""Logs of a target from all its hosts, merged, and their way to a screen."""
