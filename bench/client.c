/* SPDX-License-Identifier: Apache-2.0 */
/* client.c - a client of the API that costs next to nothing: what is measured is the daemon.
 *
 *	bench-client SOCKET start FLIGHT COUNT COMMAND...
 *		seconds for COUNT sessions of COMMAND to be started over one connection, with up to
 *		FLIGHT requests under way
 *	bench-client SOCKET exit|eof CONNECTIONS FLIGHT COUNT COMMAND...
 *		the same for whole cycles: POST /v1/sessions, then POST .../wait for the exit, or
 *for the end of the output; FLIGHT cycles under way on each connection bench-client SOCKET recover
 *PID kills PID; seconds until the next request is answered
 *
 * A server answers one request of a connection after the other. So a request is sent as soon as it
 * can be: FLIGHT times POST at the beginning, a wait when its session is known, another POST when
 * a wait is answered. While the second POST is being served, the first one's command runs. */
#include "bench.h"
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECTIONS_MAX 16U
#define FLIGHT_MAX      64U
#define REQUEST_MAX     8192U
#define ANSWERS_MAX     65536U

enum kind { POST, WAIT };

struct connection {
	int fd;
	enum kind sent[2 * FLIGHT_MAX]; /* not answered yet; a ring */
	unsigned first, n_sent;
	char in[ANSWERS_MAX];
	size_t n_in;
};

struct load {
	const char *until;      /* "exit", "eof"; NULL: do not wait */
	char post[REQUEST_MAX]; /* the whole request that starts a session */
	size_t to_post, to_finish;
};

static void connection_open(struct connection *c, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(address.sun_path)) {
		(void)fprintf(stderr, "%s: too long\n", path);
		exit(2);
	}
	memcpy(address.sun_path, path, strlen(path));
	c->first = c->n_sent = 0;
	c->n_in = 0;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die(path);
}

static void send_all(int fd, const char *data, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);

		if (sent < 0)
			die("send");
		data += sent;
		n -= (size_t)sent;
	}
}

static void ask(struct connection *c, enum kind kind, const char *request)
{
	c->sent[(c->first + c->n_sent++) % (2 * FLIGHT_MAX)] = kind;
	send_all(c->fd, request, strlen(request));
}

static void ask_post(struct connection *c, struct load *l)
{
	if (l->to_post == 0)
		return;
	l->to_post--;
	ask(c, POST, l->post);
}

static _Noreturn void refuse(const char *answer)
{
	(void)fprintf(stderr, "not the answer that was expected:\n%s\n", answer);
	exit(1);
}

/* Asks for the end of the session that `answer` describes. */
static void ask_wait(struct connection *c, const struct load *l, const char *answer)
{
	static const char field[] = "\"processId\":\"";
	char request[512], body[64];
	const char *id = strstr(answer, field);
	int n;

	if (!id)
		refuse(answer);
	id += strlen(field);
	n = snprintf(body, sizeof(body), "{\"until\":[{\"%s\":true}]}", l->until);
	(void)snprintf(request, sizeof(request),
		       "POST /v1/sessions/%.*s/wait HTTP/1.1\r\nHost: reeve\r\n"
		       "Content-Length: %d\r\n\r\n%s",
		       (int)strcspn(id, "\""), id, n, body);
	ask(c, WAIT, request);
}

static void answered(struct connection *c, struct load *l, const char *answer)
{
	enum kind kind = c->sent[c->first];

	c->first = (c->first + 1) % (2 * FLIGHT_MAX);
	c->n_sent--;
	if (strncmp(answer, kind == POST ? "HTTP/1.1 201 " : "HTTP/1.1 200 ", 13) != 0)
		refuse(answer);
	if (kind == WAIT && !strstr(answer, l->until))
		refuse(answer);
	if (kind == POST && l->until) {
		ask_wait(c, l, answer);
		return;
	}
	l->to_finish--;
	ask_post(c, l);
}

/* The length of the first whole answer in the buffer; 0 when it is not all there. */
static size_t answer_length(struct connection *c)
{
	const char *end, *length;
	size_t whole;

	c->in[c->n_in] = '\0';
	end = strstr(c->in, "\r\n\r\n");
	if (!end)
		return 0;
	length = strcasestr(c->in, "\r\nContent-Length: ");
	if (!length || length > end)
		refuse(c->in);
	whole = (size_t)(end + 4 - c->in) + strtoull(length + 18, NULL, 10);
	return whole <= c->n_in ? whole : 0;
}

static void receive(struct connection *c)
{
	ssize_t n = recv(c->fd, c->in + c->n_in, sizeof(c->in) - 1 - c->n_in, 0);

	if (n < 0)
		die("recv");
	if (n == 0) {
		(void)fputs("the daemon has closed the connection\n", stderr);
		exit(1);
	}
	c->n_in += (size_t)n;
}

static void take_answers(struct connection *c, struct load *l)
{
	size_t length;

	receive(c);
	while ((length = answer_length(c)) > 0) {
		char next = c->in[length];

		c->in[length] = '\0';
		answered(c, l, c->in);
		c->in[length] = next;
		c->n_in -= length;
		memmove(c->in, c->in + length, c->n_in);
	}
}

static void run(struct connection *connections, unsigned n, unsigned flight, struct load *l)
{
	struct pollfd p[CONNECTIONS_MAX];

	for (unsigned i = 0; i < n; i++) {
		p[i] = (struct pollfd){ .fd = connections[i].fd, .events = POLLIN };
		for (unsigned j = 0; j < flight; j++)
			ask_post(&connections[i], l);
	}
	while (l->to_finish > 0) {
		if (poll(p, n, -1) < 0)
			die("poll");
		for (unsigned i = 0; i < n; i++)
			if (p[i].revents)
				take_answers(&connections[i], l);
	}
}

/* The words of COMMAND are put into JSON as they are: without quotes and backslashes. With --pty
 * before them it gets a terminal. */
static void make_post(struct load *l, char **command)
{
	char body[REQUEST_MAX / 2];
	const char *kind = "";
	size_t n = 0;

	if (strcmp(command[0], "--pty") == 0) {
		kind = "\"kind\":\"pty\",";
		command++;
	}
	for (char **word = command; *word; word++) {
		n += (size_t)snprintf(body + n, sizeof(body) - n, "%s\"%s\"", n > 0 ? "," : "",
				      *word);
		if (strpbrk(*word, "\"\\\n") || n >= sizeof(body)) {
			(void)fprintf(stderr, "%s: cannot be put into JSON\n", *word);
			exit(2);
		}
	}
	(void)snprintf(l->post, sizeof(l->post),
		       "POST /v1/sessions HTTP/1.1\r\nHost: reeve\r\nContent-Length: %zu\r\n\r\n"
		       "{%s\"cwd\":\"/\",\"command\":[%s]}",
		       n + strlen(kind) + strlen("{\"cwd\":\"/\",\"command\":[]}"), kind, body);
}

static unsigned at_most(const char *text, unsigned max)
{
	size_t n = number(text);

	if (n > max) {
		(void)fprintf(stderr, "%s: at most %u\n", text, max);
		exit(2);
	}
	return (unsigned)n;
}

/* `arguments`: CONNECTIONS FLIGHT COUNT COMMAND... */
static int cycles(const char *path, const char *until, char **arguments)
{
	static struct connection connections[CONNECTIONS_MAX];
	unsigned n = at_most(arguments[0], CONNECTIONS_MAX);
	unsigned flight = at_most(arguments[1], FLIGHT_MAX);
	size_t count = number(arguments[2]);
	struct load l = { .until = until, .to_post = count, .to_finish = count };
	double begin;

	make_post(&l, arguments + 3);
	for (unsigned i = 0; i < n; i++)
		connection_open(&connections[i], path);
	begin = seconds();
	run(connections, n, flight, &l);
	printf("%.9f\n", seconds() - begin);
	return 0;
}

/* The listening socket outlives the engine: the request waits there for the next one. */
static int recover(const char *path, pid_t pid)
{
	static struct connection c;
	double begin = seconds(), end;
	char old[32];

	if (kill(pid, SIGKILL) < 0)
		die("kill");
	connection_open(&c, path);
	ask(&c, WAIT, "GET /v1/daemon HTTP/1.1\r\nHost: reeve\r\n\r\n");
	while (answer_length(&c) == 0)
		receive(&c);
	end = seconds();
	(void)snprintf(old, sizeof(old), "\"enginePid\":%d,", (int)pid);
	if (strncmp(c.in, "HTTP/1.1 200 ", 13) != 0 || strstr(c.in, old))
		refuse(c.in);
	printf("%.9f\n", end - begin);
	return 0;
}

int main(int argc, char **argv)
{
	static char one[] = "1";

	if (argc > 5 && strcmp(argv[2], "start") == 0) {
		argv[2] = one;
		return cycles(argv[1], NULL, argv + 2);
	}
	if (argc > 6 && (strcmp(argv[2], "exit") == 0 || strcmp(argv[2], "eof") == 0))
		return cycles(argv[1], argv[2], argv + 3);
	if (argc == 4 && strcmp(argv[2], "recover") == 0)
		return recover(argv[1], (pid_t)number(argv[3]));
	(void)fputs("usage: bench-client SOCKET start FLIGHT COUNT COMMAND...\n"
		    "       bench-client SOCKET exit|eof CONNECTIONS FLIGHT COUNT COMMAND...\n"
		    "       bench-client SOCKET recover PID\n",
		    stderr);
	return 2;
}
