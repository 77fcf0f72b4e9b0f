"""Telling people of a rollout, wherever they are."""
