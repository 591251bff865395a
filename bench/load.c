/* SPDX-License-Identifier: Apache-2.0 */
/* bench-load open N FILE: opens FILE, reads a byte of it and closes it, N times; prints the seconds
 * that took. What observing files costs at most. */
#include "bench.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char *argv[])
{
	double begin;
	size_t n;

	if (argc != 4 || strcmp(argv[1], "open") != 0) {
		(void)fputs("usage: bench-load open N FILE\n", stderr);
		return 2;
	}
	n = number(argv[2]);
	begin = seconds();
	for (size_t i = 0; i < n; i++) {
		int fd = open(argv[3], O_RDONLY | O_CLOEXEC);
		char byte;

		if (fd < 0 || read(fd, &byte, 1) != 1 || close(fd) < 0)
			die(argv[3]);
	}
	(void)printf("%.6f\n", seconds() - begin);
	return 0;
}
