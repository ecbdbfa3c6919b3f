#!/usr/bin/env bash
# Install a Chromium, which the tests of the report and figures as files need.
# Does nothing where one is there. Installs as root on Debian and its derivatives; elsewhere says what to install.
set -euo pipefail

for name in chromium chromium-browser google-chrome; do
  command -v "$name" >/dev/null && exit 0
done

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
else
  echo "Tests of the report in a browser will skip; to run them, install chromium (Debian: sudo apt-get install chromium)." >&2
fi
