#!/usr/bin/env bash
# Tests the last commit as on other machines: as a newcomer does, in a new clone and environment by the README's test
# command, and then what computes numbers once more with other instructions of the processor and with two threads. A
# quarter of an hour on two idle cores.
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

# Without what computes no numbers, or those of a tracer.
numeric() {
    python -m pytest --ignore=tests/models/test_{compile,device,memory}.py "$@"
}
both=(-n 2 --dist loadfile --no-loadscope-reorder)

say 'as on a processor with AVX2'
OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 \
    numeric "${both[@]}" tests/models tests/evaluation \
    tests/apis/test_{convert,export,exported,inferencer,mmaction2,occlusion,packaged,streaming,streams}.py
say 'as on a processor without vector instructions'
OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=default numeric "${both[@]}" tests/models
say 'in two threads'
OMP_NUM_THREADS=2 numeric tests/models tests/processes/test_interrupted.py
