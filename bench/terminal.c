/* SPDX-License-Identifier: Apache-2.0 */
/* terminal.c - what is measured at a terminal. COMMAND is a path.
 *
 * bench-terminal read TOTAL COMMAND...
 *   Seconds from the start of COMMAND, on a terminal of its own, to the end of its output of TOTAL
 *   bytes: the ceiling of whoever holds a terminal for a program.
 *
 * bench-terminal echo COUNT COMMAND...
 *   COMMAND shows a terminal in which keys are echoed. COUNT keys are typed, each when the one
 *   before was seen; microseconds from key to echo, one a line.
 *
 * bench-terminal slow RATE COMMAND...
 *   A terminal that takes RATE bytes a second. SIGUSR1 types ctrl-C. Ends with COMMAND. */
#include "bench.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define BUFFER     65536
#define SETTLED_MS 300  /* nothing shown for so long: the screen is complete */
#define ECHO_MS    5000 /* no echo for so long: it will not come */
#define PAUSE_US   2000 /* between two keys, so that everybody sleeps when the next one comes */
#define WARM_UP    50
#define SLOW_HZ    50 /* how often a slow terminal takes some */

static pid_t start(char **command, int *ret_master)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	pid_t pid;

	if (master < 0 || unlockpt(master) < 0 || ioctl(master, TIOCSWINSZ, &size) < 0)
		die("terminal");
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
	if (slave < 0)
		die("terminal");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		if (setsid() < 0 || ioctl(slave, TIOCSCTTY, 0) < 0 || dup2(slave, 0) < 0 ||
		    dup2(slave, 1) < 0 || dup2(slave, 2) < 0)
			die("child");
		if (slave > 2)
			close(slave);
		execv(command[0], command);
		die(command[0]);
	}
	close(slave);
	*ret_master = master;
	return pid;
}

static int read_all(size_t total, char **command)
{
	static char buffer[BUFFER];
	double begin = seconds();
	size_t sum = 0;
	ssize_t n;
	int status, master;
	pid_t pid = start(command, &master);

	while ((n = read(master, buffer, sizeof(buffer))) > 0)
		sum += (size_t)n;
	printf("%.9f\n", seconds() - begin);
	if (waitpid(pid, &status, 0) != pid || status != 0 || sum != total) {
		(void)fprintf(stderr, "%zu bytes came, not %zu; wait status %#x\n", sum, total,
			      status);
		return 1;
	}
	return 0;
}

static bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

/* Reads what is shown until `wanted` is in it. */
static void await(int master, char wanted)
{
	static char buffer[BUFFER];
	ssize_t n;

	do {
		if (!readable(master, ECHO_MS)) {
			(void)fputs("a key was not echoed\n", stderr);
			exit(1);
		}
		n = read(master, buffer, sizeof(buffer));
		if (n <= 0)
			die("read");
	} while (!memchr(buffer, wanted, (size_t)n));
}

static double echo_one(int master, char key)
{
	double begin;

	usleep(PAUSE_US);
	begin = seconds();
	if (write(master, &key, 1) != 1)
		die("write");
	await(master, key);
	return (seconds() - begin) * 1e6;
}

static int echo_all(size_t count, char **command)
{
	static char buffer[BUFFER];
	int master;
	pid_t pid = start(command, &master);

	if (!readable(master, ECHO_MS))
		(void)fputs("nothing is shown\n", stderr);
	while (readable(master, SETTLED_MS))
		if (read(master, buffer, sizeof(buffer)) <= 0)
			die("read");
	/* Characters that are in no escape sequence that anybody sends. */
	for (size_t i = 0; i < count + WARM_UP; i++) {
		double us = echo_one(master, "@`~#"[i % 4]);

		if (i >= WARM_UP)
			printf("%.1f\n", us);
	}
	close(master);
	waitpid(pid, NULL, 0);
	return 0;
}

static volatile sig_atomic_t interrupt;

static void on_interrupt(int number)
{
	interrupt = number;
}

static int be_slow(size_t rate, char **command)
{
	static char buffer[BUFFER];
	struct sigaction action = { .sa_handler = on_interrupt };
	size_t most = rate / SLOW_HZ < BUFFER ? rate / SLOW_HZ + 1 : BUFFER;
	int master;
	pid_t pid;
	ssize_t n;

	sigaction(SIGUSR1, &action, NULL);
	pid = start(command, &master);
	do {
		usleep(1000000 / SLOW_HZ); /* SIGUSR1 ends it early */
		if (interrupt && write(master, "\x03", 1) != 1)
			die("write");
		interrupt = 0;
		n = read(master, buffer, most);
	} while (n > 0 || (n < 0 && errno == EINTR));
	close(master);
	return waitpid(pid, NULL, 0) == pid ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc > 3 && strcmp(argv[1], "read") == 0)
		return read_all(number(argv[2]), argv + 3);
	if (argc > 3 && strcmp(argv[1], "echo") == 0)
		return echo_all(number(argv[2]), argv + 3);
	if (argc > 3 && strcmp(argv[1], "slow") == 0)
		return be_slow(number(argv[2]), argv + 3);
	(void)fputs("usage: bench-terminal read|echo|slow NUMBER COMMAND...\n", stderr);
	return 2;
}
