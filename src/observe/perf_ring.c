/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/perf_ring.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#define CPUS_MAX    1024
#define PAGES       16U  /* of records a CPU, a power of two */
#define PAGES_LARGE 256U /* the same where much more happens */
#define PAGES_ALL   4096U
#define BELL_PAGES  1U
#define ROOM_MIN    128U /* less than that, and there may have been none for a record */
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

/* To wake somebody is an interrupt that a CPU sends to itself, for each record. So where there are
 * many the event whose records are read wakes nobody: another does, the bell, to which the kernel
 * can be told to write nothing. Nobody reads that one, so its memory is mapped for reading only:
 * then it is written over, and never full. */
struct perf_cpu {
	int fd, bell_fd;
	struct perf_event_mmap_page *page, *bell; /* no bell: NULL */
	const char *data;
	uint64_t rung; /* how far the bell had come when it was asked for */
};

/* --- reading --------------------------------------------------------------------------------- */

static uint64_t head_of(const struct perf_event_mmap_page *page)
{
	return __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
}

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
	keep(r, &(struct perf_record){ .time = t.time,
				       .type = type,
				       .pid = t.pid,
				       .ppid = t.ppid,
				       .tid = t.tid,
				       .ptid = t.ptid });
}

static void take_comm(struct perf_rings *r, const struct perf_cpu *c, uint64_t at,
		      const struct perf_event_header *h)
{
	struct comm_record comm;
	struct trailer end;
	struct perf_record record = { .type = PERF_RECORD_COMM };

	if (h->size < sizeof(comm) + sizeof(end))
		return;
	copy_out(r, c, at, &comm, sizeof(comm));
	if (comm.pid != comm.tid)
		return; /* a thread */
	copy_out(r, c, at + h->size - sizeof(end), &end, sizeof(end));
	record.execs = (h->misc & PERF_RECORD_MISC_COMM_EXEC) != 0;
	record.time = end.time;
	record.pid = comm.pid;
	record.tid = comm.tid;
	copy_out(r, c, at + sizeof(comm), record.comm,
		 MIN(sizeof(record.comm) - 1, h->size - sizeof(comm) - sizeof(end)));
	keep(r, &record);
}

static bool read_cpu(struct perf_rings *r, struct perf_cpu *c)
{
	uint64_t head = head_of(c->page);
	uint64_t tail = c->page->data_tail;

	if (tail == head)
		return false;
	r->full |= r->pages * r->page - (head - tail) < ROOM_MIN;
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
	for (size_t i = 0; i < r->n; i++) {
		const struct perf_cpu *c = &r->cpus[i];

		if (head_of(c->page) != c->page->data_tail ||
		    (c->bell && head_of(c->bell) != c->rung))
			return true;
	}
	return false;
}

void perf_rings_bells(struct perf_rings *r, bool on)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->cpus[i].bell)
			(void)ioctl(r->cpus[i].bell_fd,
				    on ? PERF_EVENT_IOC_ENABLE : PERF_EVENT_IOC_DISABLE, 0);
}

bool perf_rings_heard(struct perf_rings *r)
{
	bool heard = false;

	for (size_t i = 0; i < r->n; i++) {
		struct perf_cpu *c = &r->cpus[i];
		uint64_t head = c->bell ? head_of(c->bell) : 0;

		heard |= head != c->rung;
		c->rung = head;
	}
	return heard;
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

static void detach_cpu(const struct perf_rings *r, const struct perf_cpu *c)
{
	if (c->page)
		(void)munmap(c->page, (r->pages + 1) * r->page);
	if (c->bell)
		(void)munmap(c->bell, (BELL_PAGES + 1) * r->page);
	fd_close(c->fd);
	fd_close(c->bell_fd);
}

static void detach(struct perf_rings *r)
{
	for (size_t i = 0; i < r->n; i++)
		detach_cpu(r, &r->cpus[i]);
	r->n = 0;
	free(r->cpus);
	r->cpus = NULL;
}

/* `wakeup`: somebody is woken each time that so many bytes were written. */
static int open_event(pid_t pid, int number, uint32_t wakeup)
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
		.wakeup_watermark = wakeup,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, pid, number, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int map_event(const struct perf_rings *r, int fd, size_t pages, int protection,
		     struct perf_event_mmap_page **ret)
{
	void *map = mmap(NULL, (pages + 1) * r->page, protection, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		return -errno;
	*ret = map;
	return 0;
}

static int attach_bell(const struct perf_rings *r, int number, struct perf_cpu *c)
{
	c->bell_fd = open_event(-1, number, 1);
	return c->bell_fd < 0 ? c->bell_fd
			      : map_event(r, c->bell_fd, BELL_PAGES, PROT_READ, &c->bell);
}

static int attach_ring(const struct perf_rings *r, pid_t pid, int number, struct perf_cpu *c)
{
	int error;

	c->fd = open_event(pid, number, c->bell ? INT32_MAX : 1);
	if (c->fd < 0)
		return c->fd;
	error = map_event(r, c->fd, r->pages, PROT_READ | PROT_WRITE, &c->page);
	if (error >= 0)
		c->data = (const char *)c->page + r->page;
	return error;
}

static int attach_cpu(struct perf_rings *r, pid_t pid, int number)
{
	/* Edges: once its first process has ended, the event hangs up for ever. */
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	struct perf_cpu c = { .fd = -1, .bell_fd = -1 };
	/* The kernel writes to the event that came last first: what a bell rings for is there. */
	int error = r->large ? attach_bell(r, number, &c) : 0;

	if (error >= 0)
		error = attach_ring(r, pid, number, &c);
	if (error >= 0 &&
	    epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, c.bell ? c.bell_fd : c.fd, &event) < 0)
		error = -errno;
	if (error < 0) {
		detach_cpu(r, &c);
		return error == -ENODEV ? 0 : error; /* a CPU that is off */
	}
	r->cpus[r->n++] = c;
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
