#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# vmtest.sh: in the emulated machine, the unit tests of observation, and the comparison with strace; of
# the backend `ebpf` in both tiers. An emulated processor is slow: each has some minutes.
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

# Both kernels have what the second tier takes.
"$REEVE_BUILD"/tests/truth/observed-run --probe ebpf >/tmp/output
grep -q 'tier: functions' /tmp/output || fail "$(cat /tmp/output)"
unit "$REEVE_BUILD"/tests/unit/test_observe_*
truth
export REEVE_EBPF_TIER=tracepoints
echo "tier: $REEVE_EBPF_TIER"
unit "$REEVE_BUILD"/tests/unit/test_observe_ebpf_*
truth -k ebpf
[ $failed -eq 0 ]
