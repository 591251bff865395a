/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/observe_trier.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/signals.h"
#include "observe/probe_serve.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

void trier_init(struct trier *t, int cgroup_dir)
{
	*t = (struct trier){ .cgroup_dir = cgroup_dir, .patience_ms = TRIER_PATIENCE_MS };
	aide_init(&t->aide, "a probe", "--probe", SOCK_SEQPACKET);
}

void trier_done(struct trier *t)
{
	(void)aide_end(&t->aide);
}

static int ask(struct trier *t, const struct backend *b, enum reeve_scope scope)
{
	struct probe_request rq = { .scope = (uint32_t)scope };

	strncpy(rq.backend, b->name, PROBE_NAME_MAX - 1);
	return fd_send(t->aide.sock, &rq, sizeof(rq), &t->cgroup_dir, t->cgroup_dir >= 0 ? 1 : 0);
}

static bool is_sound(struct probe_answer *answer)
{
	for (unsigned c = 0; c < REEVE_CATEGORIES; c++) {
		struct backend_support *s = &answer->by[c];

		if ((unsigned)s->support > REEVE_UNAVAILABLE)
			return false;
		s->reason[BACKEND_REASON_MAX - 1] = '\0';
	}
	return true;
}

static int hear(struct trier *t, uint64_t deadline, struct probe_answer *ret)
{
	for (;;) {
		uint64_t now = clock_monotonic_ms();
		struct pollfd p = { .fd = t->aide.sock, .events = POLLIN };
		int n = poll(&p, 1, now < deadline ? (int)(deadline - now) : 0);
		ssize_t got;

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 && clock_monotonic_ms() >= deadline)
			return -ETIME;
		if (n <= 0)
			continue;
		got = fd_recv(t->aide.sock, ret, sizeof(*ret), NULL, 0, NULL);
		if (got == sizeof(*ret))
			return is_sound(ret) ? 0 : -EPROTO;
		if (got != -EAGAIN && got != -EINTR)
			return got > 0 || got == -EMSGSIZE ? -EPROTO : -EPIPE;
	}
}

#define AGAIN "; `reeve capabilities --probe` tries again"

/* What became of the process. */
static void tell_end(const struct trier *t, int r, int status, unsigned categories,
		     struct backend_support ret[REEVE_CATEGORIES])
{
	if (r == -ETIME)
		support_set(ret, categories, REEVE_UNAVAILABLE,
			    "the probe took more than %u s and was killed" AGAIN,
			    t->patience_ms / 1000);
	else if (r == -EPROTO)
		support_set(ret, categories, REEVE_UNAVAILABLE,
			    "the probe has answered what cannot be, and was killed");
	else if (WIFSIGNALED(status))
		support_set(ret, categories, REEVE_UNAVAILABLE, "the probe crashed: %s" AGAIN,
			    signal_name(WTERMSIG(status)));
	else
		support_set(ret, categories, REEVE_UNAVAILABLE,
			    "the probe ended with exit code %d" AGAIN, WEXITSTATUS(status));
}

void trier_probe(void *userdata, const struct backend *b, enum reeve_scope scope,
		 struct backend_support ret[REEVE_CATEGORIES])
{
	struct trier *t = userdata;
	uint64_t deadline = clock_monotonic_ms() + t->patience_ms;
	struct probe_answer answer;
	struct error e = { 0 };
	int r, status;

	if (t->aide.pid == 0 && aide_start(&t->aide, &e) < 0) {
		support_set(ret, b->categories, REEVE_UNAVAILABLE, "%s" AGAIN, e.message);
		return;
	}
	r = ask(t, b, scope);
	if (r >= 0)
		r = hear(t, deadline, &answer);
	if (r >= 0) {
		memcpy(ret, answer.by, sizeof(answer.by));
		return;
	}
	status = r == -EPIPE ? aide_take_leave(&t->aide, deadline) : aide_end(&t->aide);
	tell_end(t, r, status, b->categories, ret);
}
