/* SPDX-License-Identifier: Apache-2.0 */
/* uring.h - one request after the other through io_uring, without a library. */
#pragma once
#include <linux/io_uring.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct uring {
	int fd;
	struct io_uring_params p;
	struct io_uring_sqe *sqe;
	char *sq, *cq;
};

/* Negative where this kernel or user cannot do that. */
static inline int uring_open(struct uring *u)
{
	memset(u, 0, sizeof(*u));
	u->fd = (int)syscall(SYS_io_uring_setup, 1, &u->p);
	if (u->fd < 0)
		return -1;
	u->sq = mmap(NULL, u->p.sq_off.array + sizeof(uint32_t), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_POPULATE, u->fd, IORING_OFF_SQ_RING);
	u->cq = mmap(NULL, u->p.cq_off.cqes + u->p.cq_entries * sizeof(struct io_uring_cqe),
		     PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, u->fd, IORING_OFF_CQ_RING);
	u->sqe = mmap(NULL, sizeof(*u->sqe), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		      u->fd, IORING_OFF_SQES);
	return u->sq == MAP_FAILED || u->cq == MAP_FAILED || u->sqe == MAP_FAILED ? -1 : 0;
}

/* Its result; INT32_MIN when the ring does not work. */
static inline int uring_do(struct uring *u, const struct io_uring_sqe *request)
{
	uint32_t *tail = (uint32_t *)(u->sq + u->p.sq_off.tail);
	uint32_t *head = (uint32_t *)(u->cq + u->p.cq_off.head), at = *head;
	const struct io_uring_cqe *cqes = (void *)(u->cq + u->p.cq_off.cqes);

	*u->sqe = *request;
	*(uint32_t *)(u->sq + u->p.sq_off.array) = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, u->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
		return INT32_MIN;
	__atomic_store_n(head, at + 1, __ATOMIC_RELEASE);
	return cqes[at & (u->p.cq_entries - 1)].res;
}
