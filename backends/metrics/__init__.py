"""Metrics: one contract (``contract``) and the sources that keep it. A source measures now and answers; it judges nothing."""
