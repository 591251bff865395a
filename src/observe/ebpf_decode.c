/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/details.h"
#include "observe/ebpf.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* bpf/emit.h has the same numbers, by hand. */
_Static_assert(REEVE_EXITED == 2 && REEVE_FORKED == 3 && REEVE_EXECUTED == 4 && REEVE_OPENED == 5 &&
		       REEVE_CREATED == 6 && REEVE_CLOSED == 7 && REEVE_MOVED == 8 &&
		       REEVE_RENAMED == 9 && REEVE_MAPPED == 18 && REEVE_WRITTEN == 20 &&
		       REEVE_CONNECTED == 21 && REEVE_DATAGRAM == 25 && REEVE_URING == 28,
	       "kinds are numbered as in bpf/emit.h");
_Static_assert(REEVE_FILE == 1 && REEVE_NETWORK == 2 && REEVE_PROCESS == 3 &&
		       REEVE_CATEGORIES == CATEGORIES,
	       "categories are numbered as in bpf/emit.h");

/* The pieces of a record. */
struct view {
	const struct record *r;
	const char *texts[TEXTS];
	size_t sizes[TEXTS];
	struct ebpf_texts *out;
};

static int view_of(struct view *v, const struct record *r, size_t size, struct ebpf_texts *out)
{
	size_t at = sizeof(*r);

	if (size < at || r->category >= CATEGORIES)
		return -EBADMSG;
	v->r = r;
	v->out = out;
	/* Where a text is follows from the order in which texts were added: by index, but for a
	 * base, which comes behind the path that it belongs to. */
	static const unsigned order[TEXTS] = { 0, 2, 1, 3 };
	for (unsigned i = 0; i < TEXTS; i++) {
		unsigned text = r->category == REEVE_FILE ? order[i] : i;

		if (r->text_sizes[text] > size - at)
			return -EBADMSG;
		v->texts[text] = (const char *)r + at;
		v->sizes[text] = r->text_sizes[text];
		at += r->text_sizes[text];
	}
	return 0;
}

/* Names from the leaf to the root, each with its NUL, as a path. */
static size_t join_walk(const char *names, size_t size, bool rooted, char *to, size_t max)
{
	size_t n = 0, end = size;

	if (size == 0 && max > 1)
		to[n++] = '/';
	while (end > 0) {
		size_t begin = end - 1, length;

		while (begin > 0 && names[begin - 1] != '\0')
			begin--;
		length = end - 1 - begin;
		if (n + length + 2 > max)
			break;
		if (rooted || n > 0)
			to[n++] = '/';
		memcpy(to + n, names + begin, length);
		n += length;
		end = begin;
	}
	to[n] = '\0';
	return n;
}

static const char *walk_text(const struct view *v, unsigned i)
{
	char *to = v->out->text[i];

	(void)join_walk(v->texts[i], v->sizes[i], (v->r->flags & RECORD_UNROOTED) == 0, to,
			sizeof(v->out->text[i]));
	return to;
}

/* A path as it was given; a relative one behind the directory where it starts. */
static const char *given_text(const struct view *v, unsigned i, unsigned base)
{
	char *to = v->out->text[i];
	size_t n = 0, size = v->sizes[i];

	if (size == 0)
		return NULL;
	if (v->texts[i][0] != '/' && v->r->text_forms[base] == TEXT_WALK) {
		n = join_walk(v->texts[base], v->sizes[base], true, to, TEXT_MAX);
		if (n > 1 && size > 1)
			to[n++] = '/';
	}
	memcpy(to + n, v->texts[i], size - 1);
	to[n + size - 1] = '\0';
	return to;
}

static const char *path_text(const struct view *v, unsigned i, unsigned base, struct reeve_event *e)
{
	if (v->r->text_forms[i] == TEXT_WALK)
		return walk_text(v, i);
	if (v->r->text_forms[i] != TEXT_STRING)
		return NULL;
	e->fields |= REEVE_HAS_CLAIMED;
	return given_text(v, i, base);
}

static void decode_file(const struct view *v, struct reeve_event *e)
{
	e->path = path_text(v, TEXT_PATH, TEXT_BASE, e);
	e->path2 = path_text(v, TEXT_PATH2, TEXT_BASE2, e);
	/* What a symbolic link says is no path of its own. */
	if (e->kind == REEVE_SYMLINKED && v->sizes[TEXT_PATH] > 0) {
		memcpy(v->out->text[TEXT_PATH], v->texts[TEXT_PATH], v->sizes[TEXT_PATH]);
		e->path = v->out->text[TEXT_PATH];
	}
	e->fields |= (e->path ? REEVE_HAS_PATH : 0U) | (e->path2 ? REEVE_HAS_PATH2 : 0U);
}

static void decode_process(const struct view *v, struct reeve_event *e)
{
	if (e->kind != REEVE_EXECUTED)
		return;
	e->path = walk_text(v, TEXT_PATH);
	e->cwd = walk_text(v, TEXT_CWD);
	e->argv = v->out->text[TEXT_ARGV];
	e->argv_size = (uint32_t)details_redact(v->texts[TEXT_ARGV], v->sizes[TEXT_ARGV],
						v->out->text[TEXT_ARGV], TEXT_MAX);
	e->fields |= REEVE_HAS_PATH | REEVE_HAS_CWD | REEVE_HAS_ARGV;
}

static bool decode_address(const struct view *v, unsigned i, struct reeve_address *ret)
{
	struct record_address a;
	char *path = v->out->text[i];

	if (v->r->text_forms[i] != TEXT_ADDRESS || v->sizes[i] != sizeof(a))
		return false;
	memcpy(&a, v->texts[i], sizeof(a));
	if (a.family == 0)
		return false;
	ret->family = a.family;
	ret->port = a.port;
	ret->scope = a.family == AF_INET6 ? a.scope : 0;
	memcpy(ret->bytes, a.bytes, sizeof(ret->bytes));
	if (a.family == AF_UNIX) {
		size_t n = MIN((size_t)a.path_size, sizeof(a.path) - 1);

		/* An abstract name begins with a NUL, and may hold more of them. */
		for (size_t c = 0; c < n; c++)
			path[c] = a.path[0] == 0 && a.path[c] == 0 ? '@' : (char)a.path[c];
		path[n] = '\0';
		ret->path = path;
	}
	return true;
}

static void decode_network(const struct view *v, struct reeve_event *e)
{
	if (decode_address(v, TEXT_LOCAL, &e->local))
		e->fields |= REEVE_HAS_LOCAL;
	if (decode_address(v, TEXT_REMOTE, &e->remote))
		e->fields |= REEVE_HAS_REMOTE;
}

/* Which field goes with which flag. */
static const struct {
	unsigned flag, field;
} fields[] = {
	{ RECORD_FLAGS, REEVE_HAS_FLAGS },
	{ RECORD_MODE, REEVE_HAS_MODE },
	{ RECORD_OWNER, REEVE_HAS_OWNER },
	{ RECORD_SIZE, REEVE_HAS_SIZE },
	{ RECORD_TOTALS, REEVE_HAS_TOTALS },
	{ RECORD_RESULT, REEVE_HAS_RESULT },
	{ RECORD_SOCKET, REEVE_HAS_SOCKET },
	{ RECORD_OPCODE, REEVE_HAS_OPCODE },
	{ RECORD_CHILD, REEVE_HAS_CHILD_PID },
	{ RECORD_CUT, REEVE_HAS_CUT },
	{ RECORD_EXIT, REEVE_HAS_EXIT_CODE | REEVE_HAS_TIMES },
};

static void decode_numbers(const struct record *r, struct reeve_event *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if ((r->flags & fields[i].flag) != 0)
			e->fields |= fields[i].field;
	}
	e->result = r->result;
	e->flags = (r->flags & RECORD_FLAGS) != 0 ? r->a : 0;
	e->mode = (r->flags & RECORD_MODE) != 0 ? r->b : 0;
	e->opcode = (r->flags & RECORD_OPCODE) != 0 ? r->a : 0;
	e->child_pid = (r->flags & RECORD_CHILD) != 0 ? (int32_t)r->a : 0;
	e->size = (r->flags & RECORD_SIZE) != 0 ? r->totals[0] : 0;
	if ((r->flags & RECORD_OWNER) != 0) {
		e->uid = r->a;
		e->gid = r->b;
	}
	if ((r->flags & RECORD_SOCKET) != 0) {
		e->family = (uint16_t)r->a;
		e->protocol = (uint16_t)r->b;
	}
	if ((r->flags & RECORD_TOTALS) != 0) {
		e->bytes_read = r->totals[0];
		e->bytes_written = r->totals[1];
		e->reads = r->totals[2];
		e->writes = r->totals[3];
	}
	if ((r->flags & RECORD_EXIT) != 0) {
		e->exit_code = details_exit_code((int)r->a);
		e->user_us = r->totals[0] / 1000;
		e->system_us = r->totals[1] / 1000;
	}
}

int ebpf_decode(const struct record *record, size_t size, int64_t offset_ns,
		struct ebpf_texts *texts, struct reeve_event *ret)
{
	struct view v = { 0 };
	int r = view_of(&v, record, size, texts);

	if (r < 0)
		return r;
	memset(ret, 0, sizeof(*ret));
	ret->category = (enum reeve_category)record->category;
	ret->kind = (enum reeve_kind)record->kind;
	ret->pid = (int32_t)record->pid;
	ret->tid = (int32_t)record->tid;
	ret->ppid = (int32_t)record->ppid;
	ret->uid = ret->gid = UINT32_MAX;
	ret->comm = record->comm;
	ret->fields = REEVE_HAS_TID | REEVE_HAS_PPID | REEVE_HAS_COMM;
	ret->timestamp_ms = (uint64_t)((int64_t)record->time + offset_ns) / 1000000U;
	decode_numbers(record, ret);
	if (ret->category == REEVE_FILE)
		decode_file(&v, ret);
	else if (ret->category == REEVE_NETWORK)
		decode_network(&v, ret);
	else
		decode_process(&v, ret);
	return 0;
}
