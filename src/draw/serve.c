/* SPDX-License-Identifier: Apache-2.0 */
/* serve.c - the drawer's process. It holds its socket and /dev/null; what a fault of libvterm can
 * do from here is to end it. */
#include "base/fd.h"
#include "draw/paint.h"
#include "draw/wire.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define MEMORY_MAX  (512U * 1024U * 1024U) /* address space: of the largest drawings, twice */
#define SECONDS_MAX 20U                    /* of a processor, for one drawing */
#define FILES_MAX   16U

static int limit(__rlimit_resource_t what, rlim_t soft)
{
	struct rlimit l;

	if (getrlimit(what, &l) < 0)
		return -errno;
	l.rlim_cur = MIN(soft, l.rlim_max);
	return setrlimit(what, &l) < 0 ? -errno : 0;
}

/* The sanitizers reserve more address space than there is. */
static int limit_memory(void)
{
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
	return 0;
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
	return 0;
#else
	return limit(RLIMIT_AS, MEMORY_MAX);
#endif
}

static int confine(int sock)
{
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "reeve-draw");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    close_range((unsigned)MAX(sock, 2) + 1, ~0U, 0) < 0)
		return -errno;
	r = limit_memory();
	if (r >= 0)
		r = limit(RLIMIT_CORE, 0);
	return r < 0 ? r : limit(RLIMIT_NOFILE, FILES_MAX);
}

/* Counted anew for each drawing. */
static int limit_time(void)
{
	struct rusage ru;

	if (getrusage(RUSAGE_SELF, &ru) < 0)
		return -errno;
	return limit(RLIMIT_CPU,
		     (rlim_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) + 1 + SECONDS_MAX);
}

static int read_part(int sock, void *to, size_t n)
{
	ssize_t got = fd_read_full(sock, to, n);

	return got < 0 ? (int)got : (size_t)got < n ? -EPIPE : 0;
}

static int reply(int sock, int result, const struct screen_shot *shot)
{
	const struct buffer *const parts[] = { &shot->restore, &shot->text, &shot->ansi };
	struct screen_reply head = { .result = result, .row = shot->row, .col = shot->col };
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(parts) && result == 0; i++)
		head.sizes[i] = (uint32_t)parts[i]->size;
	r = fd_write_all(sock, &head, sizeof(head));
	for (size_t i = 0; i < ARRAY_SIZE(parts) && r >= 0; i++)
		r = fd_write_all(sock, parts[i]->data, head.sizes[i]);
	return r;
}

static int draw_one(int sock, const struct screen_request *rq)
{
	struct screen_input in = {
		.record = rq->record,
		.contents = malloc(rq->record.size + 1UL),
		.bytes = malloc(rq->n + 1),
		.n = rq->n,
		.rows = rq->rows,
		.cols = rq->cols,
		.at_head = rq->at_head != 0,
	};
	struct screen_shot shot = { 0 };
	int r = in.contents && in.bytes ? 0 : -ENOMEM;

	if (r >= 0)
		r = read_part(sock, in.contents, rq->record.size);
	if (r >= 0)
		r = read_part(sock, in.bytes, rq->n);
	if (r >= 0)
		r = limit_time();
	if (r >= 0)
		r = reply(sock, screen_draw(&in, rq->parts, &shot), &shot);
	screen_shot_done(&shot);
	free(in.contents);
	free(in.bytes);
	return r;
}

int screen_serve(int sock)
{
	struct screen_request rq;
	int r = confine(sock);

	while (r >= 0) {
		ssize_t n = fd_read_full(sock, &rq, sizeof(rq));

		if (n != (ssize_t)sizeof(rq))
			return n < 0 ? (int)n : 0;
		r = draw_one(sock, &rq);
	}
	return r;
}
