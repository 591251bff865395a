/* SPDX-License-Identifier: Apache-2.0 */
/* input.c - a session's stdin: taken from clients by offset, given to the child as it reads. */
#include "base/fd.h"
#include "base/log.h"
#include "core/pty.h"
#include "engine/session.h"
#include <errno.h>
#include <string.h>

static void on_writable(uv_poll_t *poll, int status, int events)
{
	struct session *s = poll->data;

	(void)status;
	(void)events;
	input_pump(s);
}

static void in_closed(uv_handle_t *handle)
{
	session_handle_closed(handle->data);
}

int input_open(struct session *s)
{
	int r;

	s->in = (struct ring){
		.data = (uint8_t *)s->map + s->layout.in,
		.size = word_load(&s->words->in_size),
		.head = &s->words->in_accepted,
	};
	if (s->fds[SLOT_FD_IN] < 0)
		return 0;
	if (word_load(&s->words->in_closed)) {
		s->fds[SLOT_FD_IN] = fd_close(s->fds[SLOT_FD_IN]);
		link_tell(s->engine, LINK_CLOSE, s->slot, 1U << SLOT_FD_IN);
		return 0;
	}
	r = uv_poll_init(&s->engine->loop, &s->in_poll, s->fds[SLOT_FD_IN]);
	if (r < 0)
		return r;
	s->in_poll.data = s;
	s->in_open = true;
	s->n_handles++;
	return 0;
}

static void set_polling(struct session *s, bool on)
{
	if (!s->in_open || s->in_polling == on)
		return;
	s->in_polling = on;
	if (on)
		uv_poll_start(&s->in_poll, UV_WRITABLE, on_writable);
	else
		uv_poll_stop(&s->in_poll);
}

void input_shut(struct session *s)
{
	if (!s->in_open)
		return;
	set_polling(s, false);
	s->in_open = false;
	uv_close((uv_handle_t *)&s->in_poll, in_closed);
}

/* The child gets its end of file when both keeper and engine have closed the pipe. */
void input_end(struct session *s)
{
	if (!s->in_open)
		return;
	word_store(&s->words->in_closed, 1);
	input_shut(s);
	s->fds[SLOT_FD_IN] = fd_close(s->fds[SLOT_FD_IN]);
	link_tell(s->engine, LINK_CLOSE, s->slot, 1U << SLOT_FD_IN);
}

static void finish(struct session *s)
{
	input_end(s);
	session_notify(s);
}

void input_pump(struct session *s)
{
	struct feed_target t = {
		.fd = s->fds[SLOT_FD_IN],
		.slot = s->slot,
		.ring = s->in,
		.delivered = &s->words->in_delivered,
	};
	ssize_t n = 0;

	if (!s->in_open)
		return;
	for (int i = 0; i < 4; i++) {
		n = feed_step(&s->engine->feed, &t);
		if (n <= 0)
			break;
	}
	if (n < 0 && n != -EAGAIN) {
		if (n != -EPIPE)
			log_warn("%s: stdin: %s", s->id, strerror((int)-n));
		finish(s);
		return;
	}
	if (ring_head(&s->in) == word_load(t.delivered)) {
		set_polling(s, false);
		if (word_load(&s->words->in_closing)) {
			finish(s);
			return;
		}
	} else {
		set_polling(s, true);
	}
	session_notify(s);
}

/* Where answers to what is typed now begin, and their echo. What was typed before and has shown no
 * effect yet belongs to it. */
static void note_place(struct session *s, uint64_t at)
{
	bool same = s->typed;

	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		uint64_t head = word_load(&s->words->streams[i].head);

		same &= s->typed_after[i] == head;
		s->typed_after[i] = head;
	}
	s->typed = true;
	if (!same)
		s->typed_from = at;
}

/* Copies into the ring; the head is stored when the bytes are in place. */
static void put(struct session *s, uint64_t at, const char *data, size_t n)
{
	struct iovec view[2];
	int pieces = ring_pieces(&s->in, at, n, view);

	for (int i = 0; i < pieces; i++) {
		memcpy(view[i].iov_base, data, view[i].iov_len);
		data += view[i].iov_len;
	}
	word_store(s->in.head, at + n);
}

int input_take(struct session *s, uint64_t at, const void *data, size_t n, uint64_t *ret_accepted,
	       struct error *err)
{
	uint64_t accepted = word_load(&s->words->in_accepted), skip, room;

	if (at == UINT64_MAX)
		at = accepted;
	if (at <= accepted && accepted - at >= n) {
		*ret_accepted = accepted; /* all of it was taken before */
		return 0;
	}
	if (s->in.size == 0)
		return error_set(err, ERROR_STDIN_CLOSED,
				 "%s has no stdin: it was started with stdin from /dev/null",
				 s->id);
	/* Before the offset: a client may have sent more before it could know. */
	if (!s->in_open || word_load(&s->words->in_closing))
		return error_set(err, ERROR_STDIN_CLOSED, "stdin of %s is closed", s->id);
	if (at > accepted)
		return error_set(err, ERROR_WRONG_OFFSET,
				 "stdin of %s stands at offset %llu, not at %llu", s->id,
				 (unsigned long long)accepted, (unsigned long long)at);
	skip = accepted - at;
	room = s->in.size - (accepted - word_load(&s->words->in_delivered));
	n -= skip;
	if (n > room)
		n = room;
	if (n > 0) {
		note_place(s, accepted);
		put(s, accepted, (const char *)data + skip, n);
	}
	*ret_accepted = accepted + n;
	s->typing_at = 0; /* whoever waited for this waits no more */
	if (!s->in_polling)
		input_pump(s);
	return 0;
}

/* A terminal has no end of input; in canonical mode there is a character for it. */
static void type_eof(struct session *s)
{
	struct pty_mode mode;
	struct error err = { 0 };
	uint64_t accepted;

	if (pty_mode(s->fds[SLOT_FD_OUT], &mode) >= 0 && mode.canonical)
		input_take(s, UINT64_MAX, &mode.eof, 1, &accepted, &err);
}

void input_close(struct session *s)
{
	if (!s->in_open || word_load(&s->words->in_closing))
		return;
	if (session_is_pty(s)) {
		type_eof(s);
		return;
	}
	word_store(&s->words->in_closing, 1);
	input_pump(s);
}
