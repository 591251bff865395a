/* SPDX-License-Identifier: Apache-2.0 */
#include "api/render.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/json_write.h"
#include "base/signals.h"
#include "base/text.h"
#include "core/spawn.h"
#include "engine/observe.h"
#include "engine/typing.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TAIL_MAX   4096U
#define RENDER_MAX (64 * MiB) /* text of one session: its metadata, each byte escaped */

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
		[CAUSE_EXIT] = "exit",
		[CAUSE_SIGNAL] = "signal",
		[CAUSE_STOP] = "stop",
		[CAUSE_TIMEOUT] = "timeout",
		[CAUSE_OOM] = "oom",
		[CAUSE_OWNER_GONE] = "owner-gone",
		[CAUSE_REBOOT] = "reboot",
		[CAUSE_LOST] = "lost",
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
	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "userUs",
		(json_int_t)word_load(&x->utime), "systemUs", (json_int_t)word_load(&x->stime),
		"maxRssKib", (json_int_t)word_load(&x->maxrss), "minorFaults",
		(json_int_t)word_load(&x->minflt), "majorFaults", (json_int_t)word_load(&x->majflt),
		"blocksIn", (json_int_t)word_load(&x->inblock), "blocksOut",
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
		json_object_set_new(
			exit, "notOursPid",
			json_integer((json_int_t)word_load(&s->words->stop.refused_pid)));
	}
	return exit;
}

static const char *fail_text(int fail)
{
	switch (fail) {
	case ECHILD:
		return "it was killed before it could run; try again";
	case ENOTCONN:
		return "nobody could observe it, as it was asked for";
	case ECANCELED:
		return "the daemon's keeper was replaced meanwhile; try again";
	default:
		return strerror(fail);
	}
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
			 fail_text(fail));
	else if (fail == ENOTCONN && step == STEP_GATE && observe_refusal(s))
		snprintf(buffer, size, "observe: %s", observe_refusal(s));
	else
		snprintf(buffer, size, "%s: %s", spawn_step_name(step), fail_text(fail));
	free(text);
	json_decref(meta);
}

static void write_state(struct json_writer *w, const struct session *s, const char *status)
{
	char message[ERROR_MESSAGE_MAX];
	struct error e;

	if (session_failed(s)) {
		render_spawn_error(s, message, sizeof(message));
		error_set(&e, ERROR_INVALID_ARGUMENT, "%s", message); /* makes it printable */
		json_write_value(w, "state", json_pack("{s:{s:s}}", "failed", "error", e.message));
	} else if (strcmp(status, "exited") == 0) {
		json_write_open(w, "state", '{');
		json_write_open(w, "exited", '{');
		json_write_value(w, "exitCode", render_exit_code(s));
		json_write_close(w, '}');
		json_write_close(w, '}');
	} else {
		json_write_text(w, "state", status);
	}
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

static void write_stream(struct json_writer *w, const struct session *s, unsigned stream)
{
	const struct control_stream *words = &s->words->streams[stream];
	const struct ring *ring = &s->streams[stream].capture.ring;
	uint64_t tail = ring_tail(ring), acked = word_load(&words->acked);
	uint64_t dropped = (tail > acked ? tail - acked : 0) + word_load(&words->lost);

	json_write_open(w, render_stream_name(s, stream), '{');
	json_write_integer(w, "written", (int64_t)ring_head(ring));
	json_write_integer(w, "retainedFrom", (int64_t)tail);
	json_write_integer(w, "dropped", (int64_t)dropped);
	json_write_bool(w, "ended", word_load(&words->ended) != 0);
	json_write_close(w, '}');
}

static void write_time(struct json_writer *w, const char *name, uint64_t realtime_ms)
{
	char text[CLOCK_TEXT_MAX];

	json_write_text(w, name, clock_format(realtime_ms, text));
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

static void write_streams(struct json_writer *w, const struct session *s)
{
	bool open = false;

	json_write_open(w, "streams", '{');
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		if (!output_stream_exists(s, i))
			continue;
		write_stream(w, s, i);
		open |= !word_load(&s->words->streams[i].ended);
	}
	json_write_close(w, '}');
	json_write_bool(w, "outputOpen", open);
}

void render_list_item(struct json_writer *w, const struct session *s)
{
	const struct control_slot *words = s->words;
	const char *status = session_status(s), *reason;
	uint64_t started = word_load(&words->started);
	size_t reason_size;

	json_write_open(w, NULL, '{');
	json_write_raw(w, s->card ? s->card : "");
	json_write_text(w, "status", status);
	write_state(w, s, status);
	json_write_bool(w, "stoppable", !session_ended(s) || session_tree_alive(s));
	write_time(w, "startedAt", started ? started : word_load(&words->created));
	write_time(w, "updatedAt", updated_at(s));
	if (slot_pid(words) > 0 && !session_failed(s))
		json_write_integer(w, "pid", slot_pid(words));
	json_write_bool(w, "treeAlive", session_tree_alive(s));
	json_write_bool(w, "attached", s->controller != NULL);
	if (s->quarantined)
		json_write_bool(w, "quarantined", true);
	else
		write_streams(w, s);
	reason = session_reason(s, &reason_size);
	if (reason)
		json_write_value(w, "stopReason", json_stringn(reason, reason_size));
	json_write_value(w, "exit", render_exit(s));
	json_write_close(w, '}');
}

static void add_details(json_t *o, const struct session *s)
{
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		if (output_stream_exists(s, i) && ring_head(&s->streams[i].capture.ring) > 0)
			json_object_set_new(o, i == STREAM_OUT ? "stdoutTail" : "stderrTail",
					    render_tail(s, i));
	if (session_is_pty(s) && !session_ended(s))
		add_typing(o, s);
}

static void add_raw_command(json_t *o, const struct session *s)
{
	json_t *meta = meta_load(s);

	json_object_set(o, "command", json_object_get(meta, "command"));
	json_decref(meta);
}

json_t *render_session(const struct session *s, enum render_detail detail)
{
	_cleanup_(buffer_done) struct buffer b;
	struct json_writer w = { .to = &b };
	json_t *o;

	buffer_init(&b, RENDER_MAX);
	render_list_item(&w, s);
	o = w.error == 0 ? json_loadb(b.data, b.size, 0, NULL) : NULL;
	if (detail != RENDER_LIST && !s->quarantined)
		add_details(o, s);
	if (detail == RENDER_RAW && !s->quarantined)
		add_raw_command(o, s);
	return o;
}

int render_reply_text(struct request *rq, int status, const struct json_writer *w)
{
	struct error e = { 0 };

	if (w->error == 0)
		return request_reply_bytes(rq, status, "application/json", w->to->data,
					   w->to->size);
	error_set(&e, ERROR_EXHAUSTED, "no memory for the answer");
	return request_reply_error(rq, &e);
}

int render_reply(struct request *rq, int status, const struct session *s)
{
	_cleanup_(buffer_done) struct buffer b;
	struct json_writer w = { .to = &b };

	buffer_init(&b, RENDER_MAX);
	render_list_item(&w, s);
	return render_reply_text(rq, status, &w);
}
