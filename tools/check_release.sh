#!/usr/bin/env bash
# Builds the source distribution and the wheel in dist/, installs the wheel in a new environment, and trains and
# tests from an empty folder, by mmdualhead and by mim. A release passes this. Takes minutes, most of them for pip.
#
#   bash tools/check_release.sh
#
# PYTHON names the Python to use, MMDUALHEAD_VENV an environment to keep instead of a temporary one.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export PYTHONNOUSERSITE=1 PYTHONWARNINGS=ignore OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
unset PYTHONHOME PYTHONPATH

venv=${MMDUALHEAD_VENV:-$scratch/venv}
say "an environment with the tested stack: $venv"
"${PYTHON:-python3}" -m venv "$venv"
export PATH="$venv/bin:$PATH" VIRTUAL_ENV="$venv"
python -m pip install -q -c requirements/constraints.txt build

say 'building the source distribution, and the wheel from it'
rm -rf dist build
python -m build --outdir dist . >"$scratch/build.log" || { tail -n 25 "$scratch/build.log" >&2; exit 1; }
wheel=$(echo "$PWD"/dist/*.whl)
python -m pip install -q -c requirements/constraints.txt "$wheel[mim]"
python -m pip install -q --no-deps --force-reinstall "$wheel"

mkdir "$scratch/use"
cd "$scratch/use"
say 'mmdualhead doctor'
mmdualhead doctor

say 'one epoch on a small data set: mmdualhead train, mmdualhead test, mim train'
mmdualhead data synthetic data/skeleton/synthetic.pkl --subjects 4 --repetitions 1
mmdualhead configs --copy configs
options=(train_cfg.max_epochs=1 train_dataloader.batch_size=36)
for loader in train val test; do
    options+=("${loader}_dataloader.num_workers=0" "${loader}_dataloader.persistent_workers=False")
done
mmdualhead train quickstart_j --work-dir direct --cfg-options "${options[@]}"
mmdualhead test quickstart_j direct/epoch_1.pth --work-dir direct --cfg-options "${options[@]}"
mim train mmaction2 configs/quickstart_j.py --work-dir by_mim --cfg-options "${options[@]}"
mmdualhead ensemble direct

say "ready to publish: dist/$(basename "$wheel" | cut -d- -f1-2).tar.gz"
