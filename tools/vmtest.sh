#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# vmtest.sh [PART...]: in the emulated machine, the unit tests of observation, and the comparison with
# strace; of the backend `ebpf` in both tiers; and what a user observes where only ancestors may read
# a process. An emulated processor is slow: each has some minutes.
cd "$(dirname "$0")/.." || exit 1
export REEVE_BUILD="$PWD/build"
failed=0

fail() {
	failed=$((failed + 1))
	echo "FAILED: $*"
}

unit() { # NAME...: the programs test_observe_NAME
	for test in "$@"; do
		{ [ -f "$test" ] && [ -x "$test" ]; } || continue
		timeout 900 "$test" >/tmp/output 2>&1
		case $? in
		0) echo "passed: ${test##*/}" ;;
		77) echo "skipped: ${test##*/}: $(tail -1 /tmp/output)" ;;
		*)
			fail "${test##*/}"
			cat /tmp/output
			;;
		esac
	done
}

truth() {
	/usr/bin/python3 -B -m pytest -p no:cacheprovider -q --color=no --timeout 1200 tests/truth "$@" ||
		fail truth
}

functions() {
	# Both kernels have what the second tier takes.
	"$REEVE_BUILD"/tests/truth/observed-run --probe ebpf >/tmp/output
	grep -q 'tier: functions' /tmp/output || fail "$(cat /tmp/output)"
	unit "$REEVE_BUILD"/tests/unit/test_observe_*
	truth
}

tracepoints() {
	export REEVE_EBPF_TIER=tracepoints
	unit "$REEVE_BUILD"/tests/unit/test_observe_ebpf_*
	truth -k ebpf
	unset REEVE_EBPF_TIER
}

as_user() { # COMMAND...: in a directory of the user's, with copies of what it takes
	(
		cd /tmp/user || exit 1
		setpriv --reuid 65534 --regid 65534 --clear-groups --reset-env \
			env HOME="$PWD" REEVE_BUILD="$PWD/build" "$@"
	)
}

# As on Ubuntu, but for perf, which Debian keeps from users.
ancestors() {
	mkdir -p /tmp/user/build
	find "$REEVE_BUILD" -maxdepth 1 -type f -name 'reeve*' -exec cp {} /tmp/user/build \;
	cp "$REEVE_BUILD"/tests/truth/observed-run /tmp/user/build
	cp -R docs tests /tmp/user
	chown -R 65534:65534 /tmp/user
	echo 2 >/proc/sys/kernel/perf_event_paranoid
	echo 1 >/proc/sys/kernel/yama/ptrace_scope
	as_user build/observed-run --probe seccomp-user-notify >/tmp/output
	grep -q 'by way of an ancestor' /tmp/output || fail "$(cat /tmp/output)"
	as_user /usr/bin/python3 -B -m pytest -p no:cacheprovider -q --color=no --timeout 600 \
		tests/e2e/test_observe_memory_lent.py || fail ancestors
}

[ $# -gt 0 ] || set -- functions tracepoints ancestors
for part in "$@"; do
	echo "part: $part"
	"$part"
done
[ $failed -eq 0 ]
