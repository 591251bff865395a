/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/owner.h"
#include "base/fd.h"
#include "core/proc.h"
#include "core/stopplan.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

struct owner_watch {
	struct session *session;
	uv_poll_t poll;
	int pidfd;
};

static void watch_closed(uv_handle_t *handle)
{
	struct owner_watch *w = handle->data;
	struct session *s = w->session;

	free(w);
	session_handle_closed(s);
}

static void unwatch(struct owner_watch **watch)
{
	struct owner_watch *w = *watch;

	if (!w)
		return;
	*watch = NULL;
	uv_poll_stop(&w->poll);
	uv_close((uv_handle_t *)&w->poll, watch_closed);
	w->pidfd = fd_close(w->pidfd);
}

static void owner_gone(struct session *s)
{
	struct stop_plan plan;

	session_plan(s, &plan);
	session_stop(s, &plan, CAUSE_OWNER_GONE);
}

static void on_gone(uv_poll_t *poll, int status, int events)
{
	struct owner_watch *w = poll->data;
	struct session *s = w->session;

	(void)status;
	(void)events;
	session_hold(s);
	if (w == s->tied)
		unwatch(&s->tied);
	else
		unwatch(&s->client);
	owner_gone(s);
	session_let_go(s);
}

/* The start time of a process that lives; 0 when it does not. */
static uint64_t start_of(pid_t pid)
{
	struct proc_stat st;

	return proc_stat_read(pid, &st) < 0 || proc_stat_dead(&st) ? 0 : st.start;
}

/* Watches `pid` provided that it is the process that started at `start`. -ESRCH when it is not. */
static int watch(struct session *s, pid_t pid, uint64_t start, struct owner_watch **ret)
{
	struct owner_watch *w;
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		return -errno;
	if (start == 0 || start_of(pid) != start) {
		close(fd);
		return -ESRCH;
	}
	w = calloc(1, sizeof(*w));
	if (!w || uv_poll_init(&s->engine->loop, &w->poll, fd) < 0) {
		free(w);
		close(fd);
		return -ENOMEM;
	}
	w->session = s;
	w->pidfd = fd;
	w->poll.data = w;
	s->n_handles++;
	uv_poll_start(&w->poll, UV_READABLE, on_gone);
	*ret = w;
	return 0;
}

static void watch_client(struct session *s)
{
	struct control_slot *w = s->words;

	unwatch(&s->client);
	if (word_load(&w->on_disconnect) == 0 || word_load(&w->attach_pid) == 0 || session_ended(s))
		return;
	if (watch(s, (pid_t)word_load(&w->attach_pid), word_load(&w->attach_start), &s->client) ==
	    -ESRCH)
		owner_gone(s);
}

void owner_note_client(struct session *s, pid_t pid)
{
	word_store(&s->words->attach_start,
		   word_load(&s->words->on_disconnect) ? start_of(pid) : 0);
	word_store(&s->words->attach_pid, (uint64_t)pid);
	watch_client(s);
}

void owner_forget_client(struct session *s)
{
	word_store(&s->words->attach_pid, 0);
	unwatch(&s->client);
}

int owner_tie(struct session *s, pid_t pid)
{
	uint64_t start = start_of(pid);

	if (start == 0)
		return -ESRCH;
	word_store(&s->words->with_start, start);
	word_store(&s->words->with_pid, (uint64_t)pid);
	return watch(s, pid, start, &s->tied);
}

void owner_resume(struct session *s)
{
	struct control_slot *w = s->words;

	if (session_ended(s))
		return;
	watch_client(s);
	if (word_load(&w->with_pid) != 0 &&
	    watch(s, (pid_t)word_load(&w->with_pid), word_load(&w->with_start), &s->tied) == -ESRCH)
		owner_gone(s);
}

void owner_done(struct session *s)
{
	unwatch(&s->client);
	unwatch(&s->tied);
}
