/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_api.c - the whole way of a request: the real server, the real routes, an engine with one
 * session. Whatever a client sends is answered or refused, and nothing is left of it. */
#include "api/http_internal.h"
#include "api/routes.h"
#include "engine.h"
#include <netinet/in.h>
#include <sys/un.h>

#define LOADED    1U
#define TURNS_MAX 200

/* Conditions of a wait look names up and connect to ports: not while fuzzing. Linked with --wrap.
 */
int __real_connect(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size)
{
	if (address->sa_family == AF_UNIX)
		return __real_connect(fd, address, size);
	errno = ECONNREFUSED;
	return -1;
}

int __wrap_uv_getaddrinfo(uv_loop_t *loop, uv_getaddrinfo_t *rq, uv_getaddrinfo_cb done,
			  const char *node, const char *service, const struct addrinfo *hints);

int __wrap_uv_getaddrinfo(uv_loop_t *loop, uv_getaddrinfo_t *rq, uv_getaddrinfo_cb done,
			  const char *node, const char *service, const struct addrinfo *hints)
{
	(void)loop, (void)rq, (void)done, (void)node, (void)service, (void)hints;
	return UV_EAI_FAIL;
}

static struct sockaddr_un address = { .sun_family = AF_UNIX };
static socklen_t address_size = sizeof(sa_family_t); /* the kernel gives it a name */

static void prepare(void)
{
	static uv_tcp_t tcp;
	struct error err = { 0 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	prepare_engine();
	must(fd >= 0 && bind(fd, (struct sockaddr *)&address, address_size) == 0);
	address_size = sizeof(address);
	must(getsockname(fd, (struct sockaddr *)&address, &address_size) == 0);
	must(listen(fd, 16) == 0);
	e.daemon_fds[DAEMON_FD_LISTEN] = fd;
	must(routes_serve(&e, &err) == 0);
	/* From the first one on libuv keeps a descriptor in reserve. */
	must(uv_tcp_init(&e.loop, &tcp) == 0);
	uv_close((uv_handle_t *)&tcp, NULL);
	turn(2);
}

/* --- the session ----------------------------------------------------------------------------- */

static const char meta[] =
	"{\"command\":[\"make\",\"-j\"],\"name\":\"build\",\"title\":\"The build\","
	"\"labels\":{\"ci\":\"yes\"},\"originator\":\"fuzz\"}";
static const char output[] = "one\ntwo \xc3\xa4\n\x1b[1mthree\x1b[0m\n\xff\xfe no newline";

static void make_record(struct control_slot *w, uint8_t how)
{
	memset((void *)e.daemon, 0, CONTROL_RECORD);
	memset((void *)w, 0, CONTROL_RECORD);
	word_store(&w->kind, how & 1 ? KIND_PTY : KIND_PIPE);
	word_store(&w->id_time, 1);
	word_store(&w->id_counter, 1);
	word_store(&w->handle, 1);
	word_store(&w->meta_size, LAYOUT_PAGE);
	word_store(&w->index_size, INDEX_SIZE_MIN);
	word_store(&w->in_size, RING_SIZE_IN);
	word_store(&w->out_size[0], RING_SIZE_MIN);
	word_store(&w->out_size[1], how & 1 ? 0 : RING_SIZE_MIN);
	word_store(&w->spawn, how & 2 ? SPAWN_QUEUED : SPAWN_STARTED);
	word_store(&w->state, SLOT_LIVE);
	word_store(&e.daemon->counter, 1);
	word_store(&e.daemon->handle, 1);
}

static int make_memory(const struct control_slot *w)
{
	uint64_t length = strlen(meta);
	struct layout l;
	int fd;

	must(layout_of(w, &l) == 0);
	fd = fd_memfd("session", l.size);
	must(fd >= 0 && pwrite(fd, &length, sizeof(length), 0) == sizeof(length));
	must(pwrite(fd, meta, length, sizeof(length)) == (ssize_t)length);
	return fd;
}

/* Loads a session that has said something; `child` gets the child's ends. */
static void load_session(uint8_t how, int child[3])
{
	struct control_slot *w = engine_slot(&e, LOADED);
	int fds[N_SLOT_FDS], pair[2];
	struct error err = { 0 };
	struct session *s;

	make_record(w, how);
	for (unsigned i = 0; i < N_SLOT_FDS; i++)
		fds[i] = -1;
	fds[SLOT_FD_MEMORY] = make_memory(w);
	for (unsigned i = 0; i < 3; i++) {
		child[i] = -1;
		if (how & 1 && i > 0)
			continue; /* a terminal has one descriptor */
		must(pipe_make(pair, 1, 1, 4096) == 0);
		child[i] = pair[i < 2];
		fds[i == 2 ? SLOT_FD_IN : i == 1 ? SLOT_FD_ERR : SLOT_FD_OUT] = pair[i == 2];
		if (i < 2)
			must(write(pair[1], output, strlen(output)) == (ssize_t)strlen(output));
	}
	must(session_load(&e, LOADED, fds, &s, &err) == 0);
	s->pending_spawn = how & 2;
	e.spawns += s->pending_spawn;
	turn(3);
	if (how & 4)
		word_store(&w->exit.ready, 1);
	if (how & 8)
		word_store(&w->tree_gone, 1);
	session_update(s, true);
}

static void remove_sessions(void)
{
	while (e.first) {
		session_remove(e.first);
		drain_link();
	}
}

/* --- the client ------------------------------------------------------------------------------ */

static int dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	must(fd >= 0 && connect(fd, (struct sockaddr *)&address, address_size) == 0);
	return fd;
}

static void receive(int fd)
{
	char text[4096];

	while (read(fd, text, sizeof(text)) > 0)
		;
}

/* What the keeper makes of a spawn request. */
static void answer_spawns(enum spawn_state answer)
{
	for (struct session *s = e.first, *newer; s; s = newer) {
		newer = s->newer;
		if (!s->pending_spawn || s->slot == LOADED)
			continue;
		word_store(&s->words->fail, answer == SPAWN_FAILED ? ENOENT : 0);
		word_store(&s->words->step, STEP_EXEC);
		word_store(&s->words->spawn, answer);
		session_update(s, true);
	}
}

/* Sends the request in two parts, and reads what comes. */
static void ask(int fd, const uint8_t *data, size_t size, size_t first, uint8_t how)
{
	first = first < size ? first : size;
	if (first > 0 && write(fd, data, first) < 0)
		return;
	turn(4);
	receive(fd);
	if (size > first && write(fd, data + first, size - first) < 0)
		return;
	turn(6);
	answer_spawns(how & 64 ? SPAWN_FAILED : SPAWN_STARTED);
	turn(4);
	receive(fd);
}

/* First byte: the session's kind and state; second: where the request is cut; the rest is what the
 * client sends. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint8_t how = take_u8(&in), first = take_u8(&in);
	unsigned open_before;
	int child[3], fd;

	if (!e.memory)
		prepare();
	open_before = open_fds();
	load_session(how, child);
	fd = dial();
	ask(fd, in.data, in.left, how & 16 ? first * 8U : SIZE_MAX, how);
	if (how & 32)
		remove_sessions();
	close(fd);
	turn(4);
	remove_sessions();
	for (unsigned i = 0; i < 3; i++)
		fd_close(child[i]);
	for (unsigned i = 0; i < TURNS_MAX && http_server_connections(e.http) > 0; i++)
		turn(1);
	refuser_done(&e.http->refuser); /* they would be closed within a second */
	e.quitting = QUIT_NOT;
	uv_timer_stop(&e.leaving);
	turn(4);
	must(http_server_connections(e.http) == 0);
	must(e.n_sessions == 0 && e.spawns == 0 && e.retained == 0);
	must(open_fds() == open_before);
	return 0;
}
