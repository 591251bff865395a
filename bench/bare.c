/* SPDX-License-Identifier: Apache-2.0 */
/* bare.c - the ceilings: the same work with nothing in between. Prints seconds. COMMAND is a path.
 *
 *	bench-bare read TOTAL COMMAND...
 *		from the start of COMMAND to the end of its output of TOTAL bytes, which is read
 *from a pipe of 64 KiB into a buffer of 64 KiB bench-bare spawn COUNT COMMAND... for COUNT times
 *posix_spawn and wait bench-bare each COUNT COMMAND... the median of what one of them takes, its
 *stdout being /dev/null */
#include "bench.h"
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIPE_SIZE 65536

extern char **environ;

/* Its stdout is `out`; -1: this program's own. */
static pid_t start(char **command, int out)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	if (out >= 0)
		posix_spawn_file_actions_adddup2(&actions, out, 1);
	errno = posix_spawn(&pid, command[0], &actions, NULL, command, environ);
	if (errno != 0)
		die(command[0]);
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

static void finish(pid_t pid, const char *name)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	if (status != 0) {
		(void)fprintf(stderr, "%s ended with wait status %#x\n", name, status);
		exit(1);
	}
}

static int read_all(size_t total, char **command)
{
	static char buffer[PIPE_SIZE];
	double begin = seconds();
	size_t sum = 0;
	int pair[2];
	ssize_t n;
	pid_t pid;

	if (pipe2(pair, O_CLOEXEC) < 0 || fcntl(pair[1], F_SETPIPE_SZ, PIPE_SIZE) < 0)
		die("pipe");
	pid = start(command, pair[1]);
	close(pair[1]);
	while ((n = read(pair[0], buffer, sizeof(buffer))) > 0)
		sum += (size_t)n;
	printf("%.9f\n", seconds() - begin);
	finish(pid, command[0]);
	if (n < 0 || sum != total) {
		(void)fprintf(stderr, "%zu bytes came, not %zu\n", sum, total);
		return 1;
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int spawn_all(size_t count, char **command)
{
	double begin = seconds();

	for (size_t i = 0; i < count; i++)
		finish(start(command, -1), command[0]);
	printf("%.9f\n", seconds() - begin);
	return 0;
}

static int spawn_each(size_t count, char **command)
{
	double *times = calloc(count, sizeof(*times)), begin;
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (!times || null < 0)
		die("prepare");
	for (size_t i = 0; i < count; i++) {
		begin = seconds();
		finish(start(command, null), command[0]);
		times[i] = seconds() - begin;
	}
	qsort(times, count, sizeof(*times), compare);
	printf("%.9f\n", times[count / 2]);
	free(times);
	close(null);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 3 && strcmp(argv[1], "read") == 0)
		return read_all(number(argv[2]), argv + 3);
	if (argc > 3 && strcmp(argv[1], "spawn") == 0)
		return spawn_all(number(argv[2]), argv + 3);
	if (argc > 3 && strcmp(argv[1], "each") == 0)
		return spawn_each(number(argv[2]), argv + 3);
	(void)fputs("usage: bench-bare read TOTAL COMMAND...\n"
		    "       bench-bare spawn COUNT COMMAND...\n"
		    "       bench-bare each COUNT COMMAND...\n",
		    stderr);
	return 2;
}
