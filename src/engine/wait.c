/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/wait.h"
#include "base/clock.h"
#include "engine/typing.h"
#include "engine/wait_private.h"
#include <string.h>

#define LOOK_MAX_MS    1000U  /* between two looks whether a terminal waits for input, */
#define LOOK_RARE_MS   30000U /* and when there are very many of them */
#define LINE_MAX_BYTES 65536U /* a longer line is searched in pieces of this size */

/* --- what has come true
 * -------------------------------------------------------------------------------- */

static bool streams_ended(const struct session *s)
{
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		if (output_stream_exists(s, i) && !word_load(&s->words->streams[i].ended))
			return false;
	return true;
}

/* A line may end with the beginning of the echo. */
static bool begins_echo(const struct condition *c, const char *line, size_t n)
{
	for (size_t k = MIN(n, c->echo_size - 1); k > 0; k--)
		if (memcmp(line + n - k, c->echo, k) == 0)
			return true;
	return false;
}

/* Passes over the echo of what was typed, which stands in the first line or nowhere. True when that
 * is settled; false when more of the line must come first. */
static bool pass_echo(struct condition *c, unsigned stream, const char *line, size_t n, bool whole)
{
	const char *found = memmem(line, n, c->echo, c->echo_size);

	if (found)
		c->at[stream] += (uint64_t)(found - line) + c->echo_size;
	else if (!whole && begins_echo(c, line, n))
		return false;
	else if (!whole)
		return true; /* not yet; what there is may be searched */
	free(take(c->echo));
	return true;
}

/* Searches line by line what has come; a last line without its end too, again when it grows. */
static bool match_stream(struct condition *c, unsigned stream, struct wait_result *ret)
{
	const struct ring *ring = &c->wait->session->streams[stream].capture.ring;
	char line[LINE_MAX_BYTES];

	for (;;) {
		uint64_t tail = ring_tail(ring);
		size_t n, length, span[2];
		const char *end;

		if (c->at[stream] < tail)
			c->at[stream] = tail;
		if (c->at[stream] >= ring_head(ring))
			return false;
		n = ring_copy(ring, c->at[stream], line, sizeof(line));
		end = memchr(line, '\n', n);
		length = end ? (size_t)(end - line) : n;
		if (c->echo && stream == STREAM_OUT) {
			uint64_t before = c->at[stream];

			if (!pass_echo(c, stream, line, length, end || n == sizeof(line)))
				return false;
			if (c->at[stream] != before)
				continue;
		}
		if (pattern_match(c->pattern, line, length, span)) {
			*ret = (struct wait_result){
				.type = WAIT_MATCH,
				.stream = stream,
				.from = c->at[stream],
				.to = c->at[stream] + length,
				.span = { c->at[stream] + span[0], c->at[stream] + span[1] },
			};
			return true;
		}
		if (!end && n < sizeof(line))
			return false;
		c->at[stream] += end ? length + 1 : n;
	}
}

static bool check_match(struct condition *c, struct wait_result *ret)
{
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		if (c->want[i] && match_stream(c, i, ret))
			return true;
	return false;
}

/* When the session last wrote something: realtime ms. */
static uint64_t last_output(const struct session *s)
{
	uint64_t head = word_load(&s->words->index_head), started = word_load(&s->words->started);

	if (head == 0)
		return started ? started : word_load(&s->words->created);
	return index_get(&s->index, head - 1).when / 1000;
}

static uint64_t idle_left(const struct condition *c)
{
	uint64_t since = last_output(c->wait->session), now = clock_realtime_ms();
	uint64_t quiet = now > since ? now - since : 0;

	return quiet >= c->idle_ms ? 0 : c->idle_ms - quiet;
}

static bool waits_for_input(const struct condition *c, struct wait_result *ret)
{
	struct session *s = c->wait->session;

	enum tty_wait found;

	if (session_ended(s) || typing_quiet(s) < TYPING_QUIET_MS)
		return false;
	found = typing_look(s);
	if (found != TTY_WAIT_YES)
		return false;
	ret->echo = typing_echo(s);
	return true;
}

/* A terminal that does not wait now is looked at again, less and less often while it is quiet. */
static uint64_t next_look(struct condition *c)
{
	uint64_t quiet = typing_quiet(c->wait->session);
	const struct engine *e = c->wait->session->engine;

	if (quiet < TYPING_QUIET_MS) {
		c->pause_ms = TYPING_QUIET_MS / 2;
		return TYPING_QUIET_MS - quiet + 1;
	}
	c->pause_ms =
		MIN(MAX(c->pause_ms, (uint64_t)TYPING_QUIET_MS / 2) * 2, (uint64_t)LOOK_MAX_MS);
	return pace_round(clock_monotonic_ms(), pace_pause(&e->typing.pace, e->typing.n_waits,
							   c->pause_ms, LOOK_RARE_MS));
}

static bool check(struct condition *c, struct wait_result *ret)
{
	const struct session *s = c->wait->session;

	switch (c->type) {
	case WAIT_EXIT:
		return session_ended(s);
	case WAIT_TREE:
		return session_ended(s) && !session_tree_alive(s);
	case WAIT_EOF:
		return session_failed(s) || streams_ended(s);
	case WAIT_MATCH:
		return check_match(c, ret);
	case WAIT_INPUT:
		return waits_for_input(c, ret);
	case WAIT_IDLE:
		return !session_ended(s) && idle_left(c) == 0;
	default:
		return c->true_now;
	}
}

/* The command's end always counts, unless something is waited for that comes after it. */
static bool waits_beyond_exit(const struct wait *w)
{
	for (unsigned i = 0; i < w->n; i++)
		if (w->conditions[i].type == WAIT_TREE || w->conditions[i].type == WAIT_EOF)
			return true;
	return false;
}

static bool find_result(struct wait *w)
{
	for (unsigned i = 0; i < w->n; i++) {
		struct wait_result r = { .type = w->conditions[i].type };

		if (!check(&w->conditions[i], &r))
			continue;
		if (r.type == WAIT_HTTP)
			r.http_status = w->result.http_status;
		w->result = r;
		return true;
	}
	if (!session_ended(w->session) || waits_beyond_exit(w))
		return false;
	w->result = (struct wait_result){ .type = WAIT_EXIT };
	return true;
}

/* --- the end
 * ------------------------------------------------------------------------------------------- */

static void timer_closed(uv_handle_t *handle)
{
	free(container_of((uv_timer_t *)handle, struct wait, timer));
}

void wait_cancel(struct wait *w)
{
	if (!w)
		return;
	session_unlisten(&w->listener);
	wait_conditions_done(w);
	uv_close((uv_handle_t *)&w->timer, timer_closed);
}

static void finish(struct wait *w, enum wait_type type)
{
	struct wait_result result = w->result;

	result.type = type;
	w->done(w->data, w->session, &result);
	wait_cancel(w);
}

static void plan(struct wait *w);

static void evaluate(struct wait *w)
{
	if (w->has_result || find_result(w))
		finish(w, w->result.type);
	else
		plan(w);
}

static void on_timer(uv_timer_t *timer)
{
	struct wait *w = container_of(timer, struct wait, timer);

	if (w->has_result || find_result(w))
		finish(w, w->result.type);
	else if (w->deadline != 0 && clock_monotonic_ms() >= w->deadline)
		finish(w, WAIT_TIMEOUT);
	else
		plan(w);
}

/* The timer is for whatever comes first: the time-out, or a silence that may last long enough. */
static void plan(struct wait *w)
{
	uint64_t now = clock_monotonic_ms(), next = UINT64_MAX;

	if (w->deadline != 0)
		next = w->deadline > now ? w->deadline - now : 0;
	for (unsigned i = 0; i < w->n; i++)
		if (w->conditions[i].type == WAIT_IDLE && !session_ended(w->session))
			next = MIN(next, MAX(idle_left(&w->conditions[i]), (uint64_t)1));
		else if (w->conditions[i].type == WAIT_INPUT)
			next = MIN(next, next_look(&w->conditions[i]));
	if (next == UINT64_MAX)
		uv_timer_stop(&w->timer);
	else
		uv_timer_start(&w->timer, on_timer, next, 0);
}

static void on_changed(struct listener *l)
{
	struct wait *w = container_of(l, struct wait, listener);

	if (w->has_result || find_result(w))
		finish(w, w->result.type);
}

static void on_output(struct listener *l, unsigned stream)
{
	struct wait *w = container_of(l, struct wait, listener);
	bool concerned = word_load(&w->session->words->streams[stream].ended) != 0, look = false;

	for (unsigned i = 0; i < w->n; i++) {
		const struct condition *c = &w->conditions[i];

		concerned |= c->type == WAIT_MATCH && c->want[stream];
		/* A prompt, perhaps: the next look may be far away. */
		look |= c->type == WAIT_INPUT && c->pause_ms > TYPING_QUIET_MS;
	}
	if (concerned)
		on_changed(l);
	else if (look)
		plan(w);
}

static void on_gone(struct listener *l)
{
	struct wait *w = container_of(l, struct wait, listener);

	finish(w, find_result(w) ? w->result.type : WAIT_REMOVED);
}

/* --- the beginning
 * ------------------------------------------------------------------------------------- */

static void on_listening(struct port_watch *p)
{
	struct condition *c = container_of(p, struct condition, port);

	c->true_now = true;
	evaluate(c->wait);
}

static void on_answered(void *data, int status)
{
	struct condition *c = data;

	c->true_now = true;
	c->wait->result.http_status = status;
	evaluate(c->wait);
}

static int start(struct wait *w, struct error *err)
{
	for (unsigned i = 0; i < w->n; i++) {
		struct condition *c = &w->conditions[i];
		int r = 0;

		if (c->type == WAIT_PORT) {
			c->port.session = w->session;
			c->port.listening = on_listening;
			port_watch_start(w->session->engine, &c->port);
		} else if (c->type == WAIT_INPUT) {
			c->counted = &w->session->engine->typing.n_waits;
			++*c->counted;
		} else if (c->type == WAIT_HTTP) {
			r = probe_new(&c->probe, w->session->engine, c->url, on_answered, c, err);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

int wait_new(struct wait **ret, struct session *s, const json_t *until, bool has_timeout,
	     uint64_t timeout_ms, wait_done_fn done, void *data, struct error *err)
{
	struct wait *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return error_set(err, ERROR_EXHAUSTED, "no memory");
	w->session = s;
	w->done = done;
	w->data = data;
	w->listener =
		(struct listener){ .output = on_output, .changed = on_changed, .gone = on_gone };
	uv_timer_init(&s->engine->loop, &w->timer);
	r = wait_parse(w, until, err);
	if (r >= 0)
		r = start(w, err);
	if (r < 0) {
		wait_cancel(w);
		return r;
	}
	session_listen(s, &w->listener);
	if (has_timeout)
		w->deadline = clock_monotonic_ms() + timeout_ms;
	w->has_result = find_result(w);
	if (w->has_result)
		uv_timer_start(&w->timer, on_timer, 0, 0);
	else
		plan(w);
	*ret = w;
	return 0;
}
