/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_session.c - an engine that loads a slot whose record and memory hold anything, and works
 * with it: what it cannot trust it refuses, and it stays within the memory that is mapped. */
#include "api/page.h"
#include "core/cursor.h"
#include "core/stopplan.h"
#include "engine.h"
#include "words.h"

#define LOADED     1U
#define MEMORY_MAX (8 * MiB) /* what a run maps at most */
#define FILL_MAX   20000U

/* --- guards ---------------------------------------------------------------------------------- */

/* The one shared mapping, a session's memory, gets a page before and behind it that nobody may
 * touch: the system calls are linked with --wrap. */
void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t size);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *at, size_t size);

static void *guarded;

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	size_t whole = (size + LAYOUT_PAGE - 1) / LAYOUT_PAGE * LAYOUT_PAGE;
	char *guards;

	if (!(flags & MAP_SHARED) || guarded)
		return __real_mmap(at, size, protection, flags, fd, offset);
	guards = __real_mmap(NULL, whole + 2 * LAYOUT_PAGE, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must(guards != MAP_FAILED);
	at = __real_mmap(guards + LAYOUT_PAGE, size, protection, flags | MAP_FIXED, fd, offset);
	if (at == MAP_FAILED) {
		must(__real_munmap(guards, whole + 2 * LAYOUT_PAGE) == 0);
		return MAP_FAILED;
	}
	return guarded = at;
}

int __wrap_munmap(void *at, size_t size)
{
	size_t whole = (size + LAYOUT_PAGE - 1) / LAYOUT_PAGE * LAYOUT_PAGE;

	if (!at || at != guarded)
		return __real_munmap(at, size);
	guarded = NULL;
	return __real_munmap((char *)at - LAYOUT_PAGE, whole + 2 * LAYOUT_PAGE);
}

static uint8_t noise[FILL_MAX];

static void prepare(void)
{
	prepare_engine();
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)(i * 7);
}

/* --- what is to be loaded -------------------------------------------------------------------- */

/* A record that is right, but for what the input puts into it. */
static void make_record(struct input *in, struct control_slot *w)
{
	static const struct {
		size_t offset;
		uint64_t value;
	} good[] = {
		{ offsetof(struct control_slot, state), SLOT_LIVE },
		{ offsetof(struct control_slot, kind), KIND_PIPE },
		{ offsetof(struct control_slot, spawn), SPAWN_STARTED },
		{ offsetof(struct control_slot, handle), 1 },
		{ offsetof(struct control_slot, meta_size), LAYOUT_PAGE },
		{ offsetof(struct control_slot, index_size), INDEX_SIZE_MIN },
		{ offsetof(struct control_slot, in_size), RING_SIZE_MIN },
		{ offsetof(struct control_slot, out_size[0]), RING_SIZE_MIN },
		{ offsetof(struct control_slot, out_size[1]), RING_SIZE_MIN },
	};
	unsigned n = take_u8(in) % 32;

	memset((void *)e.daemon, 0, CONTROL_RECORD);
	memset((void *)w, 0, CONTROL_RECORD);
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		word_store((struct word *)((char *)w + good[i].offset), good[i].value);
	while (n-- > 0) {
		struct word *word = take_word(in, w, e.daemon);

		word_store(word, take_u64(in));
	}
}

/* The session's memory: all zero but for the metadata. Mostly of the size that the record says. */
static int make_memory(struct input *in, const struct control_slot *w)
{
	uint64_t size = MEMORY_MAX, length;
	uint8_t how = take_u8(in);
	struct layout l;
	size_t n;
	const uint8_t *meta = take_bytes(in, take_u16(in), &n);
	int fd;

	if (how == 1)
		return -1;
	if (how == 2)
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	if (layout_of(w, &l) == 0 && l.size <= MEMORY_MAX)
		size = how == 3 ? l.size - 1 : l.size;
	fd = fd_memfd("session", size);
	must(fd >= 0);
	if (n == 0) {
		meta = (const uint8_t *)"{\"command\":[\"x\"]}";
		n = strlen((const char *)meta);
	}
	length = how == 4 ? take_u64(in) : n;
	must(pwrite(fd, &length, sizeof(length), 0) == sizeof(length));
	must(pwrite(fd, meta, n, sizeof(length)) == (ssize_t)n);
	return fd;
}

/* A pipe of the child: `*ret` is its end, filled when it is to be read from. */
static int make_pipe(struct input *in, bool readable, int *ret)
{
	uint8_t how = take_u8(in);
	uint16_t n = take_u16(in);
	int pair[2];

	*ret = -1;
	if (how == 1)
		return -1;
	if (how == 2)
		return open("/dev/null", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (how == 3)
		return fd_memfd("no pipe", 0);
	must(pipe_make(pair, 1, 1, 0) == 0);
	if (how == 4 && readable)
		fcntl(pair[1], F_SETFL, O_NONBLOCK | O_DIRECT);
	if (readable && write(pair[1], noise, n % FILL_MAX) < 0)
		must(errno == EAGAIN);
	*ret = how == 5 ? fd_close(pair[readable]) : pair[readable];
	return pair[!readable];
}

static void fill_private_pipes(struct input *in)
{
	uint16_t n = take_u16(in), m = take_u16(in);

	must(write(e.capture.pipe_w, noise, n % FILL_MAX) >= 0);
	must(write(e.feed.pipe_w, noise, m % FILL_MAX) >= 0);
}

/* --- what is done with it -------------------------------------------------------------------- */

static void touch(const struct iovec *view, int pieces, size_t n)
{
	static uint8_t last;
	volatile uint8_t *sum = &last;
	size_t seen = 0;

	for (int i = 0; i < pieces; i++) {
		for (size_t b = 0; b < view[i].iov_len; b++)
			*sum ^= ((uint8_t *)view[i].iov_base)[b];
		seen += view[i].iov_len;
	}
	must(seen == n);
}

static void read_streams(struct session *s, uint64_t from)
{
	struct page page;
	struct iovec view[2];
	size_t n;
	int pieces;

	for (unsigned i = 0; i < STREAMS_MAX; i++) {
		struct cursor c;

		if (!output_stream_exists(s, i))
			continue;
		cursor_init(&c, &s->streams[i].capture.ring, from);
		n = cursor_peek(&c, SIZE_MAX, view, &pieces);
		touch(view, pieces, n);
	}
	page_init(&page, s, (bool[]){ true, true });
	for (int i = 0; i < 600 && (n = page_peek(&page, 4096, view, &pieces)) > 0; i++) {
		touch(view, pieces, n);
		page_advance(&page, n);
	}
}

static void work(struct session *s, struct input *in)
{
	struct error err = { 0 };
	struct stop_plan plan;
	uint64_t accepted = 0, at = take_u64(in), from = take_u64(in);
	size_t n;
	const uint8_t *bytes;

	s->pending_spawn = word_load(&s->words->spawn) < SPAWN_STARTED;
	e.spawns += s->pending_spawn;
	if (word_load(&s->words->attach_mode) == 2)
		attachment_lease_check(s);
	session_update(s, true);
	turn(3);
	if (!e.slots[LOADED])
		return; /* removed by its own ttl, or such */
	read_streams(s, from);
	bytes = take_bytes(in, 300, &n);
	if (input_take(s, at & 1 ? UINT64_MAX : at >> 1, bytes, n, &accepted, &err) < 0)
		must(err.message[0]);
	session_plan(s, &plan);
	session_stop(s, &plan, CAUSE_STOP);
	input_close(s);
	turn(3);
	if (e.slots[LOADED])
		read_streams(s, from / 2);
}

static void load(struct input *in, int fds[N_SLOT_FDS])
{
	struct error err = { 0 };
	struct session *s = NULL;

	if (session_load(&e, LOADED, fds, &s, &err) < 0) {
		must(err.message[0]);
		turn(2);
	} else if (s->quarantined) {
		session_remove(s);
	} else {
		work(s, in);
		if (e.slots[LOADED])
			session_remove(e.slots[LOADED]);
	}
	for (unsigned i = 0; i < N_SLOT_FDS; i++)
		must(fds[i] < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	int fds[N_SLOT_FDS], child[3];
	unsigned open_before;

	if (!e.memory)
		prepare();
	turn(1);
	open_before = open_fds();
	for (unsigned i = 0; i < N_SLOT_FDS; i++)
		fds[i] = -1;
	make_record(&in, engine_slot(&e, LOADED));
	fds[SLOT_FD_MEMORY] = make_memory(&in, engine_slot(&e, LOADED));
	fds[SLOT_FD_OUT] = make_pipe(&in, true, &child[0]);
	fds[SLOT_FD_ERR] = make_pipe(&in, true, &child[1]);
	fds[SLOT_FD_IN] = make_pipe(&in, false, &child[2]);
	fill_private_pipes(&in);
	load(&in, fds);
	turn(4);
	must(e.n_sessions == 0 && !e.first && !e.last && e.spawns == 0 && e.retained == 0);
	pipe_empty(e.capture.pipe_r);
	pipe_empty(e.feed.pipe_r);
	for (unsigned i = 0; i < 3; i++)
		fd_close(child[i]);
	must(open_fds() == open_before && !guarded);
	return 0;
}
