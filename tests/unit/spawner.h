/* SPDX-License-Identifier: Apache-2.0 */
/* spawner.h - for tests of spawn_child(): a spawner that the test forks, so that the child is the
 * test's own, as it is the keeper's. */
#pragma once
#include "base/fd.h"
#include "core/spawn.h"
#include "fds.h"
#include "processes.h"
#include <stdlib.h>
#include <sys/stat.h>

/* A list as execve(2) takes it. */
#define ARGV(...) ((char *const *)(const char *const[]){ __VA_ARGS__, NULL })

#define STACK_LIMIT (8 * MiB)

/* What spawner, child and test share. */
struct outcome {
	struct control_slot slot;
	_Atomic int result;     /* of spawn_child() */
	_Atomic bool came_back; /* the spawner went on after it */
	_Atomic bool same_mask; /* with the signal mask it had */
};

/* What is to be spawned; the tests fill it in. */
static struct {
	struct spec spec;
	struct spawn_fds fds;
	void (*prepare)(void); /* done by the spawner first */
	int not_for_it;        /* a descriptor that the spawner is not to have; -1 */
} plan;

static struct outcome *outcome;
static char directory[64]; /* of the test's own files */

static char *const no_env[] = { NULL };

static inline int spawner_setup(void **state _unused_)
{
	memset(&plan, 0, sizeof(plan));
	spec_init(&plan.spec);
	plan.spec.envp = no_env;
	plan.spec.cwd = "/";
	plan.fds = (struct spawn_fds){ -1, -1, -1, -1, false, -1 };
	plan.not_for_it = -1;
	outcome = mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	assert_ptr_not_equal(outcome, MAP_FAILED);
	return 0;
}

static inline int spawner_teardown(void **state _unused_)
{
	munmap(outcome, sizeof(*outcome));
	return 0;
}

static inline _Noreturn void be_spawner(int spec_fd)
{
	struct spec_view view;
	sigset_t before, after;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	closep(&plan.not_for_it);
	if (plan.prepare)
		plan.prepare();
	spawn_prepare();
	if (spec_open(&view, spec_fd) < 0)
		_exit(1);
	sigprocmask(SIG_SETMASK, NULL, &before);
	outcome->result = spawn_child(&outcome->slot, &view, &plan.fds);
	sigprocmask(SIG_SETMASK, NULL, &after);
	outcome->same_mask = true;
	for (int i = 1; i < NSIG; i++)
		outcome->same_mask &= sigismember(&before, i) == sigismember(&after, i);
	outcome->came_back = true;
	_exit(0);
}

/* Spawns as planned, and returns the child's pid, which is the test's to wait for. */
static inline pid_t spawn(char *const *argv)
{
	_cleanup_(closep) int spec_fd = -1;
	struct error e = { 0 };
	int status;
	pid_t pid;

	plan.spec.argv = argv;
	memset((void *)outcome, 0, sizeof(*outcome));
	outcome->result = -9999;
	assert_int_equal(spec_pack(&plan.spec, &spec_fd, &e), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		be_spawner(spec_fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(outcome->came_back);
	assert_true(outcome->same_mask);
	assert_int_equal(outcome->result, 0);
	assert_true(slot_pid(&outcome->slot) > 0);
	return slot_pid(&outcome->slot);
}

/* The wait status of the child, once it has ended. */
static inline int reap(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static inline int exit_code_of(char *const *argv)
{
	int status = reap(spawn(argv));

	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Runs it, and compares all that it writes to stdout. */
static inline void assert_says(char *const *argv, const char *expected)
{
	char text[4096];
	ssize_t n;
	int pair[2];
	pid_t pid;

	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	plan.fds.out = pair[1];
	pid = spawn(argv);
	closep(&pair[1]);
	n = fd_read_full(pair[0], text, sizeof(text) - 1);
	closep(&pair[0]);
	plan.fds.out = -1;
	assert_true(n >= 0);
	text[n] = 0;
	assert_string_equal(text, expected);
	assert_int_equal(reap(pid), 0);
}

/* A cat that waits for its input, and whose output comes back. */
struct cat {
	int in[2], out[2];
	pid_t pid;
};

static inline void cat_open(struct cat *cat)
{
	assert_int_equal(pipe2(cat->in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(cat->out, O_CLOEXEC), 0);
	plan.fds.in = cat->in[0];
	plan.fds.out = cat->out[1];
}

/* Waits until it has come so far as to copy: its maker goes on before execve is all over. */
static inline void cat_wait(struct cat *cat)
{
	char byte = 0;

	assert_int_equal(word_load(&outcome->slot.fail), 0);
	assert_int_equal(write(cat->in[1], "x", 1), 1);
	assert_int_equal(read(cat->out[0], &byte, 1), 1);
	assert_int_equal(byte, 'x');
}

static inline void cat_start(struct cat *cat)
{
	cat->pid = spawn(ARGV("/bin/cat"));
	cat_wait(cat);
}

/* It reads to the end, and leaves. */
static inline void cat_end(struct cat *cat)
{
	closep(&cat->in[1]);
	cat->in[1] = -1;
	assert_int_equal(reap(cat->pid), 0);
}

static inline void cat_close(struct cat *cat)
{
	for (int i = 0; i < 4; i++)
		closep(i < 2 ? &cat->in[i] : &cat->out[i - 2]);
	plan.fds.in = plan.fds.out = -1;
}

/* --- files ----------------------------------------------------------------------------------- */

/* A directory that another user may look into, too. */
static inline int directory_setup(void **state _unused_)
{
	snprintf(directory, sizeof(directory), "/tmp/reeve-spawn-XXXXXX");
	assert_non_null(mkdtemp(directory));
	assert_int_equal(chmod(directory, 0755), 0);
	return 0;
}

static inline int directory_teardown(void **state _unused_)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

static inline const char *path_of_file(const char *name)
{
	static char paths[8][128];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

static inline const char *make_file(const char *name, mode_t mode, const char *text)
{
	const char *path = path_of_file(name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	return path;
}

static inline const char *make_directory(const char *name)
{
	const char *path = path_of_file(name);

	assert_int_equal(mkdir(path, 0755), 0);
	return path;
}
