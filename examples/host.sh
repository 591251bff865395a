#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# host.sh PORT - a small agent host: a shell and curl. See README.md.
set -eu
port=$1
here=$(cd "$(dirname "$0")" && pwd)
socket=${REEVE_SOCKET:-$(reeve daemon status --json | sed -n 's/.*"socket": "\(.*\)".*/\1/p')}
host=host-sh-$$

api() { # PATH [CURL OPTION...]: fails when the answer is an error, which it shows
	path=$1
	shift
	answer=$(curl --silent --show-error --fail-with-body --globoff --unix-socket "$socket" "$@" \
		"http://localhost/v1$path") || {
		printf '%s\n' "$answer" >&2
		return 1
	}
	printf '%s\n' "$answer"
}

field() { # NAME: a string in the JSON on stdin, without a newline at its end
	sed -n 's/.*"'"$1"'":"\(\([^"\\]\|\\.\)*\)".*/\1/p' | sed 's/\\n$//; s/\\"/"/g'
}

# Start a server. The answer comes when it listens. The key makes it safe to repeat the request.
api /sessions -H "Idempotency-Key: $host" -d '{
	"command": ["/usr/bin/python3", "'"$here/server.py"'", "'"$port"'"],
	"cwd": "'"$here"'", "name": "'"$host"'", "originator": "'"$host"'", "stdin": "pipe",
	"ready": {"until": [{"port": '"$port"'}], "timeout": "20s"}}' >/dev/null
api "/sessions/$host/wait" -d '{"until": [{"match": "listening"}], "timeout": "20s"}' >/dev/null
echo "server: ready"

# Page its log: `next` is where the next page begins.
page=$(api "/sessions/$host/logs?stream=stdout&from=0&limit=30000")
echo "log: $(printf %s "$page" | field text)"
next=$(printf %s "$page" | sed 's/.*"next":\([0-9]*\).*/\1/')

# Type into it. With `at`, a line that is sent again is not typed again.
for attempt in first second; do
	printf 'hello\n' | api "/sessions/$host/stdin?at=0" --data-binary @- >/dev/null
done
api "/sessions/$host/wait" -d '{"until": [{"match": "you said"}], "timeout": "20s"}' >/dev/null
echo "log: $(api "/sessions/$host/logs?stream=stdout&format=raw&from=$next")"

# A command that leaves something running: it is ended, and listed.
api /sessions -d '{"shell": "sleep 1000 & echo built",
	"cwd": "'"$here"'", "name": "'"$host-build"'", "originator": "'"$host"'"}' >/dev/null
echo "left by the build: $(api "/sessions/$host-build/wait" -d '{"until": [{"tree": true}]}' |
	sed 's/.*"leftovers"//' | field command)"

# Stop the server: the answer comes when it and all its children are gone.
echo "server: $(api "/sessions/$host/stop" -d '{"grace": "5s"}' | field outcome) end"

# Nothing is left.
echo "running: $(api "/sessions?originator=$host&all=false" | grep -c '"id"' || true)"
echo "forgotten: $(api /sessions/purge -d '{"originator": "'"$host"'"}' |
	sed 's/[^0-9]//g')"
