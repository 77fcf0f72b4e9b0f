"""How often a promise is put to the test: a small number in every run, all of it with QD_TRUST=full (``make trust``)."""

import os


def counts_are_full() -> bool:
    return os.environ.get("QD_TRUST") == "full"
