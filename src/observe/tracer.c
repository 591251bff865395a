/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/tracer.h"
#include "base/clock.h"
#include "base/fd.h"
#include "core/proc.h"
#include "observe/call_decode.h"
#include "observe/details.h"
#include "observe/tracer_tasks.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define NAME "reeve-tracer"
#define OPTIONS                                                                                    \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |  \
	 PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT | PTRACE_O_TRACESECCOMP)

/* Of a call that stops by its filter nothing is left but ENOSYS once nobody traces. */
#define OPTIONS_FILTERED (OPTIONS | PTRACE_O_EXITKILL)

/* What a call returns that the kernel will make anew, after a signal: it is seen again then. */
#define RESTARTS(r) ((r) <= -512 && (r) >= -516)

struct tracer {
	struct tracer_config config;
	struct trace_ring ring;
	struct tasks tasks;
	struct call_threads threads;
	struct call_texts texts;
};

/* --- letting go on --------------------------------------------------------------------------- */

static void resume(const struct tracer *t, const struct task *task, int signal)
{
	/* Without a filter each call stops at its beginning, too. */
	long how = task->in_call || !t->config.filtered ? PTRACE_SYSCALL : PTRACE_CONT;

	(void)ptrace((enum __ptrace_request)how, task->tid, NULL, (void *)(intptr_t)signal);
}

static void tell(struct tracer *t, const struct reeve_event *e)
{
	if ((t->config.categories & 1U << (unsigned)e->category) != 0)
		trace_ring_write(&t->ring, e);
}

/* --- calls ----------------------------------------------------------------------------------- */

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

static void begin_call(struct tracer *t, struct task *task, uint32_t arch, uint64_t nr,
		       const uint64_t *args)
{
	struct call c = { .nr = (int)nr, .tid = task->tid };
	struct reeve_event e;

	task->call = reeve_event_free(task->call);
	task->in_call = true;
	if (!call_arch_of(arch, &c.arch))
		return;
	memcpy(c.args, args, sizeof(c.args));
	if (!call_decode(&c, t->config.categories, &t->threads, &t->texts, &e))
		return;
	e.pid = task->process->pid;
	task->is_new = e.kind == REEVE_OPENED && is_missing(task, &e);
	if (event_copy(&e, &task->call) < 0)
		task->call = NULL;
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
	if (n <= 0 || t->texts.path[0] != '/')
		return;
	t->texts.path[n] = '\0';
	e->path = t->texts.path;
	e->fields = (e->fields & ~(uint32_t)REEVE_HAS_CLAIMED) | REEVE_HAS_PATH;
}

static void end_call(struct tracer *t, struct task *task, int64_t result)
{
	struct reeve_event *e = task->call;

	task->in_call = false;
	if (!e)
		return;
	if (result < 0) {
		e->result = (int32_t)result;
		e->fields |= REEVE_HAS_RESULT;
	} else if (e->kind == REEVE_OPENED) {
		name_file(t, task, e, (int)result);
		if (task->is_new)
			e->kind = REEVE_CREATED;
	}
	/* A successful execve was told of when it happened. */
	if (!RESTARTS(result) && (e->kind != REEVE_EXECUTED || result < 0))
		tell(t, e);
	task->call = reeve_event_free(e);
}

/* At the beginning or the end of a call. */
static void on_call(struct tracer *t, struct task *task)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, task->tid, sizeof(info), &info) <= 0)
		return;
	switch (info.op) {
	case PTRACE_SYSCALL_INFO_ENTRY:
		begin_call(t, task, info.arch, info.entry.nr, info.entry.args);
		break;
	case PTRACE_SYSCALL_INFO_SECCOMP:
		begin_call(t, task, info.arch, info.seccomp.nr, info.seccomp.args);
		break;
	case PTRACE_SYSCALL_INFO_EXIT:
		end_call(t, task, info.exit.rval);
		break;
	default:
		break;
	}
}

/* --- processes ------------------------------------------------------------------------------- */

static void on_fork(struct tracer *t, struct task *maker)
{
	struct reeve_event e;
	unsigned long number = 0;
	struct task *task;
	bool thread, waits;

	if (ptrace(PTRACE_GETEVENTMSG, maker->tid, NULL, &number) < 0)
		return;
	thread = syscall(SYS_tgkill, (pid_t)number, (pid_t)number, 0) < 0 && errno == ESRCH;
	task = task_find(&t->tasks, (pid_t)number);
	waits = task != NULL;
	if (!task)
		task = task_add(&t->tasks, (pid_t)number);
	if (!task || task->process || !task_join(&t->tasks, task, thread ? maker->process : NULL))
		return;
	if (!thread) {
		event_init(&e, REEVE_PROCESS, REEVE_FORKED, maker->process->pid);
		e.tid = maker->tid;
		e.child_pid = task->tid;
		e.fields |= REEVE_HAS_CHILD_PID | REEVE_HAS_TID;
		tell(t, &e);
	}
	if (waits) /* it was here before we knew whose it is */
		resume(t, task, 0);
}

static struct task *on_exec(struct tracer *t, pid_t tid)
{
	unsigned long former = 0;
	struct task *task;

	if (ptrace(PTRACE_GETEVENTMSG, tid, NULL, &former) < 0)
		former = (unsigned long)tid;
	task = task_find(&t->tasks, (pid_t)former);
	if (!task || !task->process)
		return task_find(&t->tasks, tid);
	task_alone(&t->tasks, task);
	if (task->call) {
		task->call->tid = task->tid;
		name_file(t, task, task->call, -1);
		tell(t, task->call);
		task->call = reeve_event_free(task->call);
	}
	return task;
}

static void tell_exit(struct tracer *t, struct task *task, int status)
{
	struct traced_process *p = task->process;
	struct proc_stat stat;
	struct reeve_event e;

	if (!p || p->exit_told)
		return;
	p->exit_told = true;
	event_init(&e, REEVE_PROCESS, REEVE_EXITED, p->pid);
	e.exit_code = details_exit_code(status);
	e.fields |= REEVE_HAS_EXIT_CODE;
	if (proc_stat_read(p->pid, &stat) >= 0) {
		e.ppid = stat.ppid;
		e.comm = memcpy(t->texts.comm, stat.comm, sizeof(t->texts.comm) - 1);
		t->texts.comm[sizeof(t->texts.comm) - 1] = '\0';
		e.fields |= REEVE_HAS_PPID | REEVE_HAS_COMM;
	}
	tell(t, &e);
}

/* A thread is about to end; the process ends with its last. */
static void on_exit_event(struct tracer *t, struct task *task)
{
	unsigned long status = 0;

	if (ptrace(PTRACE_GETEVENTMSG, task->tid, NULL, &status) < 0)
		return;
	task->exiting = true;
	if (++task->process->exiting == task->process->threads)
		tell_exit(t, task, (int)status);
}

/* A maker that was killed tells nothing: what it made must not wait for ever. */
static void free_orphans(struct tracer *t)
{
	struct task *task = NULL;
	struct proc_stat stat;

	while ((task = task_homeless(&t->tasks, task))) {
		if (proc_stat_read(task->tid, &stat) >= 0 && task_find(&t->tasks, stat.ppid))
			continue;
		if (task_join(&t->tasks, task, NULL))
			resume(t, task, 0);
	}
}

/* --- stops ----------------------------------------------------------------------------------- */

static void on_event_stop(struct tracer *t, struct task *task, int event, int signal)
{
	switch (event) {
	case PTRACE_EVENT_SECCOMP:
		on_call(t, task);
		break;
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
	case PTRACE_EVENT_CLONE:
		on_fork(t, task);
		break;
	case PTRACE_EVENT_EXEC:
		task = on_exec(t, task->tid);
		break;
	case PTRACE_EVENT_EXIT:
		on_exit_event(t, task);
		break;
	case PTRACE_EVENT_STOP:
		/* Stopped as by Ctrl-Z: it stays so until somebody continues it. */
		if (signal != SIGTRAP) {
			(void)ptrace(PTRACE_LISTEN, task->tid, NULL, NULL);
			return;
		}
		break;
	default:
		break;
	}
	if (task)
		resume(t, task, 0);
}

static void on_stop(struct tracer *t, pid_t tid, int status)
{
	struct task *task = task_find(&t->tasks, tid);
	int signal = WSTOPSIG(status), event = status >> 16;

	if (!task)
		task = task_add(&t->tasks, tid);
	if (!task) {
		(void)ptrace(PTRACE_CONT, tid, NULL, NULL);
		return;
	}
	if (!task->process) /* waits until its maker tells of it */
		return;
	if (signal == (SIGTRAP | 0x80)) {
		on_call(t, task);
		resume(t, task, 0);
	} else if (event != 0) {
		on_event_stop(t, task, event, signal);
	} else {
		resume(t, task, signal); /* a signal on its way */
	}
}

static void on_end(struct tracer *t, pid_t tid, int status)
{
	struct task *task = task_find(&t->tasks, tid);

	if (!task)
		return;
	if (task->process && task->process->threads == 1)
		tell_exit(t, task, status); /* killed where it could not be stopped */
	task_remove(&t->tasks, task);
	if (t->tasks.homeless > 0)
		free_orphans(t);
}

static _Noreturn void leave(struct tracer *t)
{
	atomic_store(&t->ring.shared->done, 1);
	_exit(0);
}

static _Noreturn void trace(struct tracer *t)
{
	for (;;) {
		int status;
		pid_t tid = waitpid(-1, &status, __WALL);

		if (tid < 0 && errno == EINTR)
			continue;
		if (tid < 0)
			leave(t); /* nobody is left */
		if (WIFSTOPPED(status))
			on_stop(t, tid, status);
		else
			on_end(t, tid, status);
	}
}

/* --- its own beginning ----------------------------------------------------------------------- */

/* Of all descriptors it needs two. */
static void leave_descriptors(int *memory, int *sock)
{
	int a = fcntl(*memory, F_DUPFD_CLOEXEC, 3), b = fcntl(*sock, F_DUPFD_CLOEXEC, 3);
	unsigned low = (unsigned)MIN(a, b), high = (unsigned)MAX(a, b);

	if (a < 0 || b < 0)
		_exit(1);
	(void)close_range(0, low - 1, 0);
	if (high > low + 1)
		(void)close_range(low + 1, high - 1, 0);
	(void)close_range(high + 1, ~0U, 0);
	*memory = a;
	*sock = b;
}

static _Noreturn void be_tracer(const struct tracer_config *config, int memory, int sock)
{
	struct tracer *t = calloc(1, sizeof(*t));
	int r = 0, options = config->filtered ? OPTIONS_FILTERED : OPTIONS;
	struct task *task;
	sigset_t all;

	(void)setsid();
	(void)prctl(PR_SET_NAME, NAME);
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	leave_descriptors(&memory, &sock);
	if (!t || trace_ring_open(&t->ring, memory, sock) < 0)
		_exit(1);
	t->config = *config;
	task = task_add(&t->tasks, config->leader);
	if (!task || !task_join(&t->tasks, task, NULL))
		_exit(1);
	if (ptrace(PTRACE_SEIZE, config->leader, NULL, (void *)(intptr_t)options) < 0)
		r = -errno;
	else if (!config->filtered)
		(void)ptrace(PTRACE_INTERRUPT, config->leader, NULL, NULL);
	if (send(sock, &r, sizeof(r), MSG_NOSIGNAL) < 0 || r < 0)
		_exit(1);
	trace(t);
}

/* What it says of its beginning. */
static int hear(int sock)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	int r;

	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		continue;
	return recv(sock, &r, sizeof(r), 0) == sizeof(r) ? r : -ECHILD;
}

int tracer_start(struct trace_ring *ring, const struct tracer_config *config)
{
	int peer, r = trace_ring_new(ring, &peer);
	pid_t pid;

	if (r < 0)
		return r;
	pid = fork();
	if (pid == 0) {
		pid = fork(); /* so that it is the subreaper's, and no child of ours */
		if (pid == 0)
			be_tracer(config, ring->memory, peer);
		_exit(pid < 0 ? 1 : 0);
	}
	r = pid < 0 ? -errno : 0;
	fd_close(peer);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	if (r == 0)
		r = hear(ring->sock);
	if (r < 0)
		trace_ring_close(ring);
	return r;
}
