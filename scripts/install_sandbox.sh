#!/usr/bin/env bash
# Install what the code verifier's level `namespace` needs and PyPI does not have: bubblewrap, libseccomp, setpriv.
# Does nothing where they are there. Installs as root on Debian and its derivatives; elsewhere says what to install.
set -euo pipefail

missing=()
command -v bwrap >/dev/null || missing+=(bubblewrap)
command -v setpriv >/dev/null || missing+=(util-linux)
"${PYTHON:-python3}" -c 'import ctypes; ctypes.CDLL("libseccomp.so.2")' 2>/dev/null || missing+=(libseccomp2)
[ "${#missing[@]}" -eq 0 ] && exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "Tests of untrusted code will skip; to run them, install: ${missing[*]} (Debian: sudo apt-get install ...)." >&2
fi
