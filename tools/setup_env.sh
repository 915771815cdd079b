#!/usr/bin/env bash
# Makes .venv with the tested stack and mmdualhead (editable) in it, and puts it first on PATH.
#
#   source tools/setup_env.sh [EXTRA ...]      # extras of setup.py, for example: tests
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

_mmdualhead_install() {
    local venv=$1 spec=$2 python=$1/bin/python stamp index
    if [ ! -x "$python" ]; then
        local base
        base=$(_mmdualhead_find_python) || return 1
        _mmdualhead_say "making $venv with $("$base" --version)"
        "$base" -m venv --clear "$venv" || {
            echo "could not make $venv; on Debian and Ubuntu: apt install python3-venv" >&2
            return 1
        }
    fi

    local setup="$_mmdualhead_root/setup.py" versions="$_mmdualhead_root/mmdualhead/version.py"
    local constraints="$_mmdualhead_root/requirements/constraints.txt"
    stamp="$spec $(cat "$setup" "$versions" "$constraints" | cksum)"
    if grep -qxF -- "$stamp" "$venv/mmdualhead-stamps" 2>/dev/null; then
        return 0
    fi

    _mmdualhead_say "installing $spec and what it needs (the first time this takes minutes)"
    index=$(_mmdualhead_torch_index "$python")
    # shellcheck disable=SC2086  # the index is two words, or none
    "$python" -m pip install $index -c "$constraints" -e "$_mmdualhead_root$spec" </dev/null || return 1
    echo "$stamp" >>"$venv/mmdualhead-stamps"
}

_mmdualhead_setup() {
    local venv=${MMDUALHEAD_VENV:-$_mmdualhead_root/.venv} extras
    extras=$(IFS=,; echo "mim${*:+,$*}")
    _mmdualhead_install "$venv" "[$extras]" || {
        echo 'The environment is not complete: see the error above. Run the command again to go on.' >&2
        return 1
    }
    export PATH="$venv/bin:$PATH" VIRTUAL_ENV="$venv" PYTHONNOUSERSITE=1
    unset PYTHONHOME
}

_mmdualhead_setup "$@"
