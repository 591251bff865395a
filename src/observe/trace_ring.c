/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/trace_ring.h"
#include "base/fd.h"
#include "observe/event.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define HEADER  4096U
#define MAPPED  (HEADER + TRACE_RING_SIZE)
#define ALIGN   8U
#define WAIT_MS 100
#define SKIP    UINT32_MAX /* the rest up to the end holds nothing */

/* Before each event. */
struct frame {
	uint32_t size; /* of the event */
	uint32_t room; /* to the next frame */
};

_Static_assert(sizeof(struct trace_ring_shared) <= HEADER, "the header is too large");
_Static_assert(EVENT_SIZE_MAX + sizeof(struct frame) + ALIGN < TRACE_RING_SIZE / 2,
	       "an event does not fit");

int trace_ring_open(struct trace_ring *ret, int memory, int sock)
{
	void *map = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);

	if (map == MAP_FAILED)
		return -errno;
	*ret = (struct trace_ring){ map, (char *)map + HEADER, memory, sock };
	return 0;
}

int trace_ring_new(struct trace_ring *ret, int *ret_peer)
{
	_cleanup_(closep) int memory = memfd_create("reeve-trace", MFD_CLOEXEC);
	int pair[2], r;

	if (memory < 0 || ftruncate(memory, MAPPED) < 0)
		return -errno;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -errno;
	r = trace_ring_open(ret, memory, pair[0]);
	if (r < 0) {
		fd_close(pair[0]);
		fd_close(pair[1]);
		return r;
	}
	memory = -1;
	*ret_peer = pair[1];
	return 0;
}

void trace_ring_close(struct trace_ring *r)
{
	if (r->shared)
		(void)munmap(r->shared, MAPPED);
	fd_close(r->memory);
	fd_close(r->sock);
	*r = (struct trace_ring){ .memory = -1, .sock = -1 };
}

static void wake(const struct trace_ring *r)
{
	(void)send(r->sock, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* False when the other side is gone. */
static bool forget_wakes(const struct trace_ring *r)
{
	char bytes[64];
	ssize_t n;

	do
		n = recv(r->sock, bytes, sizeof(bytes), MSG_DONTWAIT);
	while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 && errno == EAGAIN;
}

/* --- writing --------------------------------------------------------------------------------- */

/* False when nobody will ever read. */
static bool wait_for_room(struct trace_ring *r, uint64_t end)
{
	struct trace_ring_shared *s = r->shared;

	while (end - atomic_load(&s->tail) > TRACE_RING_SIZE) {
		struct pollfd p = { .fd = r->sock, .events = POLLIN };

		if (atomic_load(&s->muted) != 0)
			return false;
		atomic_store(&s->writer_waits, 1);
		if (end - atomic_load(&s->tail) <= TRACE_RING_SIZE)
			break;
		wake(r);
		if (poll(&p, 1, WAIT_MS) > 0 && (p.revents & POLLHUP) != 0) {
			atomic_store(&s->muted, 1);
			return false;
		}
		forget_wakes(r);
	}
	return true;
}

void trace_ring_write(struct trace_ring *r, const struct reeve_event *e)
{
	struct trace_ring_shared *s = r->shared;
	struct frame frame = { .size = (uint32_t)event_size(e) };
	uint64_t head = atomic_load(&s->head);
	uint32_t place = (uint32_t)(head % TRACE_RING_SIZE), left = TRACE_RING_SIZE - place;

	if (atomic_load(&s->muted) != 0)
		return;
	frame.room = (uint32_t)(sizeof(frame) + frame.size + ALIGN - 1) / ALIGN * ALIGN;
	if (frame.room > left) { /* a frame is never in two pieces */
		struct frame skip = { SKIP, left };

		if (!wait_for_room(r, head + left + frame.room))
			return;
		memcpy(r->data + place, &skip, sizeof(skip));
		head += left;
		place = 0;
	} else if (!wait_for_room(r, head + frame.room)) {
		return;
	}
	memcpy(r->data + place, &frame, sizeof(frame));
	(void)event_pack(e, r->data + place + sizeof(frame));
	atomic_store(&s->head, head + frame.room);
	if (atomic_exchange(&s->reader_sleeps, 0) != 0)
		wake(r);
}

/* --- reading --------------------------------------------------------------------------------- */

bool trace_ring_awake(struct trace_ring *r)
{
	return forget_wakes(r);
}

bool trace_ring_sleep(struct trace_ring *r, uint64_t at)
{
	forget_wakes(r);
	atomic_store(&r->shared->reader_sleeps, 1);
	return at >= atomic_load(&r->shared->head);
}

int trace_ring_read(struct trace_ring *r, uint64_t *at, struct reeve_event **ret)
{
	while (*at < atomic_load(&r->shared->head)) {
		uint32_t place = (uint32_t)(*at % TRACE_RING_SIZE);
		struct frame frame;
		int result;

		memcpy(&frame, r->data + place, sizeof(frame));
		if (frame.room < sizeof(frame) || frame.room > TRACE_RING_SIZE - place ||
		    (frame.size != SKIP && frame.size > frame.room - sizeof(frame)))
			return -EBADMSG;
		*at += frame.room;
		if (frame.size == SKIP)
			continue;
		result = event_unpack(r->data + place + sizeof(frame), frame.size, ret);
		return result < 0 ? result : 1;
	}
	return 0;
}

void trace_ring_consume(struct trace_ring *r, uint64_t at)
{
	atomic_store(&r->shared->tail, at);
	if (atomic_exchange(&r->shared->writer_waits, 0) != 0)
		wake(r);
}
