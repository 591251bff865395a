/* SPDX-License-Identifier: Apache-2.0 */
/* The backends that see what comes of calls: sockets. */
#include "ebpf_observed.h"
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static uint16_t listen_somewhere(int *ret_fd)
{
	struct sockaddr_in a = loopback(0);
	socklen_t size = sizeof(a);

	*ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(bind(*ret_fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	must(listen(*ret_fd, 5) == 0);
	must(getsockname(*ret_fd, (struct sockaddr *)&a, &size) == 0);
	return ntohs(a.sin_port);
}

static void talk_to_myself(void *userdata)
{
	char buffer[100] = { 0 };
	int server, client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), peer;
	uint16_t port = listen_somewhere(&server);
	struct sockaddr_in a = loopback(port);

	*(uint16_t *)userdata = port;
	must(connect(client, (struct sockaddr *)&a, sizeof(a)) == 0);
	peer = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	must(peer >= 0);
	must(send(client, buffer, 60, 0) == 60);
	must(write(client, buffer, 40) == 40);
	must(recv(peer, buffer, 100, MSG_WAITALL) == 100);
	must(send(peer, buffer, 9, 0) == 9);
	must(read(client, buffer, 9) == 9);
	must(close(client) == 0);
	must(close(peer) == 0);
	must(close(server) == 0);
}

static const struct reeve_event *closed_with(const struct observed *o, uint64_t sent)
{
	const struct reeve_event *e;

	for (unsigned n = 0; (e = observed_nth(o, REEVE_CLOSED, 0, n)); n++) {
		if (e->bytes_written == sent)
			return e;
	}
	return NULL;
}

static void a_connection_is_seen_from_both_ends_with_its_bytes(void **state _unused_)
{
	uint16_t *port =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const struct reeve_event *e;
	struct observed o;

	observe(&o, NETWORK, talk_to_myself, port);
	e = observed_find(&o, REEVE_BOUND, o.pid);
	assert_int_equal(e->family, AF_INET);
	assert_int_equal(e->protocol, IPPROTO_TCP);
	assert_int_equal(e->local.port, *port);
	assert_int_equal(observed_find(&o, REEVE_LISTENING, o.pid)->local.port, *port);
	e = observed_find(&o, REEVE_CONNECTED, o.pid);
	assert_int_equal(e->remote.port, *port);
	assert_int_equal(e->remote.family, AF_INET);
	assert_memory_equal(e->remote.bytes, "\x7f\0\0\1", 4);
	assert_false(e->fields & REEVE_HAS_RESULT);
	assert_int_equal(observed_find(&o, REEVE_ACCEPTED, o.pid)->local.port, *port);
	assert_int_equal(observed_find(&o, REEVE_ACCEPTED, o.pid)->remote.port, e->local.port);
	e = closed_with(&o, 100);
	assert_non_null(e);
	assert_int_equal(e->bytes_read, 9);
	e = closed_with(&o, 9);
	assert_non_null(e);
	assert_int_equal(e->bytes_read, 100);
	observed_done(&o);
	munmap(port, 4096);
}

static void connect_in_vain(void *userdata)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), server;
	uint16_t port = listen_somewhere(&server);
	struct sockaddr_in a = loopback(port);

	*(uint16_t *)userdata = port;
	must(close(server) == 0);
	must(connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno == ECONNREFUSED);
}

static void a_refused_connection_says_where_it_was_to_go(void **state _unused_)
{
	uint16_t *port =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const struct reeve_event *e;
	struct observed o;

	observe(&o, NETWORK, connect_in_vain, port);
	e = observed_find(&o, REEVE_CONNECTED, o.pid);
	assert_int_equal(e->result, -ECONNREFUSED);
	assert_int_equal(e->remote.port, *port);
	observed_done(&o);
	munmap(port, 4096);
}

static void connect_without_waiting(void *userdata _unused_)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), server;
	uint16_t port = listen_somewhere(&server);
	struct sockaddr_in a = loopback(port);
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	must(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 || errno == EINPROGRESS);
	must(poll(&p, 1, PATIENCE_MS) == 1);
	must(close(fd) == 0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	must(close(server) == 0);
	must(connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0);
	p.fd = fd;
	must(poll(&p, 1, PATIENCE_MS) == 1);
}

static void one_that_does_not_wait_is_told_once_it_is_decided(void **state _unused_)
{
	bool sees_calls_only = strcmp(BACKEND.name, "ptrace") == 0;
	struct observed o;

	observe(&o, NETWORK, connect_without_waiting, NULL);
	assert_int_equal(observed_count(&o, REEVE_CONNECTED, 0), 2);
	/* Its reason says so: ptrace sees calls only, and none tells how it went. */
	assert_int_equal(observed_nth(&o, REEVE_CONNECTED, 0, 0)->result,
			 sees_calls_only ? -EINPROGRESS : 0);
	assert_int_equal(observed_nth(&o, REEVE_CONNECTED, 0, 1)->result,
			 sees_calls_only ? -EINPROGRESS : -ECONNREFUSED);
	observed_done(&o);
}

static void send_datagrams(void *userdata _unused_)
{
	struct sockaddr_in a = loopback(0);
	socklen_t size = sizeof(a);
	int server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), fd;
	char buffer[10] = { 0 };

	must(bind(server, (struct sockaddr *)&a, sizeof(a)) == 0);
	must(getsockname(server, (struct sockaddr *)&a, &size) == 0);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	for (int i = 0; i < 3; i++)
		must(sendto(fd, buffer, 10, 0, (struct sockaddr *)&a, size) == 10);
	must(close(fd) == 0);
}

static void datagrams_are_totals_with_their_destination(void **state _unused_)
{
	const struct reeve_event *e;
	struct observed o;

	observe(&o, NETWORK, send_datagrams, NULL);
	e = observed_find(&o, REEVE_DATAGRAM, o.pid);
	assert_int_equal(e->protocol, IPPROTO_UDP);
	assert_int_equal(e->remote.port, observed_find(&o, REEVE_BOUND, o.pid)->local.port);
	assert_int_equal(observed_count(&o, REEVE_DATAGRAM, 0), 1);
	e = observed_find(&o, REEVE_CLOSED, o.pid);
	assert_int_equal(e->bytes_written, 30);
	assert_int_equal(e->writes, 3);
	observed_done(&o);
}

static void use_unix_sockets(void *userdata _unused_)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(a.sun_path, path_in("sock"));
	must(bind(server, (struct sockaddr *)&a, sizeof(a)) == 0);
	must(listen(server, 1) == 0);
	must(connect(client, (struct sockaddr *)&a, sizeof(a)) == 0);
}

static void unix_sockets_have_paths(void **state _unused_)
{
	const struct reeve_event *e;
	struct observed o;

	observe(&o, NETWORK, use_unix_sockets, NULL);
	e = observed_find(&o, REEVE_BOUND, o.pid);
	assert_int_equal(e->family, AF_UNIX);
	assert_string_equal(e->local.path, path_in("sock"));
	e = observed_find(&o, REEVE_CONNECTED, o.pid);
	assert_string_equal(e->remote.path, path_in("sock"));
	observed_done(&o);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_connection_is_seen_from_both_ends_with_its_bytes),
		TEST(a_refused_connection_says_where_it_was_to_go),
		TEST(one_that_does_not_wait_is_told_once_it_is_decided),
		TEST(datagrams_are_totals_with_their_destination),
		TEST(unix_sockets_have_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
