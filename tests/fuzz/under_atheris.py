"""The process in which atheris runs one target, started by ``run.py``: its name, then libFuzzer's options."""

import importlib
import sys


def main() -> None:
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["quarterdeck"], enable_loader_override=False):
        targets = importlib.import_module("tests.fuzz.targets")
    target = targets.TARGETS[sys.argv[1]]
    target.check(b"")  # what is made once, and loaded where it is used, is made now
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
