#!/bin/sh
# A local Zenlayer with 250 running instances, and a script that stops them. `make demo` builds the
# module and runs this.
set -eu
cd "$(dirname "$0")/.."

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

say() {
    printf '\n== %s\n' "$*"
}

ready_field() {
    sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" "$dir/ready.json"
}

say "start a local Zenlayer, over TLS, with 250 running instances"
sandbox/zenlayer-sandbox --instances 250 --graceful-seconds 4 --dir "$dir" \
    --ready-file "$dir/ready.json" &
sandbox=$!
tries=0
until [ -f "$dir/ready.json" ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 150 ] || ! kill -0 "$sandbox" 2>/dev/null; then
        echo "demo: the sandbox did not start" >&2
        exit 1
    fi
    sleep 0.1
done
endpoint=$(ready_field endpoint)
echo "$endpoint"

say "stop all of them: three requests, of 100, 100 and 50 ids; the progress, then their request ids"
export ZENLAYER_ACCESS_KEY_ID=SANDBOXKEY ZENLAYER_ACCESS_KEY_SECRET=sandbox-password
i=1
while [ "$i" -le 250 ]; do
    printf 'ins-%04d\n' "$i"
    i=$((i + 1))
done | "${LUA:-lua5.4}" examples/stop_instances.lua --graceful --wait \
    --endpoint "$endpoint" --ca-file "$(ready_field ca_file)"

say "done; the sandbox ends here"
