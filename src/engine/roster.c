/* SPDX-License-Identifier: Apache-2.0 */
/* roster.c - a small file with one entry a slot: what is needed to end and to name the sessions of
 * a daemon that died as a whole, keeper and engine together. Plain writes to the page cache: it
 * has to survive processes, and tells after a reboot that there was one. */
#include "base/buffer.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "core/stopplan.h"
#include "engine/spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define ROSTER_MAGIC 0x7265657665726f73ULL
#define ROSTER_ENTRY 512U

struct roster_header {
	uint64_t magic;
	uint64_t handle; /* the last one given */
	char boot[40];   /* /proc/sys/kernel/random/boot_id */
	char zero[ROSTER_ENTRY - 56];
};

struct roster_entry {
	uint64_t live;
	uint64_t mark, cgroup, id_time, id_counter, handle, kind, created, generation;
	uint64_t key_hash[2], body_hash[2];
	char name[SESSION_NAME_MAX + 8];
	char summary[ROSTER_ENTRY - 104 - SESSION_NAME_MAX - 8];
};

_Static_assert(sizeof(struct roster_header) == ROSTER_ENTRY, "roster header");
_Static_assert(sizeof(struct roster_entry) == ROSTER_ENTRY, "roster entry");

static int put(struct engine *e, unsigned slot, const void *p, size_t n)
{
	if (e->roster.fd < 0)
		return 0;
	if (pwrite(e->roster.fd, p, n, (off_t)slot * ROSTER_ENTRY) != (ssize_t)n) {
		log_warn("roster: %s", strerror(errno));
		return -EIO;
	}
	return 0;
}

/* A handle is never given twice, by a later daemon neither. */
static void put_handle(struct engine *e)
{
	uint64_t handle = word_load(&e->daemon->handle);

	if (e->roster.fd >= 0 && pwrite(e->roster.fd, &handle, sizeof(handle),
					offsetof(struct roster_header, handle)) != sizeof(handle))
		log_warn("roster: %s", strerror(errno));
}

static void read_boot(char boot[40])
{
	char *text = NULL;
	size_t n;

	memset(boot, 0, 40);
	if (fd_read_file("/proc/sys/kernel/random/boot_id", 64, &text, &n) >= 0)
		memcpy(boot, text, n < 36 ? n : 36);
	free(text);
}

static int path_of(struct engine *e, const char *name, char path[PATH_MAX])
{
	return snprintf(path, PATH_MAX, "%s/%s", e->dir, name) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int roster_open(struct engine *e, struct error *err)
{
	char path[PATH_MAX];

	e->roster.fd = -1;
	if (path_of(e, "roster", path) < 0)
		return error_set(err, ERROR_INVALID_ARGUMENT, "directory name %s is too long",
				 e->dir);
	e->roster.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (e->roster.fd < 0)
		return error_set_errno(err, ERROR_INTERNAL, errno, "open %s", path);
	return 0;
}

void roster_note(struct engine *e, const struct session *s)
{
	const struct control_slot *w = s->words;
	struct roster_entry entry = {
		.live = 1,
		.mark = word_load(&w->mark),
		.cgroup = word_load(&w->cgroup),
		.id_time = word_load(&w->id_time),
		.id_counter = word_load(&w->id_counter),
		.handle = word_load(&w->handle),
		.kind = word_load(&w->kind),
		.created = word_load(&w->created),
		.generation = word_load(&w->generation),
	};

	for (unsigned i = 0; i < 2; i++) {
		entry.key_hash[i] = word_load(&w->key_hash[i]);
		entry.body_hash[i] = word_load(&w->body_hash[i]);
	}
	snprintf(entry.name, sizeof(entry.name), "%s", s->name ? s->name : "");
	snprintf(entry.summary, sizeof(entry.summary), "%s", s->summary ? s->summary : "");
	put(e, s->slot, &entry, sizeof(entry));
	put_handle(e);
}

void roster_clear(struct engine *e, unsigned slot)
{
	uint64_t zero = 0;

	put(e, slot, &zero, sizeof(zero));
}

/* What is known of it, as the metadata of a session: the summary stands for the command. */
static char *make_meta(const struct roster_entry *entry)
{
	json_t *meta = json_object(), *command = json_array();
	/* What was too long was cut, perhaps within a character. */
	size_t n = text_utf8_prefix(entry->summary, strlen(entry->summary));
	char *text;

	json_array_append_new(command, n > 0 ? json_stringn(entry->summary, n) : json_string("?"));
	json_object_set_new(meta, "command", command);
	json_object_set_new(meta, "name", json_string(entry->name));
	json_object_set_new(meta, "summarized", json_true());
	text = json_dumps(meta, JSON_COMPACT);
	json_decref(meta);
	return text;
}

static void fill_lost(struct control_slot *w, const struct roster_entry *entry, enum cause cause)
{
	word_store(&w->mark, entry->mark);
	word_store(&w->cgroup, cause == CAUSE_REBOOT ? 0 : entry->cgroup);
	word_store(&w->id_time, entry->id_time);
	word_store(&w->id_counter, entry->id_counter);
	word_store(&w->handle, entry->handle);
	word_store(&w->kind, entry->kind);
	word_store(&w->created, entry->created);
	word_store(&w->lost, cause);
	word_store(&w->spawn, SPAWN_STARTED);
	for (unsigned i = 0; i < 2; i++) {
		word_store(&w->key_hash[i], entry->key_hash[i]);
		word_store(&w->body_hash[i], entry->body_hash[i]);
	}
	for (unsigned i = 0; i < STREAMS_MAX; i++)
		word_store(&w->streams[i].ended, 1);
	word_store(&w->exit.status, EXIT_WORD_UNKNOWN);
	word_store(&w->exit.ready, 1);
	word_store(&w->exit_seen, 1);
	word_store(&w->ended_at, clock_realtime_ms());
	word_store(&w->in_closed, 1);
	word_store(&w->tree_gone, cause == CAUSE_REBOOT);
}

static void recover_one(struct engine *e, const struct roster_entry *entry, enum cause cause)
{
	_cleanup_(freep) char *meta = make_meta(entry);
	struct error err = { 0 };
	struct stop_plan plan;
	struct session *s;
	unsigned slot = slot_reserve(e, &err);

	if (slot == 0 || !meta)
		return;
	fill_lost(engine_slot(e, slot), entry, cause);
	if (session_make_record(e, slot, meta, &s, &err) < 0) {
		log_error("a lost session cannot be listed: %s", err.message);
		return;
	}
	log_warn("%s (%s) was lost with its daemon", s->id, entry->name);
	if (cause == CAUSE_REBOOT)
		return;
	roster_note(e, s);
	parse_stop_plan("KILL", &plan);
	session_stop(s, &plan, CAUSE_LOST);
}

static int by_handle(const void *a, const void *b)
{
	const struct roster_entry *x = a, *y = b;

	return x->handle < y->handle ? -1 : x->handle > y->handle;
}

/* All live entries of the file, oldest first. Returns how many. */
static size_t read_entries(int fd, struct roster_entry **ret)
{
	struct roster_entry *list = calloc(CONTROL_SLOTS, sizeof(*list));
	size_t n = 0;

	for (unsigned i = 1; list && i < CONTROL_SLOTS; i++) {
		struct roster_entry *entry = &list[n];

		if (pread(fd, entry, sizeof(*entry), (off_t)i * ROSTER_ENTRY) != sizeof(*entry))
			break;
		entry->name[sizeof(entry->name) - 1] = 0;
		entry->summary[sizeof(entry->summary) - 1] = 0;
		if (entry->live == 1)
			n++;
	}
	if (n > 0)
		qsort(list, n, sizeof(*list), by_handle);
	*ret = list;
	return n;
}

static bool is_listed(struct engine *e, const struct roster_entry *entry)
{
	for (struct session *s = e->first; s; s = s->newer)
		if (word_load(&s->words->id_time) == entry->id_time &&
		    word_load(&s->words->id_counter) == entry->id_counter)
			return true;
	return false;
}

/* Sets the roster of the daemon before aside as `roster.old` and begins a new one. When dealing
 * with the old one was cut short before, it is still there and is gone through again. */
static int begin_anew(struct engine *e, const char *old, const char boot[40],
		      struct roster_header *ret, struct error *err)
{
	_cleanup_(closep) int fd = -1;
	struct roster_header header = { .magic = ROSTER_MAGIC };
	char path[PATH_MAX];
	int r;

	if (path_of(e, "roster", path) < 0)
		return -ENAMETOOLONG;
	if (access(old, F_OK) < 0 && rename(path, old) < 0)
		return error_set_errno(err, ERROR_INTERNAL, errno, "rename %s", path);
	e->roster.fd = fd_close(e->roster.fd);
	r = roster_open(e, err);
	fd = open(old, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (r < 0 || fd < 0)
		return r < 0 ? r : -errno;
	if (pread(fd, ret, sizeof(*ret), 0) != sizeof(*ret) || ret->magic != ROSTER_MAGIC)
		memset(ret, 0, sizeof(*ret));
	if (word_load(&e->daemon->handle) < ret->handle)
		word_store(&e->daemon->handle, ret->handle);
	header.handle = word_load(&e->daemon->handle);
	memcpy(header.boot, boot, sizeof(header.boot));
	put(e, 0, &header, sizeof(header));
	if (ftruncate(e->roster.fd, (off_t)CONTROL_SLOTS * ROSTER_ENTRY) < 0)
		log_warn("roster: %s", strerror(errno));
	return take_fd(&fd);
}

void roster_recover(struct engine *e)
{
	_cleanup_(freep) struct roster_entry *list = NULL;
	_cleanup_(closep) int fd = -1;
	struct roster_header header;
	struct error err = { 0 };
	char boot[40], old[PATH_MAX];
	size_t n = 0;

	if (word_load(&e->daemon->settled) || path_of(e, "roster.old", old) < 0)
		return;
	read_boot(boot);
	fd = begin_anew(e, old, boot, &header, &err);
	if (fd < 0) {
		log_error("roster: %s", err.message);
		return;
	}
	if (header.magic == ROSTER_MAGIC)
		n = read_entries(fd, &list);
	for (size_t i = 0; i < n; i++)
		if (list[i].cgroup > word_load(&e->daemon->cgroup_next))
			word_store(&e->daemon->cgroup_next, list[i].cgroup);
	for (size_t i = 0; i < n; i++)
		if (!is_listed(e, &list[i]))
			recover_one(e, &list[i],
				    memcmp(header.boot, boot, sizeof(boot)) == 0 ? CAUSE_LOST
										 : CAUSE_REBOOT);
	unlink(old);
	word_store(&e->daemon->settled, 1);
}
