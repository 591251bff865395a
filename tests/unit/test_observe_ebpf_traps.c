/* SPDX-License-Identifier: Apache-2.0 */
/* The backend `ebpf` where observers go wrong: paths that change under the call, calls that are no
 * system calls, other pid namespaces, programs that stay attached, openers that move away. */
#include "ebpf_observed.h"
#include "uring.h"
#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define FLIPS     20000
#define CANNOT    77 /* exit code: this kernel or user cannot do that */
#define NUMBER_OF 2
#define PROCESSES 100
#define THREADS   8

/* What a role that says CANNOT has not done is not looked for. */
static bool could(const struct observed *o)
{
	assert_true(WIFEXITED(o->status));
	if (WEXITSTATUS(o->status) == CANNOT)
		return false;
	assert_int_equal(o->status, 0);
	return true;
}

static void observe_role(struct observed *o, unsigned categories, void (*role)(void *),
			 void *userdata)
{
	need_backend();
	observed_start(o, &backend_ebpf, categories, role, userdata);
	observed_finish(o);
}

/* --- a path that changes while the call is made ------------------------------------------------
 */

struct flip {
	char *path; /* its last character flips between a and b */
	uint32_t opened[NUMBER_OF];
};

static void *flip_forever(void *userdata)
{
	volatile char *last = userdata;

	for (;;)
		*last = *last == 'a' ? 'b' : 'a';
	return NULL;
}

/* Opens while another thread changes the name; which file it was is asked of the file. */
static void open_what_flips(void *userdata)
{
	struct flip *flip = userdata;
	struct stat files[NUMBER_OF], st;
	pthread_t thread;

	for (unsigned i = 0; i < NUMBER_OF; i++) {
		char name[2] = { (char)('a' + (int)i), '\0' };
		int fd = open(path_in(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

		must(fd >= 0 && fstat(fd, &files[i]) == 0 && close(fd) == 0);
	}
	strcpy(flip->path, path_in("a"));
	must(pthread_create(&thread, NULL, flip_forever, flip->path + strlen(flip->path) - 1) == 0);
	for (unsigned i = 0; i < FLIPS; i++) {
		int fd = open(flip->path, O_RDONLY | O_CLOEXEC);

		must(fd >= 0 && fstat(fd, &st) == 0 && close(fd) == 0);
		flip->opened[st.st_ino == files[1].st_ino ? 1 : 0]++;
	}
}

static void the_path_is_what_was_opened_and_not_what_was_claimed(void **state _unused_)
{
	struct flip *flip =
		mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const struct reeve_event *e;
	struct observed o;
	uint32_t told[NUMBER_OF] = { 0 };

	flip->path = (char *)flip + 4096;
	observe_role(&o, FILES, open_what_flips, flip);
	assert_true(could(&o));
	assert_int_equal(o.missed[REEVE_FILE], 0);
	for (unsigned n = 0; n < o.n; n++) {
		e = o.events[n];
		if (e->kind == REEVE_OPENED && strncmp(e->path, directory, strlen(directory)) == 0)
			told[e->path[strlen(e->path) - 1] == 'b' ? 1 : 0]++;
	}
	assert_int_equal(told[0], flip->opened[0]);
	assert_int_equal(told[1], flip->opened[1]);
	observed_done(&o);
	munmap(flip, 8192);
}

/* --- io_uring ----------------------------------------------------------------------------------
 */

/* The opcode is all that a request to read says of itself. */
static void read_by_ring(void *userdata _unused_)
{
	struct io_uring_sqe sqe = { .opcode = IORING_OP_READ, .len = 10 };
	char buffer[10];
	struct uring u;

	if (uring_open(&u) < 0)
		_exit(CANNOT);
	sqe.addr = (uintptr_t)buffer;
	sqe.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	must(sqe.fd >= 0 && uring_do(&u, &sqe) == 0);
}

static void what_goes_through_io_uring_is_told_by_its_opcode(void **state _unused_)
{
	struct observed o;

	observe_role(&o, FILES, read_by_ring, NULL);
	if (could(&o)) {
		assert_int_equal(observed_find(&o, REEVE_URING, o.pid)->opcode, IORING_OP_READ);
		assert_int_equal(event_at(&o, REEVE_CLOSED, "/dev/null")->reads, 0);
	}
	observed_done(&o);
}

/* --- another pid namespace ---------------------------------------------------------------------
 */

static void fork_in_a_namespace(void *userdata)
{
	pid_t *inner = userdata, pid;

	if (unshare(CLONE_NEWPID) < 0)
		_exit(CANNOT);
	pid = fork();
	if (pid == 0) {
		must(getpid() == 1);
		_exit(5);
	}
	*inner = pid;
	must(waitpid(pid, NULL, 0) == pid);
}

static void pids_are_those_that_the_observer_knows(void **state _unused_)
{
	pid_t *inner = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct observed o;

	observe_role(&o, 1U << REEVE_PROCESS, fork_in_a_namespace, inner);
	if (could(&o)) {
		assert_int_equal(observed_find(&o, REEVE_FORKED, o.pid)->child_pid, *inner);
		assert_int_equal(observed_find(&o, REEVE_EXITED, *inner)->exit_code, 5);
	}
	observed_done(&o);
	munmap(inner, 4096);
}

/* --- what is attached, and when ----------------------------------------------------------------
 */

struct links {
	unsigned held, calls; /* links; of these, of the program that sees all system calls */
};

static void count_link(void *userdata, const char *name, int fd _unused_)
{
	struct links *l = userdata;

	l->held += strstr(name, "/link/") != NULL;
	l->calls += strstr(name, "/link/on_return") != NULL;
}

static void discount_link(void *userdata, const char *name)
{
	struct links *l = userdata;

	l->held -= strstr(name, "/link/") != NULL;
	l->calls -= strstr(name, "/link/on_return") != NULL;
}

static void exit_at_once(void *userdata _unused_)
{
}

static void calls_are_looked_at_only_while_somebody_asks_for_them(void **state _unused_)
{
	struct links links = { 0 };
	struct host_keeping keeping = { count_link, discount_link, &links };
	struct error e = { 0 };
	struct observed o;

	need_backend();
	observed_init(&o);
	host_free(o.host);
	assert_int_equal(host_new(&o.host, -1, &keeping), 0);
	observed_fork(&o, exit_at_once, NULL);
	observed_start_with(&o, &backend_ebpf,
			    &(struct backend_target){ .session = 1,
						      .leader = o.pid,
						      .gated = true,
						      .categories = FILES | 1U << REEVE_PROCESS });
	assert_int_equal(links.calls, 1);
	assert_int_equal(observation_change(o.observation, 1U << REEVE_PROCESS, DETAIL_TOTALS, &e),
			 0);
	assert_int_equal(links.calls, 0);
	assert_int_equal(links.held, 3);
	assert_int_equal(
		observation_change(o.observation, FILES | 1U << REEVE_PROCESS, DETAIL_TOTALS, &e),
		0);
	assert_int_equal(links.calls, 1);
	observed_finish(&o);
	assert_int_equal(observed_find(&o, REEVE_EXITED, o.pid)->exit_code, 0);
	o.observation = observation_stop(o.observation);
	assert_int_equal(links.held, 0);
	observed_done(&o);
}

/* --- who did it --------------------------------------------------------------------------------
 */

static void *open_and_exit(void *userdata)
{
	must(close(open(userdata, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) == 0);
	return NULL;
}

static void open_in_a_thread(void *userdata _unused_)
{
	pthread_t thread;

	must(pthread_create(&thread, NULL, open_and_exit, (void *)(uintptr_t)path_in("t")) == 0);
	must(pthread_join(thread, NULL) == 0);
}

static void threads_belong_to_their_process(void **state _unused_)
{
	const struct reeve_event *e;
	struct observed o;

	observe_role(&o, FILES | 1U << REEVE_PROCESS, open_in_a_thread, NULL);
	assert_true(could(&o));
	e = event_at(&o, REEVE_CREATED, path_in("t"));
	assert_int_equal(e->pid, o.pid);
	assert_int_not_equal(e->tid, o.pid);
	assert_int_equal(observed_count(&o, REEVE_FORKED, 0), 0);
	assert_int_equal(observed_count(&o, REEVE_EXITED, 0), 1);
	observed_done(&o);
}

static pthread_barrier_t barrier;

/* Without exit_group(2), which would end them one after the other. */
static void *exit_alone(void *userdata _unused_)
{
	pthread_barrier_wait(&barrier);
	syscall(SYS_exit, 0);
	return NULL;
}

/* All threads of a process end at the same time. */
static void end_together(void *userdata _unused_)
{
	for (unsigned i = 0; i < PROCESSES; i++) {
		pid_t pid = fork();
		pthread_t thread;

		if (pid == 0) {
			pthread_barrier_init(&barrier, NULL, THREADS);
			for (unsigned t = 1; t < THREADS; t++)
				must(pthread_create(&thread, NULL, exit_alone, NULL) == 0);
			exit_alone(NULL);
		}
		must(pid > 0 && waitpid(pid, NULL, 0) == pid);
	}
}

static void a_process_ends_once_however_many_threads_it_had(void **state _unused_)
{
	struct observed o;

	observe_role(&o, 1U << REEVE_PROCESS, end_together, NULL);
	assert_true(could(&o));
	assert_int_equal(observed_count(&o, REEVE_FORKED, o.pid), PROCESSES);
	assert_int_equal(observed_count(&o, REEVE_EXITED, 0), PROCESSES + 1);
	observed_done(&o);
}

/* A pipe may get the kernel's structure of a file that was closed unseen. */
static void reuse_structures(void *userdata _unused_)
{
	for (unsigned i = 0; i < 200; i++) {
		int fd = open(path_in("once"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600), copy,
		    pipes[2];

		must(fd >= 0 && write(fd, "1", 1) == 1);
		copy = dup(fd);
		must(close(fd) == 0 && close(copy) == 0);
		must(pipe2(pipes, O_CLOEXEC) == 0 && write(pipes[1], "12345", 5) == 5);
		must(close(pipes[0]) == 0 && close(pipes[1]) == 0);
	}
}

static void totals_are_of_the_file_alone(void **state _unused_)
{
	const struct reeve_event *e;
	struct observed o;
	unsigned n = 0;

	observe_role(&o, FILES, reuse_structures, NULL);
	assert_true(could(&o));
	for (; (e = observed_nth(&o, REEVE_CLOSED, 0, n)); n++)
		assert_int_equal(e->bytes_written, 1);
	assert_int_equal(n, 200);
	observed_done(&o);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(the_path_is_what_was_opened_and_not_what_was_claimed),
		TEST(what_goes_through_io_uring_is_told_by_its_opcode),
		TEST(pids_are_those_that_the_observer_knows),
		TEST(calls_are_looked_at_only_while_somebody_asks_for_them),
		TEST(threads_belong_to_their_process),
		TEST(a_process_ends_once_however_many_threads_it_had),
		TEST(totals_are_of_the_file_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
