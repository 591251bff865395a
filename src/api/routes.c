/* SPDX-License-Identifier: Apache-2.0 */
#include "api/routes.h"
#include "base/parse.h"
#include <strings.h>

#define CONNECTIONS_MAX 1000U
#define RESERVED_MAX    16U
#define IDLE_SECONDS    60U
#define HEADER_BYTES    (32U * 1024U)

#define QUERY(...) ((const char *const[]){ __VA_ARGS__, NULL })

const struct route routes[] = {
	{ "GET", "/v1/daemon", .handle = daemon_show, .keep_place = true },
	{ "POST", "/v1/daemon/stop", .handle = daemon_stop, .body_max = 4 * KiB,
	  .keep_place = true },
	{ "GET", "/v1/sessions", .handle = sessions_list,
	  .query = QUERY("all", "status", "label", "originator", "olderThan", "limit"),
	  .repeated = QUERY("label") },
	{ "POST", "/v1/sessions", .handle = sessions_spawn, .body_max = 16 * MiB },
	{ "POST", "/v1/sessions/stop", .handle = sessions_stop, .body_max = 64 * KiB,
	  .keep_place = true },
	{ "POST", "/v1/sessions/purge", .handle = sessions_purge, .body_max = 64 * KiB },
	{ "GET", "/v1/sessions/{id}", .handle = session_show, .query = QUERY("raw") },
	{ "DELETE", "/v1/sessions/{id}", .handle = session_delete, .query = QUERY("force") },
	{ "GET", "/v1/sessions/{id}/logs", .handle = session_logs,
	  .query = QUERY("stream", "from", "limit", "head", "tail", "since", "grep", "ansi", "wait",
			 "follow", "format") },
	{ "GET", "/v1/sessions/{id}/attach", .handle = session_attach,
	  .query = QUERY("streams", "from", "from.stdout", "from.stderr", "from.pty", "mode",
			 "steal", "readOnly", "token", "restore", "rows", "cols") },
	{ "POST", "/v1/sessions/{id}/stdin", .handle = session_stdin, .body_max = 1 * MiB,
	  .query = QUERY("at", "eof") },
	{ "POST", "/v1/sessions/{id}/wait", .handle = session_wait, .body_max = 64 * KiB },
	{ "POST", "/v1/sessions/{id}/stop", .handle = session_stop_route, .body_max = 4 * KiB,
	  .keep_place = true },
	{ "POST", "/v1/sessions/{id}/kill", .handle = session_kill_route, .body_max = 4 * KiB,
	  .keep_place = true },
	{ "GET", "/v1/sessions/{id}/tree", .handle = session_tree_route },
	{ "GET", "/v1/sessions/{id}/screen", .handle = session_screen, .query = QUERY("format") },
	{ "GET", "/v1/capabilities", .handle = capabilities_show,
	  .query = QUERY("scope", "probe") },
	{ "GET", "/v1/sessions/{id}/observers", .handle = observers_list },
	{ "POST", "/v1/sessions/{id}/observers", .handle = observers_add, .body_max = 4 * KiB },
	{ "GET", "/v1/sessions/{id}/observers/{subscriberId}", .handle = observer_show },
	{ "DELETE", "/v1/sessions/{id}/observers/{subscriberId}", .handle = observer_delete },
	{ "GET", "/v1/sessions/{id}/observers/{subscriberId}/events", .handle = observer_events,
	  .query = QUERY("seq", "follow", "attach") },
	{ 0 },
};

static void stop_listening(struct engine *e)
{
	http_server_pause(e->http);
}

static void listen_again(struct engine *e)
{
	http_server_resume(e->http);
}

int routes_serve(struct engine *e, struct error *err)
{
	static const struct http_limits limits = {
		.connections = CONNECTIONS_MAX,
		.reserved = RESERVED_MAX,
		.idle_seconds = IDLE_SECONDS,
		.header_bytes = HEADER_BYTES,
	};

	e->stop_listening = stop_listening;
	e->listen_again = listen_again;
	return http_server_new(&e->http, &e->loop, e->daemon_fds[DAEMON_FD_LISTEN], routes, &limits,
			       e, err);
}

void routes_done(struct engine *e)
{
	http_server_quiesce(e->http);
}

int request_session(struct request *rq, struct engine *e, struct session **ret, struct error *err)
{
	return session_find(e, request_param(rq, "id"), ret, err);
}

int request_fields(struct request *rq, const struct json_field *fields, void *ret,
		   struct error *err)
{
	json_t *json;
	int r = request_json(rq, &json, err);

	return r < 0 ? r : json_read(json, fields, ret, err);
}

int request_query_u64(const struct request *rq, const char *name, uint64_t max, uint64_t *ret,
		      struct error *err)
{
	const char *text = request_query(rq, name);

	if (!text)
		return 0;
	if (parse_u64(text, 0, max, ret) < 0)
		return error_set(err, ERROR_INVALID_ARGUMENT,
				 "%s=%s: expected a number from 0 to %llu", name, text,
				 (unsigned long long)max);
	return 0;
}

int request_query_bool(const struct request *rq, const char *name, bool *ret, struct error *err)
{
	static const struct {
		const char *text;
		bool value;
	} words[] = { { "", true },   { "1", true },      { "true", true }, { "yes", true },
		      { "0", false }, { "false", false }, { "no", false } };
	const char *text = request_query(rq, name);

	if (!text)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcasecmp(text, words[i].text) == 0) {
			*ret = words[i].value;
			return 0;
		}
	return error_set(err, ERROR_INVALID_ARGUMENT, "%s=%s: expected true or false", name, text);
}
