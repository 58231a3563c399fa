# What the HTTP benchmarks share, to be sourced: a temporary folder `work`, and servers that end with the script.
command -v wrk >/dev/null || { echo "bench: wrk is missing; apt-get install wrk" >&2; exit 1; }
target=${CARGO_TARGET_DIR:-$PWD/target}/debug
work=$(mktemp -d)
touch "$work/pids"
trap 'xargs -r kill <"$work/pids" 2>/dev/null || true; rm -rf "$work"' EXIT

start() { # NAME COMMAND...: starts a server, waits for its address and prints it
    local name=$1; shift
    "$@" >"$work/$name.out" 2>"$work/$name.err" &
    echo $! >>"$work/pids" # a file, because callers run this in a subshell
    for _ in $(seq 200); do grep -q 'http://' "$work/$name.out" && break; sleep 0.05; done
    grep -o 'http://[^ ]*' "$work/$name.out" | head -n 1
}
