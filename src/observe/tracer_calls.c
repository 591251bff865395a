/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/tracer_calls.h"
#include "base/clock.h"
#include "observe/call_socket.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

/* What a call returns that the kernel will make anew, after a signal: it is seen again then. */
#define RESTARTS(r)   ((r) <= -512 && (r) >= -516)
#define IS_ERROR(r)   ((r) < 0 && (r) > -4096)
#define MESSAGES_MAX  1024
#define MESSAGE_64    64U /* struct mmsghdr, and where in it the number of bytes is */
#define MESSAGE_32    32U
#define MESSAGE_AT_64 56U
#define MESSAGE_AT_32 28U

/* What of an event tells of its open file, too. */
#define OF_FILE                                                                                    \
	((uint32_t)(REEVE_HAS_TID | REEVE_HAS_PPID | REEVE_HAS_COMM | REEVE_HAS_PATH |             \
		    REEVE_HAS_CUT | REEVE_HAS_SOCKET | REEVE_HAS_LOCAL | REEVE_HAS_REMOTE))

void tracer_tell(struct tracer *t, const struct reeve_event *e)
{
	if ((atomic_load(&t->ring.shared->wanted) & 1U << (unsigned)e->category) != 0)
		trace_ring_write(&t->ring, e);
}

static void lose(struct tracer *t, enum reeve_category category)
{
	if ((atomic_load(&t->ring.shared->wanted) & category_bit(category)) != 0)
		atomic_fetch_add(&t->ring.shared->lost[category], 1);
}

/* --- open files ------------------------------------------------------------------------------ */

static void tell_file(struct tracer *t, struct open_file *file, enum reeve_kind kind)
{
	struct reeve_event *e = file->event;

	e->kind = kind;
	e->timestamp_ms = clock_realtime_ms();
	file->told = e->reads + e->writes;
	tracer_tell(t, e);
}

void tracer_file_ended(void *userdata, struct open_file *file)
{
	if (file->event)
		tell_file(userdata, file, REEVE_CLOSED);
}

static void set_ticking(struct tracer *t, bool on)
{
	struct itimerval second = { { on ? 1 : 0, 0 }, { on ? 1 : 0, 0 } };

	if (t->ticking == on)
		return;
	t->ticking = on;
	(void)setitimer(ITIMER_REAL, &second, NULL);
}

void tracer_tell_moved(struct tracer *t)
{
	bool any = false;

	for (struct open_file *f = t->tasks.files.first; f; f = f->next) {
		if (!f->event || f->event->reads + f->event->writes == f->told)
			continue;
		any = true;
		tell_file(t, f, REEVE_MOVED);
	}
	if (!any)
		set_ticking(t, false);
}

/* What `e` tells of is open from now on as `fd`, until it is told of again. */
static void follow(struct tracer *t, const struct task *task, const struct reeve_event *e,
		   int64_t fd)
{
	struct reeve_event end = *e;

	end.fields = (e->fields & OF_FILE) | REEVE_HAS_TOTALS;
	end.flags = end.mode = 0;
	end.result = 0;
	if (!descriptors_open(&t->tasks.files, task->descriptors, fd, &end))
		lose(t, e->category);
}

static void add_bytes(struct reeve_event *e, uint64_t n, bool write)
{
	if (write) {
		e->bytes_written += n;
		e->writes++;
	} else {
		e->bytes_read += n;
		e->reads++;
	}
}

/* This one call on what `e` tells of. */
static void tell_bytes(struct tracer *t, const struct task *task, const struct reeve_event *e,
		       uint64_t n, bool write)
{
	struct reeve_event one = *e;

	if (e->category == REEVE_NETWORK)
		one.kind = write ? REEVE_SENT : REEVE_RECEIVED;
	else
		one.kind = write ? REEVE_WRITTEN : REEVE_READ;
	one.bytes_read = one.bytes_written = 0;
	one.reads = one.writes = 0;
	add_bytes(&one, n, write);
	one.timestamp_ms = clock_realtime_ms();
	one.tid = task->tid;
	if (one.pid != task->process->pid) { /* another than has opened it */
		one.pid = task->process->pid;
		one.fields &= ~(uint32_t)(REEVE_HAS_COMM | REEVE_HAS_PPID);
		one.comm = NULL;
		one.ppid = 0;
	}
	tracer_tell(t, &one);
}

/* Bytes through an open file, by this task. */
static void count(struct tracer *t, const struct task *task, struct open_file *file, uint64_t n,
		  bool write)
{
	if (!file || !file->event)
		return;
	add_bytes(file->event, n, write);
	set_ticking(t, true);
	if (atomic_load(&t->ring.shared->each) != 0)
		tell_bytes(t, task, file->event, n, write);
}

/* Has descriptors that no other task has. */
static void own_files(struct tracer *t, struct task *task)
{
	struct descriptors *d = task->descriptors;

	if (!d || d->refs == 1)
		return;
	task->descriptors = descriptors_copy(d);
	(void)descriptors_unref(&t->tasks.files, d);
}

void tracer_share_files(struct tracer *t, const struct task *maker, struct task *task, bool thread)
{
	long same = syscall(SYS_kcmp, maker->tid, task->tid, KCMP_FILES, 0, 0);

	task->descriptors = descriptors_unref(&t->tasks.files, task->descriptors);
	if (!maker->descriptors)
		return;
	if (same < 0 ? thread : same == 0)
		task->descriptors = descriptors_ref(maker->descriptors);
	else
		task->descriptors = descriptors_copy(maker->descriptors);
}

/* --- names ----------------------------------------------------------------------------------- */

/* Whether there is no such file yet, seen with the eyes of the process. */
static bool is_missing(const struct task *task, const struct reeve_event *e)
{
	char path[CALL_PATH_MAX + 32];
	struct stat st;

	if ((e->fields & REEVE_HAS_FLAGS) == 0 || (e->flags & O_CREAT) == 0 || !e->path ||
	    e->path[0] != '/')
		return false;
	(void)snprintf(path, sizeof(path), "/proc/%d/root%s", task->tid, e->path);
	return stat(path, &st) < 0 && errno == ENOENT;
}

/* A file as the kernel names it: a descriptor's, or with -1 the one that runs. */
static void name_file(struct tracer *t, const struct task *task, struct reeve_event *e, int fd)
{
	char link[64];
	ssize_t n;

	if (fd >= 0)
		(void)snprintf(link, sizeof(link), "/proc/%d/fd/%d", task->tid, fd);
	else
		(void)snprintf(link, sizeof(link), "/proc/%d/exe", task->tid);
	n = readlink(link, t->texts.path, sizeof(t->texts.path) - 1);
	if (n <= 0 || (t->texts.path[0] != '/' && (e->fields & REEVE_HAS_PATH) != 0))
		return;
	t->texts.path[n] = '\0';
	e->path = t->texts.path;
	e->fields = (e->fields & ~(uint32_t)REEVE_HAS_CLAIMED) | REEVE_HAS_PATH;
}

/* --- calls that are followed ----------------------------------------------------------------- */

static int64_t arg(const struct task *task, unsigned place)
{
	return (int32_t)task->made.args[place - 1];
}

static struct open_file *file_of(const struct task *task, unsigned place)
{
	return place > 0 ? descriptors_get(task->descriptors, arg(task, place)) : NULL;
}

static bool is_followed(const struct open_file *file)
{
	return file && file->event;
}

static void close_range_of(struct tracer *t, struct task *task)
{
	uint32_t first = (uint32_t)task->made.args[0], last = (uint32_t)task->made.args[1];

	if ((task->made.args[2] & CLOSE_RANGE_UNSHARE) != 0)
		own_files(t, task);
	if ((task->made.args[2] & CLOSE_RANGE_CLOEXEC) != 0)
		return; /* seen with the execve */
	for (uint32_t fd = first; task->descriptors && fd < task->descriptors->n && fd <= last;
	     fd++)
		descriptors_drop(&t->tasks.files, task->descriptors, fd);
}

/* Whether its end is of interest. What closes is done with before, so that no other thread gets the
 * same number in between. */
static bool begin_followed(struct tracer *t, struct task *task)
{
	const struct follow_rule *f = task->follow;
	const struct open_file *file = file_of(task, f->fd);

	switch ((enum follow_what)f->what) {
	case FOLLOW_CLOSE:
		descriptors_drop(&t->tasks.files, task->descriptors, arg(task, f->fd));
		return false;
	case FOLLOW_CLOSE_RANGE:
		close_range_of(t, task);
		return false;
	case FOLLOW_READ:
	case FOLLOW_WRITE:
		return is_followed(file);
	case FOLLOW_COPY:
		return is_followed(file) || is_followed(file_of(task, f->fd2));
	case FOLLOW_SEND:
	case FOLLOW_RECEIVE:
		return !file || file->event;
	default:
		return true;
	}
}

static uint64_t bytes_of(const struct task *task, int64_t result)
{
	const struct call *c = &task->made;
	bool narrow = c->arch == ARCH_I386;
	size_t size = narrow ? MESSAGE_32 : MESSAGE_64, at = narrow ? MESSAGE_AT_32 : MESSAGE_AT_64;
	uint64_t sum = 0;
	uint32_t n;

	if (task->follow->many == 0)
		return (uint64_t)result;
	for (int64_t i = 0; i < MIN(result, (int64_t)MESSAGES_MAX); i++) {
		if (call_memory(c->tid, c->args[1] + (uint64_t)i * size + at, &n, sizeof(n)) ==
		    sizeof(n))
			sum += n;
	}
	return sum;
}

/* A datagram socket is told of when it first sends or receives; others are, when they connect. */
static void transferred(struct tracer *t, struct task *task, int64_t result, bool write)
{
	int64_t fd = arg(task, task->follow->fd);
	struct reeve_event e;

	if (!file_of(task, task->follow->fd)) {
		call_event(&task->made, REEVE_NETWORK, REEVE_DATAGRAM, &t->threads, &t->texts, &e);
		e.pid = task->process->pid;
		if (call_socket_datagram(&task->made, &e, &t->texts)) {
			tracer_tell(t, &e);
			follow(t, task, &e, fd);
		} else {
			(void)descriptors_open(&t->tasks.files, task->descriptors, fd, NULL);
		}
	}
	count(t, task, file_of(task, task->follow->fd), bytes_of(task, result), write);
}

static void accepted(struct tracer *t, struct task *task, int64_t result)
{
	struct reeve_event e;

	call_event(&task->made, REEVE_NETWORK, REEVE_ACCEPTED, &t->threads, &t->texts, &e);
	e.pid = task->process->pid;
	if (!call_socket_complete(&e, (int)result, &t->texts))
		return;
	tracer_tell(t, &e);
	follow(t, task, &e, result);
}

static void mapped(struct tracer *t, struct task *task, int64_t result)
{
	struct reeve_event e;

	call_event(&task->made, REEVE_FILE, REEVE_MAPPED, &t->threads, &t->texts, &e);
	e.pid = task->process->pid;
	name_file(t, task, &e, (int)arg(task, task->follow->fd));
	if (IS_ERROR(result)) {
		e.result = (int32_t)result;
		e.fields |= REEVE_HAS_RESULT;
	}
	if ((e.fields & REEVE_HAS_PATH) != 0)
		tracer_tell(t, &e);
}

static void duplicated(struct tracer *t, struct task *task, int64_t result)
{
	struct open_file *file = file_of(task, task->follow->fd);

	if (result == arg(task, task->follow->fd))
		return;
	if (!file)
		descriptors_drop(&t->tasks.files, task->descriptors, result);
	else if (!descriptors_set(&t->tasks.files, task->descriptors, result, file) && file->event)
		lose(t, file->event->category);
}

static void end_followed(struct tracer *t, struct task *task, int64_t result)
{
	const struct follow_rule *f = task->follow;

	if (f->what == FOLLOW_MAP)
		mapped(t, task, result);
	if (result < 0)
		return;
	switch ((enum follow_what)f->what) {
	case FOLLOW_READ:
	case FOLLOW_WRITE:
		count(t, task, file_of(task, f->fd), (uint64_t)result, f->what == FOLLOW_WRITE);
		break;
	case FOLLOW_COPY:
		count(t, task, file_of(task, f->fd), (uint64_t)result, false);
		count(t, task, file_of(task, f->fd2), (uint64_t)result, true);
		break;
	case FOLLOW_SEND:
	case FOLLOW_RECEIVE:
		transferred(t, task, result, f->what == FOLLOW_SEND);
		break;
	case FOLLOW_ACCEPT:
		accepted(t, task, result);
		break;
	case FOLLOW_DUPLICATE:
		duplicated(t, task, result);
		break;
	case FOLLOW_UNSHARE:
		own_files(t, task);
		break;
	default:
		break;
	}
}

/* --- calls ----------------------------------------------------------------------------------- */

void tracer_begin_call(struct tracer *t, struct task *task, uint32_t arch, uint64_t nr,
		       const uint64_t *args)
{
	struct call *c = &task->made;
	struct reeve_event e;

	task->call = reeve_event_free(task->call);
	task->follow = NULL;
	task->in_call = false;
	*c = (struct call){ .nr = (int)nr, .tid = task->tid };
	if (!call_arch_of(arch, &c->arch))
		return;
	memcpy(c->args, args, sizeof(c->args));
	call_socket_unfold(c);
	task->follow = follow_rule(c->arch, c->nr);
	if (task->follow) {
		if ((follow_categories(task->follow) & t->config.categories) != 0 &&
		    follow_applies(task->follow, c))
			task->in_call = begin_followed(t, task);
		return;
	}
	if (!call_decode(c, t->config.categories, &t->threads, &t->texts, &e))
		return;
	e.pid = task->process->pid;
	task->is_new = e.kind == REEVE_OPENED && is_missing(task, &e);
	task->in_call = event_copy(&e, &task->call) >= 0;
	if (!task->in_call)
		lose(t, e.category);
}

/* What the kernel knows of a file or socket when a call has succeeded. */
static void complete(struct tracer *t, const struct task *task, struct reeve_event *e,
		     int64_t result)
{
	if (e->kind == REEVE_OPENED) {
		name_file(t, task, e, (int)result);
		if (task->is_new)
			e->kind = REEVE_CREATED;
	} else if (e->category == REEVE_NETWORK) {
		(void)call_socket_complete(e, (int)arg(task, 1), &t->texts);
	}
}

static void end_told(struct tracer *t, const struct task *task, struct reeve_event *e,
		     int64_t result)
{
	bool opens = (e->fields & REEVE_HAS_FLAGS) != 0 && e->kind == REEVE_OPENED;

	if (result < 0) {
		e->result = (int32_t)result;
		e->fields |= REEVE_HAS_RESULT;
	} else {
		complete(t, task, e, result);
	}
	/* A successful execve was told of when it happened. */
	if (e->kind == REEVE_EXECUTED && result >= 0)
		return;
	tracer_tell(t, e);
	if (opens && result >= 0)
		follow(t, task, e, result);
	if (e->kind == REEVE_CONNECTED && (result >= 0 || result == -EINPROGRESS))
		follow(t, task, e, arg(task, 1));
}

void tracer_end_call(struct tracer *t, struct task *task, int64_t result)
{
	bool was = task->in_call;

	task->in_call = false;
	if (was && task->follow)
		end_followed(t, task, result);
	else if (task->call && !RESTARTS(result))
		end_told(t, task, task->call, result);
	task->call = reeve_event_free(task->call);
}

void tracer_executed(struct tracer *t, struct task *task)
{
	struct descriptors *d;
	char link[64], byte;

	own_files(t, task);
	d = task->descriptors;
	for (unsigned fd = 0; d && fd < d->n; fd++) {
		(void)snprintf(link, sizeof(link), "/proc/%d/fd/%u", task->tid, fd);
		if (d->files[fd] && readlink(link, &byte, 1) < 0 && errno == ENOENT)
			descriptors_drop(&t->tasks.files, d, fd);
	}
	if (!task->call)
		return;
	task->call->tid = task->tid;
	name_file(t, task, task->call, -1);
	tracer_tell(t, task->call);
	task->call = reeve_event_free(task->call);
}
