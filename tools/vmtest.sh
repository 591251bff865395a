#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# vmtest.sh BUILD [TEST...]: in the emulated machine, the unit tests of observation, or those named.
# An emulated processor is slow: each has five minutes.
BUILD=$1
shift
[ $# -gt 0 ] || set -- "$BUILD"/tests/unit/test_observe_*
passed=0 failed=0 skipped=0
for test in "$@"; do
	{ [ -f "$test" ] && [ -x "$test" ]; } || continue
	timeout 300 "$test" >/tmp/output 2>&1
	case $? in
	0) passed=$((passed + 1)) ;;
	77)
		skipped=$((skipped + 1))
		echo "skipped: ${test##*/}: $(tail -1 /tmp/output)"
		;;
	*)
		failed=$((failed + 1))
		echo "FAILED: ${test##*/}"
		cat /tmp/output
		;;
	esac
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
