/* SPDX-License-Identifier: Apache-2.0 */
/* writer.c - the load: writes TOTAL bytes to stdout, BLOCK bytes a write. */
#include "bench.h"
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	size_t block, total;
	char *data;

	if (argc != 3) {
		(void)fputs("usage: bench-writer BLOCK TOTAL\n", stderr);
		return 2;
	}
	block = number(argv[1]);
	total = number(argv[2]);
	data = malloc(block);
	if (!data)
		die("malloc");
	memset(data, 'x', block);
	while (total > 0) {
		ssize_t n = write(STDOUT_FILENO, data, total < block ? total : block);

		if (n <= 0)
			die("write");
		total -= (size_t)n;
	}
	return 0;
}
