/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/budget.h"
#include "base/log.h"
#include "engine/observe.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#define SHARE 4U /* a quarter */

void budget_init(struct engine *e)
{
	const char *text = getenv("REEVE_RING_BUDGET"); /* bytes; for tests of what happens then */

	e->retained_max =
		text ? strtoull(text, NULL, 10)
		     : (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / SHARE;
}

static bool is_over(const struct session *s)
{
	return session_ended(s) && !session_tree_alive(s) && !s->controller;
}

/* The memory of a session's output goes back to the system; its numbers stay. */
static void give_back(struct session *s)
{
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		struct ring *r = &s->streams[i].capture.ring;
		uint64_t used = budget_of_ring(r);

		if (used == 0)
			continue;
		word_store(&s->words->streams[i].floor, ring_head(r));
		capture_give_notice(&s->streams[i].capture, ring_head(r));
		if (fallocate(s->fds[SLOT_FD_MEMORY], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      (off_t)s->layout.out[i], (off_t)r->size) < 0)
			log_warn("%s: its memory cannot be given back", s->id);
		s->engine->retained -= used;
	}
	observe_give_up(s);
}

void budget_add(struct engine *e, uint64_t bytes)
{
	e->retained += bytes;
	for (struct session *s = e->first; s && e->retained > e->retained_max; s = s->newer)
		if (is_over(s))
			give_back(s);
}

void budget_forget(struct session *s)
{
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		s->engine->retained -= budget_of_ring(&s->streams[i].capture.ring);
}

int budget_check(struct engine *e, struct error *err)
{
	budget_add(e, 0); /* what has ended since the last byte came */
	if (e->retained <= e->retained_max)
		return 0;
	return error_set(
		err, ERROR_EXHAUSTED,
		"the output and the events of all sessions take %llu MiB of memory, at most %llu MiB are "
		"allowed (a quarter of the machine's); stop sessions, or start them with a "
		"smaller --backlog",
		(unsigned long long)(e->retained / MiB),
		(unsigned long long)(e->retained_max / MiB));
}

int budget_no_descriptors(int errnum, struct error *err)
{
	struct rlimit limit = { 0 };

	getrlimit(RLIMIT_NOFILE, &limit);
	if (errnum == -EMFILE)
		return error_set(
			err, ERROR_EXHAUSTED,
			"the daemon has all of its %llu descriptors in use; `reeve purge` frees "
			"those of ended sessions, `ulimit -n` before `reeve daemon start` allows "
			"more",
			(unsigned long long)limit.rlim_cur);
	return error_set_errno(err, ERROR_EXHAUSTED, errnum, "descriptors for the session");
}
