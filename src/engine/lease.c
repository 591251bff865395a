/* SPDX-License-Identifier: Apache-2.0 */
/* lease.c - who controls a session, and how long a lost client keeps its place. */
#include "base/clock.h"
#include "base/random.h"
#include "core/proc.h"
#include "engine/attachment.h"
#include "engine/owner.h"
#include <stdio.h>
#include <sys/sysmacros.h>

#define SLAVE_MAJOR 136 /* of Unix98 pseudo-terminals, devices.txt */

static bool same_token(const struct control_slot *w, const uint64_t token[2])
{
	return word_load(&w->token[0]) == token[0] && word_load(&w->token[1]) == token[1];
}

bool attachment_is_awaited(const struct session *s)
{
	return !s->controller && word_load(&s->words->attach_mode) != ATTACH_NONE &&
	       clock_boottime_ms() < word_load(&s->words->lease);
}

static bool is_held(const struct session *s)
{
	return s->controller || (attachment_is_awaited(s) && !session_ended(s));
}

void attachment_register(struct session *s, const uint64_t token[2], enum attach_mode mode,
			 pid_t peer)
{
	struct control_slot *w = s->words;

	/* The mode says that the rest is complete: first out, last in. One who comes back keeps its
	 * place all the time. */
	if (!same_token(w, token))
		word_store(&w->attach_mode, ATTACH_NONE);
	word_store(&w->lease, clock_boottime_ms() + ATTACH_LEASE_MS);
	word_store(&w->token[0], token[0]);
	word_store(&w->token[1], token[1]);
	owner_note_client(s, peer);
	word_store(&w->attach_mode, mode);
}

static int check_streams(const struct session *s, const struct attach_options *o, struct error *err)
{
	if (o->want[STREAM_ERR] && !output_stream_exists(s, STREAM_ERR))
		return error_set(err, ERROR_STREAM_UNAVAILABLE,
				 "%s has no stderr of its own: it goes into %s", s->id,
				 word_load(&s->words->kind) == KIND_PTY ? "the terminal"
									: "stdout");
	return 0;
}

/* Names the holder, and its terminal when it has one. */
static int refuse(const struct session *s, struct error *err)
{
	pid_t pid = (pid_t)word_load(&s->words->attach_pid);
	struct proc_stat holder;
	char where[32] = "";

	if (proc_stat_read(pid, &holder) >= 0 && major((unsigned)holder.tty) == SLAVE_MAJOR)
		snprintf(where, sizeof(where), " on /dev/pts/%u", minor((unsigned)holder.tty));
	return error_set(err, ERROR_ALREADY_ATTACHED,
			 "%s is attached by PID %d%s; use --steal to take it over or "
			 "--read-only to watch",
			 s->id, (int)pid, where);
}

int attachment_prepare(struct session *s, struct attach_options *o, struct error *err)
{
	int r = check_streams(s, o, err);

	if (r < 0)
		return r;
	if (o->read_only && o->mode == ATTACH_BLOCK)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "mode=block needs the controlling attachment; a read-only client "
				 "follows with mode=drop-oldest");
	if (o->read_only)
		return 0;
	if (is_held(s) && !o->steal && !(o->has_token && same_token(s->words, o->token)))
		return refuse(s, err);
	if (!o->has_token)
		random_bytes(o->token, sizeof(o->token));
	attachment_register(s, o->token, o->mode, o->peer);
	attachment_lease_check(s); /* the client may be gone before its connection is handed over */
	return 0;
}

void attachment_cancel(struct session *s, const struct attach_options *o)
{
	if (o->read_only || o->has_token || s->controller || !same_token(s->words, o->token))
		return;
	word_store(&s->words->attach_mode, ATTACH_NONE);
	word_store(&s->words->token[0], 0);
	word_store(&s->words->token[1], 0);
	owner_forget_client(s);
	output_resume(s);
}

/* --- leases
 * --------------------------------------------------------------------------------------------- */

static void on_lease(uv_timer_t *timer)
{
	attachment_lease_check(timer->data);
}

static void arm(struct session *s, uint64_t ms)
{
	if (!s->lease) {
		s->lease = calloc(1, sizeof(*s->lease));
		if (!s->lease)
			return;
		uv_timer_init(&s->engine->loop, s->lease);
		s->lease->data = s;
		s->n_handles++;
	}
	uv_timer_start(s->lease, on_lease, ms, 0);
}

void attachment_lease_check(struct session *s)
{
	struct control_slot *w = s->words;
	uint64_t lease = word_load(&w->lease), now = clock_boottime_ms();

	if (s->controller || word_load(&w->attach_mode) != ATTACH_BLOCK || lease == 0)
		return;
	if (now < lease) {
		arm(s, lease - now);
		return;
	}
	word_store(&w->attach_mode, ATTACH_NONE);
	word_store(&w->token[0], 0);
	word_store(&w->token[1], 0);
	output_resume(s);
	output_check_exit(s);
}
