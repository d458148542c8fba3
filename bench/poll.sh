#!/bin/sh
# Starts a sandbox whose answers take 300 ms, and runs bench/poll.c against it. `make bench-poll`
# builds it and runs this: bench/poll.sh PROGRAM [arguments of the program].
set -eu
cd "$(dirname "$0")/.."
program=$1
shift

dir=$(mktemp -d)
sandbox=
finish() {
    if [ -n "$sandbox" ]; then
        kill "$sandbox" 2>/dev/null || true
        wait "$sandbox" 2>/dev/null || true
    fi
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT TERM

sandbox/zenlayer-sandbox --accept-any --fault delay:seconds=0.3,action=StopInstances \
    --dir "$dir" --ready-file "$dir/ready.json" &
sandbox=$!
tries=0
until [ -f "$dir/ready.json" ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 150 ] || ! kill -0 "$sandbox" 2>/dev/null; then
        echo "poll.sh: the sandbox did not start" >&2
        exit 1
    fi
    sleep 0.1
done
ready_field() {
    sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" "$dir/ready.json"
}
"$program" --endpoint "$(ready_field endpoint)" --ca-file "$(ready_field ca_file)" "$@"
