#!/usr/bin/env bash
# Install a Chromium, which the tests of the report and figures as files need, and Debian's headless shell of it, with
# which those tests take three quarters of the time. Installs as root on Debian and its derivatives; elsewhere says what
# to install. Does nothing where both are there.
set -euo pipefail

found() { command -v "$1" >/dev/null; }
has_chromium() { found chromium || found chromium-browser || found google-chrome; }
install() { DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null; }

if has_chromium && found chromium-headless-shell; then
  exit 0
elif [ "$(id -u)" -eq 0 ] && found apt-get; then
  has_chromium || { apt-get update -qq && install chromium; }
  install chromium-headless-shell 2>/dev/null || true # the tests do without it
elif ! has_chromium; then
  echo "Tests of the report in a browser will skip; to run them, install chromium (Debian: sudo apt-get install chromium)." >&2
fi
