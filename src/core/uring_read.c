/* SPDX-License-Identifier: Apache-2.0 */
#include "core/uring_read.h"
#include "base/fd.h"
#include "core/pipes.h"
#include <errno.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRIES      1U            /* requests */
#define RESULTS      (2 * ENTRIES) /* the kernel makes room for so many */
#define REQUEST_SIZE (ENTRIES * sizeof(struct io_uring_sqe))
#define TRIAL        UINT64_MAX /* no offset of any stream */

/* --- the ring -------------------------------------------------------------------------------- */

static void *map(int fd, size_t size, off_t what)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, what);

	if (p == MAP_FAILED)
		return NULL;
	(void)madvise(p, size, MADV_DONTFORK);
	return p;
}

static uint64_t needed(const struct io_uring_params *p)
{
	uint64_t array = p->sq_off.array + ENTRIES * sizeof(uint32_t);
	uint64_t results = p->cq_off.cqes + RESULTS * sizeof(struct io_uring_cqe);

	return array > results ? array : results;
}

/* The only request there can be is the first one, for ever. */
static int name_request(int fd, const struct io_uring_params *p, uint64_t size)
{
	char *rings = map(fd, size, IORING_OFF_SQ_RING);

	if (!rings)
		return -ENOMEM;
	memset(rings + p->sq_off.array, 0, sizeof(uint32_t));
	munmap(rings, size);
	return 0;
}

int uring_read_make(struct control_reads *words)
{
	struct io_uring_params p = { 0 };
	uint64_t size;
	int fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &p), r = -ENOTSUP;

	if (fd < 0)
		return -errno;
	size = needed(&p);
	if ((p.features & IORING_FEAT_SINGLE_MMAP) && p.sq_entries == ENTRIES &&
	    p.cq_entries == RESULTS)
		r = name_request(fd, &p, size);
	if (r < 0) {
		close(fd);
		return r;
	}
	word_store(&words->sq_head, p.sq_off.head);
	word_store(&words->sq_tail, p.sq_off.tail);
	word_store(&words->cq_head, p.cq_off.head);
	word_store(&words->cq_tail, p.cq_off.tail);
	word_store(&words->cqes, p.cq_off.cqes);
	word_store(&words->size, size);
	return fd;
}

/* NULL for a word that would lead out of the ring's memory. */
static void *at(const struct uring_read *u, const struct word *offset, size_t size)
{
	uint64_t value = word_load(offset);

	if (value % sizeof(uint32_t) != 0 || value > u->size || size > u->size - value)
		return NULL;
	return (char *)u->rings + value;
}

int uring_read_map(struct uring_read *u, int fd, const struct control_reads *words)
{
	size_t size = word_load(&words->size);

	*u = (struct uring_read){
		.fd = fd,
		.rings = map(fd, size, IORING_OFF_SQ_RING),
		.size = size,
		.requests = map(fd, REQUEST_SIZE, (off_t)IORING_OFF_SQES),
	};
	if (u->rings && u->requests) {
		u->sq_head = at(u, &words->sq_head, sizeof(uint32_t));
		u->sq_tail = at(u, &words->sq_tail, sizeof(uint32_t));
		u->cq_head = at(u, &words->cq_head, sizeof(uint32_t));
		u->cq_tail = at(u, &words->cq_tail, sizeof(uint32_t));
		u->results = at(u, &words->cqes, RESULTS * sizeof(struct io_uring_cqe));
	}
	if (u->sq_head && u->sq_tail && u->cq_head && u->cq_tail && u->results)
		return 0;
	uring_read_close(u);
	return -ENOMEM;
}

void uring_read_close(struct uring_read *u)
{
	if (u->rings)
		munmap(u->rings, u->size);
	if (u->requests)
		munmap(u->requests, REQUEST_SIZE);
	u->rings = u->requests = NULL;
}

/* --- reading --------------------------------------------------------------------------------- */

static uint32_t count(const uint32_t *at)
{
	return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static void set(uint32_t *at, uint32_t value)
{
	__atomic_store_n(at, value, __ATOMIC_RELEASE);
}

static bool is_posted(const struct uring_read *u)
{
	return count(u->cq_head) != count(u->cq_tail);
}

static int enter(const struct uring_read *u, unsigned submit, unsigned wait)
{
	return (int)syscall(SYS_io_uring_enter, u->fd, submit, wait,
			    wait > 0 ? IORING_ENTER_GETEVENTS : 0U, NULL, 0);
}

ssize_t uring_read_left(const struct uring_read *u, uint64_t name)
{
	const struct io_uring_cqe *results = u->results, *it;

	if (!u->rings || !is_posted(u))
		return -EAGAIN;
	it = &results[count(u->cq_head) % RESULTS];
	return it->user_data == name ? it->res : -EAGAIN;
}

void uring_read_taken(struct uring_read *u)
{
	set(u->cq_head, count(u->cq_tail));
}

ssize_t uring_read(struct uring_read *u, int fd, const struct iovec *view, int pieces,
		   uint64_t name)
{
	uint32_t before = count(u->sq_tail);

	*(struct io_uring_sqe *)u->requests = (struct io_uring_sqe){
		.opcode = pieces > 1 ? IORING_OP_READV : IORING_OP_READ,
		.fd = fd,
		.addr = pieces > 1 ? (uintptr_t)view : (uintptr_t)view->iov_base,
		.len = pieces > 1 ? (uint32_t)pieces : (uint32_t)view->iov_len,
		.off = UINT64_MAX, /* where the file is */
		.rw_flags = RWF_NOWAIT,
		.user_data = name,
	};
	set(u->sq_tail, before + 1);
#ifdef REEVE_TORTURE
	word_hook();
#endif
	(void)enter(u, 1, 0);
	if (count(u->sq_head) != before + 1) {
		set(u->sq_tail, before);
		return -EBUSY;
	}
	/* What need not wait is done by now; a kernel that thinks otherwise is waited for. */
	while (!is_posted(u))
		(void)enter(u, 0, 1);
	return uring_read_left(u, name);
}

/* A read of an empty pipe. */
static int try_it(struct uring_read *u)
{
	char byte;
	struct iovec one = { &byte, 1 };
	int pair[2], r = pipe_make(pair, 1, 1, 0);

	if (r < 0)
		return r;
	r = (int)uring_read(u, pair[0], &one, 1, TRIAL);
	uring_read_taken(u);
	close(pair[0]);
	close(pair[1]);
	return r == -EAGAIN ? 0 : r < 0 ? r : -ENOTSUP;
}

int uring_read_open(struct uring_read *u)
{
	set(u->sq_tail, count(u->sq_head)); /* what it asked for and did not submit */
	uring_read_taken(u);
	return try_it(u);
}
