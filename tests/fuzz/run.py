"""``make fuzz``: every target under atheris, led by what of the program an input reaches. What fails is written down, small, to be kept.

atheris (Google's fuzzer for Python, https://github.com/google/atheris) is no dependency of anything else: it goes into ``build/fuzz``, and
where it can't be had this says so. What inputs reach is found anew in each run, beginning with the seeds and the kept inputs.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS, kept_inputs

ATHERIS: Final = "atheris==3.0.0"
ROOT: Final = Path(__file__).resolve().parents[2]
PLACE: Final = ROOT / "build" / "fuzz"
LIBRARY: Final = PLACE / "library"
_LONGEST_INPUT: Final = 60  # seconds: what takes longer is a fault, and told as one
_MEMORY: Final = 2048  # MiB


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"only these: {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=20, help="for each target (20)")
    parser.add_argument("--input", type=Path, help="only this input, of one target: shows why it fails")
    arguments = parser.parse_args()
    unknown = set(arguments.targets) - set(TARGETS)
    if unknown:
        parser.error(f"there is no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    chosen = [TARGETS[name] for name in arguments.targets or TARGETS]
    if arguments.input is not None:
        if len(chosen) != 1:
            parser.error("--input is of one target: name it")
        chosen[0].check(arguments.input.read_bytes())
        print(f"{chosen[0].name}: holds")
        return 0
    if not there():
        return 3
    failed = [target.name for target in chosen if not fuzzed(target, arguments.seconds)]
    print(
        f"fuzz: {len(chosen) - len(failed)} of {len(chosen)} targets held"
        + (f"; not: {', '.join(failed)}" if failed else "")
    )
    return 1 if failed else 0


def there() -> bool:
    """Whether atheris is there, after an attempt to have it."""
    if (LIBRARY / "atheris").is_dir():
        return True
    print(f"fuzz: installing {ATHERIS} into {LIBRARY.relative_to(ROOT)}", flush=True)
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
        "--target",
        str(LIBRARY),
    ]
    done = subprocess.run([*command, ATHERIS], capture_output=True, text=True)
    if done.returncode:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        print(done.stderr.strip()[-400:])
        print(
            f"fuzz: {ATHERIS} can't be had here for Python {version}, so nothing was fuzzed; make test has the same targets without it"
        )
    return not done.returncode


def fuzzed(target: Target, seconds: int) -> bool:
    """One target in a process of its own: what is found in it ends it."""
    found = PLACE / "found" / target.name
    found.mkdir(parents=True, exist_ok=True)
    before = {path.name for path in found.iterdir()}
    with tempfile.TemporaryDirectory(prefix="qd-fuzz-run-") as directory:
        work, inputs = Path(directory) / "work", Path(directory) / "inputs"
        work.mkdir()
        inputs.mkdir()
        for number, data in enumerate([*target.seeds(), *(path.read_bytes() for path in kept_inputs(target.name))]):
            (inputs / f"{number:04}").write_bytes(data[: target.longest])
        command = [
            sys.executable, "-m", "tests.fuzz.under_atheris", target.name, f"-max_total_time={seconds}", f"-max_len={target.longest}",
            f"-timeout={_LONGEST_INPUT}", f"-rss_limit_mb={_MEMORY}", f"-artifact_prefix={found}/", "-print_final_stats=1", "-verbosity=0",
            "-detect_leaks=0", str(inputs),
        ]  # fmt: skip
        environment = os.environ | {"TMPDIR": str(work), "PYTHONPATH": f"{ROOT}:{LIBRARY}", "XDG_STATE_HOME": str(work)}
        began = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, errors="replace")
        took = time.monotonic() - began
    inputs_run = re.search(r"stat::number_of_executed_units: *(\d+)", done.stderr) or re.search(
        r"Done (\d+) runs", done.stderr
    )
    new = sorted(path for path in found.iterdir() if path.name not in before)
    held = done.returncode == 0 and not new and inputs_run is not None and int(inputs_run[1]) > 0
    count = f"{int(inputs_run[1]):>9} inputs" if inputs_run else "   ? inputs"
    print(f"fuzz: {target.name:<18} {count} in {took:5.0f} s   {'held' if held else 'DOES NOT HOLD'}", flush=True)
    if not held:
        print(_why(done.stdout + done.stderr))
        for path in new:
            print(
                f'  the input: {path.relative_to(ROOT)}; see: make fuzz ARGS="{target.name} --input {path.relative_to(ROOT)}"'
            )
        print(
            f"  mend it, and keep the input in tests/fuzz/corpus/{target.name}/ under a name that says what was wrong"
        )
    return held


def _why(said: str) -> str:
    """From the exception on, without libFuzzer's own lines."""
    begin = said.find("=== Uncaught Python exception: ===")
    lines = (said[begin:] if begin >= 0 else said[-3000:]).splitlines()
    kept = [
        line
        for line in lines
        if not line.startswith(("==", "SUMMARY", "MS:", "0x", "stat::", "Base64", "artifact_prefix"))
    ]
    return "\n".join(f"  {line}" for line in kept[:40])


if __name__ == "__main__":
    sys.exit(main())
