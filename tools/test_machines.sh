#!/usr/bin/env bash
# Tests the last commit as on other machines: as a newcomer does, in a new clone and environment by the README's test
# command, and then what computes once more with other instructions of the processor and with two threads. Less than
# half an hour on two idle cores.
#
#   bash tools/test_machines.sh
#
# PYTHON as in tools/setup_env.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

say() { printf '\n== %s\n' "$*"; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
unset MMDUALHEAD_VENV VIRTUAL_ENV EXTRAS OMP_NUM_THREADS PYTHONPATH PYTEST_ADDOPTS
git clone -q "$root" "$scratch/mmdualhead"
# Recordings that some tests use lie beside a clone, if at all.
[ ! -d "$root/../shared" ] || ln -s "$(cd "$root/../shared" && pwd)" "$scratch/shared"
cd "$scratch/mmdualhead"

bash tools/test.sh </dev/null
EXTRAS=tests source tools/setup_env.sh

say 'as on a processor with AVX2'
OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 \
    python -m pytest tests/models tests/evaluation tests/apis
say 'as on a processor without vector instructions'
OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=default python -m pytest tests/models
say 'in two threads'
OMP_NUM_THREADS=2 python -m pytest tests/models tests/processes/test_interrupted.py
