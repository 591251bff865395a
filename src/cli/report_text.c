/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/events.h"
#include "cli/report.h"
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 64U

/* --- processes ------------------------------------------------------------------------------- */

static void print_process(const struct report_process *p, FILE *to)
{
	char text[REPORT_COMMAND_TEXT];

	fprintf(to, "  %*s%lld ", (int)(2 * MIN(p->depth, DEPTH_MAX)), "", (long long)p->pid);
	event_print_text(to, report_command(p, text));
	if (p->ended && p->start_ms > 0)
		fprintf(to, "  %.3f s", (double)(p->end_ms - p->start_ms) / 1000);
	if (p->code_known && p->code < 0)
		fprintf(to, "  signal %lld", (long long)-p->code);
	else if (p->code_known)
		fprintf(to, "  exit %lld", (long long)p->code);
	else
		fprintf(to, "%s", p->ended ? "  ended" : "");
	fputc('\n', to);
}

static void print_processes(const struct report *r, FILE *to)
{
	if (r->n_processes == 0)
		return;
	fprintf(to, "\nProcesses: %zu\n", r->n_processes);
	for (size_t i = 0; i < r->n_processes; i++)
		print_process(&r->processes[r->order[i]], to);
}

/* --- files ----------------------------------------------------------------------------------- */

static const struct {
	const char *title;
	unsigned with, without;
} groups[] = {
	{ "created", USE_CREATED, USE_REMOVED },
	{ "created and removed", USE_CREATED | USE_REMOVED, 0 },
	{ "removed", USE_REMOVED, USE_CREATED },
	{ "written", USE_WRITTEN, USE_CREATED | USE_REMOVED },
	{ "read", USE_READ, USE_WRITTEN | USE_CREATED | USE_REMOVED },
	{ "executed", USE_EXECUTED, USE_READ | USE_WRITTEN | USE_CREATED | USE_REMOVED },
};

static void print_file(const struct report *r, const struct report_file *f, FILE *to)
{
	char size[REPORT_SIZE_TEXT];
	char *path = path_from(f->path, r->cwd);

	fputs("    ", to);
	event_print_text(to, path ? path : f->path);
	if (f->bytes_read > 0)
		fprintf(to, "  %s read", report_size(f->bytes_read, size));
	if (f->bytes_written > 0)
		fprintf(to, "  %s written", report_size(f->bytes_written, size));
	fputc('\n', to);
	free(path);
}

static void print_files(const struct report *r, bool all, FILE *to)
{
	size_t folded = 0;

	if (r->n_files == 0)
		return;
	fprintf(to, "\nFiles%s\n", report_remark(r, "file"));
	for (size_t g = 0; g < ARRAY_SIZE(groups); g++) {
		bool titled = false;

		for (size_t i = 0; i < r->n_files; i++) {
			const struct report_file *f = &r->files[i];

			if ((f->uses & groups[g].with) != groups[g].with ||
			    (f->uses & groups[g].without) != 0 || report_is_folded(f, all))
				continue;
			if (!titled)
				fprintf(to, "  %s\n", groups[g].title);
			titled = true;
			print_file(r, f, to);
		}
	}
	for (size_t i = 0; i < r->n_files; i++)
		folded += report_is_folded(&r->files[i], all);
	if (folded > 0)
		fprintf(to, "  and %zu of libraries, locales, devices and the like (--all)\n",
			folded);
}

/* --- hosts ----------------------------------------------------------------------------------- */

static void print_hosts(const struct report *r, FILE *to)
{
	char size[REPORT_SIZE_TEXT];

	if (r->n_hosts > 0)
		fprintf(to, "\nNetwork%s\n", report_remark(r, "network"));
	for (size_t i = 0; i < r->n_hosts; i++) {
		const struct report_host *h = &r->hosts[i];

		fputs("  ", to);
		event_print_text(to, h->name);
		if (h->times > 1)
			fprintf(to, "  %lld times", (long long)h->times);
		if (h->failed > 0)
			fprintf(to, "  %lld failed", (long long)h->failed);
		if (h->sent > 0)
			fprintf(to, "  %s sent", report_size(h->sent, size));
		if (h->received > 0)
			fprintf(to, "  %s received", report_size(h->received, size));
		fputc('\n', to);
	}
}

/* --- what is not known ----------------------------------------------------------------------- */

static void print_gaps(const struct report *r, FILE *to)
{
	json_int_t missed = json_integer_value(json_object_get(r->subscriber, "missedEvents"));
	json_t *c;
	size_t i;

	fputc('\n', to);
	if (missed > 0)
		fprintf(to, "%lld events were missed: this is not all.\n", (long long)missed);
	json_array_foreach(json_object_get(r->subscriber, "capabilities"), i, c)
	{
		const char *support = json_string_value(json_object_get(c, "support"));

		if (!support || strcmp(support, "supported") == 0)
			continue;
		fprintf(to, "%s: %s (%s): %s\n", json_string_value(json_object_get(c, "category")),
			support, json_string_value(json_object_get(c, "backend")),
			json_string_value(json_object_get(c, "reason")));
	}
}

void report_text(const struct report *r, bool all, FILE *to)
{
	const char *summary = json_string_value(json_object_get(r->session, "commandSummary"));
	const char *status = json_string_value(json_object_get(r->session, "status"));
	const json_t *code = json_object_get(json_object_get(r->session, "exit"), "exitCode");

	event_print_text(to, summary);
	fprintf(to, "\n%s", status ? status : "");
	if (json_is_integer(code))
		fprintf(to, json_integer_value(code) < 0 ? " with signal %lld" : " with %lld",
			llabs(json_integer_value(code)));
	if (r->end_ms > r->start_ms)
		fprintf(to, ", %.3f s", (double)(r->end_ms - r->start_ms) / 1000);
	fprintf(to, ", %zu events\n", r->n_events);
	print_processes(r, to);
	print_files(r, all, to);
	print_hosts(r, to);
	print_gaps(r, to);
}
