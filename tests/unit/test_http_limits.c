/* SPDX-License-Identifier: Apache-2.0 */
/* Who is let in, how many, and for how long. */
#include "http_fixture.h"
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONNECTIONS 1000U
#define ATTEMPTS    5000U
#define NOBODY      65534

static int ping(struct request *rq, void *context _unused_, struct error *e _unused_)
{
	return request_reply_json(rq, 200, json_object());
}

static int wait_for_ever(struct request *rq, void *context, struct error *e _unused_)
{
	struct fixture *f = context;

	request_defer(rq, NULL, NULL);
	f->handled++;
	return 0;
}

static const struct route routes[] = {
	{ .method = "GET", .path = "/ping", .handle = ping },
	{ .method = "GET", .path = "/status", .handle = ping, .keep_place = true },
	{ .method = "GET", .path = "/wait", .handle = wait_for_ever },
	{ .method = "POST", .path = "/body", .handle = ping, .body_max = 100 },
	{ 0 },
};

static const char ping_request[] = "GET /ping HTTP/1.1\r\n\r\n";
static const char status_request[] = "GET /status HTTP/1.1\r\n\r\n";

/* --- places --------------------------------------------------------------------------------- */

struct crowd {
	struct fixture *f;
	struct client *clients[3];
};

/* Three places, all of them taken, and two more for routes with keep_place. */
static void crowd_begin(struct crowd *crowd)
{
	crowd->f = fixture_new(routes, (struct http_limits){ .connections = 3, .reserved = 2 });
	for (unsigned i = 0; i < ARRAY_SIZE(crowd->clients); i++) {
		crowd->clients[i] = client_new(crowd->f);
		assert_int_equal(client_ask(crowd->clients[i], ping_request), 200);
	}
}

static void crowd_end(struct crowd *crowd)
{
	for (unsigned i = 0; i < ARRAY_SIZE(crowd->clients); i++)
		client_unref(crowd->clients[i]);
	fixture_unref(crowd->f);
}

static void above_the_limit_there_is_an_answer_and_no_waiting(void **state _unused_)
{
	struct crowd crowd;
	struct client *idle[2], *c;

	crowd_begin(&crowd);
	for (unsigned i = 0; i < 2; i++)
		idle[i] = client_new(crowd.f);
	wait_until(fixture_connections(crowd.f) == 5);
	c = client_new(crowd.f);
	assert_int_equal(client_receive(c), 503); /* not even asked */
	assert_error(c, 503, "unavailable");
	assert_non_null(strstr(c->body, "\"retryable\":true"));
	assert_true(client_at_end(c));
	client_unref(c);
	client_unref(idle[0]);
	client_unref(idle[1]);
	crowd_end(&crowd);
}

static void the_places_kept_are_for_routes_that_keep_one(void **state _unused_)
{
	struct crowd crowd;

	crowd_begin(&crowd);
	for (unsigned i = 0; i < 5; i++) {
		struct client *c = client_new(crowd.f);

		client_ask(c, i % 2 ? ping_request : status_request);
		if (i % 2)
			assert_error(c, 503, "unavailable");
		else
			assert_int_equal(c->status, 200);
		assert_true(client_at_end(c)); /* one request each */
		client_unref(c);
	}
	/* Those within the limit are not concerned. */
	assert_int_equal(client_ask(crowd.clients[0], ping_request), 200);
	crowd_end(&crowd);
}

static void a_place_is_free_again_when_its_client_leaves(void **state _unused_)
{
	struct crowd crowd;

	crowd_begin(&crowd);
	client_unref(crowd.clients[1]);
	wait_until(fixture_connections(crowd.f) == 2);
	crowd.clients[1] = client_new(crowd.f);
	for (int i = 0; i < 2; i++)
		assert_int_equal(client_ask(crowd.clients[1], ping_request), 200);
	crowd_end(&crowd);
}

static unsigned attempts_possible(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur > ATTEMPTS + 2 * CONNECTIONS ? ATTEMPTS
							   : (unsigned)limit.rlim_cur / 3;
}

/* Reads the status line of an answer. */
static int quick_status(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char head[512] = "";
	int status = 0;

	if (poll(&p, 1, PATIENCE_MS) == 1 && recv(fd, head, sizeof(head) - 1, 0) > 0)
		sscanf(head, "HTTP/1.1 %d ", &status);
	return status;
}

static void none_of_5000_connections_hangs(void **state _unused_)
{
	unsigned n = attempts_possible(), limit = MIN(CONNECTIONS, n / 2), served = 0, refused = 0;
	struct fixture *f = fixture_new(routes, (struct http_limits){ .connections = limit });
	int *fds = calloc(n, sizeof(int));

	for (unsigned i = 0; i < n; i++) {
		fds[i] = dial(f);
		send(fds[i], ping_request, strlen(ping_request), MSG_NOSIGNAL);
	}
	for (unsigned i = 0; i < n; i++) {
		int status = quick_status(fds[i]);

		served += status == 200;
		refused += status == 503;
	}
	assert_int_equal(served, limit);
	assert_int_equal(refused, n - limit);
	assert_int_equal(fixture_connections(f), limit);
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
	wait_until(fixture_connections(f) == 0);
	free(fds);
	fixture_unref(f);
}

/* --- descriptors ---------------------------------------------------------------------------- */

/* Leaves no descriptor for this process. Returns how many were opened for that, all above the
 * first. */
static unsigned use_up_descriptors(struct rlimit *ret_before, int *fds, unsigned max)
{
	struct rlimit few = { .rlim_cur = max };
	unsigned n = 0;

	getrlimit(RLIMIT_NOFILE, ret_before);
	few.rlim_max = ret_before->rlim_max;
	setrlimit(RLIMIT_NOFILE, &few);
	while ((fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		n++;
	return n;
}

static void without_descriptors_there_is_an_answer_too(void **state _unused_)
{
	struct fixture *f = fixture_new(routes, (struct http_limits){ .connections = 10 });
	struct client *early = client_new(f), *late = client_new(f);
	struct rlimit before;
	int fds[256];
	unsigned n;

	assert_int_equal(client_ask(early, ping_request), 200);
	close(late->fd);
	wait_until(fixture_connections(f) == 1);
	late->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	n = use_up_descriptors(&before, fds, ARRAY_SIZE(fds));
	assert_int_equal(connect(late->fd, (void *)&f->address, sizeof(f->address)), 0);
	assert_int_equal(client_receive(late), 507);
	assert_error(late, 507, "exhausted");
	assert_true(client_at_end(late));
	assert_int_equal(client_ask(early, ping_request), 200);

	while (n)
		close(fds[--n]);
	setrlimit(RLIMIT_NOFILE, &before);
	close(late->fd);
	late->fd = dial(f);
	assert_int_equal(client_ask(late, ping_request), 200);
	client_unref(late);
	client_unref(early);
	fixture_unref(f);
}

/* --- users ---------------------------------------------------------------------------------- */

/* As another user; 0 when it was told to go away as it should. */
static int try_as_nobody(const struct fixture *f)
{
	struct client *c;

	if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
		return 2;
	c = client_new(f);
	client_send(c, ping_request);
	if (client_receive(c) != 403 || strcmp(client_error(c), "forbidden") != 0)
		return 3;
	return client_at_end(c) ? 0 : 4;
}

static void another_user_is_not_let_in(void **state _unused_)
{
	struct fixture *f;
	struct client *c;
	pid_t pid;
	int status;

	if (geteuid() != 0)
		skip();
	f = fixture_new(routes, (struct http_limits){ .connections = 10 });
	assert_int_equal(chmod(f->dir, 0755), 0);
	assert_int_equal(chmod(f->address.sun_path, 0666), 0);
	pid = fork();
	if (pid == 0)
		_exit(try_as_nobody(f));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(fixture_connections(f), 0);
	c = client_new(f);
	assert_int_equal(client_ask(c, ping_request), 200);
	client_unref(c);
	fixture_unref(f);
}

/* --- time ----------------------------------------------------------------------------------- */

static void who_says_nothing_or_half_of_it_is_closed(void **state _unused_)
{
	static const char *const halves[] = {
		"",
		"GE",
		"GET /ping HTTP/1.1\r\nHost: ",
		"POST /body HTTP/1.1\r\nContent-Length: 10\r\n\r\n12345",
		"POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123",
	};
	struct fixture *f =
		fixture_new(routes, (struct http_limits){ .connections = 100, .idle_seconds = 1 });
	struct client *clients[ARRAY_SIZE(halves)];
	uint64_t begin = now_ms();

	for (unsigned i = 0; i < ARRAY_SIZE(halves); i++) {
		clients[i] = client_new(f);
		client_send(clients[i], halves[i]);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(halves); i++) {
		assert_true(client_at_end(clients[i]));
		client_unref(clients[i]);
	}
	assert_true(now_ms() - begin >= 900);
	wait_until(fixture_connections(f) == 0);
	fixture_unref(f);
}

static void a_head_that_comes_byte_by_byte_has_no_more_time_than_others(void **state _unused_)
{
	struct fixture *f = fixture_new(routes, (struct http_limits){
							.connections = 10,
							.idle_seconds = 1,
							.head_seconds = 1,
						});
	struct client *slow = client_new(f), *busy = client_new(f);
	uint64_t begin = now_ms();
	const char *next = "GET /ping HTTP/1.1\r\nX-Long: ";

	/* Requests that come now and then are no offence. */
	while (now_ms() - begin < 10000 &&
	       send(slow->fd, *next ? next++ : "x", 1, MSG_NOSIGNAL) == 1) {
		assert_int_equal(client_ask(busy, ping_request), 200);
		usleep(50000);
	}
	assert_true(now_ms() - begin >= 1900 && now_ms() - begin < 9000);
	assert_true(client_at_end(slow));
	assert_int_equal(client_ask(busy, ping_request), 200);
	client_unref(slow);
	client_unref(busy);
	fixture_unref(f);
}

static void quiesce(struct fixture *f)
{
	http_server_quiesce(f->server);
}

static void a_quiet_server_takes_nobody_and_goes_on_with_those_it_has(void **state _unused_)
{
	struct fixture *f = fixture_new(routes, (struct http_limits){ .connections = 10 });
	struct client *c = client_new(f), *late;

	assert_int_equal(client_ask(c, ping_request), 200);
	fixture_call(f, quiesce);
	late = client_new(f); /* waits in the backlog, for whoever serves the socket next */
	client_send(late, ping_request);
	for (int i = 0; i < 20; i++)
		assert_int_equal(client_ask(c, ping_request), 200);
	assert_int_equal(fixture_connections(f), 1);
	client_unref(late);
	client_unref(c);
	fixture_unref(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(above_the_limit_there_is_an_answer_and_no_waiting),
		cmocka_unit_test(the_places_kept_are_for_routes_that_keep_one),
		cmocka_unit_test(a_place_is_free_again_when_its_client_leaves),
		cmocka_unit_test(none_of_5000_connections_hangs),
		cmocka_unit_test(without_descriptors_there_is_an_answer_too),
		cmocka_unit_test(another_user_is_not_let_in),
		cmocka_unit_test(who_says_nothing_or_half_of_it_is_closed),
		cmocka_unit_test(a_head_that_comes_byte_by_byte_has_no_more_time_than_others),
		cmocka_unit_test(a_quiet_server_takes_nobody_and_goes_on_with_those_it_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
