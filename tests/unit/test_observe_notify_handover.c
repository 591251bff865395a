/* SPDX-License-Identifier: Apache-2.0 */
/* The backend seccomp-user-notify: what it holds up goes on, whoever dies or does not care. */
#include "base/cleanup.h"
#include "observe/seccomp_notify.h"
#include "observed.h"
#include <linux/audit.h>
#include <linux/seccomp.h>

#define CHILDREN 8
#define OPENS    200
#define FILES    (1U << REEVE_FILE)

static const struct backend *const backend = &backend_seccomp_user_notify;

static void open_ten(void *userdata)
{
	for (int i = 0; i < 10; i++) {
		if (open(userdata, O_RDONLY) < 0)
			_exit(1);
		pause_ms(1);
	}
}

/* Nobody wants to know any more, and the process must not notice. */
static void it_goes_on_when_nobody_observes_it_any_more(void **state _unused_)
{
	struct observed o;

	observed_start(&o, backend, FILES, open_ten, (void *)"/dev/null");
	observed_go(&o);
	while (o.n < 3)
		observed_look(&o);
	o.observation = observation_stop(o.observation);
	while (waitpid(o.pid, &o.status, WNOHANG) == 0)
		observed_look(&o);
	assert_int_equal(o.status, 0);
	observed_done(&o);
}

/* So many at a time that calls always wait. */
static void open_in_children(void *userdata)
{
	int status;

	for (int i = 0; i < CHILDREN; i++) {
		if (fork() != 0)
			continue;
		for (int k = 0; k < OPENS; k++)
			if (open(userdata, O_RDONLY) < 0)
				_exit(1);
		_exit(0);
	}
	for (int i = 0; i < CHILDREN; i++)
		if (wait(&status) < 0 || status != 0)
			_exit(1);
}

static void who_observes_it_again_is_told_of_each_call(void **state _unused_)
{
	struct observed o;

	observed_start(&o, backend, FILES, open_in_children, (void *)"/dev/null");
	observed_go(&o);
	while (o.n < 3)
		observed_look(&o);
	o.observation = observation_stop(o.observation);
	observed_start_with(
		&o, backend,
		&(struct backend_target){ .session = 1, .leader = o.pid, .categories = FILES });
	observed_finish(&o);
	assert_int_equal(o.status, 0);
	assert_int_equal(o.n, CHILDREN * OPENS);
	observed_done(&o);
}

static void a_listener_that_nobody_asks_for_is_answered(void **state _unused_)
{
	struct observed o;

	observed_init(&o);
	backend->prepare(FILES, &o.entry);
	observed_fork(&o, open_ten, (void *)"/dev/null");
	assert_int_equal(seccomp_notify_drain(o.host, o.listener, NULL), 0);
	observed_go(&o);
	while (waitpid(o.pid, &o.status, WNOHANG) == 0)
		observed_look(&o);
	assert_int_equal(o.status, 0);
	assert_int_equal(o.n, 0);
	observed_done(&o);
}

static void it_goes_on_when_the_memory_for_what_is_pending_goes(void **state _unused_)
{
	struct observed o;
	void *pending = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	observed_init(&o);
	backend->prepare(FILES, &o.entry);
	observed_fork(&o, open_ten, (void *)"/dev/null");
	assert_int_equal(seccomp_notify_drain(o.host, o.listener, pending), 0);
	seccomp_notify_let_go(o.host, pending);
	munmap(pending, 4096);
	observed_go(&o);
	while (waitpid(o.pid, &o.status, WNOHANG) == 0)
		observed_look(&o);
	assert_int_equal(o.status, 0);
	observed_done(&o);
}

/* --- the death of whoever answers ------------------------------------------------------------ */

/* What outlives it, as the daemon's control memory does. */
struct legacy {
	_Alignas(8) char pending[BACKEND_PENDING];
	_Atomic uint64_t after, stored;
	bool store_first;
};

static void die_of_event(void *userdata, struct reeve_event *e _unused_,
			 const struct backend_origin *origin)
{
	struct legacy *legacy = userdata;

	if (legacy->store_first) {
		legacy->after = origin->next;
		legacy->stored++;
	}
	kill(getpid(), SIGKILL);
}

static void ignore_missed(void *userdata _unused_, enum reeve_category category _unused_,
			  uint64_t n _unused_)
{
}

/* Takes one call from the listener, and dies before it has answered. */
static void be_predecessor(struct observed *o, struct legacy *legacy)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct backend_run run = {
			.backend = backend,
			.host = o->host,
			.target = { .session = 1,
				    .leader = o->pid,
				    .categories = FILES,
				    .listener = o->listener,
				    .pending = legacy->pending },
			.sink = { die_of_event, ignore_missed, legacy },
		};
		if (backend->start(&run, NULL) < 0)
			_exit(1);
		for (;;)
			observed_look(o);
	}
	observed_go(o);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void succeed(bool store_first)
{
	struct legacy *legacy = mmap(NULL, sizeof(*legacy), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct backend_target target = { .session = 1, .resume = true, .categories = FILES };
	struct observed o;

	assert_ptr_not_equal(legacy, MAP_FAILED);
	legacy->store_first = store_first;
	observed_init(&o);
	backend->prepare(FILES, &o.entry);
	observed_fork(&o, open_ten, (void *)"/dev/null");
	be_predecessor(&o, legacy);
	host_free(o.host);
	assert_int_equal(host_new(&o.host, -1, NULL), 0);
	target.leader = o.pid;
	target.after[0] = legacy->after;
	target.pending = legacy->pending;
	observed_start_with(&o, backend, &target);
	observed_finish(&o);
	assert_int_equal(o.status, 0); /* no call failed */
	assert_int_equal(o.n + legacy->stored, 10);
	observed_done(&o);
	munmap(legacy, sizeof(*legacy));
}

static void a_successor_tells_of_what_was_received_and_not_stored(void **state _unused_)
{
	succeed(false);
}

static void a_successor_does_not_repeat_what_was_stored(void **state _unused_)
{
	succeed(true);
}

/* Whoever has the number of one that was killed did not make its call. */
static void a_call_whose_process_was_killed_is_not_told_of_another(void **state _unused_)
{
	_Alignas(8) char pending[BACKEND_PENDING] = { 0 };
	struct seccomp_notif left = {
		.id = 1, /* they begin anywhere */
		.pid = (uint32_t)getpid(),
		.data = { .nr = 257, /* openat() */
			  .arch = AUDIT_ARCH_X86_64,
			  .args = { (uint64_t)AT_FDCWD, (uintptr_t) "/dev/null" } },
	};
	struct backend_target target = { .session = 1, .resume = true, .categories = FILES };
	struct observed o;

	memcpy(pending, &left, sizeof(left));
	observed_init(&o);
	backend->prepare(FILES, &o.entry);
	observed_fork(&o, open_ten, (void *)"/dev/null");
	target.leader = o.pid;
	target.pending = pending;
	observed_start_with(&o, backend, &target);
	assert_int_equal(o.n, 0);
	observed_go(&o);
	observed_finish(&o);
	assert_int_equal(o.status, 0);
	assert_int_equal(observed_count(&o, REEVE_OPENED, o.pid), 10);
	observed_done(&o);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_goes_on_when_nobody_observes_it_any_more),
		cmocka_unit_test(who_observes_it_again_is_told_of_each_call),
		cmocka_unit_test(a_listener_that_nobody_asks_for_is_answered),
		cmocka_unit_test(it_goes_on_when_the_memory_for_what_is_pending_goes),
		cmocka_unit_test(a_successor_tells_of_what_was_received_and_not_stored),
		cmocka_unit_test(a_successor_does_not_repeat_what_was_stored),
		cmocka_unit_test(a_call_whose_process_was_killed_is_not_told_of_another),
	};

	if (!backend_works(backend, REEVE_LAUNCHED_TREE))
		return 77; /* skipped; the reason was printed */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
