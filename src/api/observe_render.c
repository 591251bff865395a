/* SPDX-License-Identifier: Apache-2.0 */
#include "api/observe.h"
#include "base/text.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* --- subscriptions --------------------------------------------------------------------------- */

void render_choices(struct json_writer *w, const char *name, const struct choice *choices,
		    const struct reeve_observer_config *which)
{
	json_write_open(w, name, '[');
	for (unsigned c = 0; c < REEVE_CATEGORIES; c++) {
		const struct choice *choice = &choices[c];

		if (which && !reeve_observer_config_has(which, (enum reeve_category)c))
			continue;
		json_write_open(w, NULL, '{');
		json_write_text(w, "category", reeve_category_name((enum reeve_category)c));
		json_write_text(w, "support", reeve_support_name(choice->support));
		json_write_text(w, "backend", choice->backend ? choice->backend->name : "none");
		json_write_text(w, "reason", choice->reason);
		json_write_close(w, '}');
	}
	json_write_close(w, ']');
}

static uint64_t sum(const uint64_t by[REEVE_CATEGORIES])
{
	uint64_t total = 0;

	for (unsigned c = 0; c < REEVE_CATEGORIES; c++)
		total += by[c];
	return total;
}

static void render_by(struct json_writer *w, const char *name, const struct events_subscriber *sub,
		      const uint64_t by[REEVE_CATEGORIES])
{
	json_write_open(w, name, '{');
	for (unsigned i = 0; i < sub->n; i++) {
		unsigned c = sub->categories[i];

		json_write_integer(w, reeve_category_name((enum reeve_category)c), (int64_t)by[c]);
	}
	json_write_close(w, '}');
}

void render_subscriber(struct json_writer *w, const struct session *s, unsigned place)
{
	const struct events_memory *m = &s->observed->memory;
	const struct events_subscriber *sub = &events_state(m)->subscribers[place];
	struct reeve_observer_config config = { .n = sub->n };
	struct choice choices[REEVE_CATEGORIES];
	char id[SUBSCRIBER_ID_MAX];

	subscriber_id(sub->number, id);
	json_write_text(w, "subscriberId", id);
	json_write_text(w, "processId", s->id);
	json_write_text(w, "kind", session_is_pty(s) ? "pty" : "pipe");
	json_write_open(w, "categories", '[');
	for (unsigned i = 0; i < sub->n; i++) {
		config.categories[i] = (enum reeve_category)sub->categories[i];
		json_write_text(w, NULL, reeve_category_name(config.categories[i]));
	}
	json_write_close(w, ']');
	json_write_integer(w, "ringCapacityEvents", sub->capacity);
	json_write_text(w, "backpressure", sub->block ? "block" : "drop-oldest");
	json_write_integer(w, "missedEvents", (int64_t)sum(sub->missed));
	json_write_integer(w, "deliveredEvents", (int64_t)sum(sub->delivered));
	json_write_integer(w, "waitingEvents", (int64_t)events_waiting(sub));
	json_write_bool(w, "connected", observe_is_read(s->observed, sub->number));
	json_write_bool(w, "disconnected",
			sub->connected && !observe_is_read(s->observed, sub->number));
	json_write_bool(w, "over", events_state(m)->over != 0);
	render_by(w, "missedBy", sub, sub->missed);
	render_by(w, "deliveredBy", sub, sub->delivered);
	observe_choices(m, events_set_of(sub), choices);
	render_choices(w, "capabilities", choices, &config);
}

/* --- events ---------------------------------------------------------------------------------- */

static void write_bytes(struct json_writer *w, const char *name, const char *text, size_t n)
{
	if (text_is_utf8(text, n) && memchr(text, 0, n) == NULL)
		json_write_text(w, name, text);
	else
		json_write_value(w, name, json_bytes(text, n));
}

static void write_argv(struct json_writer *w, const struct reeve_event *e)
{
	const char *at = e->argv, *end = e->argv + e->argv_size;

	json_write_open(w, "argv", '[');
	while (at && at < end) {
		size_t n = strnlen(at, (size_t)(end - at));

		write_bytes(w, NULL, at, n);
		at += n + 1;
	}
	json_write_close(w, ']');
}

static const char *family_name(unsigned family, char buffer[16])
{
	switch (family) {
	case AF_INET:
		return "inet";
	case AF_INET6:
		return "inet6";
	case AF_UNIX:
		return "unix";
	case AF_NETLINK:
		return "netlink";
	default:
		(void)snprintf(buffer, 16, "%u", family);
		return buffer;
	}
}

static const char *protocol_name(unsigned protocol, char buffer[16])
{
	switch (protocol) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	default:
		(void)snprintf(buffer, 16, "%u", protocol);
		return buffer;
	}
}

static void write_address(struct json_writer *w, const char *name, const struct reeve_address *a)
{
	char text[INET6_ADDRSTRLEN];

	json_write_open(w, name, '{');
	if (a->family == AF_UNIX) {
		const char *path = a->path ? a->path : "";

		write_bytes(w, "path", path, strlen(path));
	} else if (inet_ntop(a->family, a->bytes, text, sizeof(text))) {
		json_write_text(w, "address", text);
		json_write_integer(w, "port", a->port);
		if (a->scope != 0)
			json_write_integer(w, "scope", a->scope);
	}
	json_write_close(w, '}');
}

static void write_result(struct json_writer *w, const struct reeve_event *e)
{
	const char *name = strerrorname_np(-e->result);

	json_write_integer(w, "result", e->result);
	if (name)
		json_write_text(w, "error", name);
}

static bool has(const struct reeve_event *e, enum reeve_field field)
{
	return (e->fields & field) != 0;
}

/* Who did it. */
static void write_process(struct json_writer *w, const struct reeve_event *e)
{
	json_write_integer(w, "pid", e->pid);
	if (has(e, REEVE_HAS_TID))
		json_write_integer(w, "tid", e->tid);
	if (has(e, REEVE_HAS_PPID))
		json_write_integer(w, "ppid", e->ppid);
	if (has(e, REEVE_HAS_COMM) && e->comm)
		write_bytes(w, "comm", e->comm, strlen(e->comm));
	if (has(e, REEVE_HAS_CHILD_PID))
		json_write_integer(w, "childPid", e->child_pid);
	if (has(e, REEVE_HAS_EXIT_CODE))
		json_write_integer(w, "exitCode", e->exit_code);
	if (has(e, REEVE_HAS_TIMES)) {
		json_write_integer(w, "userUs", (int64_t)e->user_us);
		json_write_integer(w, "systemUs", (int64_t)e->system_us);
	}
}

/* What it was about. */
static void write_texts(struct json_writer *w, const struct reeve_event *e)
{
	if (has(e, REEVE_HAS_PATH) && e->path)
		write_bytes(w, "path", e->path, strlen(e->path));
	if (has(e, REEVE_HAS_PATH2) && e->path2)
		write_bytes(w, "path2", e->path2, strlen(e->path2));
	if (has(e, REEVE_HAS_ARGV))
		write_argv(w, e);
	if (has(e, REEVE_HAS_CWD) && e->cwd)
		write_bytes(w, "cwd", e->cwd, strlen(e->cwd));
}

static void write_file(struct json_writer *w, const struct reeve_event *e)
{
	char mode[16];

	if (has(e, REEVE_HAS_FLAGS))
		json_write_integer(w, "flags", e->flags);
	if (has(e, REEVE_HAS_MODE)) {
		(void)snprintf(mode, sizeof(mode), "%04o", e->mode & 07777U);
		json_write_text(w, "mode", mode);
	}
	if (has(e, REEVE_HAS_SIZE))
		json_write_integer(w, "size", (int64_t)e->size);
	if (has(e, REEVE_HAS_OWNER)) {
		json_write_integer(w, "uid", e->uid == UINT32_MAX ? -1 : (int64_t)e->uid);
		json_write_integer(w, "gid", e->gid == UINT32_MAX ? -1 : (int64_t)e->gid);
	}
	if (has(e, REEVE_HAS_CLAIMED))
		json_write_bool(w, "claimed", true);
	if (has(e, REEVE_HAS_CUT))
		json_write_bool(w, "cut", true);
}

static void write_network(struct json_writer *w, const struct reeve_event *e)
{
	char buffer[16];

	if (has(e, REEVE_HAS_SOCKET)) {
		json_write_text(w, "family", family_name(e->family, buffer));
		json_write_text(w, "protocol", protocol_name(e->protocol, buffer));
	}
	if (has(e, REEVE_HAS_LOCAL))
		write_address(w, "local", &e->local);
	if (has(e, REEVE_HAS_REMOTE))
		write_address(w, "remote", &e->remote);
	if (has(e, REEVE_HAS_TOTALS)) {
		bool net = e->category == REEVE_NETWORK;

		json_write_integer(w, net ? "bytesReceived" : "bytesRead", (int64_t)e->bytes_read);
		json_write_integer(w, net ? "bytesSent" : "bytesWritten",
				   (int64_t)e->bytes_written);
		json_write_integer(w, "reads", (int64_t)e->reads);
		json_write_integer(w, "writes", (int64_t)e->writes);
	}
	if (has(e, REEVE_HAS_OPCODE))
		json_write_integer(w, "opcode", e->opcode);
	if (has(e, REEVE_HAS_RESULT))
		write_result(w, e);
}

void render_event(struct json_writer *w, const struct reeve_event *e, uint64_t seq)
{
	const char *kind = reeve_kind_name(e->kind), *category = reeve_category_name(e->category);

	json_write_open(w, NULL, '{');
	json_write_integer(w, "seq", (int64_t)seq);
	json_write_integer(w, "timestampMs", (int64_t)e->timestamp_ms);
	json_write_text(w, "category", category ? category : "unknown");
	json_write_text(w, "kind", kind ? kind : "unknown");
	write_process(w, e);
	write_texts(w, e);
	write_file(w, e);
	write_network(w, e);
	if (e->source)
		json_write_text(w, "source", e->source);
	json_write_close(w, '}');
}
