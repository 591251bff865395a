/* SPDX-License-Identifier: Apache-2.0 */
/* attach_lend.c - a lossless client with a lot of output reads the rings' memory itself.
 *
 * It gets the session's memory as a descriptor that can only be read, and from then on is told how
 * far the rings are written, instead of being sent their bytes. What it has not acknowledged is not
 * overwritten as long as it holds its place; when it has lost that, the word of the stream says so
 * before a byte is overwritten (core/capture.h). */
#include "base/fd.h"
#include "engine/attachment_private.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define LEND_AFTER (256U * 1024U) /* bytes of OUTPUT; what writes less is not worth the mapping */
#define LATE_MS    1U

void attach_loan_open(struct attachment *a, const struct attach_options *o)
{
	a->loan.wanted = o->memory && a->controlling && a->mode == ATTACH_BLOCK &&
			 !session_is_pty(a->session);
	a->loan.fd = -1;
	uv_timer_init(&a->session->engine->loop, &a->loan.timer);
	a->loan.timer.data = a;
}

void attach_loan_close(struct attachment *a)
{
	a->loan.fd = fd_close(a->loan.fd);
	uv_timer_stop(&a->loan.timer);
}

/* Nobody can make it smaller under the client's mapping, and the client cannot write. */
static int open_memory(int fd)
{
	char path[32];
	int r;

	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = open(path, O_RDONLY | O_CLOEXEC);
	return r < 0 ? -errno : r;
}

bool attach_lend(struct attachment *a)
{
	const struct layout *l = &a->session->layout;

	/* The descriptor goes with the first byte of the frames. */
	if (!a->loan.wanted || !a->loan.heard || a->loan.sent < LEND_AFTER || a->out.size > 0 ||
	    a->body_left > 0)
		return false;
	a->loan.wanted = false;
	a->loan.fd = open_memory(a->session->fds[SLOT_FD_MEMORY]);
	if (a->loan.fd < 0)
		return false;
	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		struct capture_stream *c = &a->session->streams[i].capture;
		struct frame f = { .type = FRAME_MEMORY,
				   .stream = attach_stream(a, i),
				   .offset = l->out[i],
				   .ring = c->ring.size,
				   .gone = l->lent + i * sizeof(struct word) };

		if (!a->want[i])
			continue;
		/* Exact, where the notice before a step says more than it takes. */
		word_store(c->lent, 1 + ring_tail(&c->ring));
		word_store(&c->words->lent, 1);
		attach_push(a, &f);
	}
	a->loan.made = true;
	a->listener.hands_on = false; /* it is woken so seldom that it is no reason to sleep */
	return true;
}

void attach_add_descriptor(struct attachment *a, struct msghdr *m, union attach_control *control)
{
	struct cmsghdr *c;

	if (a->loan.fd < 0)
		return;
	memset(control, 0, sizeof(*control));
	m->msg_control = control->bytes;
	m->msg_controllen = sizeof(control->bytes);
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &a->loan.fd, sizeof(int));
}

static void on_late(uv_timer_t *timer)
{
	struct attachment *a = timer->data;

	a->loan.late = true;
	if (!(a->events & UV_WRITABLE))
		attach_pump(a);
	a->loan.late = false;
}

/* While output floods in, the loop comes by here again in a moment. */
static bool can_wait(const struct attachment *a, const struct cursor *c, uint64_t n)
{
	return n < MIN(c->ring->size, (uint64_t)FRAME_OUTPUT_WINDOW) / 2 && !a->loan.late &&
	       !session_exited(a->session) && flood_is_awake(&a->session->engine->flood);
}

bool attach_tell_written(struct attachment *a, unsigned stream, uint64_t n)
{
	struct cursor *c = &a->cursors[stream];
	struct frame f = { .type = FRAME_WRITTEN, .stream = attach_stream(a, stream) };

	if (can_wait(a, c, n)) {
		if (!uv_is_active((uv_handle_t *)&a->loan.timer))
			uv_timer_start(&a->loan.timer, on_late, LATE_MS, 0);
		return false;
	}
	attach_push_accepted(a);
	c->offset += n;
	f.offset = c->offset;
	attach_push(a, &f);
	return true;
}
