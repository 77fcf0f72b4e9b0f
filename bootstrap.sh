#!/bin/sh
# Makes .venv from the locked dependencies and installs this checkout into it; when nothing has changed it only looks.
# usage: bootstrap.sh runtime|development       PYTHON=python3.12 chooses the interpreter of a new .venv
set -eu
cd "$(dirname "$0")"

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

kind=${1:-runtime}
case $kind in
runtime) lock=requirements.txt ;;
development) lock=requirements-dev.txt ;;
*) fail "unknown kind '$kind': runtime or development" ;;
esac
venv=.venv
python=$venv/bin/python
unfinished=$venv/unfinished # there while an installation runs: one that was interrupted is begun afresh

# What an installation depends on: where it lies (scripts hold the path), its interpreter, the lock, the project's own metadata.
fingerprint() {
    printf '%s\n' "$(pwd -P)"
    "$python" -c 'import sys; print(sys.version)' 2>/dev/null || echo broken
    cksum <"$1"
    cksum <pyproject.toml
}

fits() { [ -f "$venv/installed-$1" ] && [ "$(cat "$venv/installed-$1")" = "$(fingerprint "$2")" ]; }

suitable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null || fail "there is no command $PYTHON"
        suitable "$PYTHON" || fail "$PYTHON is $("$PYTHON" --version 2>&1): Python 3.11 or newer is needed"
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null && suitable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    command -v python3 >/dev/null || fail "python3 is missing (Debian, Ubuntu: apt install python3 python3-venv)"
    fail "python3 is $(python3 --version 2>&1): Python 3.11 or newer is needed (PYTHON=/path/to/python3.12 make … uses another one)"
}

make_venv() {
    base=$(choose_python)
    version=$("$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$base" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "Python $version cannot make virtual environments (Debian, Ubuntu: apt install python$version-venv)"
    say "making .venv with Python $version"
    mkdir -p "$venv"
    : >"$unfinished"
    "$base" -m venv --clear "$venv" || fail "python -m venv failed, see above"
    : >"$unfinished" # --clear took it away
}

main() {
    # One at a time: two makes in one checkout would install over each other.
    exec 9<bootstrap.sh
    if command -v flock >/dev/null; then flock 9; fi

    if [ ! -e "$unfinished" ]; then
        if fits "$kind" "$lock"; then return; fi
        if [ "$kind" = runtime ] && fits development requirements-dev.txt; then return; fi
    fi
    before=$(cat "$venv/installed-runtime" "$venv/installed-development" 2>/dev/null | head -n 2)
    if [ -e "$unfinished" ] || ! "$python" -m pip --version >/dev/null 2>&1 || ! suitable "$python" ||
        { [ -n "$before" ] && [ "$before" != "$(fingerprint "$lock" | head -n 2)" ]; }; then
        make_venv
    fi
    : >"$unfinished"
    say "installing what $lock names (once; needs the package index unless pip has it cached) …"
    "$python" -m pip install -qq --disable-pip-version-check --require-hashes --requirement "$lock" ||
        fail "pip could not install the locked dependencies, see above; run make again when that is mended"
    "$python" -m pip install -qq --disable-pip-version-check --no-index --no-deps --no-build-isolation \
        --config-settings editable_mode=compat --editable . || fail "pip could not install this checkout, see above"
    fingerprint "$lock" >"$venv/installed-$kind"
    rm -f "$unfinished"
    say "done: .venv/bin/qd"
}

main
