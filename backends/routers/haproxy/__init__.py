"""HAProxy 2.6 and newer, changed over its runtime socket without a reload. Start at ``connection``."""
