"""Post-mortems and statistics in words: Markdown and JSON, for the command line and for the control room. Pure."""
