"""The way back of a target: where it leads, whether it is open, and that it has closed."""
