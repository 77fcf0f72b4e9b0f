"""Caddy 2.6 and newer: one object of its configuration for each service, replaced over its admin API. Start at ``connection``."""
