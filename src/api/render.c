/* SPDX-License-Identifier: Apache-2.0 */
#include "api/render.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/signals.h"
#include "base/text.h"
#include "core/spawn.h"
#include "core/summary.h"
#include "engine/typing.h"
#include <stdio.h>
#include <string.h>

#define TAIL_MAX 4096U

json_t *render_time(uint64_t realtime_ms)
{
	char text[CLOCK_TEXT_MAX];

	return json_string(clock_format(realtime_ms, text));
}

const char *render_stream_name(const struct session *s, unsigned stream)
{
	if (word_load(&s->words->kind) == KIND_PTY)
		return "pty";
	return stream == STREAM_OUT ? "stdout" : "stderr";
}

const char *render_cause(enum cause cause)
{
	static const char *const names[] = {
		[CAUSE_EXIT] = "exit",		 [CAUSE_SIGNAL] = "signal",
		[CAUSE_STOP] = "stop",		 [CAUSE_TIMEOUT] = "timeout",
		[CAUSE_OOM] = "oom",		 [CAUSE_OWNER_GONE] = "owner-gone",
		[CAUSE_REBOOT] = "reboot",	 [CAUSE_LOST] = "lost",
		[CAUSE_LEFTOVERS] = "leftovers",
	};

	return cause < ARRAY_SIZE(names) && names[cause] ? names[cause] : "unknown";
}

static const char *outcome_name(enum outcome outcome)
{
	return outcome == OUTCOME_HARD ? "hard" : outcome == OUTCOME_SOFT ? "soft" : "natural";
}

json_t *render_exit_code(const struct session *s)
{
	struct exitinfo x = session_exitinfo(s);

	return x.known ? json_integer(x.code) : json_null();
}

static json_t *render_rusage(const struct control_exit *x)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "userUs",
			 (json_int_t)word_load(&x->utime), "systemUs", (json_int_t)word_load(&x->stime),
			 "maxRssKib", (json_int_t)word_load(&x->maxrss), "minorFaults",
			 (json_int_t)word_load(&x->minflt), "majorFaults",
			 (json_int_t)word_load(&x->majflt), "blocksIn",
			 (json_int_t)word_load(&x->inblock), "blocksOut",
			 (json_int_t)word_load(&x->oublock), "voluntarySwitches",
			 (json_int_t)word_load(&x->nvcsw), "involuntarySwitches",
			 (json_int_t)word_load(&x->nivcsw));
}

json_t *render_exit(const struct session *s)
{
	const struct control_exit *x = &s->words->exit;
	struct exitinfo info = session_exitinfo(s);
	json_t *exit, *leftovers;

	if (!session_exited(s))
		return NULL;
	exit = json_object();
	json_object_set_new(exit, "exitCode", render_exit_code(s));
	if (info.signal != 0)
		json_object_set_new(exit, "signal", json_string(signal_name(info.signal)));
	json_object_set_new(exit, "outcome", json_string(outcome_name(session_outcome(s))));
	json_object_set_new(exit, "cause", json_string(render_cause(session_cause(s))));
	if (word_load(&x->at))
		json_object_set_new(exit, "exitedAt", render_time(word_load(&x->at)));
	if (word_load(&x->utime) || word_load(&x->maxrss))
		json_object_set_new(exit, "rusage", render_rusage(x));
	leftovers = session_leftovers(s);
	if (leftovers)
		json_object_set_new(exit, "leftovers", leftovers);
	if (word_load(&s->words->stop.refused)) {
		json_object_set_new(exit, "notOurs",
				    json_integer((json_int_t)word_load(&s->words->stop.refused)));
		json_object_set_new(exit, "notOursPid",
				    json_integer((json_int_t)word_load(&s->words->stop.refused_pid)));
	}
	return exit;
}

void render_spawn_error(const struct session *s, char *buffer, size_t size)
{
	enum spawn_step step = (enum spawn_step)word_load(&s->words->step);
	int fail = (int)word_load(&s->words->fail);
	json_t *meta = meta_load(s), *thing;
	char *text = NULL;
	size_t n;

	thing = step == STEP_CHDIR ? json_object_get(meta, "cwd")
				   : json_array_get(json_object_get(meta, "command"), 0);
	if ((step == STEP_EXEC || step == STEP_CHDIR) && json_bytes_decode(thing, &text, &n) >= 0)
		snprintf(buffer, size, "%s \"%.200s\": %s", spawn_step_name(step), text,
			 strerror(fail));
	else
		snprintf(buffer, size, "%s: %s", spawn_step_name(step), strerror(fail));
	free(text);
	json_decref(meta);
}

static json_t *render_state(const struct session *s, const char *status)
{
	char message[512];

	if (session_failed(s)) {
		render_spawn_error(s, message, sizeof(message));
		return json_pack("{s:{s:s}}", "failed", "error", message);
	}
	if (strcmp(status, "exited") == 0)
		return json_pack("{s:{s:o}}", "exited", "exitCode", render_exit_code(s));
	return json_string(status);
}

/* The last bytes, cut at a character boundary. */
static json_t *render_tail(const struct session *s, unsigned stream)
{
	const struct ring *ring = &s->streams[stream].capture.ring;
	uint64_t head = ring_head(ring), tail = ring_tail(ring);
	char bytes[TAIL_MAX];
	size_t n, skip;

	if (head - tail > TAIL_MAX)
		tail = head - TAIL_MAX;
	n = ring_copy(ring, tail, bytes, sizeof(bytes));
	skip = tail > 0 ? text_utf8_skip(bytes, n) : 0;
	return json_bytes(bytes + skip, n - skip);
}

static json_t *render_stream(const struct session *s, unsigned stream)
{
	const struct control_stream *w = &s->words->streams[stream];
	const struct ring *ring = &s->streams[stream].capture.ring;
	uint64_t tail = ring_tail(ring), acked = word_load(&w->acked);

	return json_pack("{s:I, s:I, s:I, s:b}", "written", (json_int_t)ring_head(ring),
			 "retainedFrom", (json_int_t)tail, "dropped",
			 (json_int_t)((tail > acked ? tail - acked : 0) + word_load(&w->lost)), "ended",
			 (int)(word_load(&w->ended) != 0));
}

static void add_streams(json_t *o, const struct session *s, enum render_detail detail)
{
	json_t *streams = json_object();
	bool open = false;

	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		if (!output_stream_exists(s, i))
			continue;
		json_object_set_new(streams, render_stream_name(s, i), render_stream(s, i));
		open |= !word_load(&s->words->streams[i].ended);
		if (detail != RENDER_LIST && ring_head(&s->streams[i].capture.ring) > 0)
			json_object_set_new(o, i == STREAM_OUT ? "stdoutTail" : "stderrTail",
					    render_tail(s, i));
	}
	json_object_set_new(o, "streams", streams);
	json_object_set_new(o, "outputOpen", json_boolean(open));
}

/* The redacted argv. */
static json_t *render_command(const json_t *command)
{
	size_t n = json_array_size(command), size;
	char **argv = calloc(n + 1, sizeof(*argv)), **clean = NULL;
	json_t *list = json_array();
	bool ok = argv != NULL;

	for (size_t i = 0; ok && i < n; i++)
		ok = json_bytes_decode(json_array_get(command, i), &argv[i], &size) >= 0;
	if (ok && redact_argv(argv, n, &clean) >= 0)
		for (size_t i = 0; clean[i]; i++)
			json_array_append_new(list, json_bytes(clean[i], strlen(clean[i])));
	text_list_free(argv);
	text_list_free(clean);
	return list;
}

static void add_meta(json_t *o, const struct session *s, enum render_detail detail)
{
	static const char *const copied[] = { "name",	"title",  "originator", "labels", "cwd",
					      "origin", "taskId", "threadId",	"turnId", "parentId",
					      "runnerDestinationId", "runnerSessionId", "warnings" };
	json_t *meta = s->quarantined ? NULL : meta_load(s), *value;

	for (size_t i = 0; i < ARRAY_SIZE(copied); i++) {
		value = json_object_get(meta, copied[i]);
		if (value)
			json_object_set(o, copied[i], value);
	}
	value = json_object_get(meta, "command");
	if (value && detail == RENDER_RAW)
		json_object_set(o, "command", value);
	else
		json_object_set_new(o, "command", render_command(value));
	if (!json_object_get(o, "origin"))
		json_object_set_new(o, "origin", json_string("command_exec"));
	json_decref(meta);
}

static uint64_t updated_at(const struct session *s)
{
	const struct control_slot *w = s->words;
	uint64_t at = word_load(&w->ended_at);

	if (at == 0)
		at = word_load(&w->started);
	return at ? at : word_load(&w->created);
}

static void add_typing(json_t *o, const struct session *s)
{
	enum tty_wait w = typing_look((struct session *)s);
	bool quiet = typing_quiet(s) >= TYPING_QUIET_MS;

	json_object_set_new(o, "waitingForInput",
			    w == TTY_WAIT_UNKNOWN ? json_null()
						  : json_boolean(quiet && w == TTY_WAIT_YES));
	json_object_set_new(o, "echo", json_boolean(typing_echo(s)));
}

json_t *render_session(const struct session *s, enum render_detail detail)
{
	const struct control_slot *w = s->words;
	const char *status = session_status(s);
	json_t *o = json_object(), *exit = render_exit(s);

	json_object_set_new(o, "id", json_string(s->id));
	json_object_set_new(o, "processId", json_string(s->id));
	json_object_set_new(o, "handle", json_integer((json_int_t)word_load(&w->handle)));
	json_object_set_new(o, "kind", json_string(word_load(&w->kind) == KIND_PTY ? "pty" : "pipe"));
	json_object_set_new(o, "status", json_string(status));
	json_object_set_new(o, "state", render_state(s, status));
	add_meta(o, s, detail);
	json_object_set_new(o, "commandSummary", json_string(s->summary ? s->summary : ""));
	json_object_set_new(o, "stoppable", json_boolean(!session_ended(s) || session_tree_alive(s)));
	json_object_set_new(o, "createdAt", render_time(word_load(&w->created)));
	json_object_set_new(o, "startedAt", render_time(word_load(&w->started)
								? word_load(&w->started)
								: word_load(&w->created)));
	json_object_set_new(o, "updatedAt", render_time(updated_at(s)));
	if (slot_pid(w) > 0 && !session_failed(s))
		json_object_set_new(o, "pid", json_integer(slot_pid(w)));
	json_object_set_new(o, "treeAlive", json_boolean(session_tree_alive(s)));
	json_object_set_new(o, "attached", json_boolean(s->controller != NULL));
	if (s->quarantined)
		json_object_set_new(o, "quarantined", json_true());
	else
		add_streams(o, s, detail);
	if (detail != RENDER_LIST && session_is_pty(s) && !session_ended(s))
		add_typing(o, s);
	if (exit)
		json_object_set_new(o, "exit", exit);
	return o;
}
