"""Hosts over SSH: releases in directories, one script per action through a gate. Start at ``backend``."""
