/* SPDX-License-Identifier: Apache-2.0 */
/* The backend seccomp-user-notify: what it sees, and what it says of itself. */
#include "base/cleanup.h"
#include "fds.h"
#include "observed.h"
#include <arpa/inet.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>

#define FILES    (1U << REEVE_FILE)
#define NETWORKS (1U << REEVE_NETWORK)
#define ALL      (FILES | NETWORKS | 1U << REEVE_PROCESS)

static const struct backend *const backend = &backend_seccomp_user_notify;
static char dir[64];

static int setup(void **state _unused_)
{
	strcpy(dir, "/tmp/rv-notify-XXXXXX");
	assert_non_null(mkdtemp(dir));
	return 0;
}

static int teardown(void **state _unused_)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
	return 0;
}

static void observe(struct observed *o, unsigned categories, void (*role)(void *), void *userdata)
{
	observed_start(o, backend, categories, role, userdata);
	observed_finish(o);
	assert_int_equal(o->status, 0);
	assert_int_equal(o->missed[REEVE_FILE] + o->missed[REEVE_NETWORK], 0);
}

static void need(bool condition)
{
	if (!condition)
		_exit(1);
}

/* --- files ----------------------------------------------------------------------------------- */

static char *in_dir(const char *name)
{
	static char paths[8][128];
	static unsigned n;
	char *path = paths[n++ % ARRAY_SIZE(paths)];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static void work_on_files(void *userdata _unused_)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC };
	int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), fd;

	fd = openat(at, "a", O_CREAT | O_WRONLY | O_CLOEXEC, 0640);
	need(fd >= 0 && ftruncate(fd, 77) == 0 && fchmod(fd, 0600) == 0 && close(fd) == 0);
	need(syscall(SYS_openat2, at, "a", &how, sizeof(how)) >= 0);
	need(mkdir(in_dir("d"), 0711) == 0 && chdir(dir) == 0);
	need(rename("a", "b") == 0 && link("b", "c") == 0 && symlink("over/there", "s") == 0);
	need(truncate("b", 5) == 0 && chmod("b", 0644) == 0);
	need(chown("b", getuid(), (gid_t)-1) == 0 && unlink("c") == 0);
	need(unlinkat(at, "d", AT_REMOVEDIR) == 0 && open("none", O_RDONLY) < 0);
}

static void each_operation_on_files_is_seen(void **state _unused_)
{
	const struct reeve_event *e;
	struct observed o;

	observe(&o, FILES, work_on_files, NULL);
	e = observed_path(&o, REEVE_OPENED, in_dir("a"));
	assert_non_null(e);
	assert_int_equal(e->pid, o.pid);
	assert_int_equal(e->flags & (O_CREAT | O_WRONLY), O_CREAT | O_WRONLY);
	assert_int_equal(e->mode, 0640);
	assert_int_equal(e->fields & (REEVE_HAS_CLAIMED | REEVE_HAS_RESULT | REEVE_HAS_COMM),
			 REEVE_HAS_CLAIMED | REEVE_HAS_COMM);
	assert_int_equal(observed_count(&o, REEVE_OPENED, o.pid), 4); /* dir, a, a, none */
	assert_non_null(observed_path(&o, REEVE_OPENED, in_dir("none")));
	assert_int_equal(observed_path(&o, REEVE_TRUNCATED, in_dir("a"))->size, 77);
	assert_int_equal(observed_path(&o, REEVE_TRUNCATED, in_dir("b"))->size, 5);
	assert_int_equal(observed_path(&o, REEVE_CHMOD, in_dir("a"))->mode, 0600);
	assert_int_equal(observed_path(&o, REEVE_CHMOD, in_dir("b"))->mode, 0644);
	assert_int_equal(observed_path(&o, REEVE_MKDIR, in_dir("d"))->mode, 0711);
	assert_string_equal(observed_path(&o, REEVE_RENAMED, in_dir("a"))->path2, in_dir("b"));
	assert_string_equal(observed_path(&o, REEVE_LINKED, in_dir("b"))->path2, in_dir("c"));
	assert_string_equal(observed_path(&o, REEVE_SYMLINKED, "over/there")->path2, in_dir("s"));
	e = observed_path(&o, REEVE_CHOWN, in_dir("b"));
	assert_int_equal(e->uid, getuid());
	assert_int_equal(e->gid, UINT32_MAX);
	assert_non_null(observed_path(&o, REEVE_UNLINKED, in_dir("c")));
	assert_non_null(observed_path(&o, REEVE_RMDIR, in_dir("d")));
	observed_done(&o);
}

static void open_long_and_bad(void *userdata _unused_)
{
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char longest[PATH_MAX + 100];

	memset(longest, 'x', sizeof(longest));
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	need(open(longest, O_RDONLY) < 0 && errno == ENAMETOOLONG);
	need(syscall(SYS_openat, AT_FDCWD, 8L, O_RDONLY) < 0 && errno == EFAULT);
	need(munmap(page + 4096, 4096) == 0); /* a path that ends with its page */
	strcpy(page + 4096 - 10, "/dev/null");
	need(open(page + 4096 - 10, O_RDONLY) >= 0);
}

static void paths_that_are_too_long_or_nowhere_harm_nobody(void **state _unused_)
{
	struct observed o;

	observe(&o, FILES, open_long_and_bad, NULL);
	assert_int_equal(o.n, 3);
	assert_int_equal(strlen(o.events[0]->path), EVENT_TEXT_MAX - 1);
	assert_true((o.events[0]->fields & REEVE_HAS_CUT) != 0);
	assert_null(o.events[1]->path);
	assert_string_equal(o.events[2]->path, "/dev/null");
	observed_done(&o);
}

#ifdef __x86_64__
/* openat() as a 32-bit program makes it. */
static void open_by_int80(void *userdata _unused_)
{
	char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	long r;

	need(low != MAP_FAILED);
	strcpy(low, "/dev/zero");
	__asm__ volatile("int $0x80"
			 : "=a"(r)
			 : "a"(5L), "b"(low), "c"((long)O_RDONLY), "d"(0L)
			 : "memory", "r8", "r9", "r10", "r11");
	need(r >= 0);
}

static void calls_of_32_bit_programs_are_seen(void **state _unused_)
{
	struct observed o;

	observe(&o, FILES, open_by_int80, NULL);
	assert_non_null(observed_path(&o, REEVE_OPENED, "/dev/zero"));
	observed_done(&o);
}
#endif

/* --- sockets --------------------------------------------------------------------------------- */

static void work_on_sockets(void *userdata)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(1) };
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/nowhere" };
	struct msghdr message = { .msg_name = &to, .msg_namelen = sizeof(to) };
	int tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);
	int local = socket(AF_UNIX, SOCK_STREAM, 0), server = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in any = { .sin_family = AF_INET };

	(void)userdata;
	to.sin_addr.s_addr = any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	need(connect(tcp, (struct sockaddr *)&to, sizeof(to)) < 0 && errno == ECONNREFUSED);
	need(connect(local, (struct sockaddr *)&un, sizeof(un)) < 0 && errno == ENOENT);
	need(bind(server, (struct sockaddr *)&any, sizeof(any)) == 0 && listen(server, 1) == 0);
	for (int i = 0; i < 3; i++)
		(void)sendto(udp, "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
	to.sin_port = htons(2);
	(void)sendmsg(udp, &message, 0);
}

static void destinations_are_seen(void **state _unused_)
{
	const struct reeve_event *e;
	struct observed o;

	observe(&o, NETWORKS, work_on_sockets, NULL);
	e = observed_nth(&o, REEVE_CONNECTED, o.pid, 0);
	assert_int_equal(e->remote.port, 1);
	assert_int_equal(e->family, AF_INET);
	assert_int_equal(e->protocol, IPPROTO_TCP);
	assert_memory_equal(e->remote.bytes, "\x7f\0\0\1", 4);
	assert_string_equal(observed_nth(&o, REEVE_CONNECTED, o.pid, 1)->remote.path, "/nowhere");
	assert_int_equal(observed_find(&o, REEVE_BOUND, o.pid)->local.port, 0);
	e = observed_find(&o, REEVE_LISTENING, o.pid);
	assert_true(e->local.port > 0);
	assert_int_equal(e->local.family, AF_INET);
	/* Once for each destination. */
	assert_int_equal(observed_count(&o, REEVE_DATAGRAM, o.pid), 2);
	e = observed_nth(&o, REEVE_DATAGRAM, o.pid, 1);
	assert_int_equal(e->remote.port, 2);
	assert_int_equal(e->protocol, IPPROTO_UDP);
	observed_done(&o);
}

/* --- what is held up goes on ----------------------------------------------------------------- */

enum { THREADS = 8, OPENS = 200 };

static void *open_often(void *userdata)
{
	for (int i = 0; i < OPENS; i++) {
		int fd = open(userdata, O_RDONLY | O_CLOEXEC);

		need(fd >= 0);
		close(fd);
	}
	return NULL;
}

static void open_with_threads(void *userdata _unused_)
{
	struct itimerval often = { { 0, 500 }, { 0, 500 } };
	pthread_t threads[THREADS];

	(void)signal(SIGALRM, SIG_IGN); /* signals come in the middle of each call */
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < THREADS; i++)
		need(pthread_create(&threads[i], NULL, open_often, (void *)"/dev/null") == 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void each_call_of_many_threads_is_seen_once(void **state _unused_)
{
	struct observed o;
	unsigned n = 0;

	observe(&o, FILES, open_with_threads, NULL);
	for (size_t i = 0; i < o.n; i++) {
		if (strcmp(o.events[i]->path, "/dev/null") != 0)
			continue;
		assert_int_equal(o.events[i]->pid, o.pid); /* the process, whichever thread */
		n++;
	}
	assert_int_equal(n, THREADS * OPENS);
	observed_done(&o);
}

/* As many as are worth it that its memory is kept open, and that it takes turns with us. */
static void open_in_a_row(void *userdata _unused_)
{
	struct itimerval often = { { 0, 500 }, { 0, 500 } };
	char path[32];

	need(execl(in_dir("none"), "none", NULL) < 0);
	(void)signal(SIGALRM, SIG_IGN);
	setitimer(ITIMER_REAL, &often, NULL);
	for (unsigned i = 0; i < 1000; i++) {
		(void)snprintf(path, sizeof(path), "/nowhere/%u", i);
		need(open(path, O_RDONLY | O_CLOEXEC) < 0);
	}
}

static void each_of_many_calls_in_a_row_is_seen_once(void **state _unused_)
{
	struct observed o;
	unsigned n = 0;
	char path[32];

	observe(&o, ALL, open_in_a_row, NULL);
	for (size_t i = 0; i < o.n; i++) {
		if (o.events[i]->kind != REEVE_OPENED)
			continue;
		(void)snprintf(path, sizeof(path), "/nowhere/%u", n++);
		assert_string_equal(o.events[i]->path, path);
	}
	assert_int_equal(n, 1000);
	observed_done(&o);
}

/* --- what it cannot do ----------------------------------------------------------------------- */

static const char *reason_of(struct backend_support support[REEVE_CATEGORIES])
{
	memset(support, 0, REEVE_CATEGORIES * sizeof(*support));
	backend->probe(REEVE_LAUNCHED_TREE, -1, support);
	return support[REEVE_FILE].reason;
}

static void probe_inside(void *userdata _unused_)
{
	struct backend_support support[REEVE_CATEGORIES];

	(void)reason_of(support);
	need(support[REEVE_FILE].support == REEVE_UNAVAILABLE);
	need(support[REEVE_NETWORK].support == REEVE_UNAVAILABLE);
	need(strstr(support[REEVE_FILE].reason, "only one is possible") != NULL);
}

static void inside_an_observed_session_it_says_why_not(void **state _unused_)
{
	struct observed o;

	observe(&o, FILES, probe_inside, NULL);
	observed_done(&o);
}

/* A container that lets filters be installed, and nobody receive. */
static int probe_without_receiving(void *userdata _unused_)
{
	struct backend_support support[REEVE_CATEGORIES];
	static const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)SECCOMP_IOCTL_NOTIF_RECV, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct entry e = { .n = ARRAY_SIZE(code) };

	memcpy(e.code, code, sizeof(code));
	if (entry_apply(&e) < 0)
		return 1;
	(void)reason_of(support);
	for (unsigned c = REEVE_FILE; c <= REEVE_PROCESS; c++) {
		if (support[c].support != REEVE_UNAVAILABLE || support[c].reason[0] == '\0')
			return 2;
	}
	return 0;
}

/* As Yama refuses it to whoever is no ancestor. */
static int probe_without_reading_memory(void *userdata _unused_)
{
	struct backend_support support[REEVE_CATEGORIES];
	static const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct entry e = { .n = ARRAY_SIZE(code) };

	memcpy(e.code, code, sizeof(code));
	if (entry_apply(&e) < 0)
		return 1;
	(void)reason_of(support);
	for (unsigned c = REEVE_FILE; c <= REEVE_PROCESS; c++) {
		const char *reason = support[c].reason;

		if (support[c].support != REEVE_UNAVAILABLE)
			return 2;
		if (!strstr(reason, "process_vm_readv") && !strstr(reason, "ptrace_scope"))
			return 3;
	}
	return 0;
}

static void where_memory_cannot_be_read_it_does_not_say_yes(void **state _unused_)
{
	assert_int_equal(in_child(0, probe_without_reading_memory, NULL), 0);
}

static void where_receiving_is_blocked_it_does_not_say_yes(void **state _unused_)
{
	assert_int_equal(in_child(0, probe_without_receiving, NULL), 0);
}

static int probe_as_ordinary_user(void *userdata _unused_)
{
	struct backend_support support[REEVE_CATEGORIES];

	/* What a change of user takes away, and execve gives back. */
	if (prctl(PR_SET_DUMPABLE, 1) < 0)
		return 2;
	(void)reason_of(support);
	return support[REEVE_FILE].support == REEVE_PARTIAL &&
			       strstr(support[REEVE_FILE].reason, "sudo fails") != NULL
		       ? 0
		       : 1;
}

static void the_reason_says_what_it_costs_and_what_is_not_seen(void **state _unused_)
{
	struct backend_support support[REEVE_CATEGORIES];

	assert_non_null(strstr(reason_of(support), "as claimed"));
	assert_non_null(strstr(reason_of(support), "io_uring"));
	assert_int_equal(support[REEVE_FILE].support, REEVE_PARTIAL);
	if (getuid() == 0)
		assert_null(strstr(support[REEVE_FILE].reason, "sudo"));
	assert_int_equal(in_child(getuid() == 0 ? NOBODY : 0, probe_as_ordinary_user, NULL), 0);
}

static void what_was_started_before_cannot_be_observed(void **state _unused_)
{
	struct backend_run run = { .backend = backend, .target = { .leader = getpid() } };
	struct error e = { 0 };

	assert_true(backend->start(&run, &e) < 0);
	assert_non_null(strstr(e.message, "when you start the command"));
}

static void nothing_is_left_open(void **state _unused_)
{
	unsigned before = count_fds();
	struct observed o;

	observe(&o, FILES | NETWORKS, work_on_files, NULL);
	observed_done(&o);
	assert_int_equal(count_fds(), before);
}

/* --- who ------------------------------------------------------------------------------------- */

static void run_under_other_names(void *userdata _unused_)
{
	pid_t pid;

	need(prctl(PR_SET_NAME, "parent") == 0 && open(in_dir("1"), O_RDONLY) < 0);
	pid = fork();
	if (pid == 0) {
		need(open(in_dir("2"), O_RDONLY) < 0 && prctl(PR_SET_NAME, "child") == 0);
		need(execl(in_dir("none"), "none", NULL) < 0 && open(in_dir("3"), O_RDONLY) < 0);
		execl("/bin/cat", "cat", in_dir("4"), NULL);
		_exit(1);
	}
	need(pid > 0 && waitpid(pid, NULL, 0) == pid);
}

static void each_is_called_by_the_name_that_it_has_by_then(void **state _unused_)
{
	static const char *const names[] = { "parent", "parent", "child", "cat" };
	struct observed o;
	pid_t child;

	observe(&o, ALL, run_under_other_names, NULL);
	child = observed_find(&o, REEVE_EXECUTED, 0)->pid;
	assert_int_not_equal(child, o.pid);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		const char name[] = { (char)('1' + i), '\0' };
		const struct reeve_event *e = observed_path(&o, REEVE_OPENED, in_dir(name));

		assert_non_null(e);
		assert_int_equal(e->pid, i == 0 ? o.pid : child);
		assert_int_equal(e->ppid, i == 0 ? getpid() : o.pid);
		assert_string_equal(e->comm, names[i]);
	}
	assert_int_equal(observed_find(&o, REEVE_EXECUTED, child)->ppid, o.pid);
	observed_done(&o);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(each_operation_on_files_is_seen),
		TEST(paths_that_are_too_long_or_nowhere_harm_nobody),
#ifdef __x86_64__
		TEST(calls_of_32_bit_programs_are_seen),
#endif
		TEST(destinations_are_seen),
		TEST(each_call_of_many_threads_is_seen_once),
		TEST(each_of_many_calls_in_a_row_is_seen_once),
		TEST(inside_an_observed_session_it_says_why_not),
		TEST(where_receiving_is_blocked_it_does_not_say_yes),
		TEST(where_memory_cannot_be_read_it_does_not_say_yes),
		TEST(the_reason_says_what_it_costs_and_what_is_not_seen),
		TEST(what_was_started_before_cannot_be_observed),
		TEST(each_is_called_by_the_name_that_it_has_by_then),
		TEST(nothing_is_left_open),
	};

	if (!backend_works(backend, REEVE_LAUNCHED_TREE))
		return 77; /* skipped; the reason was printed */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
