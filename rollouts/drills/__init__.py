"""Rollbacks that are practised: asked for, how old the last one is, a timer for those that are due."""
