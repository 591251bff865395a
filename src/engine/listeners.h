/* SPDX-License-Identifier: Apache-2.0 */
/* listeners.h - TCP sockets that listen, and whose they are.
 *
 * The kernel tells nobody when a socket begins to listen, so this looks again and again, but only
 * while somebody waits, once for all who wait, and only at sockets in the state LISTEN
 * (sock_diag(7); /proc/net/tcp where that is refused). */
#pragma once
#include "engine/session.h"

struct port_watch {
	struct port_watch *next, **back;
	uint16_t port;
	struct session *session; /* a socket of this session's tree only; NULL: anybody's */
	void (*listening)(
		struct port_watch *w); /* called at most once, the watch is off the list then */
};

/* Calls back from the loop, also when the port is listened on already. */
void port_watch_start(struct engine *e, struct port_watch *w);
void port_watch_stop(struct port_watch *w);
