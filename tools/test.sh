#!/usr/bin/env bash
# Checks everything: style, types, documentation, then the test suite. Arguments go to pytest:  bash tools/test.sh -k graph
set -euo pipefail
cd "$(dirname "$0")/.."
EXTRAS=tests source tools/setup_env.sh

say() { printf '\n== %s\n' "$*"; }

say 'style: ruff check, ruff format'
ruff check .
ruff format --check .

say 'types: mypy'
mypy

say 'documentation: sphinx'
sphinx-build -q -W --keep-going docs docs/_build

say 'tests: pytest'
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
python -m pytest "$@"

say 'Everything passed.'
