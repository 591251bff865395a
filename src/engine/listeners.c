/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/listeners.h"
#include "base/clock.h"
#include "base/fd.h"
#include "engine/members.h"
#include "engine/pace.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define LOOK_MIN_MS  50U /* between two looks at the sockets */
#define LOOK_MAX_MS  1000U
#define ASK_AGAIN_MS 1000U /* between two looks at whose an unchanged socket is */
#define SOCKETS_MAX  4096U

struct socket_list {
	unsigned n;
	struct {
		uint16_t port;
		uint32_t inode;
	} items[SOCKETS_MAX];
};

struct listeners {
	uv_timer_t timer;
	struct port_watch *watches;
	struct socket_list now;
	uint64_t hash;     /* of the list that was looked at last */
	uint64_t asked_at; /* monotonic ms */
	struct pace pace;
};

/* --- the sockets
 * --------------------------------------------------------------------------------------- */

static void add_socket(struct socket_list *l, unsigned port, unsigned long inode)
{
	if (l->n < SOCKETS_MAX && inode != 0) {
		l->items[l->n].port = (uint16_t)port;
		l->items[l->n++].inode = (uint32_t)inode;
	}
}

/* One answer of the kernel; false at its end. */
static bool read_answer(struct socket_list *l, char *bytes, size_t n)
{
	for (struct nlmsghdr *h = (struct nlmsghdr *)bytes; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
		const struct inet_diag_msg *m = NLMSG_DATA(h);

		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
			return false;
		if (h->nlmsg_len >= NLMSG_LENGTH(sizeof(*m)))
			add_socket(l, ntohs(m->id.idiag_sport), m->idiag_inode);
	}
	return true;
}

static int dump_family(int fd, struct socket_list *l, uint8_t family)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 rq;
	} ask = {
		.h = { .nlmsg_len = sizeof(ask),
		       .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.rq = { .sdiag_family = family,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = 1U << TCP_LISTEN },
	};
	_Alignas(struct nlmsghdr) char bytes[16384];
	ssize_t n;

	if (send(fd, &ask, sizeof(ask), 0) < 0)
		return -errno;
	do {
		n = recv(fd, bytes, sizeof(bytes), 0);
		if (n < 0)
			return -errno;
	} while (read_answer(l, bytes, (size_t)n));
	return 0;
}

static int dump_by_netlink(struct socket_list *l)
{
	_cleanup_(closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct timeval patience = { .tv_usec = 100000 };
	int r;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	r = dump_family(fd, l, AF_INET);
	return r < 0 ? r : dump_family(fd, l, AF_INET6);
}

static void dump_by_proc(struct socket_list *l, const char *path)
{
	char *text = NULL, *line, *rest;
	size_t n;

	if (fd_read_file(path, 16 * MiB, &text, &n) < 0)
		return;
	rest = text;
	while ((line = strsep(&rest, "\n"))) {
		unsigned port, state;
		unsigned long inode;

		if (sscanf(line,
			   " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*d %*d %lu",
			   &port, &state, &inode) == 3 &&
		    state == TCP_LISTEN)
			add_socket(l, port, inode);
	}
	free(text);
}

static uint64_t look(struct listeners *ls)
{
	uint64_t hash = 14695981039346656037ULL;

	ls->now.n = 0;
	if (dump_by_netlink(&ls->now) < 0) {
		ls->now.n = 0;
		dump_by_proc(&ls->now, "/proc/net/tcp");
		dump_by_proc(&ls->now, "/proc/net/tcp6");
	}
	for (unsigned i = 0; i < ls->now.n; i++) {
		hash = (hash ^ ls->now.items[i].inode) * 1099511628211ULL;
		hash = (hash ^ ls->now.items[i].port) * 1099511628211ULL;
	}
	return hash;
}

/* --- whose they are
 * ------------------------------------------------------------------------------------ */

struct search {
	const struct listeners *ls;
	uint16_t port;
};

static bool is_wanted(const struct search *s, uint32_t inode)
{
	for (unsigned i = 0; i < s->ls->now.n; i++)
		if (s->ls->now.items[i].port == s->port && s->ls->now.items[i].inode == inode)
			return true;
	return false;
}

/* 1 when the process has a wanted socket. */
static int holds_socket(const struct tree_member *m, void *userdata)
{
	char path[64], link[64];
	struct dirent *entry;
	int found = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)m->pid);
	dir = opendir(path);
	if (!dir)
		return 0;
	while (!found && (entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
		unsigned inode;

		if (n <= 0)
			continue;
		link[n] = 0;
		if (sscanf(link, "socket:[%u]", &inode) == 1)
			found = is_wanted(userdata, inode);
	}
	closedir(dir);
	return found;
}

static bool port_is_open(const struct listeners *ls, const struct port_watch *w)
{
	struct search s = { ls, w->port };
	bool any = false;

	for (unsigned i = 0; i < ls->now.n && !any; i++)
		any = ls->now.items[i].port == w->port;
	if (!any || !w->session)
		return any;
	return session_tree_alive(w->session) && members_each(w->session, holds_socket, &s) == 1;
}

/* --- watching
 * ------------------------------------------------------------------------------------------ */

static void check_watches(struct listeners *ls)
{
	struct port_watch *todo = ls->watches;

	ls->watches = NULL;
	if (todo)
		todo->back = &todo;
	while (todo) {
		struct port_watch *w = todo;
		bool open = port_is_open(ls, w);

		port_watch_stop(w);
		if (open) {
			w->listening(w);
			continue;
		}
		w->next = ls->watches;
		w->back = &ls->watches;
		if (w->next)
			w->next->back = &w->next;
		ls->watches = w;
	}
}

static void on_timer(uv_timer_t *timer)
{
	struct listeners *ls = timer->data;
	uint64_t hash, now = clock_monotonic_ms();

	pace_begin(&ls->pace);
	hash = look(ls);
	/* The same sockets as before are in the same hands, most of the time. */
	if (hash != ls->hash || now - ls->asked_at >= ASK_AGAIN_MS) {
		ls->hash = hash;
		ls->asked_at = now;
		check_watches(ls);
	}
	pace_end(&ls->pace, 0);
	if (ls->watches)
		uv_timer_start(timer, on_timer, pace_pause(&ls->pace, 1, LOOK_MIN_MS, LOOK_MAX_MS),
			       0);
}

void port_watch_start(struct engine *e, struct port_watch *w)
{
	if (!e->listeners) {
		e->listeners = calloc(1, sizeof(*e->listeners));
		if (!e->listeners)
			return;
		uv_timer_init(&e->loop, &e->listeners->timer);
		e->listeners->timer.data = e->listeners;
	}
	w->next = e->listeners->watches;
	w->back = &e->listeners->watches;
	if (w->next)
		w->next->back = &w->next;
	e->listeners->watches = w;
	e->listeners->asked_at = 0;
	if (!uv_is_active((uv_handle_t *)&e->listeners->timer) ||
	    uv_timer_get_due_in(&e->listeners->timer) > LOOK_MIN_MS)
		uv_timer_start(&e->listeners->timer, on_timer, 0, 0);
}

void port_watch_stop(struct port_watch *w)
{
	if (!w->back)
		return;
	*w->back = w->next;
	if (w->next)
		w->next->back = w->back;
	w->next = NULL;
	w->back = NULL;
}
