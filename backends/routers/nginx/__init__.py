"""nginx 1.22 and newer: one file for each service, written whole, then a reload. Start at ``connection``."""
