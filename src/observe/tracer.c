/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/tracer.h"
#include "base/fd.h"
#include "core/proc.h"
#include "observe/details.h"
#include "observe/tracer_calls.h"
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

/* --- letting go on --------------------------------------------------------------------------- */

static void resume(const struct tracer *t, const struct task *task, int signal)
{
	/* Without a filter each call stops at its beginning, too. */
	long how = task->in_call || !t->config.filtered ? PTRACE_SYSCALL : PTRACE_CONT;

	(void)ptrace((enum __ptrace_request)how, task->tid, NULL, (void *)(intptr_t)signal);
}

/* At the beginning or the end of a call. */
static void on_call(struct tracer *t, struct task *task)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, task->tid, sizeof(info), &info) <= 0)
		return;
	switch (info.op) {
	case PTRACE_SYSCALL_INFO_ENTRY:
		tracer_begin_call(t, task, info.arch, info.entry.nr, info.entry.args);
		break;
	case PTRACE_SYSCALL_INFO_SECCOMP:
		tracer_begin_call(t, task, info.arch, info.seccomp.nr, info.seccomp.args);
		break;
	case PTRACE_SYSCALL_INFO_EXIT:
		tracer_end_call(t, task, info.exit.rval);
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
		tracer_tell(t, &e);
	}
	tracer_share_files(t, maker, task, thread);
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
	tracer_executed(t, task);
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
	tracer_tell(t, &e);
}

/* A thread is about to end; the process ends with its last. */
static void on_exit_event(struct tracer *t, struct task *task)
{
	unsigned long status = 0;

	if (ptrace(PTRACE_GETEVENTMSG, task->tid, NULL, &status) < 0)
		return;
	task->exiting = true;
	task->descriptors = descriptors_unref(&t->tasks.files, task->descriptors);
	if (++task->process->exiting == task->process->threads)
		tell_exit(t, task, (int)status);
}

/* A maker that was killed tells nothing: what it made must not wait for ever. A thread is killed
 * with its maker. */
static void free_orphans(struct tracer *t)
{
	struct task *task = NULL;
	struct proc_stat stat;

	while ((task = task_homeless(&t->tasks, task))) {
		if (call_process(task->tid) != task->tid ||
		    (proc_stat_read(task->tid, &stat) >= 0 && task_find(&t->tasks, stat.ppid)))
			continue;
		if (!task_join(&t->tasks, task, NULL))
			continue;
		task->descriptors = descriptors_new();
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

/* A time to tell of what moved; else it would wait for the end of each file. */
static volatile sig_atomic_t ticked;

static void on_tick(int number _unused_)
{
	ticked = 1;
}

static void prepare_ticks(void)
{
	struct sigaction action = { .sa_handler = on_tick };
	sigset_t set;

	(void)sigfillset(&set);
	(void)sigdelset(&set, SIGALRM);
	(void)sigaction(SIGALRM, &action, NULL);
	(void)sigprocmask(SIG_SETMASK, &set, NULL);
}

static _Noreturn void trace(struct tracer *t)
{
	for (;;) {
		int status;
		pid_t tid;

		if (ticked != 0) {
			ticked = 0;
			tracer_tell_moved(t);
		}
		tid = waitpid(-1, &status, __WALL); /* a tick that is missed here comes again */
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

	(void)setsid();
	(void)prctl(PR_SET_NAME, NAME);
	prepare_ticks();
	leave_descriptors(&memory, &sock);
	if (!t || trace_ring_open(&t->ring, memory, sock) < 0)
		_exit(1);
	t->config = *config;
	t->tasks.files.ended = tracer_file_ended;
	t->tasks.files.userdata = t;
	task = task_add(&t->tasks, config->leader);
	if (!task || !task_join(&t->tasks, task, NULL))
		_exit(1);
	task->descriptors = descriptors_new();
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

void tracer_want(struct trace_ring *ring, unsigned categories, enum backend_detail detail)
{
	atomic_store(&ring->shared->wanted, categories);
	atomic_store(&ring->shared->each, detail == DETAIL_EACH);
}

int tracer_start(struct trace_ring *ring, const struct tracer_config *config)
{
	int peer, r = trace_ring_new(ring, &peer);
	pid_t pid;

	if (r < 0)
		return r;
	tracer_want(ring, config->categories, config->detail);
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
