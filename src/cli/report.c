/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/report.h"
#include "base/json.h"
#include "cli/commands.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct report_values {
	bool json, html, all;
	const char *subscriber;
};

#define AT(m) offsetof(struct report_values, m)

static const struct option_spec specs[] = {
	{ .name = "json", .help = "as JSON", .offset = AT(json) },
	{ .name = "html",
	  .help = "as a page with a timeline, which needs nothing else",
	  .offset = AT(html) },
	{ .name = "all",
	  .letter = 'a',
	  .help = "also libraries, locales, devices and the like",
	  .offset = AT(all) },
	{ .name = "subscriber",
	  .argument = "ID",
	  .help = "from the events of this subscription (default: which has most)",
	  .type = OPTION_TEXT,
	  .offset = AT(subscriber) },
	{ 0 },
};

const struct option_table report_options = { specs, sizeof(struct report_values) };

static json_t *text(const char *bytes)
{
	return bytes ? json_bytes(bytes, strlen(bytes)) : json_null();
}

static json_t *process_json(const struct report_process *p)
{
	json_t *o =
		json_pack("{s:I, s:I, s:o, s:b}", "pid", (json_int_t)p->pid, "ppid",
			  (json_int_t)p->ppid, "command", text(p->command), "ended", (int)p->ended);

	if (p->start_ms > 0)
		json_object_set_new(o, "startMs", json_integer(p->start_ms));
	if (p->ended && p->start_ms > 0)
		json_object_set_new(o, "durationMs", json_integer(p->end_ms - p->start_ms));
	if (p->code_known)
		json_object_set_new(o, "exitCode", json_integer(p->code));
	return o;
}

static json_t *file_json(const struct report_file *f)
{
	return json_pack("{s:o, s:b, s:b, s:b, s:b, s:b, s:b, s:I, s:I}", "path", text(f->path),
			 "read", (f->uses & USE_READ) != 0, "written", (f->uses & USE_WRITTEN) != 0,
			 "created", (f->uses & USE_CREATED) != 0, "removed",
			 (f->uses & USE_REMOVED) != 0, "executed", (f->uses & USE_EXECUTED) != 0,
			 "noise", (int)f->noise, "bytesRead", (json_int_t)f->bytes_read,
			 "bytesWritten", (json_int_t)f->bytes_written);
}

static json_t *host_json(const struct report_host *h)
{
	return json_pack("{s:o, s:o, s:o, s:I, s:I, s:I, s:I}", "kind", text(h->kind), "protocol",
			 text(h->protocol), "address", text(h->address), "times",
			 (json_int_t)h->times, "failed", (json_int_t)h->failed, "bytesSent",
			 (json_int_t)h->sent, "bytesReceived", (json_int_t)h->received);
}

static void print_json(const struct report *r, bool all, FILE *to)
{
	json_t *processes = json_array(), *files = json_array(), *hosts = json_array(), *o;

	for (size_t i = 0; i < r->n_processes; i++)
		json_array_append_new(processes, process_json(&r->processes[i]));
	for (size_t i = 0; i < r->n_files; i++)
		if (!report_is_folded(&r->files[i], all))
			json_array_append_new(files, file_json(&r->files[i]));
	for (size_t i = 0; i < r->n_hosts; i++)
		json_array_append_new(hosts, host_json(&r->hosts[i]));
	o = json_pack("{s:O, s:O, s:O, s:I, s:O, s:o, s:o, s:o, s:O}", "processId",
		      json_object_get(r->session, "processId"), "commandSummary",
		      json_object_get(r->session, "commandSummary"), "status",
		      json_object_get(r->session, "status"), "events", (json_int_t)r->n_events,
		      "missedEvents", json_object_get(r->subscriber, "missedEvents"), "processes",
		      processes, "files", files, "hosts", hosts, "capabilities",
		      json_object_get(r->subscriber, "capabilities"));
	json_dumpf(o, to, JSON_INDENT(2));
	fputc('\n', to);
	json_decref(o);
}

int report_show(struct cli *cli, const char *session, const char *subscriber, enum report_form form,
		bool all, FILE *to, struct error *e)
{
	struct report r;
	int result = report_make(&r, cli, session, subscriber, e);

	if (result >= 0 && form == REPORT_TEXT)
		report_text(&r, all, to);
	if (result >= 0 && form == REPORT_JSON)
		print_json(&r, all, to);
	if (result >= 0 && form == REPORT_HTML)
		report_html(&r, all, to);
	report_done(&r);
	return result;
}

/* The subscription of a session that tells the most. */
static int best_of(struct cli *cli, const char *session, char **ret, struct error *e)
{
	json_t *list = NULL, *one;
	const char *id = NULL;
	size_t i, n, most = 0;
	int r = cli_call_session(cli, "GET", session, "/observers", NULL, &list, e);

	if (r < 0)
		return r;
	json_array_foreach(json_object_get(list, "items"), i, one)
	{
		n = json_array_size(json_object_get(one, "categories"));
		if (n > most)
			id = json_string_value(json_object_get(one, "subscriberId"));
		most = n > most ? n : most;
	}
	*ret = id ? strdup(id) : NULL;
	json_decref(list);
	if (*ret)
		return 0;
	return error_set(e, ERROR_NOT_FOUND,
			 "%s was not observed; `reeve run --observe all` does that", session);
}

int cmd_report(struct cli *cli, const void *values, int n, char **operands)
{
	const struct report_values *v = values;
	_cleanup_(freep) char *session = NULL, *subscriber = NULL;
	struct error e = { 0 };
	enum report_form form = v->html ? REPORT_HTML : v->json ? REPORT_JSON : REPORT_TEXT;

	(void)n;
	if (v->html && v->json)
		return cli_usage(cli, "--html and --json exclude each other");
	if (cli_session(cli, operands[0], &session, &e) < 0)
		return cli_fail(cli, &e);
	if (v->subscriber)
		subscriber = strdup(v->subscriber);
	else if (best_of(cli, session, &subscriber, &e) < 0)
		return cli_fail(cli, &e);
	if (report_show(cli, session, subscriber, form, v->all, stdout, &e) < 0)
		return cli_fail(cli, &e);
	return 0;
}
