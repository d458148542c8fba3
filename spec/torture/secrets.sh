#!/bin/sh
# Starts a sandbox and a proxy that wants a password, and runs torture.c with secrets.lua:
#   spec/torture/secrets.sh PROGRAM POINTS [options of the program]
# So many points for each task, source and mode. It says what was found where, by whoever gave memory
# back; the exit status, whether the core was clean.
set -eu
. "$(dirname "$0")/start.sh"
program=$1 points=$2
shift 2

export TORTURE_KEY_ID=SANDBOXKEY TORTURE_OTHER_PASSWORD=hJ4wDs7pGt2QyF9nCx6M
export TORTURE_PROXY_PASSWORD=aU5rBk8vLe3ZmP1qWi7S
TORTURE_PROXY_BASIC=$(printf 'user:%s' "$TORTURE_PROXY_PASSWORD" | base64)
export TORTURE_PROXY_BASIC
secrets=$secrets,TORTURE_OTHER_PASSWORD,TORTURE_PROXY_PASSWORD,TORTURE_PROXY_BASIC

mkdir "$dir/proxy"
printf '{ "user": "user", "password": "%s" }' "$TORTURE_PROXY_PASSWORD" >"$dir/proxy/options.json"
python3 spec/support/server.py proxy "$dir/proxy" >"$dir/proxy/messages" 2>&1 </dev/null &
started="$started $!"
await "$dir/proxy/ready.json" "the proxy"
port=$(sed -n 's/.*"port": *\([0-9]*\).*/\1/p' "$dir/proxy/ready.json")

profile='"access_key_id": "SANDBOXKEY", "access_key_secret": "'$TORTURE_PASSWORD'"'
token='"token": "'$TORTURE_TOKEN'"'
home home <<END
{ "default": { $profile }, "token": { $token }, "both": { $profile, $token },
  "half": { "access_key_secret": "$TORTURE_PASSWORD" } }
END
home broken <<END
{ "default": { $profile } } }
END
home open <<END
{ "default": { $profile } }
END
chmod 644 "$dir/open/.zenlayer/credentials.json"
mkdir "$dir/empty"

start tls
TORTURE_PROXY=http://user:$TORTURE_PROXY_PASSWORD@127.0.0.1:$port \
    TORTURE_HOME=$dir/home TORTURE_BROKEN_HOME=$dir/broken TORTURE_OPEN_HOME=$dir/open \
    TORTURE_EMPTY_HOME=$dir/empty \
    "$program" -S "$secrets" -w -n "$points" "$@" spec/torture/secrets.lua "$endpoint" \
    "$dir/tls/ca.pem" "$dir/tls/faults.json"
