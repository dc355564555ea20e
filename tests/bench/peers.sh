#!/usr/bin/env bash
# The broker beside NATS and Redis on this machine: builds both sides in release mode and runs the
# comparison. Options are those of `compare` (`--help`), such as --short, --rows, --json, --markdown.
set -euo pipefail
cd "$(dirname "$0")/../.."

for program in redis-server nats-server; do
    if ! PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null; then
        echo "$program is not installed, its column will be missing: apt-get install $program" >&2
    fi
done

cargo build --release -p broker-compare
compare=${CARGO_TARGET_DIR:-target}/release/compare
# What needs no broker, and what is wrong with the options, comes before its long build.
for option in "$@"; do
    case $option in -h | --help | --list) exec "$compare" "$@" ;; esac
done
"$compare" "$@" --list >/dev/null

cargo build --release --bin broker
exec "$compare" "$@"
