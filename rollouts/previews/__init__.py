"""Environments with a lifetime: declared, extended, removed."""
