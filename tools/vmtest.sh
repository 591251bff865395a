#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# vmtest.sh: in the emulated machine, the unit tests of observation, and the comparison with strace.
# An emulated processor is slow: each has some minutes.
cd "$(dirname "$0")/.." || exit 1
export REEVE_BUILD="$PWD/build"
failed=0
for test in "$REEVE_BUILD"/tests/unit/test_observe_*; do
	{ [ -f "$test" ] && [ -x "$test" ]; } || continue
	timeout 600 "$test" >/tmp/output 2>&1
	case $? in
	0) echo "passed: ${test##*/}" ;;
	77) echo "skipped: ${test##*/}: $(tail -1 /tmp/output)" ;;
	*)
		failed=$((failed + 1))
		echo "FAILED: ${test##*/}"
		cat /tmp/output
		;;
	esac
done
/usr/bin/python3 -B -m pytest -p no:cacheprovider -q --timeout 600 tests/truth || failed=$((failed + 1))
[ $failed -eq 0 ]
