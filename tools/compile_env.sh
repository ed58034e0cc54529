#!/usr/bin/env bash
# Sets up .venv-compile, in which `python -m experiments.train_compile` compiles for GPUs and TPUs: the locked
# dependencies, and the compilers that fit the lock's JAX (CUDA's wheels and libtpu, some 4 GB). No GPU and no TPU is
# needed. Safe to run again: what is there already is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'compile-env: %s\n' "$*"; }
fail() { printf 'compile-env: %s\n' "$*" >&2; exit 1; }

python=${PYTHON:-}
if [ -z "$python" ]; then
    for candidate in .venv/bin/python python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$candidate; break; fi
    done
fi
[ -n "$python" ] || fail "no Python 3.11 or newer was found; install one and run: make compile-env PYTHON=/path/to/python3"

jax=$(sed -n 's/^jax==\([^ ;]*\).*/\1/p' requirements.lock)
[ -n "$jax" ] || fail "requirements.lock names no version of jax; make it again with the command in its first lines"

if [ ! -x .venv-compile/bin/python ]; then
    say "creating the virtual environment .venv-compile with $("$python" --version)"
    "$python" -m venv .venv-compile || fail "could not create .venv-compile; on Debian or Ubuntu first run: apt-get install python3-venv"
fi
pip() { .venv-compile/bin/python -m pip --disable-pip-version-check "$@"; }

say "installing the locked dependencies (requirements.lock)"
pip install --quiet -r requirements.lock
say "installing the compilers: jax[cuda13,tpu]==$jax (some 4 GB on the first run)"
pip install --quiet "jax[cuda13,tpu]==$jax"
say "installing san_jax itself, editable"
pip install --quiet --no-deps --editable .
for topology in h100:1 v5e:1; do
    say "compiling the steps of a tiny network for $topology, which need not be here"
    .venv-compile/bin/python -m experiments.train_compile --config=baseline.py:smoke,model.width=2 --topology=$topology >/dev/null ||
        fail "nothing can be compiled for $topology; see the message above"
done
say "done; now run .venv-compile/bin/python -m experiments.train_compile --help"
