/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/call_decode.h"
#include "base/cleanup.h"
#include "observe/call_home.h"
#include "observe/call_socket.h"
#include "observe/details.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE      4096U
#define CHUNK     256U
#define ARGS_MAX  1024U
#define WINDOW    1024U
#define HOW_FLAGS 0
#define HOW_MODE  1
#define HOW_WORDS 2

/* --- memory of the process ------------------------------------------------------------------- */

/* Arguments often stand one behind the other, and the first where the path is. */
struct call_window {
	uint64_t address;
	size_t n;
	char bytes[WINDOW];
};

ssize_t call_memory(int32_t tid, uint64_t address, void *to, size_t size)
{
	struct iovec local = { to, size }, remote = { (void *)(uintptr_t)address, size };
	ssize_t n = process_vm_readv(tid, &local, 1, &remote, 1, 0);

	return n < 0 ? -errno : n;
}

ssize_t call_read(const struct call *c, uint64_t address, void *to, size_t size)
{
	ssize_t n = c->memory > 0 ? pread(c->memory, to, size, (off_t)address) : 0;

	if (n > 0)
		return n;
	call_by_number(c); /* nothing is read, too, once another program runs there */
	n = c->loan && c->loan->only ? -EPERM : call_memory(c->tid, address, to, size);
	if (n == -EPERM && c->loan)
		c->loan->wants_memory = true;
	return n;
}

static bool read_all(const struct call *c, uint64_t address, void *to, size_t size)
{
	return address != 0 && call_read(c, address, to, size) == (ssize_t)size;
}

/* What is on the page of `address`, `max` bytes at most. */
static ssize_t read_text(const struct call *c, uint64_t address, char *to, size_t max)
{
	struct call_window *w = c->window;
	size_t rest = (size_t)(PAGE - address % PAGE), n = MIN(max, rest);
	ssize_t got;

	if (!w || n > sizeof(w->bytes))
		return call_read(c, address, to, n);
	if (address < w->address || address >= w->address + w->n) {
		got = call_read(c, address, w->bytes, MIN(sizeof(w->bytes), rest));
		if (got <= 0)
			return got;
		w->address = address;
		w->n = (size_t)got;
	}
	n = MIN(n, (size_t)(w->address + w->n - address));
	memcpy(to, w->bytes + (address - w->address), n);
	return (ssize_t)n;
}

/* A string of up to `max` bytes, its NUL included. Returns its length, or -1 when it cannot be
 * read; one that is longer is cut. */
static ssize_t read_string(const struct call *c, uint64_t address, char *to, size_t max, bool *cut)
{
	size_t n = 0;

	while (n < max) {
		size_t want = MIN(max - n, n == 0 ? (size_t)CHUNK : (size_t)PAGE);
		ssize_t got = read_text(c, address + n, to + n, want);
		char *end;

		if (got <= 0)
			return -1;
		end = memchr(to + n, 0, (size_t)got);
		if (end)
			return end - to;
		n += (size_t)got;
	}
	*cut = true;
	to[max - 1] = '\0';
	return (ssize_t)max - 1;
}

/* --- paths ----------------------------------------------------------------------------------- */

static size_t read_fd_link(const struct call *c, int fd, char *to, size_t max)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "fd/%d", fd);
	return call_link(c, name, to, max);
}

/* The directory that a relative path begins at. */
static size_t read_base(const struct call *c, unsigned dir, char *to, size_t max)
{
	int fd = dir != 0 ? (int)c->args[dir - 1] : AT_FDCWD;

	return fd == AT_FDCWD ? call_cwd(c, to, max) : read_fd_link(c, fd, to, max);
}

/* Argument `path`, absolute where its directory is known. */
static bool read_path(const struct call *c, unsigned dir, unsigned path, char to[CALL_PATH_MAX],
		      struct reeve_event *e)
{
	char given[PATH_MAX];
	bool cut = false;
	ssize_t n = read_string(c, c->args[path - 1], given, sizeof(given), &cut);
	size_t base = 0;

	if (n < 0)
		return false;
	if (cut)
		e->fields |= REEVE_HAS_CUT;
	e->fields |= REEVE_HAS_CLAIMED;
	if (given[0] != '/')
		base = read_base(c, dir, to, PATH_MAX);
	if (base > 1 && n > 0)
		to[base++] = '/';
	memcpy(to + base, given, (size_t)n + 1);
	return true;
}

/* What a symbolic link is to say is no path of its own. */
static bool read_target(const struct call *c, unsigned path, char to[CALL_PATH_MAX])
{
	bool cut = false;

	return read_string(c, c->args[path - 1], to, PATH_MAX, &cut) >= 0;
}

static void decode_paths(const struct call *c, const struct call_rule *r, struct call_texts *t,
			 struct reeve_event *e)
{
	bool has = false;

	if (r->path != 0 && r->kind == REEVE_SYMLINKED)
		has = read_target(c, r->path, t->path);
	else if (r->path != 0)
		has = read_path(c, r->dir, r->path, t->path, e);
	else if (r->fd != 0)
		has = read_fd_link(c, (int)c->args[r->fd - 1], t->path, PATH_MAX) > 0;
	if (has) {
		e->path = t->path;
		e->fields |= REEVE_HAS_PATH;
	}
	if (r->path2 != 0 && read_path(c, r->dir2, r->path2, t->path2, e)) {
		e->path2 = t->path2;
		e->fields |= REEVE_HAS_PATH2;
	}
}

/* --- by form --------------------------------------------------------------------------------- */

static void set_flags(struct reeve_event *e, uint64_t flags, uint64_t mode)
{
	e->flags = (uint32_t)flags;
	e->fields |= REEVE_HAS_FLAGS;
	if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) {
		e->mode = (uint32_t)mode;
		e->fields |= REEVE_HAS_MODE;
	}
}

static void decode_open_how(const struct call *c, const struct call_rule *r, struct reeve_event *e)
{
	uint64_t how[HOW_WORDS];

	if (read_all(c, c->args[r->flags - 1], how, sizeof(how)))
		set_flags(e, how[HOW_FLAGS], how[HOW_MODE]);
}

static uint64_t word_at(const struct call *c, const void *words, size_t i)
{
	return c->arch == ARCH_I386 ? ((const uint32_t *)words)[i] : ((const uint64_t *)words)[i];
}

/* The arguments one behind the other, as far as there is room. */
static size_t read_argv(const struct call *c, uint64_t address, struct call_texts *t, bool *cut)
{
	size_t width = c->arch == ARCH_I386 ? 4 : 8, used = 0, known = 0;
	uint64_t words[32];

	for (size_t i = 0; i < ARGS_MAX && used < sizeof(t->raw); i++) {
		size_t place = i % ARRAY_SIZE(words);
		ssize_t n;

		if (place == 0) {
			n = call_read(c, address + i * width, words, sizeof(words));
			known = (size_t)MAX(n, (ssize_t)0) / width;
		}
		/* Of a list that runs into what cannot be read, only its beginning is there. */
		if (place >= known || word_at(c, words, place) == 0)
			return used;
		n = read_string(c, word_at(c, words, place), t->raw + used, sizeof(t->raw) - used,
				cut);
		if (n < 0)
			return used;
		used += (size_t)n + 1;
	}
	*cut = true;
	return used;
}

static void decode_exec(struct call *c, const struct call_rule *r, struct call_texts *t,
			struct reeve_event *e)
{
	struct call_window window;
	char *path = t->path;
	bool cut = false;
	size_t n;

	window.address = window.n = 0; /* the rest is no one's yet */
	c->window = &window;
	decode_paths(c, r, t, e);
	n = read_argv(c, c->args[r->path], t, &cut);
	e->argv_size = (uint32_t)details_redact(t->raw, n, t->argv, sizeof(t->argv));
	e->argv = t->argv;
	e->fields |= REEVE_HAS_ARGV | (cut ? REEVE_HAS_CUT : 0U);
	if (call_cwd(c, t->cwd, sizeof(t->cwd)) > 0) {
		e->cwd = t->cwd;
		e->fields |= REEVE_HAS_CWD;
	}
	/* execveat() of a descriptor, with an empty path. */
	if (r->dir != 0 && e->path && path[0] != '\0' && path[strlen(path) - 1] == '/')
		path[strlen(path) - 1] = '\0';
	c->window = NULL;
}

static void decode_file(const struct call *c, const struct call_rule *r, struct reeve_event *e)
{
	switch ((enum call_form)r->form) {
	case FORM_OPEN:
		set_flags(e, c->args[r->flags - 1], c->args[r->mode - 1]);
		break;
	case FORM_OPEN_HOW:
		decode_open_how(c, r, e);
		break;
	case FORM_CREAT:
		set_flags(e, O_CREAT | O_WRONLY | O_TRUNC, c->args[r->mode - 1]);
		break;
	case FORM_UNLINKAT:
		if ((c->args[r->flags - 1] & AT_REMOVEDIR) != 0)
			e->kind = REEVE_RMDIR;
		break;
	default:
		if (r->mode != 0) {
			e->mode = (uint32_t)c->args[r->mode - 1];
			e->fields |= REEVE_HAS_MODE;
		}
		break;
	}
	if (r->size != 0) {
		e->size = c->args[r->size - 1];
		if (r->form == FORM_SIZE_HALF)
			e->size |= c->args[r->size] << 32;
		e->fields |= REEVE_HAS_SIZE;
	}
	if (r->owner != 0) {
		e->uid = (uint32_t)c->args[r->owner - 1];
		e->gid = (uint32_t)c->args[r->owner];
		e->fields |= REEVE_HAS_OWNER;
	}
}

/* --- who ------------------------------------------------------------------------------------- */

bool call_executes(const struct call *c)
{
	const struct call_rule *r = call_rule(c->arch, c->nr);

	return r && r->form == FORM_EXEC;
}

/* Adds pid, ppid and comm. `executes`: its program is about to change. */
static void whose(struct call_threads *threads, const struct call *c, bool executes,
		  struct call_texts *t, struct reeve_event *e)
{
	struct call_thread *k = call_thread(threads, c);

	e->pid = k->pid;
	if (k->comm[0] == '\0')
		return;
	memcpy(t->comm, k->comm, sizeof(t->comm));
	e->comm = t->comm;
	e->ppid = k->ppid;
	e->fields |= REEVE_HAS_COMM | REEVE_HAS_PPID;
	if (executes)
		call_thread_executes(threads, k);
}

void call_event(const struct call *c, enum reeve_category category, enum reeve_kind kind,
		struct call_threads *threads, struct call_texts *t, struct reeve_event *ret)
{
	event_init(ret, category, kind, c->tid);
	ret->tid = c->tid;
	ret->fields |= REEVE_HAS_TID;
	whose(threads, c, category == REEVE_PROCESS, t, ret);
}

bool call_decode(const struct call *c, unsigned categories, struct call_threads *threads,
		 struct call_texts *t, struct reeve_event *ret)
{
	struct call inner = *c;
	const struct call_rule *r;

	call_socket_unfold(&inner);
	r = call_rule(inner.arch, inner.nr);
	if (!r || (categories & category_bit((enum reeve_category)r->category)) == 0 ||
	    r->kind == REEVE_KIND_NONE)
		return false;
	call_event(c, (enum reeve_category)r->category, (enum reeve_kind)r->kind, threads, t, ret);
	if (r->category == REEVE_NETWORK) {
		call_by_number(c);
		return call_socket_decode(&inner, r, t, ret);
	}
	if (r->form == FORM_EXEC) {
		decode_exec(&inner, r, t, ret);
		return true;
	}
	decode_paths(c, r, t, ret);
	decode_file(c, r, ret);
	return true;
}
