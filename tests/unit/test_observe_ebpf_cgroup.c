/* SPDX-License-Identifier: Apache-2.0 */
/* The backend `ebpf` with the cgroup of a session: who comes into it is observed, and the hooks of
 * the cgroup say where the kernel was really asked to connect to. */
#include "core/cgroup.h"
#include "ebpf_observed.h"
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#define LEAF    7U
#define WAIT_MS 400L

struct scene {
	struct observed o;
	int cgroups;
};

static int open_cgroups(void)
{
	char tag[32];
	struct error e = { 0 };
	int dir = -1;

	snprintf(tag, sizeof(tag), "reeve-test-%d", (int)getpid());
	if (cgroup_open(tag, &dir, &e) < 0)
		skip();
	return dir;
}

static void enter(int cgroups)
{
	int fd = openat(cgroups, "s7/cgroup.procs", O_WRONLY | O_CLOEXEC);

	must(fd >= 0 && write(fd, "0", 1) == 1);
	close(fd);
}

static void begin_scene(struct scene *s, unsigned categories, void (*role)(void *), void *userdata)
{
	need_backend();
	s->cgroups = open_cgroups();
	assert_int_equal(cgroup_leaf_make(s->cgroups, LEAF), 0);
	observed_init(&s->o);
	host_free(s->o.host);
	assert_int_equal(host_new(&s->o.host, s->cgroups, NULL), 0);
	observed_fork(&s->o, role, userdata);
	observed_start_with(&s->o, &backend_ebpf,
			    &(struct backend_target){ .session = 1,
						      .leader = s->o.pid,
						      .gated = true,
						      .cgroup_leaf = LEAF,
						      .categories = categories });
}

static void end_scene(struct scene *s)
{
	observed_done(&s->o);
	/* A process may be in its cgroup for a moment after it was reaped. */
	wait_until(cgroup_close_down(s->cgroups) == 0);
}

static void exit_at_once(void *userdata _unused_)
{
}

static void who_comes_into_the_cgroup_is_observed(void **state _unused_)
{
	struct scene s;
	pid_t stranger;
	int status;

	begin_scene(&s, 1U << REEVE_PROCESS, exit_at_once, NULL);
	stranger = fork();
	assert_true(stranger >= 0);
	if (stranger == 0) {
		pid_t child;

		enter(s.cgroups);
		child = fork();
		if (child == 0)
			_exit(6);
		must(waitpid(child, NULL, 0) == child);
		_exit(0);
	}
	assert_int_equal(waitpid(stranger, &status, 0), stranger);
	assert_int_equal(status, 0);
	observed_finish(&s.o);
	assert_int_equal(observed_find(&s.o, REEVE_EXITED,
				       observed_find(&s.o, REEVE_FORKED, stranger)->child_pid)
				 ->exit_code,
			 6);
	end_scene(&s);
}

struct claim {
	int cgroups;
	uint16_t port;         /* that was asked for */
	struct sockaddr_in to; /* changes while the call waits */
};

static void *change_the_claim(void *userdata)
{
	struct claim *c = userdata;

	while (state_of(getpid()) != 'S') /* the first thread, which connects */
		pause_ms(1);
	*(volatile uint16_t *)&c->to.sin_port = htons(1);
	return NULL;
}

/* A server whose queue is full lets one wait who connects. */
static uint16_t listen_with_a_full_queue(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(a);

	must(bind(server, (struct sockaddr *)&a, sizeof(a)) == 0);
	must(listen(server, 0) == 0);
	must(getsockname(server, (struct sockaddr *)&a, &size) == 0);
	must(connect(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), (struct sockaddr *)&a, size) ==
	     0);
	return ntohs(a.sin_port);
}

static void connect_and_change_the_claim(void *userdata)
{
	struct timeval patience = { .tv_usec = WAIT_MS * 1000L };
	struct claim *c = userdata;
	pthread_t thread;
	int fd;

	/* A socket is of the cgroup in which it was made. */
	enter(c->cgroups);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	c->port = listen_with_a_full_queue();
	c->to = (struct sockaddr_in){ .sin_family = AF_INET,
				      .sin_port = htons(c->port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	must(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0);
	must(pthread_create(&thread, NULL, change_the_claim, c) == 0);
	must(connect(fd, (struct sockaddr *)&c->to, sizeof(c->to)) < 0 && errno == EINPROGRESS);
	must(pthread_join(thread, NULL) == 0);
	must(close(fd) == 0);
}

static void the_destination_is_what_the_kernel_took_and_not_what_is_claimed(void **state _unused_)
{
	struct claim *c =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const struct reeve_event *e;
	struct scene s;

	need_backend();
	c->cgroups = open_cgroups();
	begin_scene(&s, NETWORK, connect_and_change_the_claim, c);
	close(c->cgroups);
	observed_finish(&s.o);
	assert_int_equal(s.o.status, 0);
	assert_int_equal(observed_count(&s.o, REEVE_CONNECTED, 0), 2);
	e = observed_nth(&s.o, REEVE_CONNECTED, 0, 1);
	assert_true(e->result < 0);
	assert_int_equal(e->remote.port, c->port);
	end_scene(&s);
	munmap(c, 4096);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(who_comes_into_the_cgroup_is_observed),
		TEST(the_destination_is_what_the_kernel_took_and_not_what_is_claimed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
