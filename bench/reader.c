/* SPDX-License-Identifier: Apache-2.0 */
/* bench-reader SOCKET PATH...: reads what GET answers for each of the paths of the API, all at the
 * same time, until the answers end, and throws it away; prints how many bytes that were. */
#include "bench.h"
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define READERS_MAX 1000U

static int ask(const char *socket_path, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char request[512];
	int n = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: reeve\r\n\r\n", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(socket_path) >= sizeof(address.sun_path) || n >= (int)sizeof(request)) {
		(void)fputs("too long\n", stderr);
		exit(2);
	}
	memcpy(address.sun_path, socket_path, strlen(socket_path));
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    send(fd, request, (size_t)n, MSG_NOSIGNAL) != n)
		die(socket_path);
	return fd;
}

static size_t read_all(struct pollfd *p, unsigned n)
{
	static char buffer[1U << 16];
	size_t total = 0;

	for (unsigned open = n; open > 0;) {
		if (poll(p, n, -1) < 0)
			die("poll");
		for (unsigned i = 0; i < n; i++) {
			ssize_t got = p[i].revents ? recv(p[i].fd, buffer, sizeof(buffer), 0) : -1;

			total += got > 0 ? (size_t)got : 0;
			if (p[i].revents == 0 || got > 0)
				continue;
			(void)close(p[i].fd);
			p[i].fd = -1;
			open--;
		}
	}
	return total;
}

int main(int argc, char *argv[])
{
	static struct pollfd p[READERS_MAX];
	unsigned n = 0;

	if (argc < 3 || argc - 2 > (int)READERS_MAX) {
		(void)fputs("usage: bench-reader SOCKET PATH...\n", stderr);
		return 2;
	}
	for (; n < (unsigned)argc - 2; n++)
		p[n] = (struct pollfd){ .fd = ask(argv[1], argv[n + 2]), .events = POLLIN };
	(void)printf("%zu\n", read_all(p, n));
	return 0;
}
