/* SPDX-License-Identifier: Apache-2.0 */
/* The backend seccomp-user-notify where it may read nothing but what another lends it. */
#include "base/cleanup.h"
#include "base/fd.h"
#include "core/lend.h"
#include "fds.h"
#include "observed.h"
#include <netinet/in.h>

#define FILES     (1U << REEVE_FILE)
#define PROCESSES (1U << REEVE_PROCESS)
#define NETWORKS  (1U << REEVE_NETWORK)
#define OPENS     20U

static const struct backend *const backend = &backend_seccomp_user_notify;

/* Lends, or refuses, when it is told to. */
static struct {
	struct host *host;
	uint32_t ticket; /* 0: nothing is asked for */
	int32_t of;
	int number;
	unsigned asked, complained;
	bool refuses, refuses_sockets;
} lender;

static void on_ask(void *userdata _unused_, uint32_t ticket, int32_t of, int number)
{
	lender.ticket = ticket;
	lender.of = of;
	lender.number = number;
	lender.asked++;
}

static void on_complaint(void *userdata _unused_, uint32_t session _unused_,
			 const char *text _unused_)
{
	lender.complained++;
}

static int lent_now(void)
{
	if (lender.refuses || (lender.refuses_sockets && lender.number >= 0))
		return -EPERM;
	return lender.number < 0 ? lend_memory(lender.of)
				 : lend_descriptor(lender.of, lender.number);
}

static void lend(void)
{
	uint32_t ticket = lender.ticket;

	lender.ticket = 0;
	if (ticket != 0)
		host_lent(lender.host, ticket, lent_now());
}

static void observe_lent(struct observed *o, unsigned categories, void (*role)(void *),
			 void *userdata)
{
	memset(&lender, 0, sizeof(lender));
	observed_init(o);
	lender.host = o->host;
	host_listen(o->host, on_complaint, NULL);
	host_set_lender(o->host, &(struct host_lender){ on_ask, NULL });
	backend->prepare(categories, &o->entry);
	observed_fork(o, role, userdata);
	observed_start_with(
		o, backend,
		&(struct backend_target){
			.session = 1, .leader = o->pid, .gated = true, .categories = categories });
}

/* To the end, with what is asked for. */
static void finish_lent(struct observed *o)
{
	observed_go(o);
	while (waitpid(o->pid, &o->status, WNOHANG) == 0) {
		observed_look(o);
		lend();
	}
	assert_int_equal(o->status, 0);
	observation_flush(o->observation);
}

static void wait_until_asked(struct observed *o)
{
	while (lender.ticket == 0)
		observed_look(o);
}

static void open_some(void *userdata)
{
	for (unsigned i = 0; i < OPENS; i++)
		if (open(userdata, O_RDONLY | O_CLOEXEC) < 0)
			_exit(1);
}

static void each_call_is_told_with_what_was_lent_for_it(void **state _unused_)
{
	struct observed o;

	observe_lent(&o, FILES, open_some, (void *)"/dev/null");
	finish_lent(&o);
	assert_int_equal(o.n, OPENS);
	for (unsigned i = 0; i < OPENS; i++)
		assert_string_equal(o.events[i]->path, "/dev/null");
	assert_int_equal(lender.asked, OPENS); /* no execve is seen: each may be another program */
	assert_int_equal(lender.complained, 0);
	observed_done(&o);
}

static void what_is_refused_is_told_without(void **state _unused_)
{
	struct observed o;

	observe_lent(&o, FILES, open_some, (void *)"/dev/null");
	lender.refuses = true;
	finish_lent(&o);
	assert_int_equal(o.n, OPENS);
	assert_int_equal(o.events[0]->fields & REEVE_HAS_PATH, 0);
	assert_int_equal(lender.complained, 1);
	observed_done(&o);
}

static void open_after_a_failed_execve(void *userdata)
{
	char *argv[] = { userdata, NULL };

	(void)execv("/nonexistent/program", argv);
	open_some(userdata);
}

static void a_program_is_not_asked_for_at_each_call_where_its_execve_is_seen(void **state _unused_)
{
	struct observed o;
	unsigned asked;

	/* What was lent is kept for a moment: a machine that is busy may need a few attempts. */
	do {
		observe_lent(&o, FILES | PROCESSES, open_after_a_failed_execve,
			     (void *)"/dev/null");
		finish_lent(&o);
		assert_int_equal(observed_count(&o, REEVE_OPENED, o.pid), OPENS);
		for (unsigned i = 0; i < OPENS; i++)
			assert_string_equal(observed_nth(&o, REEVE_OPENED, o.pid, i)->path,
					    "/dev/null");
		assert_string_equal(observed_nth(&o, REEVE_EXECUTED, o.pid, 0)->path,
				    "/nonexistent/program");
		asked = lender.asked;
		observed_done(&o);
	} while (asked > OPENS / 2);
}

static void connect_to_nobody(void *userdata _unused_)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(1) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	(void)connect(fd, (struct sockaddr *)&to, sizeof(to));
}

static void a_socket_is_lent_too(void **state _unused_)
{
	struct observed o;

	observe_lent(&o, NETWORKS, connect_to_nobody, NULL);
	finish_lent(&o);
	assert_int_equal(o.n, 1);
	assert_int_equal(o.events[0]->remote.port, 1);
	assert_int_not_equal(o.events[0]->fields & REEVE_HAS_SOCKET, 0);
	assert_int_equal(o.events[0]->protocol, IPPROTO_TCP);
	assert_int_equal(lender.asked, 2);
	observed_done(&o);
}

/* It may just not be there: nothing keeps us from reading memory. */
static void a_socket_that_is_refused_is_no_reason_to_complain(void **state _unused_)
{
	struct observed o;

	observe_lent(&o, NETWORKS, connect_to_nobody, NULL);
	lender.refuses_sockets = true;
	finish_lent(&o);
	assert_int_equal(o.n, 1);
	assert_int_equal(o.events[0]->remote.port, 1);
	assert_int_equal(o.events[0]->fields & REEVE_HAS_SOCKET, 0);
	assert_int_equal(lender.asked, 2);
	assert_int_equal(lender.complained, 0);
	observed_done(&o);
}

static void
a_call_waits_for_what_is_asked_for_and_goes_on_when_nobody_wants_it(void **state _unused_)
{
	struct observed o;

	observe_lent(&o, FILES, open_some, (void *)"/dev/null");
	observed_go(&o);
	wait_until_asked(&o);
	for (int i = 0; i < 20; i++)
		observed_look(&o);
	assert_int_equal(o.n, 0);
	assert_int_equal(waitpid(o.pid, &o.status, WNOHANG), 0);
	o.observation = observation_stop(o.observation);
	assert_int_equal(o.missed[REEVE_FILE], 1);
	while (waitpid(o.pid, &o.status, WNOHANG) == 0)
		observed_look(&o);
	assert_int_equal(o.status, 0);
	lend(); /* to nobody */
	observed_done(&o);
}

static void who_may_not_have_heard_is_asked_again(void **state _unused_)
{
	struct observed o;
	uint32_t first;

	observe_lent(&o, FILES, open_some, (void *)"/dev/null");
	observed_go(&o);
	wait_until_asked(&o);
	first = lender.ticket;
	host_ask_again(o.host);
	assert_int_not_equal(lender.ticket, first);
	host_lent(o.host, first, -EPERM); /* an answer to a question that was given up */
	assert_int_equal(o.n, 0);
	lend();
	assert_int_equal(o.n, 1);
	assert_string_equal(o.events[0]->path, "/dev/null");
	while (waitpid(o.pid, &o.status, WNOHANG) == 0) {
		observed_look(&o);
		lend();
	}
	observed_done(&o);
}

static void who_was_killed_in_its_call_is_not_told_of(void **state _unused_)
{
	struct observed o;

	observe_lent(&o, FILES, open_some, (void *)"/dev/null");
	observed_go(&o);
	wait_until_asked(&o);
	assert_int_equal(kill(o.pid, SIGKILL), 0);
	assert_int_equal(waitpid(o.pid, &o.status, 0), o.pid);
	host_lent(o.host, lender.ticket, open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
	observation_flush(o.observation);
	assert_int_equal(o.n, 0);
	observed_done(&o);
}

static void nothing_is_left_open(void **state _unused_)
{
	unsigned before = count_fds();
	struct observed o;

	observe_lent(&o, FILES | PROCESSES | NETWORKS, connect_to_nobody, NULL);
	finish_lent(&o);
	observed_done(&o);
	assert_int_equal(count_fds(), before);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_call_is_told_with_what_was_lent_for_it),
		cmocka_unit_test(what_is_refused_is_told_without),
		cmocka_unit_test(a_program_is_not_asked_for_at_each_call_where_its_execve_is_seen),
		cmocka_unit_test(a_socket_is_lent_too),
		cmocka_unit_test(a_socket_that_is_refused_is_no_reason_to_complain),
		cmocka_unit_test(
			a_call_waits_for_what_is_asked_for_and_goes_on_when_nobody_wants_it),
		cmocka_unit_test(who_may_not_have_heard_is_asked_again),
		cmocka_unit_test(who_was_killed_in_its_call_is_not_told_of),
		cmocka_unit_test(nothing_is_left_open),
	};

	setenv("REEVE_MEMORY", "keeper", 1);
	if (!backend_works(backend, REEVE_LAUNCHED_TREE))
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
