/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "fds.h"
#include "observe/in_process.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SESSION 3U

static struct reeve_observer *observer_of(const enum reeve_category *set, size_t n)
{
	struct reeve_observer_config config;
	struct backend_target target = { .session = SESSION, .leader = 4711 };
	struct reeve_observer *o = NULL;

	assert_int_equal(reeve_observer_config_with_categories(set, n, &config), 0);
	assert_int_equal(reeve_observer_new(&config, &o), 0);
	assert_non_null(o);
	assert_int_equal(observer_watch(o, &target, NULL), 0);
	return o;
}

static struct reeve_observer *observer(void)
{
	return observer_of((enum reeve_category[]){ REEVE_LIFECYCLE }, 1);
}

static struct reeve_subscriber *subscriber(struct reeve_observer *o, size_t capacity)
{
	struct reeve_subscriber *s = NULL;

	assert_int_equal(reeve_observer_subscribe(o, capacity, &s), 0);
	assert_non_null(s);
	return s;
}

static void started(struct reeve_observer *o, pid_t pid)
{
	observer_note(o, SESSION, &(struct backend_note){ .what = NOTE_STARTED, .pid = pid });
}

static void exited(struct reeve_observer *o, pid_t pid, int code)
{
	observer_note(o, SESSION, &(struct backend_note){ NOTE_EXITED, pid, code, 99 });
}

static bool readable(const struct reeve_subscriber *s)
{
	struct pollfd p = { .fd = reeve_subscriber_fd(s), .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void assert_next(struct reeve_subscriber *s, enum reeve_kind kind, pid_t pid)
{
	struct reeve_event *e = NULL;

	assert_int_equal(reeve_subscriber_recv(s, &e), 1);
	assert_int_equal(e->kind, kind);
	assert_int_equal(e->pid, pid);
	reeve_event_free(e);
}

static void an_observer_that_is_off_is_nothing_and_costs_nothing(void **state _unused_)
{
	struct reeve_observer_config off = reeve_observer_config_off();
	struct reeve_observer *o = (struct reeve_observer *)&off;
	struct reeve_subscriber *s = (struct reeve_subscriber *)&off;
	struct reeve_subscriber_counts counts;
	struct reeve_event *e;
	unsigned fds = count_fds();

	assert_int_equal(reeve_observer_new(&off, &o), 0);
	assert_null(o);
	assert_int_equal(observer_watch(o, &(struct backend_target){ 0 }, NULL), 0);
	started(o, 1);
	observer_unwatch(o, SESSION);
	assert_int_equal(reeve_observer_subscribe(o, 0, &s), 0);
	assert_null(s);
	assert_int_equal(reeve_subscriber_recv(s, &e), 0);
	assert_int_equal(reeve_subscriber_try_recv(s, &e), 0);
	assert_int_equal(reeve_subscriber_drain(s, &e, 1), 0);
	assert_int_equal(reeve_subscriber_fd(s), -1);
	reeve_subscriber_count(s, &counts);
	assert_int_equal(counts.delivered + counts.missed, 0);
	assert_null(reeve_subscriber_close(s));
	assert_null(reeve_observer_close(o));
	assert_int_equal(count_fds(), fds);
}

static void lifecycle_alone_starts_no_thread(void **state _unused_)
{
	unsigned before = 0, after = 0;
	struct reeve_observer *o;
	DIR *dir = opendir("/proc/self/task");

	while (readdir(dir))
		before++;
	o = observer();
	rewinddir(dir);
	while (readdir(dir))
		after++;
	closedir(dir);
	assert_int_equal(after, before);
	reeve_observer_close(o);
}

/* The set of blocked signals of the thread that is not this one; 0: there is none. */
static uint64_t blocked_in_the_other_thread(void)
{
	uint64_t blocked = 0;
	DIR *dir = opendir("/proc/self/task");

	for (struct dirent *d; (d = readdir(dir));) {
		char path[300], line[256];
		FILE *status;

		if (d->d_name[0] == '.' || atoi(d->d_name) == getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/status", d->d_name);
		status = fopen(path, "re");
		assert_non_null(status);
		while (fgets(line, sizeof(line), status))
			(void)sscanf(line, "SigBlk: %" SCNx64, &blocked);
		fclose(status);
	}
	closedir(dir);
	return blocked;
}

static void no_signal_comes_to_the_thread_that_observes(void **state _unused_)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGUSR1, SIGALRM, SIGTERM, SIGCHLD };
	const struct reeve_observer_config config = { 1, { REEVE_PROCESS } };
	struct reeve_observer *o = NULL;
	uint64_t blocked;
	sigset_t own;

	assert_int_equal(reeve_observer_new(&config, &o), 0);
	blocked = blocked_in_the_other_thread();
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		assert_true((blocked & 1ULL << (signals[i] - 1)) != 0);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &own), 0);
	assert_false(sigismember(&own, SIGTERM));
	reeve_observer_close(o);
}

static void started_and_exited_are_seen_in_order(void **state _unused_)
{
	struct reeve_observer *o = observer();
	struct reeve_subscriber *s = subscriber(o, 0);
	struct reeve_event *e = NULL;

	started(o, 4711);
	exited(o, 4711, -9);
	assert_int_equal(reeve_subscriber_recv(s, &e), 1);
	assert_int_equal(e->category, REEVE_LIFECYCLE);
	assert_int_equal(e->kind, REEVE_STARTED);
	assert_int_equal(e->seq, 1);
	assert_int_equal(e->fields, 0);
	assert_true(e->timestamp_ms > 1000);
	assert_string_equal(e->source, "portable-lifecycle");
	reeve_event_free(e);
	assert_int_equal(reeve_subscriber_recv(s, &e), 1);
	assert_int_equal(e->kind, REEVE_EXITED);
	assert_int_equal(e->seq, 2);
	assert_int_equal(e->exit_code, -9);
	assert_int_equal(e->timestamp_ms, 99);
	assert_int_equal(e->fields, REEVE_HAS_EXIT_CODE);
	reeve_event_free(e);
	assert_int_equal(reeve_subscriber_try_recv(s, &e), -EAGAIN);
	reeve_observer_close(o);
	assert_int_equal(reeve_subscriber_recv(s, &e), 0);
	reeve_subscriber_close(s);
}

static void a_full_sink_drops_the_oldest_and_counts_exactly(void **state _unused_)
{
	struct reeve_observer *o = observer();
	struct reeve_subscriber *s = subscriber(o, 4);
	struct reeve_subscriber_counts counts;
	struct reeve_event *events[8];

	for (pid_t pid = 1; pid <= 10; pid++)
		started(o, pid);
	reeve_subscriber_count(s, &counts);
	assert_int_equal(counts.delivered, 10);
	assert_int_equal(counts.missed, 6);
	assert_int_equal(counts.delivered_by[REEVE_LIFECYCLE], 10);
	assert_int_equal(counts.missed_by[REEVE_LIFECYCLE], 6);
	assert_int_equal(counts.missed_by[REEVE_FILE], 0);
	assert_int_equal(reeve_subscriber_drain(s, events, 8), 4);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(events[i]->pid, 7 + i);
		reeve_event_free(events[i]);
	}
	started(o, 11);
	assert_next(s, REEVE_STARTED, 11);
	reeve_subscriber_count(s, &counts);
	assert_int_equal(counts.delivered, 11);
	assert_int_equal(counts.missed, 6);
	reeve_subscriber_close(s);
	reeve_observer_close(o);
}

static void a_slow_subscriber_takes_nothing_from_another(void **state _unused_)
{
	struct reeve_observer *o = observer();
	struct reeve_subscriber *slow = subscriber(o, 1), *quick = subscriber(o, 100);
	struct reeve_subscriber_counts counts;

	for (pid_t pid = 1; pid <= 50; pid++)
		started(o, pid);
	for (pid_t pid = 1; pid <= 50; pid++)
		assert_next(quick, REEVE_STARTED, pid);
	reeve_subscriber_count(quick, &counts);
	assert_int_equal(counts.missed, 0);
	reeve_subscriber_count(slow, &counts);
	assert_int_equal(counts.missed, 49);
	assert_null(reeve_subscriber_close(slow));
	started(o, 51);
	assert_next(quick, REEVE_STARTED, 51);
	reeve_subscriber_close(quick);
	started(o, 52);
	reeve_observer_close(o);
}

static void the_descriptor_is_readable_while_there_is_an_event_and_at_the_end(void **state _unused_)
{
	struct reeve_observer *o = observer();
	struct reeve_subscriber *s = subscriber(o, 0);
	struct reeve_event *e;

	assert_false(readable(s));
	started(o, 1);
	started(o, 2);
	assert_true(readable(s));
	assert_next(s, REEVE_STARTED, 1);
	assert_true(readable(s));
	assert_next(s, REEVE_STARTED, 2);
	assert_false(readable(s));
	started(o, 3);
	reeve_observer_close(o);
	assert_true(readable(s));
	assert_next(s, REEVE_STARTED, 3);
	assert_true(readable(s));
	assert_int_equal(reeve_subscriber_try_recv(s, &e), 0);
	reeve_subscriber_close(s);
}

static void *receive_two(void *userdata)
{
	struct reeve_subscriber *s = userdata;
	struct reeve_event *e = NULL;

	assert_next(s, REEVE_STARTED, 1);
	return (void *)(intptr_t)reeve_subscriber_recv(s, &e);
}

static void recv_waits_for_an_event_and_for_the_end(void **state _unused_)
{
	struct reeve_observer *o = observer();
	struct reeve_subscriber *s = subscriber(o, 0);
	pthread_t thread;
	void *result = (void *)1;

	assert_int_equal(pthread_create(&thread, NULL, receive_two, s), 0);
	started(o, 1);
	reeve_observer_close(o);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, NULL);
	reeve_subscriber_close(s);
}

static void a_capacity_beyond_the_bound_is_refused(void **state _unused_)
{
	struct reeve_observer *o = observer();
	struct reeve_subscriber *s = NULL;

	assert_int_equal(reeve_observer_subscribe(o, REEVE_SUBSCRIBER_CAPACITY_MAX + 1, &s),
			 -EINVAL);
	assert_null(s);
	reeve_subscriber_close(subscriber(o, REEVE_SUBSCRIBER_CAPACITY_MAX));
	reeve_observer_close(o);
}

static void without_a_capacity_it_is_1024_events(void **state _unused_)
{
	struct reeve_observer *o = observer();
	struct reeve_subscriber *s = subscriber(o, 0);
	struct reeve_subscriber_counts counts;

	for (pid_t pid = 0; pid < 1030; pid++)
		started(o, pid);
	reeve_subscriber_count(s, &counts);
	assert_int_equal(counts.missed, 6);
	assert_next(s, REEVE_STARTED, 6);
	reeve_subscriber_close(s);
	reeve_observer_close(o);
}

static void a_process_that_is_not_watched_yields_nothing(void **state _unused_)
{
	struct reeve_observer *o = observer();
	struct reeve_subscriber *s = subscriber(o, 0);
	struct backend_target again = { .session = SESSION };
	struct reeve_event *e;
	struct error error;

	observer_note(o, SESSION + 1, &(struct backend_note){ .what = NOTE_STARTED, .pid = 1 });
	assert_int_equal(reeve_subscriber_try_recv(s, &e), -EAGAIN);
	assert_true(observer_watch(o, &again, &error) < 0);
	assert_int_equal(error.code, ERROR_ALREADY_EXISTS);
	observer_unwatch(o, SESSION);
	started(o, 2);
	assert_int_equal(reeve_subscriber_try_recv(s, &e), -EAGAIN);
	reeve_observer_close(o);
	reeve_subscriber_close(s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_observer_that_is_off_is_nothing_and_costs_nothing),
		cmocka_unit_test(lifecycle_alone_starts_no_thread),
		cmocka_unit_test(no_signal_comes_to_the_thread_that_observes),
		cmocka_unit_test(started_and_exited_are_seen_in_order),
		cmocka_unit_test(a_full_sink_drops_the_oldest_and_counts_exactly),
		cmocka_unit_test(a_slow_subscriber_takes_nothing_from_another),
		cmocka_unit_test(the_descriptor_is_readable_while_there_is_an_event_and_at_the_end),
		cmocka_unit_test(recv_waits_for_an_event_and_for_the_end),
		cmocka_unit_test(a_capacity_beyond_the_bound_is_refused),
		cmocka_unit_test(without_a_capacity_it_is_1024_events),
		cmocka_unit_test(a_process_that_is_not_watched_yields_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
