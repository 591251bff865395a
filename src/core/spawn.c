/* SPDX-License-Identifier: Apache-2.0 */
#include "core/spawn.h"
#include "base/clock.h"
#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define CHILD_STACK   (256 * 1024)
#define GATE_PAUSE_NS 20000L /* between two looks whether a child is at its gate, */
#define GATE_WAIT_MS  1000U  /* and for how long it is waited for */

/* A child leaves its stack by execve, without returning from its functions. Where AddressSanitizer
 * watches it still takes their frames for live, whatever comes to these addresses next. */
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#define forget_frames(stack, size) __asan_unpoison_memory_region(stack, size)
#endif
#endif
#ifndef forget_frames
#define forget_frames(stack, size) ((void)0)
#endif

/* All that runs in the child works on this and on its own stack: it shares its maker's memory, so
 * it must not allocate, lock or leave anything behind. */
struct child {
	struct control_slot *slot;
	const struct spec_view *view;
	struct spawn_fds fds;
};

const char *spawn_step_name(enum spawn_step step)
{
	static const char *const names[N_SPAWN_STEPS] = {
		[STEP_NONE] = "start",
		[STEP_CLONE] = "clone",
		[STEP_SESSION] = "setsid",
		[STEP_CGROUP] = "join cgroup",
		[STEP_LIMITS] = "setrlimit",
		[STEP_NICE] = "setpriority",
		[STEP_TERMINAL] = "set controlling terminal",
		[STEP_FDS] = "set up stdin, stdout and stderr",
		[STEP_CHDIR] = "chdir",
		[STEP_FILTER] = "install a filter of system calls",
		[STEP_GATE] = "wait at the gate",
		[STEP_EXEC] = "execve",
	};

	return step < N_SPAWN_STEPS ? names[step] : "unknown step";
}

/* Only of a child that was not made in it. */
static int join_cgroup(const struct child *c)
{
	int procs, r = 0;

	if (c->fds.cgroup < 0)
		return 0;
	procs = openat(c->fds.cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (procs < 0)
		return -errno;
	if (write(procs, "0", 1) < 0)
		r = -errno;
	(void)close(procs);
	return r;
}

static int set_limits(const struct child *c)
{
	const struct spec_header *h = c->view->header;

	for (int i = 0; i < (int)SPEC_LIMITS && i < RLIM_NLIMITS; i++) {
		struct rlimit now, want = { h->limits[i].soft, h->limits[i].hard };

		if (!(h->limits_set & 1U << i) || i == RLIMIT_LOCKS)
			continue;
		/* A hard limit above the daemon's own cannot be given back to it. */
		if (setrlimit((__rlimit_resource_t)i, &want) == 0)
			continue;
		if (errno != EPERM || getrlimit((__rlimit_resource_t)i, &now) < 0)
			return -errno;
		want.rlim_max = now.rlim_max;
		if (want.rlim_cur > now.rlim_max)
			want.rlim_cur = now.rlim_max;
		if (setrlimit((__rlimit_resource_t)i, &want) < 0)
			return -errno;
	}
	if (h->mark != 0) {
		struct rlimit mark = { h->mark, h->mark };

		if (setrlimit(RLIMIT_LOCKS, &mark) < 0)
			return -errno;
	}
	return 0;
}

static int set_nice(const struct child *c)
{
	const struct spec_header *h = c->view->header;

	if (h->nice == SPEC_NO_NICE)
		return 0;
	/* Only a privileged user may lower it below the daemon's; the child then keeps the
	 * daemon's. */
	if (setpriority(PRIO_PROCESS, 0, h->nice) < 0 && errno != EACCES && errno != EPERM)
		return -errno;
	return 0;
}

static int set_terminal(const struct child *c)
{
	if (!(c->view->header->flags & SPEC_TERMINAL))
		return 0;
	return ioctl(c->fds.in, TIOCSCTTY, 0) < 0 ? -errno : 0;
}

static int set_fds(const struct child *c)
{
	int from[3] = { c->fds.in, c->fds.out, c->fds.err };
	int gate = c->fds.gate;

	/* First away from 0..2, so that no dup2 closes what a later one needs. */
	for (int i = 0; i < 3; i++) {
		if (from[i] < 0)
			from[i] = open("/dev/null", (i == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
		if (from[i] >= 0 && from[i] < 3)
			from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 3);
		if (from[i] < 0)
			return -errno;
	}
	for (int i = 0; i < 3; i++)
		if (dup2(from[i], i) < 0)
			return -errno;
	/* All of reeve's descriptors are CLOEXEC; this also covers what a library forgot. The gate
	 * must live until execve closes it. */
	if (gate >= 3) {
		if (gate > 3)
			close_range(3, (unsigned)gate - 1, CLOSE_RANGE_CLOEXEC);
		close_range((unsigned)gate + 1, ~0U, CLOSE_RANGE_CLOEXEC);
	} else {
		close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	}
	return 0;
}

static int change_directory(const struct child *c)
{
	const struct spec_header *h = c->view->header;

	if (h->umask != SPEC_NO_UMASK)
		umask((mode_t)h->umask);
	return chdir(c->view->cwd) < 0 ? -errno : 0;
}

/* Where none can be installed the command runs without: whoever waits at the other end is told. */
static int install_filter(const struct child *c)
{
	if (c->fds.gate >= 0 && c->view->header->entry.n > 0)
		entry_tell(&c->view->header->entry, c->fds.gate);
	return 0;
}

static int pass_gate(const struct child *c)
{
	int r = entry_after_gate(&c->view->header->entry);

	if (r < 0)
		word_store(&c->slot->step, STEP_FILTER);
	return r;
}

static int wait_at_gate(const struct child *c)
{
	char byte;
	ssize_t n;

	if (c->fds.gate < 0)
		return 0;
	do
		n = read(c->fds.gate, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return -ECANCELED; /* the keeper is gone or gave up */
	return n < 0 ? -errno : pass_gate(c);
}

/* execve, and like execvp a file without `#!` goes to the shell. Returns -errno. */
static int exec_file(const struct child *c, const char *path)
{
	char **argv = c->view->argv;

	execve(path, argv, c->view->envp);
	if (errno != ENOEXEC)
		return -errno;
	/* The spare place before argv; what stands there is this child's own business: its maker
	 * waits, and closes the view next. */
	argv[-1] = (char *)"sh";
	argv[0] = (char *)path;
	execve("/bin/sh", argv - 1, c->view->envp);
	return -errno;
}

static const char *path_of(char *const *envp)
{
	for (; *envp; envp++)
		if (strncmp(*envp, "PATH=", 5) == 0)
			return *envp + 5;
	return "/usr/local/bin:/usr/bin:/bin"; /* as execvp(3), the current directory left out */
}

/* Searches the child's own PATH as execvp(3) does. It looks before it tries: to fail costs an
 * execve more, and whoever observes the command is told of each. */
static int exec_command(const struct child *c)
{
	const char *name = c->view->argv[0], *path = path_of(c->view->envp);
	size_t n = strlen(name);
	char file[PATH_MAX];
	bool denied = false;
	int r = -ENOENT;

	if (n == 0)
		return -ENOENT;
	if (strchr(name, '/'))
		return exec_file(c, name);
	for (;;) {
		size_t dir = strcspn(path, ":");

		if (dir + n + 2 <= sizeof(file)) {
			char *at = mempcpy(file, path, dir);

			if (dir > 0)
				*at++ = '/';
			memcpy(at, name, n + 1);
			r = access(file, F_OK) < 0 ? -errno : exec_file(c, file);
			if (r == -EACCES)
				denied = true;
			else if (r != -ENOENT && r != -ENOTDIR && r != -ESTALE && r != -ENODEV &&
				 r != -ETIMEDOUT)
				return r;
		}
		if (path[dir] == 0)
			return denied ? -EACCES : -ENOENT;
		path += dir + 1;
	}
}

static int new_session(const struct child *c)
{
	(void)c;
	return setsid() < 0 ? -errno : 0;
}

static int run_command(const struct child *c)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	return exec_command(c);
}

static const struct {
	enum spawn_step step;
	int (*run)(const struct child *c);
} steps[] = {
	{ STEP_SESSION, new_session },    { STEP_CGROUP, join_cgroup },
	{ STEP_TERMINAL, set_terminal },  { STEP_FDS, set_fds },
	{ STEP_LIMITS, set_limits },      { STEP_NICE, set_nice },
	{ STEP_CHDIR, change_directory }, { STEP_FILTER, install_filter },
	{ STEP_GATE, wait_at_gate },      { STEP_EXEC, run_command },
};

static int child_main(void *argument)
{
	struct child *c = argument;

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		int r;

		word_store(&c->slot->step, steps[i].step);
		r = steps[i].run(c);
		if (r < 0) {
			word_store(&c->slot->fail, (uint64_t)-r);
			break;
		}
	}
	_exit(127);
}

/* The children's stack, of one after the other. A gated child goes on on its own copy of it. */
static char *child_stack(void)
{
	static char *stack;

	if (!stack) {
		stack = mmap(NULL, CHILD_STACK, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
		if (stack == MAP_FAILED)
			stack = NULL;
	}
	return stack;
}

void spawn_prepare(void)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };

	/* SIGKILL, SIGSTOP and libc's own refuse, rightly. */
	for (int s = 1; s < NSIG; s++)
		sigaction(s, &sa, NULL);
}

/* clone3(2) of a child that begins with run(`argument`), which does not return, on a stack of its
 * own; libc has no function for it, so on other processors there is none here either. Returns in
 * the caller alone: the pid, or a negative errno. */
static long clone3_child(struct clone_args *args, int (*run)(void *), void *argument)
{
#if defined(__x86_64__)
	long r = SYS_clone3;

	__asm__ volatile("syscall\n\t"
			 "testq %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xorl %%ebp, %%ebp\n\t"
			 "movq %[argument], %%rdi\n\t"
			 "call *%[run]\n\t"
			 "hlt\n"
			 "1:"
			 : "+a"(r)
			 : "D"(args), "S"(sizeof(*args)), [argument] "d"(argument), [run] "b"(run)
			 : "rcx", "r11", "cc", "memory");
	return r;
#else
	(void)args;
	(void)run;
	(void)argument;
	return -ENOSYS;
#endif
}

/* Of a child that is made in its cgroup, where that was not killed itself. */
static enum { UNTRIED, LIVES, DIES } made_there;

static int note_that_it_runs(void *argument)
{
	*(volatile bool *)argument = true;
	_exit(0);
}

/* Whether a child that is made in another cgroup lives. Linux takes it for one that escapes from a
 * cgroup.kill, and kills it, when this process's cgroup has ever been killed, even while nobody was
 * in it: cgroup_css_set_fork() remembers the count of the maker's cgroup, and cgroup_post_fork()
 * compares it with that of the child's. Tried out once, for it mostly stays so. When a child's own
 * cgroup was killed, its maker sees that it died at once; a `gated` one's does not, and tries it
 * out each time. */
static bool lives_in(int cgroup, char *stack, bool gated)
{
	volatile bool runs = false;
	struct clone_args args = {
		.flags = CLONE_VM | CLONE_VFORK | CLONE_INTO_CGROUP,
		.stack = (uintptr_t)stack,
		.stack_size = CHILD_STACK,
		.cgroup = (uint64_t)cgroup,
	};
	long pid;

	if (made_there == DIES || (made_there == LIVES && !gated))
		return made_there == LIVES;
	pid = clone3_child(&args, note_that_it_runs, (void *)&runs);
	if (pid < 0)
		return false;
	waitpid((pid_t)pid, NULL, __WALL);
	if (runs || made_there == UNTRIED)
		made_there = runs ? LIVES : DIES;
	return runs;
}

/* A process that moves to another cgroup waits for all forks and ends on the machine, and the first
 * to do so in a while for a grace period of the kernel's, which is milliseconds. One that is made
 * in the cgroup waits for nothing. Not before Linux 5.7; then, and whenever it is refused, the
 * child goes there by itself, and says why it cannot. */
static long clone_into_cgroup(uint64_t flags, char *stack, struct child *c)
{
	int cgroup = c->fds.cgroup;
	struct clone_args args = {
		.flags = flags | CLONE_INTO_CGROUP,
		.parent_tid = (uintptr_t)&c->slot->pid,
		.stack = (uintptr_t)stack,
		.stack_size = CHILD_STACK,
		.cgroup = (uint64_t)cgroup,
	};
	long r;

	c->fds.cgroup = -1;
	r = clone3_child(&args, child_main, c);
	c->fds.cgroup = cgroup;
	/* Killed before its first step: this process, or that cgroup, is not as it was. */
	if (r > 0 && (flags & CLONE_VFORK) && word_load(&c->slot->step) == STEP_CLONE)
		made_there = UNTRIED;
	return r;
}

/* Until it stands at its gate, has failed, or has ended: who observes it from there is not to see
 * what it still did for us. One that installs a filter says itself that it is there. */
static void await_gate(const struct child *c)
{
	struct pollfd ended = { .events = POLLIN };
	struct timespec pause = { .tv_nsec = GATE_PAUSE_NS };
	const struct control_slot *s = c->slot;
	uint64_t until = clock_monotonic_ms() + GATE_WAIT_MS;

	ended.fd = (int)syscall(SYS_pidfd_open, slot_pid(s), 0);
	while (ended.fd >= 0 && clock_monotonic_ms() < until)
		if (word_load(&s->step) >= STEP_GATE || word_load(&s->fail) != 0 ||
		    ppoll(&ended, 1, &pause, NULL) > 0)
			break;
	fd_close(ended.fd);
}

int spawn_child(struct control_slot *slot, const struct spec_view *view,
		const struct spawn_fds *fds)
{
	struct child c = { .slot = slot, .view = view, .fds = *fds };
	int flags = CLONE_PARENT | CLONE_PARENT_SETTID, r = 0;
	long pid = -1;
	char *stack = child_stack();
	sigset_t all, old;

	if (!stack)
		return -ENOMEM;
	if (fds->gate < 0)
		flags |= CLONE_VM | CLONE_VFORK;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	word_store(&slot->step, STEP_CLONE);
	if (fds->cgroup >= 0 && !fds->goes_there && lives_in(fds->cgroup, stack, fds->gate >= 0))
		pid = clone_into_cgroup((uint64_t)flags, stack, &c);
	if (pid < 0 &&
	    clone(child_main, stack + CHILD_STACK, flags | SIGCHLD, &c, (pid_t *)&slot->pid) < 0)
		r = -errno;
	sigprocmask(SIG_SETMASK, &old, NULL);
	forget_frames(stack, CHILD_STACK);
	if (r >= 0 && fds->gate >= 0 && view->header->entry.n == 0)
		await_gate(&c);
	return r;
}
