"""Measures what deploys and rollbacks over SSH cost, next to the least that they could cost. Nothing of the program imports it."""
