#!/bin/sh
# A local Zenlayer, the gateway of this folder before it, and some calls. `make demo-openresty` builds
# the module for LuaJIT and runs this.
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
PATH=$PATH:/usr/sbin # where Debian has nginx

dir=$(mktemp -d)
sandbox=
nginx=
finish() {
    for pid in $nginx $sandbox; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT TERM

say() {
    printf '\n== %s\n' "$*"
}

await() { # await PID COMMAND…: until COMMAND succeeds
    pid=$1
    shift
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ "$tries" -gt 150 ] || ! kill -0 "$pid" 2>/dev/null; then
            echo "demo: in vain: $*" >&2
            cat "$dir/error.log" >&2 || true
            exit 1
        fi
        sleep 0.1
    done
}

field() { # field FILE NAME
    sed -n "s/.*\"$2\": *\"\{0,1\}\([^\",}]*\).*/\1/p" "$dir/$1"
}

say "start a local Zenlayer, and nginx with this folder's configuration"
mkdir "$dir/sandbox"
sandbox/zenlayer-sandbox --instances 250 --instance dev-0001=RUNNING --instance dev-0002=RUNNING \
    --stop-seconds 0.5 --dir "$dir/sandbox" --ready-file "$dir/zenlayer.json" &
sandbox=$!
await "$sandbox" test -f "$dir/zenlayer.json"

# What is not as in production: the port, whose certificates are trusted, and no names to look up.
modules=
[ -e /usr/lib/nginx/modules/ngx_http_lua_module.so ] || modules='/^load_module/d'
sed -e "$modules" -e 's/127\.0\.0\.1:8080;/127.0.0.1:@PORT@;/' -e '/^ *resolver /d' \
    -e "s|/etc/ssl/certs/ca-certificates.crt|$(field zenlayer.json ca_file)|" \
    examples/openresty/nginx.conf >"$dir/nginx.conf"
cp examples/openresty/instances.lua "$dir/"
token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
# server.py picks a port and becomes nginx.
env ZENLAYER_ACCESS_KEY_ID=SANDBOXKEY ZENLAYER_ACCESS_KEY_SECRET=sandbox-password \
    ZENLAYER_ENDPOINT="$(field zenlayer.json endpoint)" GATEWAY_TOKEN="$token" \
    NIGHTLY_TEST_SECONDS=3 LUA_PATH="$PWD/lib/?.lua;;" LUA_CPATH="$build/luajit/?.so;;" \
    python3 -B spec/support/server.py nginx "$dir" &
nginx=$!
await "$nginx" test -f "$dir/nginx.pid"
gateway=http://127.0.0.1:$(field ready.json port)
echo "$gateway"

call() {
    path=$1
    shift
    printf '$ curl %s%s\n' "$path" "${*:+ $*}"
    curl -sS --noproxy '*' -w 'HTTP %{http_code}\n' -H "Authorization: Bearer $token" "$@" \
        "$gateway$path"
}

say "stop two instances"
call /instances/stop -d '["ins-0001","ins-0002"]'

say "the same without the token"
token_kept=$token token=wrong
call /instances/stop -d '["ins-0001","ins-0002"]'
token=$token_kept

say "an instance that does not exist"
call /instances/stop -d '["ins-0003","ins-9999"]'

say "what the first two do, a second later"
sleep 1
call '/instances/status?id=ins-0001&id=ins-0002'

say "every night (here: every three seconds) one worker stops what is idle"
await "$nginx" grep -q 'nightly: ' "$dir/error.log"
sed -n 's/.*\(nightly: [^,]*\).*/\1/p' "$dir/error.log" | head -n 1
call '/instances/status?id=dev-0001&id=dev-0002'

say "done; nginx and the sandbox end here"
