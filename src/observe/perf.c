/* SPDX-License-Identifier: Apache-2.0 */
/* The backend `perf`: a dummy software event that follows a process and its descendants, with the
 * records of forks, programs and exits that go with it (perf_event_open(2)). An inherited event
 * writes into memory of each CPU; the times bring the records into order. Records are read a moment
 * after they were written: the name of a program comes while its execve is still under way, when
 * /proc does not show its arguments yet. */
#include "base/fd.h"
#include "core/proc.h"
#include "observe/details.h"
#include "observe/surroundings.h"
#include "observe/trial.h"
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define CPUS_MAX    1024
#define PAGES       16U /* of records a CPU, a power of two */
#define RECORDS_MIN 64U
#define RECORDS_MAX 4096U
#define COMM_MAX    16U
#define WAKES       16
#define DELAY_NS    2000000L
#define PATIENCE_NS 100000000ULL /* for an execve to be over */
#define PARANOID    "/proc/sys/kernel/perf_event_paranoid"

/* What of a record is of interest; the others are left out. */
struct record {
	uint64_t time; /* CLOCK_MONOTONIC ns */
	uint32_t type;
	uint32_t pid, ppid, tid, ptid;
	char comm[COMM_MAX];
};

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

struct cpu {
	int fd;
	struct perf_event_mmap_page *page;
	const char *data;
};

struct follower {
	struct backend_run *run;
	struct watch timer, rings; /* an epoll of all CPUs' */
	struct hook hook;
	bool ticking; /* what comes is found when the timer ends; else `rings` is watched */
	bool found;   /* since the last time it did */
	size_t page, n;
	struct cpu *cpus;
	struct record *records;
	size_t n_records, room;
};

static size_t ring_size(const struct follower *f)
{
	return PAGES * f->page;
}

/* --- reading --------------------------------------------------------------------------------- */

static void copy_out(const struct follower *f, const struct cpu *c, uint64_t at, void *to, size_t n)
{
	size_t from = at & (ring_size(f) - 1), first = MIN(n, ring_size(f) - from);

	memcpy(to, c->data + from, first);
	memcpy((char *)to + first, c->data, n - first);
}

/* Room for one more; most trees never need much. */
static bool make_room(struct follower *f)
{
	size_t room = MAX(2 * f->room, (size_t)RECORDS_MIN);
	struct record *more;

	if (f->n_records < f->room)
		return true;
	more = room <= RECORDS_MAX ? reallocarray(f->records, room, sizeof(*more)) : NULL;
	if (!more)
		return false;
	f->records = more;
	f->room = room;
	return true;
}

static void keep(struct follower *f, const struct record *r)
{
	if (make_room(f))
		f->records[f->n_records++] = *r;
	else
		run_missed(f->run, REEVE_PROCESS, 1);
}

static void take_task(struct follower *f, const struct cpu *c, uint64_t at, uint32_t type)
{
	struct task_record t;

	copy_out(f, c, at, &t, sizeof(t));
	if (t.pid != t.tid)
		return; /* a thread */
	keep(f, &(struct record){ t.time, type, t.pid, t.ppid, t.tid, t.ptid, "" });
}

static void take_comm(struct follower *f, const struct cpu *c, uint64_t at,
		      const struct perf_event_header *h)
{
	struct comm_record comm;
	struct trailer end;
	struct record r = { .type = PERF_RECORD_COMM };

	if ((h->misc & PERF_RECORD_MISC_COMM_EXEC) == 0 || h->size < sizeof(comm) + sizeof(end))
		return;
	copy_out(f, c, at, &comm, sizeof(comm));
	copy_out(f, c, at + h->size - sizeof(end), &end, sizeof(end));
	r.time = end.time;
	r.pid = comm.pid;
	r.tid = comm.tid;
	copy_out(f, c, at + sizeof(comm), r.comm,
		 MIN(sizeof(r.comm) - 1, h->size - sizeof(comm) - sizeof(end)));
	keep(f, &r);
}

static void read_cpu(struct follower *f, struct cpu *c)
{
	uint64_t head = __atomic_load_n(&c->page->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = c->page->data_tail;

	f->found |= tail != head;
	while (tail < head) {
		struct perf_event_header h;
		struct lost_record lost;

		copy_out(f, c, tail, &h, sizeof(h));
		if (h.size < sizeof(h))
			break;
		switch (h.type) {
		case PERF_RECORD_FORK:
		case PERF_RECORD_EXIT:
			take_task(f, c, tail, h.type);
			break;
		case PERF_RECORD_COMM:
			take_comm(f, c, tail, &h);
			break;
		case PERF_RECORD_LOST:
			copy_out(f, c, tail, &lost, sizeof(lost));
			run_missed(f->run, REEVE_PROCESS, lost.lost);
			break;
		default:
			break;
		}
		tail += h.size;
	}
	__atomic_store_n(&c->page->data_tail, head, __ATOMIC_RELEASE);
}

/* --- events ---------------------------------------------------------------------------------- */

static int by_time(const void *a, const void *b)
{
	const struct record *x = a, *y = b;

	return (x->time > y->time) - (x->time < y->time);
}

/* False when the process is still in its execve, and the record is not older than `patience`. */
static bool describe(struct details *d, const struct record *r, uint64_t now, uint64_t patience,
		     struct reeve_event *e)
{
	struct proc_stat stat;

	details_of_process(d, (pid_t)r->pid, e);
	if ((e->fields & REEVE_HAS_ARGV) != 0 || now - r->time >= patience)
		return true;
	return proc_stat_read((pid_t)r->pid, &stat) < 0 || proc_stat_dead(&stat);
}

static bool tell(struct follower *f, const struct record *r, uint64_t now, uint64_t patience)
{
	struct reeve_event e;
	struct details d;

	if (r->type == PERF_RECORD_COMM) {
		event_init(&e, REEVE_PROCESS, REEVE_EXECUTED, (int32_t)r->pid);
		if (f->run->target.forks_only) {
			e.comm = r->comm;
			e.fields |= REEVE_HAS_COMM;
		} else if (!describe(&d, r, now, patience, &e))
			return false;
	} else if (r->type == PERF_RECORD_FORK) {
		event_init(&e, REEVE_PROCESS, REEVE_FORKED, (int32_t)r->ppid);
		e.child_pid = (int32_t)r->pid;
		e.tid = (int32_t)r->ptid;
		e.fields |= REEVE_HAS_CHILD_PID | REEVE_HAS_TID;
	} else {
		event_init(&e, REEVE_PROCESS, REEVE_EXITED, (int32_t)r->pid);
		e.ppid = (int32_t)r->ppid;
		e.fields |= REEVE_HAS_PPID;
	}
	e.timestamp_ms = details_time(r->time);
	run_event(f->run, &e, NULL);
	return true;
}

/* Tells of what happened, in order; what has to wait is kept, and all that came after it. */
static void tell_all(struct follower *f, uint64_t patience)
{
	struct timespec t;
	uint64_t now;
	size_t i = 0;

	for (size_t c = 0; c < f->n; c++)
		read_cpu(f, &f->cpus[c]);
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	now = (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
	if (f->n_records == 0)
		return;
	qsort(f->records, f->n_records, sizeof(*f->records), by_time);
	while (i < f->n_records && tell(f, &f->records[i], now, patience))
		i++;
	memmove(f->records, f->records + i, (f->n_records - i) * sizeof(*f->records));
	f->n_records -= i;
}

static void flush(struct backend_run *run)
{
	tell_all(run->state, 0);
}

static void start_timer(struct follower *f)
{
	struct itimerspec t = { .it_value.tv_nsec = DELAY_NS };

	(void)timerfd_settime(f->timer.fd, 0, &t, NULL);
	if (!f->ticking)
		host_unwatch(f->run->host, &f->rings);
	f->ticking = true;
}

/* Whether there is something is seen in memory, on_look(); the descriptor only wakes. */
static void on_records(struct watch *w)
{
	struct epoll_event events[WAKES];

	(void)epoll_wait(w->fd, events, WAKES, 0);
}

static void on_look(struct hook *k)
{
	struct follower *f = container_of(k, struct follower, hook);

	for (size_t i = 0; !f->ticking && i < f->n; i++) {
		if (__atomic_load_n(&f->cpus[i].page->data_head, __ATOMIC_ACQUIRE) !=
		    f->cpus[i].page->data_tail)
			start_timer(f);
	}
}

static void on_timer(struct watch *w)
{
	struct follower *f = container_of(w, struct follower, timer);
	uint64_t times;

	(void)!read(w->fd, &times, sizeof(times));
	tell_all(f, PATIENCE_NS);
	if (f->found || f->n_records > 0 || host_watch(f->run->host, &f->rings) < 0)
		start_timer(f);
	else
		f->ticking = false;
	f->found = false;
}

/* --- runs ------------------------------------------------------------------------------------ */

static void detach(struct follower *f)
{
	for (size_t i = 0; i < f->n; i++) {
		(void)munmap(f->cpus[i].page, (PAGES + 1) * f->page);
		fd_close(f->cpus[i].fd);
	}
	f->n = 0;
}

static int attach_cpu(struct follower *f, int number)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY,
		.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME,
		.inherit = 1,
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
	pid_t pid = f->run->target.everything ? -1 : f->run->target.leader;
	/* Edges: once its first process has ended, the event hangs up for ever. */
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	struct cpu *c = &f->cpus[f->n];
	void *map;
	int r = 0;

	c->fd = (int)syscall(SYS_perf_event_open, &attr, pid, number, -1, PERF_FLAG_FD_CLOEXEC);
	if (c->fd < 0)
		return errno == ENODEV ? 0 : -errno; /* a CPU that is off */
	map = mmap(NULL, (PAGES + 1) * f->page, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	if (map == MAP_FAILED || epoll_ctl(f->rings.fd, EPOLL_CTL_ADD, c->fd, &event) < 0)
		r = -errno;
	if (r < 0) {
		if (map != MAP_FAILED)
			(void)munmap(map, (PAGES + 1) * f->page);
		fd_close(c->fd);
		return r;
	}
	c->page = map;
	c->data = (const char *)map + f->page;
	f->n++;
	return 0;
}

static int attach(struct follower *f)
{
	int n = MIN(get_nprocs_conf(), CPUS_MAX);

	f->cpus = calloc((size_t)n, sizeof(*f->cpus));
	if (!f->cpus)
		return -ENOMEM;
	for (int i = 0; i < n; i++) {
		int r = attach_cpu(f, i);

		if (r < 0) {
			detach(f);
			return r;
		}
	}
	return f->n > 0 ? 0 : -ENODEV;
}

static void stop(struct backend_run *run)
{
	struct follower *f = run->state;

	detach(f);
	host_unhook(&f->hook);
	if (f->timer.fd >= 0)
		host_unwatch(run->host, &f->timer);
	if (f->rings.fd >= 0 && !f->ticking)
		host_unwatch(run->host, &f->rings);
	fd_close(f->timer.fd);
	fd_close(f->rings.fd);
	free(f->cpus);
	free(f->records);
	free(f);
	run->state = NULL;
}

/* What is in the way, and what would help. */
static int refuse(struct error *e, bool everything, int r)
{
	int allows = everything ? 0 : 2, paranoid = sysctl_number(PARANOID, allows);

	if ((r == -EACCES || r == -EPERM) && paranoid > allows)
		return error_set(e, ERROR_UNAVAILABLE,
				 "kernel.perf_event_paranoid is %d: `sudo sysctl "
				 "kernel.perf_event_paranoid=%d` or CAP_PERFMON allows it",
				 paranoid, allows);
	if (r == -EACCES || r == -EPERM)
		return error_set(e, ERROR_UNAVAILABLE,
				 "perf_event_open is refused by a security module or a filter of "
				 "system calls, as of a container: run the daemon outside of it");
	if (r == -ENOSYS || r == -ENOENT)
		return error_set(e, ERROR_UNAVAILABLE,
				 "the kernel has no perf events, or a filter of system calls "
				 "(of a container) refuses them");
	return error_set_errno(e, ERROR_UNAVAILABLE, r, "perf_event_open");
}

static int start(struct backend_run *run, struct error *e)
{
	struct follower *f = calloc(1, sizeof(*f));
	int r = 0;

	if (!f)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "perf");
	run->state = f;
	f->run = run;
	f->hook.look = on_look;
	host_hook(run->host, &f->hook);
	f->page = (size_t)sysconf(_SC_PAGESIZE);
	f->timer = (struct watch){ timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
				   on_timer, false };
	f->rings = (struct watch){ epoll_create1(EPOLL_CLOEXEC), on_records, false };
	if (f->timer.fd < 0 || f->rings.fd < 0)
		r = -errno;
	if (r == 0)
		r = host_watch(run->host, &f->timer);
	if (r == 0)
		r = host_watch(run->host, &f->rings);
	if (r == 0 && (run->target.everything || run->target.leader != 0))
		r = attach(f);
	if (r < 0) {
		stop(run);
		return refuse(e, run->target.everything, r);
	}
	return 0;
}

static void note(struct backend_run *run, const struct backend_note *n)
{
	struct follower *f = run->state;

	if (n->what != NOTE_LEADER || run->target.leader != 0)
		return;
	run->target.leader = n->pid;
	if (!run->target.everything && attach(f) < 0)
		run_missed(run, REEVE_PROCESS, 1);
}

static void probe(enum reeve_scope scope, int cgroup_dir,
		  struct backend_support ret[REEVE_CATEGORIES])
{
	trial_probe(
		&backend_perf, scope, cgroup_dir, category_bit(REEVE_PROCESS),
		KIND_BIT(REEVE_FORKED) | KIND_BIT(REEVE_EXECUTED) | KIND_BIT(REEVE_EXITED),
		REEVE_PARTIAL,
		"forks, executions and exits of the tree, without exit codes; path and arguments "
		"are read afterwards and missed for short-lived programs",
		ret);
}

const struct backend backend_perf = {
	.name = "perf",
	.categories = 1U << REEVE_PROCESS,
	.probe = probe,
	.start = start,
	.note = note,
	.flush = flush,
	.stop = stop,
};
