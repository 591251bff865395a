/* SPDX-License-Identifier: Apache-2.0 */
#include "client/attach_memory.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "core/layout.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define COPY_SIZE (64U * 1024U)

ssize_t attach_memory_receive(struct attach_memory *m, int fd, void *to, size_t max)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec v = { to, max };
	struct msghdr msg = { .msg_iov = &v,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      /* the padding has room for another that nobody would close */
			      .msg_controllen = CMSG_LEN(sizeof(int)) };
	ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR(&msg) : NULL;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int))) {
		fd_close(m->fd);
		memcpy(&m->fd, CMSG_DATA(c), sizeof(int));
	}
	return n;
}

/* Only of a file that cannot become smaller a mapping can be read without danger. */
static int map_file(struct attach_memory *m)
{
	struct stat st;
	int seals = fcntl(m->fd, F_GET_SEALS);
	void *map;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(m->fd, &st) < 0)
		return -EBADF;
	if (!m->copy)
		m->copy = malloc(COPY_SIZE);
	if (!m->copy)
		return -ENOMEM;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, m->fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	(void)madvise(map, (size_t)st.st_size, MADV_DONTDUMP); /* it is the session's, not ours */
	m->map = map;
	m->size = (uint64_t)st.st_size;
	return 0;
}

/* `n` bytes from `offset` on are in the file. */
static bool is_inside(const struct attach_memory *m, uint64_t offset, uint64_t n)
{
	return offset <= m->size && n <= m->size - offset;
}

int attach_memory_map(struct attach_memory *m, const struct frame *f)
{
	int r = m->map ? 0 : map_file(m);

	if (r < 0)
		return r;
	if (f->ring < RING_SIZE_MIN || f->ring > RING_SIZE_MAX || (f->ring & (f->ring - 1)) != 0 ||
	    !is_inside(m, f->offset, f->ring) || f->gone % sizeof(struct word) != 0 ||
	    !is_inside(m, f->gone, sizeof(struct word)))
		return -EINVAL;
	m->streams[f->stream].ring = m->map + f->offset;
	m->streams[f->stream].size = f->ring;
	m->streams[f->stream].gone = (const struct word *)(m->map + f->gone);
	return 0;
}

uint64_t attach_memory_size(const struct attach_memory *m, enum frame_stream stream)
{
	return m->streams[stream].size;
}

void attach_memory_copy(struct attach_memory *m, enum frame_stream stream, struct attach_copy *c)
{
	uint64_t size = m->streams[stream].size, first = c->at & (size - 1), before;
	uint64_t whole = MIN(size - first, (uint64_t)COPY_SIZE), n = MIN(c->n, whole);

	memcpy(m->copy, m->streams[stream].ring + first, n);
	atomic_thread_fence(memory_order_acquire); /* the word is looked at after the bytes */
	before = word_load(m->streams[stream].gone);
	before = before > 0 ? before - 1 : 0;
	c->gone = before > c->at ? MIN(before - c->at, c->n) : 0;
	c->bytes = m->copy + MIN(c->gone, n);
	c->n = n - MIN(c->gone, n);
}

void attach_memory_done(struct attach_memory *m)
{
	if (m->map)
		munmap(m->map, m->size);
	free(m->copy);
	fd_close(m->fd);
	*m = (struct attach_memory){ .fd = -1, .refused = m->refused };
}
