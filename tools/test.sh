#!/usr/bin/env bash
# Checks everything: style, types, documentation, and the test suite. Arguments go to pytest:  bash tools/test.sh -k graph
set -euo pipefail
cd "$(dirname "$0")/.."
EXTRAS=tests source tools/setup_env.sh

say() { printf '\n== %s\n' "$*"; }

say 'style: ruff check, ruff format'
ruff check .
ruff format --check .

# Types and documentation take one core while the tests take another.
logs=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$logs"' EXIT
mypy >"$logs/types" 2>&1 &
types=$!
sphinx-build -q -W --keep-going docs docs/_build >"$logs/documentation" 2>&1 &
documentation=$!

say 'tests: pytest, in two processes'
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"

say 'types: mypy'
wait "$types" || { cat "$logs/types"; exit 1; }
cat "$logs/types"
say 'documentation: sphinx'
wait "$documentation" || { cat "$logs/documentation"; exit 1; }

say 'Everything passed.'
