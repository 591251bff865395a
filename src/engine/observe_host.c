/* SPDX-License-Identifier: Apache-2.0 */
/* observe_host.c - the backends' host in the loop, and their descriptors in the keeper. */
#include "base/fd.h"
#include "base/log.h"
#include "engine/observe_private.h"
#include "observe/seccomp_notify.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct observatory *observatory_of(struct engine *e)
{
	struct observatory *ob = e->observatory;

	if (ob)
		return ob;
	ob = calloc(1, sizeof(*ob));
	if (!ob)
		return NULL;
	ob->engine = e;
	if (observe_news_init(ob) < 0) {
		free(ob);
		return NULL;
	}
	e->observatory = ob;
	return ob;
}

/* --- what is kept ---------------------------------------------------------------------------- */

static void tell_keep(struct engine *e, unsigned place, int fd)
{
	struct link_message m = { .type = LINK_KEEP, .arg = place };
	int table[N_LINK_FDS];

	if (fd >= 0) {
		table[KEPT_FD] = fd;
		m.fds = 1U << KEPT_FD;
	}
	link_tell_fds(e, &m, table);
}

static int map_names(struct observatory *ob, int fd)
{
	void *p = mmap(NULL, KEPT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	ob->names = p;
	ob->kept[0] = fd + 1;
	return 0;
}

static int make_names(struct observatory *ob)
{
	int fd = fd_memfd("reeve-kept", KEPT_SIZE), r;

	if (fd < 0)
		return fd;
	r = map_names(ob, fd);
	if (r < 0) {
		fd_close(fd);
		return r;
	}
	tell_keep(ob->engine, 0, fd);
	return 0;
}

static void on_hold(void *userdata, const char *name, int fd)
{
	struct observatory *ob = userdata;
	unsigned i = 1;

	while (i < KEPT_MAX && ob->kept[i] != 0)
		i++;
	if (i == KEPT_MAX || (!ob->names && make_names(ob) < 0)) {
		log_warn("%s cannot be kept over a restart of the engine", name);
		return;
	}
	ob->kept[i] = fd + 1;
	tell_keep(ob->engine, i, fd);
	strncpy(ob->names[i].name, name, KEPT_NAME_MAX - 1);
	word_store(&ob->names[i].used, 1);
}

static void on_release(void *userdata, const char *name)
{
	struct observatory *ob = userdata;

	for (unsigned i = 1; ob->names && i < KEPT_MAX; i++) {
		if (ob->kept[i] == 0 || strncmp(ob->names[i].name, name, KEPT_NAME_MAX) != 0)
			continue;
		word_store(&ob->names[i].used, 0);
		ob->kept[i] = 0;
		memset(ob->names[i].name, 0, KEPT_NAME_MAX);
		tell_keep(ob->engine, i, -1);
	}
}

int observe_kept(const struct engine *e, uint64_t place)
{
	return e->observatory && place < KEPT_MAX ? e->observatory->kept[place] - 1 : -1;
}

/* --- the host -------------------------------------------------------------------------------- */

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct observatory *ob = poll->data;

	(void)status;
	(void)events;
	host_dispatch(ob->host);
	observe_awake(ob);
}

static int watch_direct(void *userdata, struct watch *w)
{
	struct engine *e = userdata;

	return direct_watch(&e->direct, &e->loop, w);
}

static void unwatch_direct(void *userdata, struct watch *w)
{
	struct engine *e = userdata;

	direct_unwatch(&e->direct, w);
}

/* --- the host ----------------------------------------------------------------------------------
 */

static void on_complaint(void *userdata, uint32_t session, const char *text)
{
	struct observatory *ob = userdata;

	for (struct observed *o = ob->sessions; o; o = o->next)
		if ((uint32_t)word_load(&o->session->words->handle) == session)
			log_error("%s: %s", o->session->id, text);
}

/* That it was readable nobody will know again. */
static void on_asked(void *userdata)
{
	struct observatory *ob = userdata;

	host_look(ob->host);
}

int observe_host(struct engine *e, struct host **ret, struct error *err)
{
	struct observatory *ob = observatory_of(e);
	struct host_keeping keeping = { on_hold, on_release, ob };
	int r;

	if (!ob)
		return error_set_errno(err, ERROR_EXHAUSTED, ENOMEM, "observe");
	if (!ob->host) {
		r = host_new(&ob->host, e->daemon_fds[DAEMON_FD_CGROUP], &keeping);
		if (r >= 0)
			r = uv_poll_init(&e->loop, &ob->poll, host_fd(ob->host));
		if (r < 0) {
			ob->host = host_free(ob->host);
			return error_set_errno(err, ERROR_EXHAUSTED, r, "observe");
		}
		host_listen(ob->host, on_complaint, ob);
		host_set_loop(ob->host, &(struct host_loop){ watch_direct, unwatch_direct, e });
		observe_set_lender(e, ob->host);
		e->direct.asked = on_asked;
		e->direct.userdata = ob;
		ob->poll.data = ob;
		uv_poll_start(&ob->poll, UV_READABLE, on_readable);
	}
	*ret = ob->host;
	return 0;
}

/* --- after an engine that died --------------------------------------------------------------- */

/* Gives the host what the keeper has kept for it. */
static int restore(struct observatory *ob)
{
	for (unsigned i = 1; i < KEPT_MAX; i++) {
		int fd, r;

		if (!word_load(&ob->names[i].used))
			continue;
		r = link_fetch(ob->engine, i, &fd);
		if (r < 0)
			return r;
		ob->names[i].name[KEPT_NAME_MAX - 1] = '\0';
		ob->kept[i] = fd + 1;
		if (fd < 0 || host_restore(ob->host, ob->names[i].name, fd) < 0) {
			ob->kept[i] = 0;
			word_store(&ob->names[i].used, 0);
			tell_keep(ob->engine, i, -1);
		}
	}
	return 0;
}

int observe_resume(struct engine *e, struct error *err)
{
	struct observatory *ob;
	struct host *host;
	int fd, r = link_fetch(e, 0, &fd);

	if (r < 0)
		return error_set_errno(err, ERROR_INTERNAL, r, "ask the keeper for what it keeps");
	if (fd < 0 && !e->observatory)
		return 0;
	r = observe_host(e, &host, err);
	if (r < 0)
		return r;
	ob = e->observatory;
	if (fd >= 0) {
		r = map_names(ob, fd);
		if (r >= 0)
			r = restore(ob);
		if (r < 0)
			return error_set_errno(err, ERROR_INTERNAL, r, "take up what is kept");
	}
	for (struct session *s = e->first; s; s = s->newer)
		if (!s->observed && s->fds[SLOT_FD_LISTENER] >= 0)
			(void)seccomp_notify_drain(host, s->fds[SLOT_FD_LISTENER], NULL);
	for (struct observed *o = ob->sessions, *next; o; o = next) {
		next = o->next;
		observe_continue(o->session);
	}
	host_settled(host);
	return 0;
}
