"""Hosts that are Docker engines: the way to one, its calls and streams. Start at ``backend``."""
