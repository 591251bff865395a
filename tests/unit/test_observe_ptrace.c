/* SPDX-License-Identifier: Apache-2.0 */
/* The backend ptrace: results, the kernel's own paths, and processes that notice nothing. */
#include "base/cleanup.h"
#include "fds.h"
#include "observe/trace_ring.h"
#include "observed.h"
#include <pthread.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define FILES     (1U << REEVE_FILE)
#define PROCESSES (1U << REEVE_PROCESS)

static const struct backend *const backend = &backend_ptrace;
static char dir[64];

static int setup(void **state _unused_)
{
	strcpy(dir, "/tmp/rv-ptrace-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	return 0;
}

static int teardown(void **state _unused_)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(system(command), 0);
	return 0;
}

static void observe(struct observed *o, unsigned categories, void (*role)(void *), void *userdata)
{
	observed_start(o, backend, categories, role, userdata);
	observed_finish(o);
	assert_int_equal(o->status, 0);
	assert_int_equal(o->missed[REEVE_FILE] + o->missed[REEVE_PROCESS], 0);
}

static void need(bool condition)
{
	if (!condition)
		_exit(1);
}

static char *in_dir(const char *name)
{
	static char paths[8][128];
	static unsigned n;
	char *path = paths[n++ % ARRAY_SIZE(paths)];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

/* --- files ----------------------------------------------------------------------------------- */

static void work_on_files(void *userdata _unused_)
{
	need(open("a", O_CREAT | O_WRONLY, 0600) >= 0 && open("a", O_CREAT | O_WRONLY, 0600) >= 0);
	need(open("none", O_RDONLY) < 0 && symlink("a", "s") == 0 && open("s", O_RDONLY) >= 0);
	need(mkdir("d", 0700) == 0 && mkdir("d", 0700) < 0);
	need(rename("a", "d/b") == 0 && rmdir("d") < 0 && unlink("d/b") == 0 && rmdir("d") == 0);
}

static void operations_are_told_with_their_results(void **state _unused_)
{
	const struct reeve_event *e;
	struct observed o;

	observe(&o, FILES, work_on_files, NULL);
	e = observed_path(&o, REEVE_CREATED, in_dir("a"));
	assert_non_null(e);
	assert_int_equal(e->fields & (REEVE_HAS_RESULT | REEVE_HAS_CLAIMED), 0);
	assert_int_equal(observed_count(&o, REEVE_CREATED, o.pid), 1);
	/* The second time it was there; and the link leads to it. */
	assert_int_equal(observed_count(&o, REEVE_OPENED, o.pid), 3);
	assert_string_equal(observed_nth(&o, REEVE_OPENED, o.pid, 0)->path, in_dir("a"));
	assert_string_equal(observed_nth(&o, REEVE_OPENED, o.pid, 2)->path, in_dir("a"));
	e = observed_path(&o, REEVE_OPENED, in_dir("none"));
	assert_int_equal(e->result, -ENOENT);
	assert_true((e->fields & REEVE_HAS_RESULT) != 0);
	assert_int_equal(observed_nth(&o, REEVE_MKDIR, o.pid, 0)->fields & REEVE_HAS_RESULT, 0);
	assert_int_equal(observed_nth(&o, REEVE_MKDIR, o.pid, 1)->result, -EEXIST);
	assert_int_equal(observed_nth(&o, REEVE_RMDIR, o.pid, 0)->result, -ENOTEMPTY);
	assert_int_equal(observed_nth(&o, REEVE_RMDIR, o.pid, 1)->result, 0);
	assert_string_equal(observed_find(&o, REEVE_RENAMED, o.pid)->path2, in_dir("d/b"));
	observed_done(&o);
}

/* --- a path that changes while it is being opened -------------------------------------------- */

static char flipping[16];
static _Atomic bool flips;
static _Atomic unsigned *opened; /* how often which file was opened, as fstat() says */

static void *flip(void *userdata _unused_)
{
	while (flips) {
		flipping[0] = 'x';
		flipping[0] = 'y';
	}
	return NULL;
}

static void open_what_flips(void *userdata _unused_)
{
	pthread_t thread;
	struct stat x, st;
	int fd = open("x", O_CREAT | O_RDONLY, 0600);

	need(fd >= 0 && fstat(fd, &x) == 0 && open("y", O_CREAT | O_RDONLY, 0600) >= 0);
	strcpy(flipping, "x");
	flips = true;
	need(pthread_create(&thread, NULL, flip, NULL) == 0);
	for (int i = 0; i < 500; i++) {
		fd = open(flipping, O_RDONLY);
		need(fd >= 0 && fstat(fd, &st) == 0);
		opened[st.st_ino == x.st_ino ? 0 : 1]++;
		close(fd);
	}
	flips = false;
	pthread_join(thread, NULL);
}

static void a_path_is_what_the_kernel_opened(void **state _unused_)
{
	struct observed o;
	unsigned seen[2] = { 0 };

	opened = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	observe(&o, FILES, open_what_flips, NULL);
	for (size_t i = 0; i < o.n; i++) {
		if (o.events[i]->kind == REEVE_OPENED && o.events[i]->path)
			seen[0] += strcmp(o.events[i]->path, in_dir("x")) == 0;
		if (o.events[i]->kind == REEVE_OPENED && o.events[i]->path)
			seen[1] += strcmp(o.events[i]->path, in_dir("y")) == 0;
	}
	assert_int_equal(seen[0], opened[0]);
	assert_int_equal(seen[1], opened[1]);
	munmap((void *)opened, 4096);
	observed_done(&o);
}

/* --- what processes notice ------------------------------------------------------------------- */

static void *exec_in_thread(void *userdata _unused_)
{
	execl("/bin/sh", "sh", "-c", "exit 7", NULL);
	return NULL;
}

static void use_all_ways_of_making(void *userdata _unused_)
{
	pthread_t thread;
	int status;
	pid_t pid = vfork();

	if (pid == 0) {
		execl("/nowhere", "nowhere", NULL);
		execl("/bin/true", "true", NULL);
		_exit(1);
	}
	need(waitpid(pid, &status, 0) == pid && status == 0);
	pid = fork();
	if (pid == 0) {
		if (pthread_create(&thread, NULL, exec_in_thread, NULL) == 0)
			pthread_join(thread, NULL);
		_exit(1);
	}
	need(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
	pid = fork();
	if (pid == 0)
		kill(getpid(), SIGKILL);
	need(waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGKILL);
}

/* The kernel's name of it, without symbolic links. */
static void assert_runs(const struct reeve_event *e, const char *program)
{
	char path[PATH_MAX];

	assert_non_null(realpath(program, path));
	assert_string_equal(e->path, path);
	assert_int_equal(e->fields & REEVE_HAS_CLAIMED, 0);
}

static void vfork_and_programs_started_by_threads_are_survived(void **state _unused_)
{
	const struct reeve_event *e;
	struct observed o;
	pid_t pid;

	observe(&o, PROCESSES, use_all_ways_of_making, NULL);
	assert_int_equal(observed_count(&o, REEVE_FORKED, o.pid), 3);
	pid = observed_nth(&o, REEVE_FORKED, o.pid, 0)->child_pid;
	e = observed_nth(&o, REEVE_EXECUTED, pid, 0);
	assert_string_equal(e->path, "/nowhere");
	assert_int_equal(e->result, -ENOENT);
	e = observed_nth(&o, REEVE_EXECUTED, pid, 1);
	assert_runs(e, "/bin/true");
	assert_int_equal(e->fields & REEVE_HAS_RESULT, 0);
	assert_int_equal(observed_find(&o, REEVE_EXITED, pid)->exit_code, 0);
	pid = observed_nth(&o, REEVE_FORKED, o.pid, 1)->child_pid;
	assert_runs(observed_find(&o, REEVE_EXECUTED, pid), "/bin/sh");
	assert_int_equal(observed_find(&o, REEVE_EXITED, pid)->exit_code, 7);
	pid = observed_nth(&o, REEVE_FORKED, o.pid, 2)->child_pid;
	assert_int_equal(observed_find(&o, REEVE_EXITED, pid)->exit_code, -SIGKILL);
	assert_int_equal(observed_count(&o, REEVE_EXITED, 0), 4);
	observed_done(&o);
}

static volatile sig_atomic_t signals;

static void count_signal(int number _unused_)
{
	signals++;
}

static void be_stopped_and_signalled(void *userdata _unused_)
{
	struct sigaction count = { .sa_handler = count_signal };
	int status;
	pid_t pid;

	need(sigaction(SIGUSR1, &count, NULL) == 0);
	for (int i = 0; i < 10; i++)
		need(raise(SIGUSR1) == 0 && signals == i + 1);
	pid = fork();
	if (pid == 0) {
		need(raise(SIGSTOP) == 0);
		_exit(3);
	}
	need(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
	pause_ms(20);
	need(waitpid(pid, &status, WNOHANG) == 0); /* it stays so */
	need(kill(pid, SIGCONT) == 0 && waitpid(pid, &status, WCONTINUED) == pid);
	if (!WIFEXITED(status))
		need(waitpid(pid, &status, 0) == pid);
	need(WEXITSTATUS(status) == 3);
}

static void stops_and_signals_are_as_without(void **state _unused_)
{
	struct observed o;

	observe(&o, PROCESSES | FILES, be_stopped_and_signalled, NULL);
	observed_done(&o);
}

static void *open_often(void *userdata)
{
	for (int i = 0; i < 200; i++) {
		int fd = open(userdata, O_RDONLY | O_CLOEXEC);

		need(fd >= 0);
		close(fd);
	}
	return NULL;
}

static void open_with_threads(void *userdata)
{
	pthread_t threads[8];

	for (int i = 0; i < 8; i++)
		need(pthread_create(&threads[i], NULL, open_often, userdata) == 0);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
}

static unsigned count_nulls(const struct observed *o)
{
	unsigned n = 0;

	for (size_t i = 0; i < o->n; i++)
		n += o->events[i]->kind == REEVE_OPENED && o->events[i]->path &&
		     strcmp(o->events[i]->path, "/dev/null") == 0;
	return n;
}

static void each_call_of_many_threads_is_seen_once(void **state _unused_)
{
	struct observed o;

	observe(&o, FILES, open_with_threads, (void *)"/dev/null");
	assert_int_equal(count_nulls(&o), 8 * 200);
	observed_done(&o);
}

static void without_the_filter_it_sees_the_same(void **state _unused_)
{
	struct observed o;

	observed_init(&o);
	observed_fork(&o, open_with_threads, (void *)"/dev/null");
	observed_start_with(
		&o, backend,
		&(struct backend_target){ .session = 1, .leader = o.pid, .categories = FILES });
	observed_finish(&o);
	assert_int_equal(o.status, 0);
	assert_int_equal(count_nulls(&o), 8 * 200);
	observed_done(&o);
}

/* --- the end of whoever observes ------------------------------------------------------------- */

static void open_slowly(void *userdata)
{
	for (int i = 0; i < 50; i++) {
		need(open(userdata, O_RDONLY) >= 0);
		pause_ms(1);
	}
}

static void it_goes_on_when_nobody_observes_it_any_more(void **state _unused_)
{
	struct observed o;

	observed_start(&o, backend, FILES, open_slowly, (void *)"/dev/null");
	observed_go(&o);
	while (o.n < 3)
		observed_look(&o);
	o.observation = observation_stop(o.observation);
	assert_int_equal(waitpid(o.pid, &o.status, 0), o.pid);
	assert_int_equal(o.status, 0);
	observed_done(&o);
}

/* The descriptors that a keeper has. */
static struct {
	char name[HELD_NAME_MAX];
	int fd;
} kept[4];
static unsigned n_kept;

static void keep(void *userdata _unused_, const char *name, int fd)
{
	strcpy(kept[n_kept].name, name);
	kept[n_kept++].fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static void release(void *userdata _unused_, const char *name _unused_)
{
}

static void a_successor_goes_on_where_the_other_was(void **state _unused_)
{
	static const struct host_keeping keeping = { keep, release, NULL };
	static struct observed first; /* is left as one that was killed leaves it */
	struct backend_target target = { .session = 1, .resume = true, .categories = FILES };
	struct observed o;

	n_kept = 0;
	observed_init(&first);
	first.host = host_free(first.host);
	assert_int_equal(host_new(&first.host, -1, &keeping), 0);
	backend->prepare(FILES, &first.entry);
	observed_fork(&first, open_slowly, (void *)"/dev/null");
	observed_start_with(
		&first, backend,
		&(struct backend_target){ .session = 1, .leader = first.pid, .categories = FILES });
	assert_int_equal(n_kept, 2);
	observed_go(&first);
	while (first.n < 7)
		observed_look(&first);
	observed_init(&o);
	for (unsigned i = 0; i < n_kept; i++)
		assert_int_equal(host_restore(o.host, kept[i].name, kept[i].fd), 0);
	o.pid = target.leader = first.pid;
	target.after[0] = first.last[0].next;
	observed_start_with(&o, backend, &target);
	host_settled(o.host);
	observed_finish(&o);
	assert_int_equal(o.status, 0);
	assert_int_equal(count_nulls(&first) + count_nulls(&o), 50);
	observed_done(&o);
	observed_done(&first);
}

/* --- the ring -------------------------------------------------------------------------------- */

enum { MANY = 20000 };

static void *write_many(void *userdata)
{
	char path[3000];

	for (uint64_t i = 0; i < MANY; i++) {
		struct reeve_event e;

		event_init(&e, REEVE_FILE, REEVE_OPENED, 1);
		memset(path, 'x', sizeof(path));
		path[i * 7 % sizeof(path)] = '\0';
		e.path = path;
		e.size = i;
		e.fields |= REEVE_HAS_PATH;
		trace_ring_write(userdata, &e);
	}
	return NULL;
}

/* Some times more than it holds at once. */
static void a_ring_loses_nothing_and_makes_the_writer_wait(void **state _unused_)
{
	struct trace_ring reader, writer = { 0 };
	struct reeve_event *e;
	uint64_t at = 0;
	pthread_t thread;
	int peer, r;

	assert_int_equal(trace_ring_new(&reader, &peer), 0);
	assert_int_equal(trace_ring_open(&writer, fcntl(reader.memory, F_DUPFD_CLOEXEC, 3), peer),
			 0);
	assert_int_equal(pthread_create(&thread, NULL, write_many, &writer), 0);
	for (uint64_t i = 0; i < MANY; i++) {
		struct pollfd p = { .fd = reader.sock, .events = POLLIN };

		while ((r = trace_ring_read(&reader, &at, &e)) == 0)
			assert_true(!trace_ring_sleep(&reader, at) ||
				    poll(&p, 1, PATIENCE_MS) == 1);
		assert_int_equal(r, 1);
		assert_int_equal(e->size, i);
		assert_int_equal(strlen(e->path), i * 7 % 3000);
		reeve_event_free(e);
		trace_ring_consume(&reader, at);
	}
	pthread_join(thread, NULL);
	trace_ring_close(&reader);
	trace_ring_close(&writer);
}

static void without_a_reader_nobody_waits(void **state _unused_)
{
	struct trace_ring reader, writer = { 0 };
	int peer;

	assert_int_equal(trace_ring_new(&reader, &peer), 0);
	assert_int_equal(trace_ring_open(&writer, fcntl(reader.memory, F_DUPFD_CLOEXEC, 3), peer),
			 0);
	trace_ring_close(&reader);
	(void)write_many(&writer);
	trace_ring_close(&writer);
}

static void nothing_is_left_open(void **state _unused_)
{
	unsigned before = count_fds();
	struct observed o;

	observe(&o, FILES | PROCESSES, work_on_files, NULL);
	observed_done(&o);
	assert_int_equal(count_fds(), before);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(operations_are_told_with_their_results),
		TEST(a_path_is_what_the_kernel_opened),
		TEST(vfork_and_programs_started_by_threads_are_survived),
		TEST(stops_and_signals_are_as_without),
		TEST(each_call_of_many_threads_is_seen_once),
		TEST(without_the_filter_it_sees_the_same),
		TEST(it_goes_on_when_nobody_observes_it_any_more),
		TEST(a_successor_goes_on_where_the_other_was),
		cmocka_unit_test(a_ring_loses_nothing_and_makes_the_writer_wait),
		cmocka_unit_test(without_a_reader_nobody_waits),
		TEST(nothing_is_left_open),
	};

	if (!backend_works(backend, REEVE_LAUNCHED_TREE))
		return 77; /* skipped; the reason was printed */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
