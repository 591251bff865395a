/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

int random_bytes(void *p, size_t n)
{
	char *next = p;

	while (n > 0) {
		ssize_t got = getrandom(next, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		next += got;
		n -= (size_t)got;
	}
	return 0;
}

uint64_t random_u64(void)
{
	uint64_t value;

	if (random_bytes(&value, sizeof(value)) < 0)
		abort();
	return value;
}
