"""Reads services as the Compose specification writes them, in place or in somebody else's compose file.

It gives the normal form of config/container.py, or says what is wrong where it is written. Nothing is ignored silently.
"""
