/* SPDX-License-Identifier: Apache-2.0 */
/* load.c - what makes file events.
 *
 *	bench-load open N FILE
 *		opens FILE, reads a byte of it and closes it, N times; prints the seconds that took.
 *		What observing files costs at most.
 *	bench-load paced RATE SECONDS FILE
 *		does that RATE times a second for SECONDS, a few at a time; prints how often it did.
 *		What is late is caught up on, so the number is RATE * SECONDS unless that is more
 *		than the machine can do. */
#include "bench.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define TICK 0.02

static void open_once(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char byte;

	if (fd < 0 || read(fd, &byte, 1) != 1 || close(fd) < 0)
		die(path);
}

static void wait_seconds(double s)
{
	struct timespec t = { .tv_nsec = (long)(s * 1e9) };

	(void)nanosleep(&t, NULL);
}

static size_t paced(size_t rate, size_t length, const char *path)
{
	double begin = seconds(), now = begin;
	size_t done = 0;

	/* Not all in step, when many begin at once. */
	wait_seconds(TICK * (double)(getpid() % 64) / 64);
	while (now - begin < (double)length) {
		size_t due = (size_t)((now - begin) * (double)rate);

		for (; done < due; done++)
			open_once(path);
		wait_seconds(TICK);
		now = seconds();
	}
	return done;
}

int main(int argc, char *argv[])
{
	double begin = seconds();

	if (argc == 5 && strcmp(argv[1], "paced") == 0) {
		(void)printf("%zu\n", paced(number(argv[2]), number(argv[3]), argv[4]));
		return 0;
	}
	if (argc != 4 || strcmp(argv[1], "open") != 0) {
		(void)fputs("usage: bench-load open N FILE\n"
			    "       bench-load paced RATE SECONDS FILE\n",
			    stderr);
		return 2;
	}
	for (size_t i = 0, n = number(argv[2]); i < n; i++)
		open_once(argv[3]);
	(void)printf("%.6f\n", seconds() - begin);
	return 0;
}
