/* SPDX-License-Identifier: Apache-2.0 */
/* family.c - torture-family tree DIR: a command with six kinds of descendant, none of which means
 * to leave. Each says in a file DIR/KIND that it is there. torture-family witness FILE: a bystander
 * that notes each signal that reaches it as a line of FILE. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *directory;

static void say(const char *kind)
{
	char path[PATH_MAX], text[32];
	int fd, n;

	snprintf(path, sizeof(path), "%s/%s", directory, kind);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (fd < 0 || write(fd, text, (size_t)n) != n)
		_exit(98);
	close(fd);
}

static _Noreturn void stay(const char *kind)
{
	say(kind);
	for (;;)
		pause();
}

static _Noreturn void plain(void)
{
	stay("plain");
}

static _Noreturn void own_session(void)
{
	setsid();
	stay("setsid");
}

static _Noreturn void double_fork(void)
{
	setsid();
	if (fork() != 0)
		_exit(0);
	stay("double-fork");
}

/* As `nohup COMMAND & disown` in a shell. */
static _Noreturn void disowned(void)
{
	int null = open("/dev/null", O_RDWR);

	setpgid(0, 0);
	signal(SIGHUP, SIG_IGN);
	for (int i = 0; i < 3; i++)
		dup2(null, i);
	stay("disowned");
}

static void ignore_soft_signals(void)
{
	static const int soft[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM };

	for (size_t i = 0; i < sizeof(soft) / sizeof(soft[0]); i++)
		signal(soft[i], SIG_IGN);
}

static _Noreturn void stubborn(void)
{
	ignore_soft_signals();
	stay("stubborn");
}

/* A process that is never found twice under the same pid. */
static _Noreturn void forking(void)
{
	struct timespec pause = { .tv_nsec = 200 * 1000 };

	ignore_soft_signals();
	say("forking");
	for (;;) {
		nanosleep(&pause, NULL);
		if (fork() > 0)
			_exit(0);
	}
}

static int tree(void)
{
	static void (*const kinds[])(void) = { plain,    own_session, double_fork,
					       disowned, stubborn,    forking };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		pid_t pid = fork();

		if (pid < 0)
			return 1;
		if (pid == 0)
			kinds[i]();
	}
	stay("leader");
}

static int witness(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	siginfo_t si;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	if (fd < 0)
		return 1;
	dprintf(fd, "here\n");
	for (;;) {
		int signal = sigwaitinfo(&all, &si);

		if (signal > 0)
			dprintf(fd, "signal %d from %d\n", signal, (int)si.si_pid);
	}
}

int main(int argc, char **argv)
{
	directory = argc == 3 ? argv[2] : NULL;
	if (argc == 3 && strcmp(argv[1], "tree") == 0)
		return tree();
	if (argc == 3 && strcmp(argv[1], "witness") == 0)
		return witness(argv[2]);
	fputs("usage: torture-family tree DIR | witness FILE\n", stderr);
	return 2;
}
