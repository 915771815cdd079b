#!/usr/bin/env bash
# Sees DualHead-Net work: makes .venv, generates the synthetic data, trains and tests a small DualHead-Net on the
# four streams, and fuses them. Takes minutes on two cores (docs/synthetic_data.md). Safe to run twice; each run trains
# anew.
#
#   bash tools/quickstart.sh
#   bash tools/quickstart.sh --baselines   # MS-G3D, CTR-GCN and ST-GCN beside it, under equal conditions
#
# PYTHON and MMDUALHEAD_VENV as in tools/setup_env.sh. Everything it makes lies in .venv, data/ and work_dirs/.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
    '') networks=(quickstart) ;;
    --baselines) networks=(quickstart msg3d_quickstart ctrgcn_quickstart stgcn_quickstart) ;;
    *)
        echo "usage: bash tools/quickstart.sh [--baselines]" >&2
        exit 2
        ;;
esac
STREAMS=(j b jm bm)
DATA=data/skeleton/synthetic.pkl
WORK=work_dirs/quickstart

say() { printf '\n== %s\n' "$*"; }

# Of what training and testing print, the lines that show how it goes, short and behind the config's name.
progress() {
    local line
    local train='Epoch\(train\) +(\[[0-9]+\]\[ *[0-9]+/[0-9]+\]).* eta: ([0-9:]+).* loss: ([0-9.]+)'
    local tested='Epoch\((val|test)\) .*acc/top1: ([0-9.]+)'
    while IFS= read -r line; do
        if [[ $line =~ $train ]]; then
            echo "[$1] epoch ${BASH_REMATCH[1]}  loss ${BASH_REMATCH[3]}  time left ${BASH_REMATCH[2]}"
        elif [[ $line =~ $tested ]]; then
            echo "[$1] ${BASH_REMATCH[1]}: accuracy ${BASH_REMATCH[2]}"
        fi
    done
}

# Runs a command for a config, with everything it prints in a log; shows the log's end if it fails.
logged() {
    local label=$1 log=$2
    shift 2
    "$@" 2>&1 | tee "$log" | progress "$label" && return 0
    printf '\n[%s] failed: %s\nThe end of %s:\n' "$label" "$*" "$log" >&2
    tail -n 25 "$log" >&2
    return 1
}

train_and_test() {
    local config=$1 label=${1#quickstart_} dir=$WORK/$1
    rm -rf "$dir"
    mkdir -p "$dir"
    echo "[$label] starting"
    logged "$label" "$dir/train.log" mmdualhead train "$config" --work-dir "$dir"
    logged "$label" "$dir/test.log" mmdualhead test "$config" "$(cat "$dir/last_checkpoint")" --work-dir "$dir"
}

EXTRAS=${EXTRAS:-view}
source tools/setup_env.sh

say "generating $DATA"
mmdualhead data synthetic "$DATA"

# One process a core is faster than several threads in one.
cores=$(python -c 'import os; print(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())')
jobs=$((cores < ${#STREAMS[@]} ? cores : ${#STREAMS[@]}))
export OMP_NUM_THREADS=$((cores / jobs)) PYTHONWARNINGS=ignore

configs=()
for network in "${networks[@]}"; do configs+=("${STREAMS[@]/#/${network}_}"); done
say "training and testing ${configs[*]}, $jobs at a time (logs in $WORK)"
set -m  # each job is a process group of its own, so that none outlives this script
trap 'for job in $(jobs -p); do kill -- "-$job" 2>/dev/null || true; done' EXIT
for ((first = 0; first < ${#configs[@]}; first += jobs)); do
    running=()
    for config in "${configs[@]:first:jobs}"; do
        train_and_test "$config" &
        running+=($!)
    done
    for job in "${running[@]}"; do wait "$job"; done
done
trap - EXIT

for network in "${networks[@]}"; do
    say "$network: accuracy of each stream and of their fusion"
    mmdualhead ensemble "${STREAMS[@]/#/$WORK/${network}_}"
done | tee "$WORK/accuracy.txt"

say 'pages of some test clips, by the four streams together'
mmdualhead visualize "$DATA" --split xsub_val --every 7 --model "${STREAMS[@]/#/$WORK/quickstart_}" --out "$WORK/pages"

say 'Everything works: four streams of DualHead-Net were trained, tested and fused.'
