/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/perf_ring.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#define CPUS_MAX    1024
#define PAGES       16U  /* of records a CPU, a power of two */
#define PAGES_LARGE 256U /* the same where much more happens */
#define PAGES_ALL   4096U
#define RECORDS_MIN 64U
#define RECORDS_MAX 65536U

/* PERF_RECORD_FORK and _EXIT. */
struct task_record {
	struct perf_event_header header;
	uint32_t pid, ppid, tid, ptid;
	uint64_t time;
};

struct lost_record {
	struct perf_event_header header;
	uint64_t id, lost;
};

/* PERF_RECORD_COMM up to its name, whose room is rounded up to a multiple of 8, and what stands at
 * the end of each record. */
struct comm_record {
	struct perf_event_header header;
	uint32_t pid, tid;
};

struct trailer {
	uint32_t pid, tid;
	uint64_t time;
};

struct perf_cpu {
	int fd;
	struct perf_event_mmap_page *page;
	const char *data;
};

/* --- reading --------------------------------------------------------------------------------- */

static void copy_out(const struct perf_rings *r, const struct perf_cpu *c, uint64_t at, void *to,
		     size_t n)
{
	size_t size = r->pages * r->page, from = at & (size - 1), first = MIN(n, size - from);

	memcpy(to, c->data + from, first);
	memcpy((char *)to + first, c->data, n - first);
}

/* Room for one more; most trees never need much. */
static bool make_room(struct perf_rings *r)
{
	size_t room = MAX(2 * r->room, (size_t)RECORDS_MIN);
	struct perf_record *more;

	if (r->n_records < r->room)
		return true;
	more = room <= RECORDS_MAX ? reallocarray(r->records, room, sizeof(*more)) : NULL;
	if (!more)
		return false;
	r->records = more;
	r->room = room;
	return true;
}

static void keep(struct perf_rings *r, const struct perf_record *record)
{
	if (make_room(r))
		r->records[r->n_records++] = *record;
	else
		r->lost++;
}

static void take_task(struct perf_rings *r, const struct perf_cpu *c, uint64_t at, uint32_t type)
{
	struct task_record t;

	copy_out(r, c, at, &t, sizeof(t));
	keep(r, &(struct perf_record){ t.time, type, t.pid, t.ppid, t.tid, t.ptid, "" });
}

static void take_comm(struct perf_rings *r, const struct perf_cpu *c, uint64_t at,
		      const struct perf_event_header *h)
{
	struct comm_record comm;
	struct trailer end;
	struct perf_record record = { .type = PERF_RECORD_COMM };

	if ((h->misc & PERF_RECORD_MISC_COMM_EXEC) == 0 || h->size < sizeof(comm) + sizeof(end))
		return;
	copy_out(r, c, at, &comm, sizeof(comm));
	copy_out(r, c, at + h->size - sizeof(end), &end, sizeof(end));
	record.time = end.time;
	record.pid = comm.pid;
	record.tid = comm.tid;
	copy_out(r, c, at + sizeof(comm), record.comm,
		 MIN(sizeof(record.comm) - 1, h->size - sizeof(comm) - sizeof(end)));
	keep(r, &record);
}

static bool read_cpu(struct perf_rings *r, struct perf_cpu *c)
{
	uint64_t head = __atomic_load_n(&c->page->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = c->page->data_tail;

	if (tail == head)
		return false;
	while (tail < head) {
		struct perf_event_header h;
		struct lost_record lost;

		copy_out(r, c, tail, &h, sizeof(h));
		if (h.size < sizeof(h))
			break;
		switch (h.type) {
		case PERF_RECORD_FORK:
		case PERF_RECORD_EXIT:
			take_task(r, c, tail, h.type);
			break;
		case PERF_RECORD_COMM:
			take_comm(r, c, tail, &h);
			break;
		case PERF_RECORD_LOST:
			copy_out(r, c, tail, &lost, sizeof(lost));
			r->lost += lost.lost;
			break;
		default:
			break;
		}
		tail += h.size;
	}
	__atomic_store_n(&c->page->data_tail, head, __ATOMIC_RELEASE);
	return true;
}

static int by_time(const void *a, const void *b)
{
	const struct perf_record *x = a, *y = b;

	return (x->time > y->time) - (x->time < y->time);
}

bool perf_rings_waiting(const struct perf_rings *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (__atomic_load_n(&r->cpus[i].page->data_head, __ATOMIC_ACQUIRE) !=
		    r->cpus[i].page->data_tail)
			return true;
	return false;
}

bool perf_rings_read(struct perf_rings *r)
{
	bool found = false;

	for (size_t i = 0; i < r->n; i++)
		found |= read_cpu(r, &r->cpus[i]);
	if (found && r->n_records > 1)
		qsort(r->records, r->n_records, sizeof(*r->records), by_time);
	return found;
}

void perf_rings_drop(struct perf_rings *r, size_t n)
{
	if (n == 0)
		return;
	memmove(r->records, r->records + n, (r->n_records - n) * sizeof(*r->records));
	r->n_records -= n;
}

/* --- attaching ------------------------------------------------------------------------------- */

static void detach(struct perf_rings *r)
{
	for (size_t i = 0; i < r->n; i++) {
		(void)munmap(r->cpus[i].page, (r->pages + 1) * r->page);
		fd_close(r->cpus[i].fd);
	}
	r->n = 0;
	free(r->cpus);
	r->cpus = NULL;
}

static int attach_cpu(struct perf_rings *r, pid_t pid, int number)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY,
		.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME,
		.inherit = pid >= 0,
		.exclude_kernel = 1,
		.exclude_hv = 1,
		.task = 1,
		.comm = 1,
		.comm_exec = 1,
		.sample_id_all = 1,
		.watermark = 1,
		.wakeup_watermark = 1,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
	};
	/* Edges: once its first process has ended, the event hangs up for ever. */
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	struct perf_cpu *c = &r->cpus[r->n];
	size_t size = (r->pages + 1) * r->page;
	void *map;
	int error = 0;

	c->fd = (int)syscall(SYS_perf_event_open, &attr, pid, number, -1, PERF_FLAG_FD_CLOEXEC);
	if (c->fd < 0)
		return errno == ENODEV ? 0 : -errno; /* a CPU that is off */
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	if (map == MAP_FAILED || epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0)
		error = -errno;
	if (error < 0) {
		if (map != MAP_FAILED)
			(void)munmap(map, size);
		fd_close(c->fd);
		return error;
	}
	c->page = map;
	c->data = (const char *)map + r->page;
	r->n++;
	return 0;
}

/* Not so much for each of hundreds of CPUs. */
static size_t pages_for(bool large, int cpus)
{
	size_t pages = large ? PAGES_LARGE : PAGES;

	while (pages > PAGES && pages * (size_t)cpus > PAGES_ALL)
		pages /= 2;
	return pages;
}

int perf_rings_attach(struct perf_rings *r, pid_t pid)
{
	int n = MIN(get_nprocs_conf(), CPUS_MAX);

	r->page = (size_t)sysconf(_SC_PAGESIZE);
	r->pages = pages_for(r->large, n);
	r->cpus = calloc((size_t)n, sizeof(*r->cpus));
	if (!r->cpus)
		return -ENOMEM;
	for (int i = 0; i < n; i++) {
		int error = attach_cpu(r, pid, i);

		if (error < 0) {
			detach(r);
			return error;
		}
	}
	if (r->n > 0)
		return 0;
	detach(r);
	return -ENODEV;
}

void perf_rings_done(struct perf_rings *r)
{
	detach(r);
	free(r->records);
	r->records = NULL;
	r->n_records = r->room = 0;
}
