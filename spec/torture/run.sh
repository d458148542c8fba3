#!/bin/sh
# Starts two sandboxes, one with TLS and one without, and runs torture.c against them:
#   spec/torture/run.sh PROGRAM POINTS TLS_POINTS [options of the program]
# So many points for each task, source and mode; 0: all, or none over TLS. Its last lines are the
# programs' totals, the exit status says whether all is well.
set -eu
. "$(dirname "$0")/start.sh"
program=$1 points=$2 tls_points=$3
shift 3

# torture NAME CA_FILE [options]: the tasks, against the sandbox that was started last.
torture() {
    name=$1 ca_file=$2
    shift 2
    HOME="$dir/home" "$program" -S "$secrets" "$@" spec/torture/tasks.lua "$endpoint" "$ca_file" \
        "$dir/$name/journal" "$dir/$name/faults.json"
}

home home <<END
{ "torture": { "access_key_id": "SANDBOXKEY", "access_key_secret": "$TORTURE_PASSWORD" } }
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
