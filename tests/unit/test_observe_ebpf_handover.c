/* SPDX-License-Identifier: Apache-2.0 */
/* The backend `ebpf` when its process is killed and another takes over: each event comes once. */
#include "ebpf_observed.h"
#include <sys/socket.h>

#define SESSION    70001U /* of the caller's choice, however large */
#define NAMES      20000U
#define HELD_FDS   64U
#define STORED_MAX (4U * NAMES)

/* What the first engine had stored when it died. */
struct stored {
	uint32_t number; /* of the file's name */
	struct backend_origin origin;
};

struct held {
	char name[HELD_NAME_MAX];
	int fd;
};

struct engine {
	int to_store, to_keeper;
};

static void keep_or_release(const struct engine *engine, const char *name, int fd)
{
	char space[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec text = { (void *)(uintptr_t)name, strlen(name) + 1 };
	struct msghdr m = { .msg_iov = &text, .msg_iovlen = 1 };

	if (fd >= 0) {
		struct cmsghdr *c;

		m.msg_control = space;
		m.msg_controllen = sizeof(space);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	must(sendmsg(engine->to_keeper, &m, 0) >= 0);
}

static void hold(void *userdata, const char *name, int fd)
{
	keep_or_release(userdata, name, fd);
}

static void release(void *userdata, const char *name)
{
	keep_or_release(userdata, name, -1);
}

static uint32_t number_of(const struct reeve_event *e)
{
	const char *last = e->path ? strrchr(e->path, '/') : NULL;

	return e->category == REEVE_FILE && e->kind == REEVE_OPENED && last && last[1] == 'n'
		       ? (uint32_t)atoi(last + 2)
		       : UINT32_MAX;
}

static void store(void *userdata, struct reeve_event *e, const struct backend_origin *origin)
{
	struct engine *engine = userdata;
	struct stored s = { number_of(e), *origin };

	must(write(engine->to_store, &s, sizeof(s)) == (ssize_t)sizeof(s));
}

static void not_missed(void *userdata _unused_, enum reeve_category category _unused_,
		       uint64_t n _unused_)
{
	must(false);
}

static struct observation_config config_of(struct host *host, pid_t leader,
					   const struct backend_sink *sink)
{
	struct observation_config config = {
		.host = host,
		.sink = *sink,
		.target = { .session = SESSION, .leader = leader, .gated = true },
		.choices[REEVE_FILE] = { .backend = &backend_ebpf },
		.choices[REEVE_PROCESS] = { .backend = &backend_ebpf },
	};
	return config;
}

/* The first engine: until it is killed. */
static _Noreturn void be_engine(struct engine *engine, pid_t leader, int ready)
{
	struct host_keeping keeping = { hold, release, engine };
	struct backend_sink sink = { store, not_missed, engine };
	struct observation_config config;
	struct observation *observation;
	struct host *host;
	struct error e;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	must(host_new(&host, -1, &keeping) == 0);
	config = config_of(host, leader, &sink);
	must(observation_start(&observation, &config, &e) == 0);
	must(write(ready, "", 1) == 1);
	for (;;) {
		struct pollfd p = { .fd = host_fd(host), .events = POLLIN };

		if (poll(&p, 1, -1) > 0)
			host_dispatch(host);
	}
}

/* Opens n0, n1, ... which are not there; waits in the middle for a byte. */
static void open_each(void *userdata)
{
	char name[PATH_MAX], byte;

	for (unsigned i = 0; i < NAMES; i++) {
		if (i == NAMES / 2)
			must(read(*(int *)userdata, &byte, 1) == 1);
		snprintf(name, sizeof(name), "%s/n%u", directory, i);
		must(open(name, O_RDONLY | O_CLOEXEC) < 0);
	}
}

/* What the keeper has when the engine is gone. */
static unsigned receive_held(int from, struct held held[HELD_FDS])
{
	unsigned n = 0;

	for (;;) {
		char space[CMSG_SPACE(sizeof(int))], name[HELD_NAME_MAX];
		struct iovec text = { name, sizeof(name) };
		struct msghdr m = { .msg_iov = &text,
				    .msg_iovlen = 1,
				    .msg_control = space,
				    .msg_controllen = sizeof(space) };
		unsigned i = 0;

		if (recvmsg(from, &m, MSG_CMSG_CLOEXEC) <= 0)
			return n;
		if (m.msg_controllen > 0) {
			assert_true(n < HELD_FDS);
			strcpy(held[n].name, name);
			memcpy(&held[n++].fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
			continue;
		}
		while (i < n && strcmp(held[i].name, name) != 0)
			i++;
		assert_true(i < n);
		close(held[i].fd);
		held[i] = held[--n];
	}
}

struct successor {
	unsigned seen[NAMES]; /* how often */
	unsigned exits, others;
};

static void see(void *userdata, struct reeve_event *e, const struct backend_origin *origin _unused_)
{
	struct successor *s = userdata;
	uint32_t number = number_of(e);

	if (number < NAMES)
		s->seen[number]++;
	else if (e->kind == REEVE_EXITED)
		s->exits++;
	else
		s->others++;
}

static void none_missed(void *userdata _unused_, enum reeve_category category _unused_, uint64_t n)
{
	assert_int_equal(n, 0);
}

/* Reads what was stored; the places to go on from are in `after`. */
static unsigned load_stored(int from, struct successor *s, uint64_t after[BACKEND_RINGS])
{
	struct stored one;
	unsigned n = 0;

	while (read(from, &one, sizeof(one)) == (ssize_t)sizeof(one)) {
		assert_true(one.origin.ring < BACKEND_RINGS);
		after[one.origin.ring] = one.origin.next;
		if (one.number < NAMES)
			s->seen[one.number]++;
		n++;
	}
	return n;
}

static unsigned attached_programs(const struct held held[], unsigned n)
{
	unsigned links = 0;

	for (unsigned i = 0; i < n; i++)
		links += strstr(held[i].name, "/link/") != NULL;
	return links;
}

struct scene {
	int store[2], keeper[2], ready[2], until[2];
	struct held held[HELD_FDS];
	unsigned n_held;
};

/* One engine begins, and is killed while it delivers. */
static void play_first_engine(struct scene *s, struct observed *o)
{
	struct pollfd p;
	pid_t engine;
	char byte;

	assert_int_equal(pipe2(s->store, O_CLOEXEC), 0);
	(void)fcntl(s->store[1], F_SETPIPE_SZ, 1 << 20);
	assert_int_equal(pipe2(s->ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(s->until, O_CLOEXEC), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->keeper), 0);
	observed_fork(o, open_each, &s->until[0]);
	engine = fork();
	assert_true(engine >= 0);
	if (engine == 0)
		be_engine(&(struct engine){ s->store[1], s->keeper[1] }, o->pid, s->ready[1]);
	close(s->keeper[1]);
	close(s->store[1]);
	assert_int_equal(read(s->ready[0], &byte, 1), 1);
	observed_go(o);
	p = (struct pollfd){ .fd = s->store[0], .events = POLLIN };
	assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
	assert_int_equal(kill(engine, SIGKILL), 0);
	assert_int_equal(waitpid(engine, NULL, 0), engine);
	/* Nobody reads now, and nobody is there to attach: it goes on alone. */
	assert_int_equal(write(s->until[1], "", 1), 1);
	s->n_held = receive_held(s->keeper[0], s->held);
}

static void end_scene(const struct scene *s)
{
	close(s->store[0]);
	close(s->keeper[0]);
	close(s->ready[0]);
	close(s->ready[1]);
	close(s->until[0]);
	close(s->until[1]);
}

static void a_successor_neither_repeats_nor_loses_an_event(void **state _unused_)
{
	static struct successor s;
	struct backend_sink sink = { see, none_missed, &s };
	struct observation_config config;
	struct scene scene = { 0 };
	struct observed o;
	struct error e;
	unsigned stored;

	need_backend();
	memset(&s, 0, sizeof(s));
	observed_init(&o);
	play_first_engine(&scene, &o);
	assert_true(attached_programs(scene.held, scene.n_held) >= 5);
	for (unsigned i = 0; i < scene.n_held; i++)
		assert_int_equal(host_restore(o.host, scene.held[i].name, scene.held[i].fd), 0);
	config = config_of(o.host, o.pid, &sink);
	config.target.resume = true;
	stored = load_stored(scene.store[0], &s, config.target.after);
	assert_true(stored > 0);
	if (observation_start(&o.observation, &config, &e) < 0)
		fail_msg("%s", e.message);
	host_settled(o.host);
	observed_finish(&o);
	assert_int_equal(o.status, 0);
	for (unsigned i = 0; i < NAMES; i++)
		assert_int_equal(s.seen[i], 1);
	assert_int_equal(s.exits, 1);
	assert_int_equal(s.others, 0);
	observed_done(&o);
	end_scene(&scene);
}

static void what_nobody_takes_over_is_ended(void **state _unused_)
{
	unsigned before;
	struct scene scene = { 0 };
	struct observed o;

	need_backend();
	before = count_fds();
	observed_init(&o);
	play_first_engine(&scene, &o);
	for (unsigned i = 0; i < scene.n_held; i++)
		assert_int_equal(host_restore(o.host, scene.held[i].name, scene.held[i].fd), 0);
	host_settled(o.host);
	assert_int_equal(waitpid(o.pid, &o.status, 0), o.pid);
	assert_int_equal(o.status, 0);
	observed_done(&o);
	end_scene(&scene);
	assert_int_equal(count_fds(), before);
}

/* A session that ended while there was no engine does not keep the programs attached. */
static void a_session_that_is_not_taken_over_is_forgotten(void **state _unused_)
{
	static struct successor s;
	struct backend_sink sink = { see, none_missed, &s };
	struct observation_config config;
	struct scene scene = { 0 };
	struct observed o;
	struct error e;

	need_backend();
	memset(&s, 0, sizeof(s));
	observed_init(&o);
	play_first_engine(&scene, &o);
	for (unsigned i = 0; i < scene.n_held; i++)
		assert_int_equal(host_restore(o.host, scene.held[i].name, scene.held[i].fd), 0);
	config = config_of(o.host, getpid(), &sink);
	config.target.session = SESSION + 1;
	config.choices[REEVE_FILE].backend = NULL;
	assert_int_equal(observation_start(&o.observation, &config, &e), 0);
	host_settled(o.host);
	assert_int_equal(waitpid(o.pid, &o.status, 0), o.pid);
	observation_flush(o.observation);
	for (unsigned i = 0; i < NAMES; i++)
		assert_int_equal(s.seen[i], 0);
	assert_int_equal(host_held(o.host, "ebpf2/link/on_return"), -ENOENT);
	observed_done(&o);
	end_scene(&scene);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_successor_neither_repeats_nor_loses_an_event),
		TEST(what_nobody_takes_over_is_ended),
		TEST(a_session_that_is_not_taken_over_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
