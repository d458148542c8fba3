# For run.sh and secrets.sh, which read it: sandboxes in a folder, $dir, that is gone at the end.
# What is secret is in the environment, of its own kind everywhere: no part of it is a word.
cd "$(dirname "$0")/../.."
dir=$(mktemp -d "${TMPDIR:-/tmp}/zenlayer-torture-XXXXXX")
started=
finish() {
    for pid in $started; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT TERM

export TORTURE_PASSWORD=kW7xQz2mVb9TnR4cLs8Y TORTURE_TOKEN=tH3vKq6yPd0ZjX5gMf1B.uE8rNw2
secrets=TORTURE_PASSWORD,TORTURE_TOKEN

# await FILE WHAT: until it is there.
await() {
    tries=0
    until [ -f "$1" ]; do
        tries=$((tries + 1))
        if [ "$tries" -gt 300 ]; then
            echo "torture: $2 did not start" >&2
            cat "$(dirname "$1")/messages" >&2
            exit 2
        fi
        sleep 0.05
    done
}

# start NAME [options]: a sandbox with a folder of that name; its endpoint is in $endpoint.
start() {
    name=$1
    shift
    mkdir "$dir/$name"
    echo '[]' >"$dir/$name/faults.json"
    sandbox/zenlayer-sandbox "$@" --port 0 --accept-any --stop-seconds 0.015 --die-with-parent \
        --access-key-password "$TORTURE_PASSWORD" --token "$TORTURE_TOKEN" \
        --dir "$dir/$name" --ready-file "$dir/$name/ready.json" --journal "$dir/$name/journal" \
        --faults "$dir/$name/faults.json" >"$dir/$name/messages" 2>&1 </dev/null &
    started="$started $!"
    await "$dir/$name/ready.json" "the sandbox"
    endpoint=$(sed -n 's/.*"endpoint": *"\([^"]*\)".*/\1/p' "$dir/$name/ready.json")
}

# home NAME: one whose file of the command line's is what comes on stdin.
home() {
    mkdir -p "$dir/$1/.zenlayer"
    (umask 077 && cat >"$dir/$1/.zenlayer/credentials.json")
}
