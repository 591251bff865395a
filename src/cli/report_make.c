/* SPDX-License-Identifier: Apache-2.0 */
/* report_make.c - from events to processes, files and hosts. */
#include "base/text.h"
#include "cli/events.h"
#include "cli/report.h"
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#define ITEMS_MAX 262144U /* of each kind */

static const char *const noise[] = {
	"/usr/lib/*",     "/lib/*",
	"/lib64/*",       "/usr/lib64/*",
	"/usr/share/*",   "/etc/ld.so.*",
	"/etc/locale*",   "/etc/nsswitch.conf",
	"/etc/host.conf", "/etc/resolv.conf",
	"/etc/gai.conf",  "/etc/passwd",
	"/etc/group",     "/etc/localtime",
	"/proc/*",        "/sys/*",
	"/dev/*",         "*.so",
	"*.so.[0-9]*",    "/usr/local/lib/*",
	"*.pyc",          "*/lib/python[23]*",
	"pipe:*",         "socket:*",
	"anon_inode:*",   "/etc/ssl/*",
};

static int64_t number(const json_t *event, const char *name)
{
	return json_integer_value(json_object_get(event, name));
}

static const char *string(const json_t *event, const char *name)
{
	const char *text = json_string_value(json_object_get(event, name));

	return text ? text : "";
}

static bool failed(const json_t *event)
{
	return number(event, "result") < 0;
}

/* The place of `key` in `map`, or the next of `*n` with room in `*items` of `size` bytes each, all
 * zero. NULL without memory. `*ret_new` says which. */
static void *place_of(json_t *map, const char *key, void **items, size_t *n, size_t size,
		      bool *ret_new)
{
	json_t *known = json_object_get(map, key);
	char *more;

	*ret_new = false;
	if (known)
		return (char *)*items + (size_t)json_integer_value(known) * size;
	if (*n >= ITEMS_MAX)
		return NULL;
	if ((*n & (*n - 1)) == 0) {
		more = reallocarray(*items, *n ? *n * 2 : 1, size);
		if (!more)
			return NULL;
		*items = more;
	}
	if (json_object_set_new_nocheck(map, key, json_integer((json_int_t)*n)) < 0)
		return NULL;
	more = (char *)*items + *n * size;
	memset(more, 0, size);
	++*n;
	*ret_new = true;
	return more;
}

/* --- processes ------------------------------------------------------------------------------- */

static struct report_process *process(struct report *r, int64_t pid)
{
	struct report_process *p;
	char key[24];
	bool made;

	(void)snprintf(key, sizeof(key), "%lld", (long long)pid);
	p = place_of(r->pids, key, (void **)&r->processes, &r->n_processes, sizeof(*p), &made);
	if (p && p->ended) {
		/* The pid is another's by now. */
		json_object_del(r->pids, key);
		p = place_of(r->pids, key, (void **)&r->processes, &r->n_processes, sizeof(*p),
			     &made);
	}
	if (p)
		p->pid = pid;
	return p;
}

static char *command_of(const json_t *event)
{
	_cleanup_(text_list_freep) char **words = event_words(event);
	size_t n = 1;
	char *text, *to;

	if (!words)
		return event_text(event, "path");
	for (size_t i = 0; words[i]; i++)
		n += strlen(words[i]) + 1;
	text = malloc(n);
	to = text;
	for (size_t i = 0; to && words[i]; i++)
		to += sprintf(to, "%s%s", i > 0 ? " " : "", words[i]);
	return text;
}

/* Who has that pid now: later it may be another's. */
static void note_parent(const struct report *r, struct report_process *p, int64_t ppid)
{
	p->ppid = ppid;
	p->parent = report_place(r, ppid);
}

static void take_fork(struct report *r, const json_t *event)
{
	struct report_process *child = process(r, number(event, "childPid"));

	if (!child)
		return;
	note_parent(r, child, number(event, "pid"));
	child->start_ms = number(event, "timestampMs");
	if (!child->comm)
		child->comm = event_text(event, "comm");
}

static void take_exec(struct report *r, const json_t *event)
{
	struct report_process *p = process(r, number(event, "pid"));

	if (!p || failed(event))
		return;
	free(p->command);
	p->command = command_of(event);
	if (p->ppid == 0)
		note_parent(r, p, number(event, "ppid"));
	if (p->start_ms == 0)
		p->start_ms = number(event, "timestampMs");
}

static void take_exit(struct report *r, const json_t *event)
{
	struct report_process *p = process(r, number(event, "pid"));

	if (!p)
		return;
	p->ended = true;
	p->end_ms = number(event, "timestampMs");
	p->code_known = json_object_get(event, "exitCode") != NULL;
	p->code = number(event, "exitCode");
	if (p->ppid == 0)
		note_parent(r, p, number(event, "ppid"));
}

/* --- files ----------------------------------------------------------------------------------- */

/* Leaves out of a path what does not change where it leads: doubled slashes, ".", and a slash at
 * the end. ".." may lead elsewhere, by a link, and stays. */
static void tidy(char *path)
{
	const char *from = path;
	char *to = path;
	size_t n;

	if (path[0] != '/') /* of a pipe, and the like */
		return;
	for (; *from; from += n) {
		from += strspn(from, "/");
		n = strcspn(from, "/");
		if (n == 0 || (n == 1 && from[0] == '.'))
			continue;
		*to++ = '/';
		memmove(to, from, n);
		to += n;
	}
	if (to == path)
		*to++ = '/';
	*to = '\0';
}

static struct report_file *file(struct report *r, const json_t *event, const char *name)
{
	char *path = event_text(event, name);
	struct report_file *f;
	bool made;

	if (!path)
		return NULL;
	tidy(path);
	f = place_of(r->paths, path, (void **)&r->files, &r->n_files, sizeof(*f), &made);
	if (!f || !made) {
		free(path);
		return f;
	}
	f->path = path;
	for (size_t i = 0; i < ARRAY_SIZE(noise); i++)
		f->noise |= fnmatch(noise[i], path, 0) == 0;
	return f;
}

static unsigned uses_of_open(const json_t *event)
{
	switch ((int)number(event, "flags") & O_ACCMODE) {
	case O_RDONLY:
		return USE_READ;
	case O_WRONLY:
		return USE_WRITTEN;
	default:
		return USE_READ | USE_WRITTEN;
	}
}

static const struct {
	const char *kind;
	unsigned uses, uses2; /* of path and path2 */
} file_kinds[] = {
	{ "created", USE_CREATED, 0 },
	{ "renamed", USE_REMOVED, USE_CREATED },
	{ "unlinked", USE_REMOVED, 0 },
	{ "linked", 0, USE_CREATED },
	{ "symlinked", 0, USE_CREATED },
	{ "mkdir", USE_CREATED, 0 },
	{ "rmdir", USE_REMOVED, 0 },
	{ "truncated", USE_WRITTEN, 0 },
	{ "chmod", USE_WRITTEN, 0 },
	{ "chown", USE_WRITTEN, 0 },
	{ "mapped", USE_EXECUTED, 0 },
	{ "opened", 0, 0 },
	{ "closed", 0, 0 },
	{ "moved", 0, 0 },
	{ "read", USE_READ, 0 },
	{ "written", USE_WRITTEN, 0 },
};

/* What an event says of its path and the second one; false for a kind that says nothing. */
static bool uses_of(const json_t *event, unsigned *ret, unsigned *ret2)
{
	const char *kind = string(event, "kind");

	for (size_t i = 0; i < ARRAY_SIZE(file_kinds); i++) {
		if (strcmp(kind, file_kinds[i].kind) != 0)
			continue;
		*ret = file_kinds[i].uses;
		*ret2 = file_kinds[i].uses2;
		if (strcmp(kind, "opened") == 0)
			*ret = uses_of_open(event);
		return true;
	}
	return false;
}

static void take_totals(struct report_file *f, const json_t *event)
{
	if (strcmp(string(event, "kind"), "moved") == 0) /* again when it is closed */
		return;
	f->bytes_read += number(event, "bytesRead");
	f->bytes_written += number(event, "bytesWritten");
	if (number(event, "bytesWritten") > 0)
		f->uses |= USE_WRITTEN;
}

static void take_file(struct report *r, const json_t *event)
{
	unsigned uses, uses2;
	struct report_file *f;

	if (failed(event) || !uses_of(event, &uses, &uses2))
		return;
	f = uses != 0 || uses2 == 0 ? file(r, event, "path") : NULL;
	if (f) {
		f->uses |= uses;
		take_totals(f, event);
	}
	f = uses2 != 0 ? file(r, event, "path2") : NULL;
	if (f)
		f->uses |= uses2;
}

/* --- hosts ----------------------------------------------------------------------------------- */

/* With whom it was, or where. Of who was accepted the port says nothing, and there may be as many
 * as there were connections; a client's Unix socket mostly has no name, and the server's is told.
 * The caller's; NULL or empty: nobody knows. */
static char *address_of(const char *kind, const json_t *event)
{
	bool local = strcmp(kind, "listening") == 0, accepted = strcmp(kind, "accepted") == 0;
	const char *host = string(json_object_get(event, "remote"), "address");
	char *address;

	if (accepted && host[0] != '\0')
		return strdup(host);
	address = event_address(event, local ? "local" : "remote");
	if (!accepted || (address && address[0] != '\0'))
		return address;
	free(address);
	return event_address(event, "local");
}

/* Fills `h`, which is to be freed in any case. False where nobody knows with whom it was. */
static bool name_host(struct report_host *h, const char *kind, const json_t *event)
{
	const char *protocol = string(event, "protocol");

	if (strcmp(protocol, "0") == 0) /* of unix */
		protocol = string(event, "family");
	*h = (struct report_host){ .kind = strdup(kind),
				   .protocol = strdup(protocol),
				   .address = address_of(kind, event) };
	if (!h->kind || !h->protocol || !h->address || h->address[0] == '\0')
		return false;
	if (asprintf(&h->name, "%s %s %s", kind, protocol, h->address) < 0)
		h->name = NULL;
	return h->name;
}

static void free_host(struct report_host *h)
{
	free(h->name);
	free(h->kind);
	free(h->protocol);
	free(h->address);
}

/* With `known` only if it is. */
static struct report_host *host(struct report *r, const char *kind, const json_t *event, bool known)
{
	struct report_host made, *h = NULL;
	bool is_new = false;

	if (name_host(&made, kind, event) &&
	    (!known || json_object_get(r->names, made.name) != NULL))
		h = place_of(r->names, made.name, (void **)&r->hosts, &r->n_hosts, sizeof(*h),
			     &is_new);
	if (is_new)
		*h = made;
	else
		free_host(&made);
	return h;
}

/* Totals belong to the connection that was told of before; if none was, it is older than the
 * subscription. */
static struct report_host *host_of_closed(struct report *r, const json_t *event)
{
	static const char *const kinds[] = { "connected", "datagram", "accepted" };
	struct report_host *h = NULL;

	for (size_t i = 0; !h && i < ARRAY_SIZE(kinds); i++)
		h = host(r, kinds[i], event, true);
	return h ? h : host(r, "closed", event, false);
}

static void take_network(struct report *r, const json_t *event)
{
	const char *kind = string(event, "kind");
	bool closed = strcmp(kind, "closed") == 0;
	struct report_host *h;

	if (strcmp(kind, "bound") == 0 || strcmp(kind, "moved") == 0)
		return;
	h = closed ? host_of_closed(r, event) : host(r, kind, event, false);
	if (!h)
		return;
	h->times += !closed;
	h->failed += failed(event);
	h->sent += number(event, "bytesSent");
	h->received += number(event, "bytesReceived");
}

/* --- all ------------------------------------------------------------------------------------- */

static int take_event(void *data, const json_t *event)
{
	struct report *r = data;
	const char *category = string(event, "category"), *kind = string(event, "kind");
	int64_t at = number(event, "timestampMs");

	r->n_events++;
	r->start_ms = r->start_ms == 0 || at < r->start_ms ? at : r->start_ms;
	r->end_ms = at > r->end_ms ? at : r->end_ms;
	if (strcmp(category, "file") == 0)
		take_file(r, event);
	else if (strcmp(category, "network") == 0)
		take_network(r, event);
	else if (strcmp(kind, "forked") == 0)
		take_fork(r, event);
	else if (strcmp(kind, "executed") == 0)
		take_exec(r, event);
	else if (strcmp(kind, "exited") == 0 && strcmp(category, "process") == 0)
		take_exit(r, event);
	return 0;
}

const char *report_remark(const struct report *r, const char *category)
{
	size_t i;
	json_t *c;

	json_array_foreach(json_object_get(r->subscriber, "capabilities"), i, c)
	{
		if (strcmp(string(c, "category"), category) == 0 &&
		    strcmp(string(c, "backend"), "seccomp-user-notify") == 0)
			return ", as asked for: some of it may have failed";
	}
	return "";
}

bool report_is_folded(const struct report_file *f, bool all)
{
	return !all && f->noise && (f->uses & (USE_CREATED | USE_REMOVED)) == 0;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct report_file *)a)->path, ((const struct report_file *)b)->path);
}

int report_make(struct report *r, struct cli *cli, const char *session, const char *subscriber,
		struct error *e)
{
	char rest[64];
	int result;

	*r = (struct report){ .pids = json_object(),
			      .paths = json_object(),
			      .names = json_object() };
	(void)snprintf(rest, sizeof(rest), "/observers/%.40s", subscriber);
	result = events_read_beside(cli, session, subscriber, take_event, r, e);
	if (result >= 0)
		result = cli_call_session(cli, "GET", session, "", NULL, &r->session, e);
	if (result >= 0)
		result = cli_call_session(cli, "GET", session, rest, NULL, &r->subscriber, e);
	if (result >= 0 && report_arrange(r) < 0)
		result = error_set(e, ERROR_EXHAUSTED, "no memory");
	if (r->n_files > 0)
		qsort(r->files, r->n_files, sizeof(*r->files), by_path);
	r->cwd = result >= 0 ? event_text(r->session, "cwd") : NULL;
	return result;
}

void report_done(struct report *r)
{
	for (size_t i = 0; i < r->n_processes; i++) {
		free(r->processes[i].command);
		free(r->processes[i].comm);
	}
	for (size_t i = 0; i < r->n_files; i++)
		free(r->files[i].path);
	for (size_t i = 0; i < r->n_hosts; i++)
		free_host(&r->hosts[i]);
	free(r->processes);
	free(r->order);
	free(r->files);
	free(r->hosts);
	free(r->cwd);
	json_decref(r->session);
	json_decref(r->subscriber);
	json_decref(r->pids);
	json_decref(r->paths);
	json_decref(r->names);
}

char *report_size(int64_t bytes, char buf[REPORT_SIZE_TEXT])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
	double size = (double)bytes;
	unsigned i = 0;

	while (size >= 1000 && i + 1 < ARRAY_SIZE(units)) {
		size /= 1000;
		i++;
	}
	(void)snprintf(buf, REPORT_SIZE_TEXT, i == 0 ? "%.0f %s" : "%.1f %s", size, units[i]);
	return buf;
}
