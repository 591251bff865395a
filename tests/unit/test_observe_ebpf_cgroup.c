/* SPDX-License-Identifier: Apache-2.0 */
/* The backend `ebpf` with the cgroup of a session: who comes into it is observed, and the hooks of
 * the cgroup say where the kernel was really asked to send. */
#include "core/cgroup.h"
#include "ebpf_observed.h"
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#define LEAF      7U
#define DATAGRAMS 2000
#define PORTS     2

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
	need_ebpf();
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
	assert_int_equal(cgroup_close_down(s->cgroups), 0);
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

struct flip {
	int cgroups;
	struct sockaddr_in to; /* its port flips between the two */
	uint16_t ports[PORTS];
	uint32_t received[PORTS];
};

static void *flip_forever(void *userdata)
{
	struct flip *f = userdata;

	for (unsigned i = 0;; i++)
		*(volatile uint16_t *)&f->to.sin_port = htons(f->ports[i % PORTS]);
	return NULL;
}

static void send_where_it_flips(void *userdata)
{
	struct flip *f = userdata;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int receivers[PORTS];
	pthread_t thread;
	char byte = 'x';

	enter(f->cgroups);
	f->to = a;
	for (unsigned i = 0; i < PORTS; i++) {
		socklen_t size = sizeof(a);

		a.sin_port = 0;
		receivers[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		must(bind(receivers[i], (struct sockaddr *)&a, sizeof(a)) == 0);
		must(getsockname(receivers[i], (struct sockaddr *)&a, &size) == 0);
		f->ports[i] = ntohs(a.sin_port);
	}
	f->to.sin_port = a.sin_port;
	must(pthread_create(&thread, NULL, flip_forever, f) == 0);
	for (unsigned i = 0; i < DATAGRAMS; i++) {
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		must(sendto(fd, &byte, 1, 0, (struct sockaddr *)&f->to, sizeof(f->to)) == 1);
		close(fd);
		for (unsigned k = 0; k < PORTS; k++)
			f->received[k] += read(receivers[k], &byte, 1) == 1;
	}
}

static void the_destination_is_where_the_kernel_sent_and_not_what_was_claimed(void **state _unused_)
{
	struct flip *f =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const struct reeve_event *e;
	uint32_t told[PORTS] = { 0 };
	struct scene s;

	f->cgroups = -1;
	need_ebpf();
	f->cgroups = open_cgroups();
	begin_scene(&s, NETWORK, send_where_it_flips, f);
	close(f->cgroups);
	observed_finish(&s.o);
	assert_int_equal(s.o.status, 0);
	for (unsigned n = 0; (e = observed_nth(&s.o, REEVE_DATAGRAM, 0, n)); n++) {
		for (unsigned k = 0; k < PORTS; k++)
			told[k] += e->remote.port == f->ports[k];
	}
	assert_int_equal(f->received[0] + f->received[1], DATAGRAMS);
	assert_int_equal(told[0], f->received[0]);
	assert_int_equal(told[1], f->received[1]);
	end_scene(&s);
	munmap(f, 4096);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(who_comes_into_the_cgroup_is_observed),
		TEST(the_destination_is_where_the_kernel_sent_and_not_what_was_claimed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
