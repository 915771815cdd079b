#!/usr/bin/env bash
# Makes .venv with the tested stack and mmdualhead (editable) in it, and puts it first on PATH.
#
#   EXTRAS=tests source tools/setup_env.sh      # EXTRAS: extras of setup.py, separated by commas; or nothing
#
# Safe to run twice: it installs again only after setup.py, version.py or the constraints have changed.
# PYTHON names the Python to use (3.10 or newer), MMDUALHEAD_VENV another place for the environment.

_mmdualhead_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

_mmdualhead_say() { printf '\n== %s\n' "$*"; }

# The first Python that is new enough.
_mmdualhead_find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10 python}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$candidate"
            return 0
        fi
    done
    echo 'mmdualhead needs Python 3.10 or newer; set PYTHON=/path/to/python3' >&2
    return 1
}

# Without an NVIDIA GPU, PyTorch's CPU builds save gigabytes of download, where their server can be reached.
_mmdualhead_torch_index() {
    local url=https://download.pytorch.org/whl/cpu
    [ "$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null || return 0
    "$1" - "$url" <<'PROBE' 2>/dev/null || true
import sys, urllib.request
urllib.request.urlopen(sys.argv[1] + '/torch/', timeout=5).close()
print('--extra-index-url', sys.argv[1])
PROBE
}

_mmdualhead_make_venv() {
    local venv=$1 base
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 && return 0
    base=$(_mmdualhead_find_python) || return 1
    _mmdualhead_say "making $venv with $("$base" --version)"
    "$base" -m venv --clear "$venv" || {
        echo "could not make $venv; on Debian and Ubuntu: apt install python3-venv" >&2
        return 1
    }
}

# OpenCV's ordinary builds need libGL, which servers lack; the headless one needs nothing.
_mmdualhead_fix_opencv() {
    local python=$1 headless=opencv-contrib-python-headless
    "$python" -c 'import cv2' 2>/dev/null && return 0
    _mmdualhead_say "OpenCV cannot be loaded here; installing $headless in its place"
    "$python" -m pip uninstall -y -q opencv-python opencv-contrib-python "$headless" || return 1
    "$python" -m pip install -c "$_mmdualhead_root/requirements/constraints.txt" "$headless" || return 1
    "$python" -c 'import cv2'
}

_mmdualhead_install() {
    local venv=$1 extras=$2 python=$1/bin/python stamps=$1/mmdualhead-stamps
    local constraints="$_mmdualhead_root/requirements/constraints.txt" sources stamp index
    _mmdualhead_make_venv "$venv" || return 1

    sources=$(cat "$_mmdualhead_root/setup.py" "$_mmdualhead_root/mmdualhead/version.py" "$constraints" | cksum)
    stamp="$sources $_mmdualhead_root [$extras]"
    grep -qxF -- "$stamp" "$stamps" 2>/dev/null && return 0

    _mmdualhead_say "installing mmdualhead[$extras] and what it needs (the first time this takes minutes)"
    grep -sF -- "$sources $_mmdualhead_root" "$stamps" >"$stamps.new"
    mv "$stamps.new" "$stamps"
    index=$(_mmdualhead_torch_index "$python")
    # shellcheck disable=SC2086  # the index is two words, or none
    "$python" -m pip install $index -c "$constraints" -e "$_mmdualhead_root[$extras]" </dev/null || return 1
    _mmdualhead_fix_opencv "$python" || return 1
    echo "$stamp" >>"$stamps"
}

_mmdualhead_setup() {
    local venv=${MMDUALHEAD_VENV:-$_mmdualhead_root/.venv}
    export PYTHONNOUSERSITE=1
    unset PYTHONHOME PYTHONPATH
    _mmdualhead_install "$venv" "mim${EXTRAS:+,$EXTRAS}" || {
        echo 'The environment is not complete: see the error above. Run the command again to go on.' >&2
        return 1
    }
    export PATH="$venv/bin:$PATH" VIRTUAL_ENV="$venv"
}

_mmdualhead_setup
