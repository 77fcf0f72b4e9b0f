"""Logs in the control room: following them, filtering a million lines, folding what repeats, showing what is in sight."""
