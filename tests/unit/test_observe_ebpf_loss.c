/* SPDX-License-Identifier: Apache-2.0 */
/* The backend `ebpf` when its rings are too small: what is delivered and what is missed is all that
 * happened. REEVE_TORTURE=full for five million events. */
#include "base/clock.h"
#include "ebpf_observed.h"
#include <stdatomic.h>
#include <sys/mman.h>

#define SMALL    "16384"
#define LARGE    "4194304"
#define CHILDREN 100
#define FULL_AT  400UL /* opens and closes; of each there is a record of more than 40 bytes */
#define WAITING  1500  /* opens and closes, of which none was read */

/* Unlike struct observed, it keeps nothing. */
struct counted {
	uint64_t delivered[REEVE_CATEGORIES], missed[REEVE_CATEGORIES], last[REEVE_CATEGORIES];
	unsigned forked, exited;
};

static unsigned long opens(void)
{
	const char *torture = getenv("REEVE_TORTURE");

	return torture && strcmp(torture, "full") == 0 ? 2500000 : 50000;
}

static void count_event(void *userdata, struct reeve_event *e,
			const struct backend_origin *origin _unused_)
{
	struct counted *c = userdata;

	assert_true(e->seq > c->last[e->category]);
	c->last[e->category] = e->seq;
	c->delivered[e->category]++;
	c->forked += e->kind == REEVE_FORKED;
	c->exited += e->kind == REEVE_EXITED;
}

static void count_missed(void *userdata, enum reeve_category category, uint64_t n)
{
	((struct counted *)userdata)->missed[category] += n;
}

/* What the flood says, and is told: calls for that would be events, too. */
struct flood {
	atomic_bool is_full, go_on;
};

/* Each turn is two events; children come and go all the while. It stops when more happened than a
 * small ring holds, before there are many children, until somebody reads. */
static void flood(void *userdata)
{
	struct flood *f = userdata;
	unsigned long n = opens();

	for (unsigned long i = 0; i < n; i++) {
		if (i == FULL_AT) {
			atomic_store(&f->is_full, true);
			while (!atomic_load(&f->go_on))
				usleep(1000);
		}
		must(close(open("/dev/null", O_RDONLY | O_CLOEXEC)) == 0);
		if (i % (n / CHILDREN) == 0) {
			pid_t pid = fork();

			if (pid == 0)
				_exit(0);
			must(waitpid(pid, NULL, 0) == pid);
		}
	}
}

static void start_telling(struct observed *o, struct backend_sink sink, const char *ring_bytes,
			  void (*role)(void *), void *userdata)
{
	struct observation_config config = {
		.sink = sink,
		.target = { .session = 1, .gated = true },
	};
	struct error e = { 0 };

	for (unsigned i = REEVE_FILE; i < REEVE_CATEGORIES; i++)
		config.choices[i] = (struct choice){ .backend = &backend_ebpf };
	observed_init(o);
	observed_fork(o, role, userdata);
	config.host = o->host;
	config.target.leader = o->pid;
	assert_int_equal(setenv("REEVE_EBPF_RING_BYTES", ring_bytes, 1), 0);
	if (observation_start(&o->observation, &config, &e) < 0)
		fail_msg("%s", e.message);
	assert_int_equal(unsetenv("REEVE_EBPF_RING_BYTES"), 0);
}

static void start_counting(struct observed *o, struct counted *c, const char *ring_bytes,
			   void (*role)(void *), void *userdata)
{
	start_telling(o, (struct backend_sink){ count_event, count_missed, c }, ring_bytes, role,
		      userdata);
}

static void what_does_not_fit_is_counted_and_processes_are_not_displaced(void **state _unused_)
{
	struct counted c = { 0 };
	struct observed o;
	struct flood *f;

	need_backend();
	f = mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(f, MAP_FAILED);
	start_counting(&o, &c, SMALL, flood, f);
	observed_go(&o);
	wait_until(atomic_load(&f->is_full));
	atomic_store(&f->go_on, true);
	observed_finish(&o);
	assert_int_equal(munmap(f, sizeof(*f)), 0);
	assert_int_equal(o.status, 0);
	assert_true(c.missed[REEVE_FILE] > 0);
	assert_int_equal(c.delivered[REEVE_FILE] + c.missed[REEVE_FILE], 2 * opens());
	assert_true(c.last[REEVE_FILE] <= 2 * opens());
	assert_int_equal(c.missed[REEVE_PROCESS], 0);
	assert_int_equal(c.forked, CHILDREN);
	assert_int_equal(c.exited, CHILDREN + 1);
	assert_int_equal(c.delivered[REEVE_NETWORK] + c.missed[REEVE_NETWORK], 0);
	print_message("%lu events: %lu delivered, %lu missed\n", 2 * opens(),
		      (unsigned long)c.delivered[REEVE_FILE], (unsigned long)c.missed[REEVE_FILE]);
	observed_done(&o);
}

static void open_some(void *userdata _unused_)
{
	for (unsigned i = 0; i < WAITING; i++)
		must(close(open("/dev/null", O_RDONLY | O_CLOEXEC)) == 0);
}

static void who_shares_the_loop_need_not_wait_until_all_is_read(void **state _unused_)
{
	struct counted c = { 0 };
	struct observed o;
	siginfo_t ended;

	need_backend();
	start_counting(&o, &c, LARGE, open_some, NULL);
	observed_go(&o);
	assert_int_equal(waitid(P_PID, (id_t)o.pid, &ended, WEXITED | WNOWAIT), 0);
	host_dispatch(o.host);
	assert_true(c.delivered[REEVE_FILE] < WAITING);
	while (c.delivered[REEVE_FILE] + c.missed[REEVE_FILE] < (uint64_t)2 * WAITING)
		observed_look(&o);
	observed_finish(&o);
	assert_int_equal(c.delivered[REEVE_FILE], 2 * WAITING);
	observed_done(&o);
}

#define TURNS     (2 * WAITING / 64) /* at least, to read what waits */
#define A_REST_US 250
#define USUAL     "8388608"

/* It takes no less time, however quick the machine is. */
static void who_shares_the_processor_has_it_between_two_turns(void **state _unused_)
{
	struct counted c = { 0 };
	struct observed o;
	siginfo_t ended;
	uint64_t begin;

	need_backend();
	start_counting(&o, &c, USUAL, open_some, NULL);
	observed_go(&o);
	assert_int_equal(waitid(P_PID, (id_t)o.pid, &ended, WEXITED | WNOWAIT), 0);
	begin = clock_monotonic_us();
	while (c.delivered[REEVE_FILE] + c.missed[REEVE_FILE] < (uint64_t)2 * WAITING)
		observed_look(&o);
	/* The first turn and the second are a tick apart. */
	assert_true(clock_monotonic_us() - begin >= (uint64_t)(TURNS - 2) * A_REST_US);
	observed_finish(&o);
	assert_int_equal(c.delivered[REEVE_FILE], 2 * WAITING);
	observed_done(&o);
}

#define ROUNDS_MAX 1000U

/* Of each event that is told the process makes two more. */
struct endless {
	struct counted counted;
	unsigned rounds;
	int sock[2]; /* to the process, and its end */
};

static void open_whenever_told(void *userdata)
{
	const struct endless *f = userdata;
	char byte;

	must(close(f->sock[0]) == 0);
	while (read(f->sock[1], &byte, 1) == 1) {
		must(close(open("/dev/null", O_RDONLY | O_CLOEXEC)) == 0);
		must(write(f->sock[1], &byte, 1) == 1);
	}
}

static void make_more(struct endless *f)
{
	char byte = 0;

	f->rounds++;
	assert_int_equal(write(f->sock[0], &byte, 1), 1);
	assert_int_equal(read(f->sock[0], &byte, 1), 1);
}

static void count_and_make_more(void *userdata, struct reeve_event *e,
				const struct backend_origin *origin)
{
	struct endless *f = userdata;

	count_event(&f->counted, e, origin);
	if (e->category == REEVE_FILE && f->rounds < ROUNDS_MAX)
		make_more(f);
}

static void what_comes_without_end_does_not_hold_up_a_flush(void **state _unused_)
{
	struct endless f = { 0 };
	struct observed o;

	need_backend();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f.sock), 0);
	start_telling(&o, (struct backend_sink){ count_and_make_more, count_missed, &f }, USUAL,
		      open_whenever_told, &f);
	assert_int_equal(close(f.sock[1]), 0);
	observed_go(&o);
	make_more(&f);
	observation_flush(o.observation);
	assert_true(f.counted.delivered[REEVE_FILE] >= 2);
	assert_true(f.rounds < ROUNDS_MAX);
	f.rounds = ROUNDS_MAX;
	assert_int_equal(close(f.sock[0]), 0);
	observed_finish(&o);
	assert_int_equal(o.status, 0);
	observed_done(&o);
}

#define FILES_AT_ONCE 20000

/* More open files than the kernel's side has room for: the end of the others is missed. */
static void open_many(void *userdata _unused_)
{
	static int fds[FILES_AT_ONCE];
	struct rlimit limit = { FILES_AT_ONCE + 10, FILES_AT_ONCE + 10 };

	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		_exit(77);
	for (unsigned i = 0; i < FILES_AT_ONCE; i++) {
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		must(fds[i] >= 0);
	}
	for (unsigned i = 0; i < FILES_AT_ONCE; i++)
		must(close(fds[i]) == 0);
}

static void the_end_of_a_file_that_found_no_room_is_counted(void **state _unused_)
{
	struct counted c = { 0 };
	struct observed o;

	need_backend();
	start_counting(&o, &c, SMALL, open_many, NULL);
	observed_finish(&o);
	assert_true(WIFEXITED(o.status));
	if (WEXITSTATUS(o.status) != 77) {
		assert_int_equal(o.status, 0);
		assert_int_equal(c.delivered[REEVE_FILE] + c.missed[REEVE_FILE], 2 * FILES_AT_ONCE);
	}
	observed_done(&o);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(what_does_not_fit_is_counted_and_processes_are_not_displaced),
		TEST(who_shares_the_loop_need_not_wait_until_all_is_read),
		TEST(who_shares_the_processor_has_it_between_two_turns),
		TEST(what_comes_without_end_does_not_hold_up_a_flush),
		TEST(the_end_of_a_file_that_found_no_room_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
