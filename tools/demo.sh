#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# demo.sh - shows that reeve keeps a real job through SIGKILLs of its engine. Called by ./dev demo.
#
# The job is a clean rebuild of reeve that prints every command, one at a time: its output is the
# same at each run, so that a run without reeve is the measure of one with it.
set -eu
. tools/lib.sh

LIMIT=600 # seconds, for one job
WORK=$(mktemp -d /tmp/reeve-demo.XXXXXX)
STATE=$WORK/state # of the demo's own daemon
JOB="ninja -C $WORK/job -t clean >/dev/null && exec ninja -C $WORK/job -v -j1 reeve reeved reeve-keeper"
FAILING="i=0; while [ \$((i += 1)) -le 200 ]; do echo line \$i; sleep 0.01; done; exit 3"

reeve() {
	env REEVE_DIR="$STATE" build/reeve "$@"
}

# The processes of this demo: what bears its REEVE_DIR.
ours() {
	grep -lszxF "REEVE_DIR=$STATE" /proc/[0-9]*/environ | sed 's,/proc/\(.*\)/environ,\1,'
}

end() {
	trap - EXIT
	reeve daemon stop >"$WORK/stop" 2>&1 || :
	for pid in $(ours); do
		kill -KILL "$pid" 2>/dev/null || :
	done
	rm -rf "$WORK"
}

ok() {
	printf '   ok: %s\n' "$*"
}

fail() {
	printf '   FAILED: %s\n' "$*"
	tail -n 30 "$STATE/reeve.log" 2>/dev/null || :
	exit 1
}

engine() {
	reeve daemon status --json 2>/dev/null | sed -n 's/.*"enginePid": *\([1-9][0-9]*\).*/\1/p'
}

size() {
	wc -c <"$1"
}

# Once FILE has grown past SIZE: kills the engine, and waits for the one that takes over.
kill_engine_at() { # SIZE NAME
	while [ "$(size "$WORK/$2.with")" -le "$1" ]; do
		[ ! -e "$WORK/$2.code" ] || fail "the job ended before its engine could be killed"
		sleep 0.02
	done
	old=$(engine)
	at=$(size "$WORK/$2.with")
	kill -KILL "$old"
	tries=0
	while new=$(engine) && [ -z "$new" ] || [ "$new" = "$old" ]; do
		[ $((tries += 1)) -lt 500 ] || fail "no engine took over"
		sleep 0.02
	done
	printf '   at %6d bytes: kill -KILL %d (the engine); engine %d took over\n' "$at" "$old" "$new"
}

# Runs LINE in a session, its engine killed twice; leaves the exit code in `code`.
run_killed() { # NAME LINE SIZE
	: >"$WORK/$1.with"
	{
		code=0
		timeout "$LIMIT" env REEVE_DIR="$STATE" build/reeve run --name "$1" -- sh -c "$2" \
			</dev/null >"$WORK/$1.with" 2>"$WORK/$1.with.err" || code=$?
		echo $code >"$WORK/$1.code"
	} &
	kill_engine_at $(($3 / 3)) "$1"
	kill_engine_at $(($3 * 2 / 3)) "$1"
	wait $!
	code=$(cat "$WORK/$1.code")
}

run_bare() { # NAME LINE
	code=0
	timeout "$LIMIT" sh -c "$2" </dev/null >"$WORK/$1.without" 2>"$WORK/$1.without.err" ||
		code=$?
}

compare() { # NAME CODE
	echo "   \$ cmp $1.without $1.with"
	cmp "$WORK/$1.without" "$WORK/$1.with" || fail "the output differs"
	cmp "$WORK/$1.without.err" "$WORK/$1.with.err" || fail "$(cat "$WORK/$1.with.err")"
	ok "$(size "$WORK/$1.with") bytes, the same byte for byte"
	[ "$code" = "$2" ] || fail "exit code $code instead of $2"
	ok "exit code $code, the same"
}

trap end EXIT
trap 'exit 130' INT TERM HUP

echo "reeve demo: a real job, the engine that carries it killed with SIGKILL in the middle"
echo
echo "0. Build reeve, and start its daemon in a directory of its own"
tree build
meson setup --buildtype=debug "$WORK/job" >"$WORK/setup.log" || fail "$(cat "$WORK/setup.log")"
mkdir -m 700 "$STATE"
echo "   \$ reeve daemon start"
reeve daemon start >"$WORK/start" 2>&1 || fail "$(cat "$WORK/start")"
ok "$(reeve daemon status), engine $(engine)"
echo
echo "1. The job without reeve: a clean rebuild of reeve, every command printed"
echo "   \$ ninja -v -j1 >rebuild.without"
run_bare rebuild "$JOB"
expected=$code
[ "$expected" = 0 ] || fail "$(tail -n 20 "$WORK/rebuild.without" "$WORK/rebuild.without.err")"
total=$(size "$WORK/rebuild.without")
echo "   $(wc -l <"$WORK/rebuild.without") lines, $total bytes, exit code $expected"
echo
echo "2. The same job in a session of reeve"
echo "   \$ reeve run --name rebuild -- ninja -v -j1 >rebuild.with"
run_killed rebuild "$JOB" "$total"
compare rebuild "$expected"
echo "   \$ reeve logs rebuild | cmp rebuild.without -"
reeve logs rebuild | cmp "$WORK/rebuild.without" - || fail "the kept output differs"
ok "what the daemon kept is the same, too"
echo
echo "3. A job that fails with exit code 3"
run_bare failing "$FAILING"
echo "   \$ reeve run --name failing -- sh -c '...; exit 3' >failing.with"
run_killed failing "$FAILING" "$(size "$WORK/failing.without")"
compare failing 3
echo
echo "4. Nothing is left"
echo "   \$ reeve daemon stop"
reeve daemon stop >"$WORK/stop" 2>&1 || fail "$(cat "$WORK/stop")"
left=$(ours)
[ -z "$left" ] || fail "still running: $left"
ok "no process of this demo runs any more"
echo
echo "Shown: four SIGKILLs of the engine lost no byte, doubled none, ended no job, changed no exit code."
