#!/usr/bin/env bash
# Counts the instructions of the hot path, in this tree or in comparison with another revision:
#   tests/bench/instructions.sh                          counts
#   tests/bench/instructions.sh --against main~1         compares, and fails above 5 % more
#   tests/bench/instructions.sh --against main~1 append  only the cases with `append` in their names
# The other revision is built in a folder of its own, which makes its first comparison slow.
set -euo pipefail
cd "$(dirname "$0")/../.."

case "${1:-}" in -h | --help)
    sed -n '2,6s/^# //p' "$0"
    exit
    ;;
esac
if ! command -v valgrind >/dev/null; then
    echo "counting instructions needs valgrind: apt-get install valgrind" >&2
    exit 1
fi
count() { cargo bench -q -p broker-compare --bench instructions -- "$@"; }

if [[ "${1:-}" != --against ]]; then
    count "$@"
    exit
fi
revision=${2:?name a revision behind --against}
shift 2

scratch=$(mktemp -d)
tidy_up() {
    git worktree remove --force "$scratch/tree" 2>/dev/null || true
    rm -rf "$scratch"
}
trap tidy_up EXIT
git worktree add --quiet --detach "$scratch/tree" "$revision"
if [[ ! -d "$scratch/tree/tests/bench/benches/instructions" ]]; then
    echo "$revision cannot count its instructions yet" >&2
    exit 1
fi
# Not the same target folder: cargo would take the newer of two builds for both.
other=$(realpath -m "${CARGO_TARGET_DIR:-target}")/instructions-of-others
echo "before ($revision):"
(cd "$scratch/tree" && CARGO_TARGET_DIR=$other count --save "$scratch/before.json" "$@")
echo "before, now, ratio:"
count --against "$scratch/before.json" "$@"
