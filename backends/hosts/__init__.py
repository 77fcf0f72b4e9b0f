"""Hosts: one contract (``contract``) and, a folder each, the ways to keep it (``ssh``)."""
