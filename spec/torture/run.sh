#!/bin/sh
# Starts two sandboxes, one with TLS and one without, and runs torture.c against them:
#   spec/torture/run.sh PROGRAM POINTS TLS_POINTS [options of the program]
# So many points for each task, source and mode; 0: all, or none over TLS. Its last lines are the
# programs' totals, the exit status says whether all is well.
set -eu
cd "$(dirname "$0")/../.."
program=$1 points=$2 tls_points=$3
shift 3

dir=$(mktemp -d "${TMPDIR:-/tmp}/zenlayer-torture-XXXXXX")
sandboxes=
finish() {
    for pid in $sandboxes; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT TERM

# start NAME [options]: a sandbox with a folder of that name.
start() {
    name=$1
    shift
    mkdir "$dir/$name"
    echo '[]' >"$dir/$name/faults.json"
    sandbox/zenlayer-sandbox "$@" --port 0 --accept-any --stop-seconds 0.015 --die-with-parent \
        --dir "$dir/$name" --ready-file "$dir/$name/ready.json" --journal "$dir/$name/journal" \
        --faults "$dir/$name/faults.json" >"$dir/$name/messages" 2>&1 </dev/null &
    sandboxes="$sandboxes $!"
    tries=0
    until [ -f "$dir/$name/ready.json" ]; do
        tries=$((tries + 1))
        if [ "$tries" -gt 300 ]; then
            echo "torture: the sandbox did not start" >&2
            cat "$dir/$name/messages" >&2
            exit 2
        fi
        sleep 0.05
    done
}

# torture NAME CA_FILE [options]: the tasks, against that sandbox.
torture() {
    name=$1 ca_file=$2
    shift 2
    endpoint=$(sed -n 's/.*"endpoint": *"\([^"]*\)".*/\1/p' "$dir/$name/ready.json")
    HOME="$dir/home" "$program" "$@" spec/torture/tasks.lua "$endpoint" "$ca_file" \
        "$dir/$name/journal" "$dir/$name/faults.json"
}

mkdir -p "$dir/home/.zenlayer"
(umask 077 && cat >"$dir/home/.zenlayer/credentials.json") <<'END'
{ "torture": { "access_key_id": "SANDBOXKEY", "access_key_secret": "sandbox-password" } }
END

status=0
start plain --http
torture plain "" -n "$points" "$@" || status=1
if [ "$tls_points" -gt 0 ]; then
    start tls
    torture tls "$dir/tls/ca.pem" -n "$tls_points" -t new,stop,stop_again,stop_anew,jobs,connect \
        "$@" || status=1
fi
exit "$status"
