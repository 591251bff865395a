/* SPDX-License-Identifier: Apache-2.0 */
/* report_html.c - the report as one page that needs nothing else. */
#include "base/text.h"
#include "cli/events.h"
#include "cli/report.h"
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 32U

static const char head[] =
	"<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width\">\n"
	"<title>reeve report</title>\n<style>\n"
	":root{color-scheme:light dark;--bar:#7aa6da;--bad:#d97a7a;--line:#8883;--faint:#888}\n"
	"@media(prefers-color-scheme:dark){:root{--bar:#36609a;--bad:#8a3a3a}}\n"
	"body{font:14px/1.4 system-ui,sans-serif;margin:2em}\n"
	"h1{font-size:1.3em;overflow-wrap:anywhere}h2{font-size:1.1em;margin-top:2em}\n"
	"code,td,.line{font-family:ui-monospace,monospace;font-size:13px}\n"
	"table{border-collapse:collapse}td,th{padding:2px 16px 2px 0;text-align:left;"
	"vertical-align:top;overflow-wrap:anywhere}\n"
	"td.n,th.n{text-align:right;white-space:nowrap}.noise{color:var(--faint)}\n"
	".line{display:grid;grid-template-columns:minmax(0,9fr) 13em minmax(0,10fr);gap:1em;"
	"border-bottom:1px solid var(--line);line-height:20px;white-space:pre}\n"
	".name{overflow:hidden;text-overflow:ellipsis}.end{text-align:right}\n"
	".track{position:relative}\n"
	".bar{position:absolute;height:14px;top:3px;min-width:2px;background:var(--bar)}\n"
	".failed .bar{background:var(--bad)}\n"
	"</style></head><body>\n";

static void escape(FILE *to, const char *text)
{
	size_t n = text ? strlen(text) : 0, length;
	char shown[TEXT_SHOWN_SIZE];

	for (; n > 0; text += length, n -= length) {
		length = text_show(text, n, shown);
		switch (*shown) {
		case '<':
			fputs("&lt;", to);
			break;
		case '>':
			fputs("&gt;", to);
			break;
		case '&':
			fputs("&amp;", to);
			break;
		case '"':
			fputs("&quot;", to);
			break;
		default:
			fputs(shown, to);
		}
	}
}

/* How it ended and how long it took. */
static void process_end(const struct report_process *p, FILE *to)
{
	if (p->code_known && p->code < 0)
		fprintf(to, "signal %lld", (long long)-p->code);
	else if (p->code_known)
		fprintf(to, "exit %lld", (long long)p->code);
	else
		fputs(p->ended ? "ended" : "", to);
	if (p->ended && p->start_ms > 0)
		fprintf(to, "  %.3f s", (double)(p->end_ms - p->start_ms) / 1000);
}

static void timeline(const struct report *r, FILE *to)
{
	double whole = r->end_ms > r->start_ms ? (double)(r->end_ms - r->start_ms) : 1;

	if (r->n_processes == 0)
		return;
	fprintf(to, "<h2>Processes: %zu</h2>\n<div id=\"timeline\">\n", r->n_processes);
	for (size_t i = 0; i < r->n_processes; i++) {
		const struct report_process *p = &r->processes[r->order[i]];
		char text[REPORT_COMMAND_TEXT];
		const char *command = report_command(p, text);
		int64_t start = p->start_ms ? p->start_ms : r->start_ms;
		int64_t end = p->ended ? p->end_ms : r->end_ms;

		fprintf(to, "<div class=\"line%s\"><div class=\"name\" title=\"",
			p->code_known && p->code != 0 ? " failed" : "");
		escape(to, command);
		fprintf(to, "\">%*s%lld ", (int)(2 * MIN(p->depth, DEPTH_MAX)), "",
			(long long)p->pid);
		escape(to, command);
		fputs("</div><div class=\"end\">", to);
		process_end(p, to);
		fprintf(to,
			"</div><div class=\"track\"><div class=\"bar\" "
			"style=\"left:%.2f%%;width:%.2f%%\"></div></div></div>\n",
			100 * (double)(start - r->start_ms) / whole,
			100 * (double)(end - start) / whole);
	}
	fputs("</div>\n", to);
}

/* A cell with a size; empty for none. */
static void size_cell(int64_t bytes, FILE *to)
{
	char size[REPORT_SIZE_TEXT];

	fprintf(to, "<td class=\"n\">%s", bytes > 0 ? report_size(bytes, size) : "");
}

static void number_cell(int64_t n, FILE *to)
{
	if (n > 0)
		fprintf(to, "<td class=\"n\">%lld", (long long)n);
	else
		fputs("<td>", to);
}

static void file_row(const struct report *r, const struct report_file *f, FILE *to)
{
	static const char *const uses[] = { "read", "written", "created", "removed", "executed" };
	char *path = path_from(f->path, r->cwd);
	const char *before = "";

	fputs(f->noise ? "<tr class=\"noise\"><td>" : "<tr><td>", to);
	escape(to, path ? path : f->path);
	fputs("<td>", to);
	for (size_t u = 0; u < ARRAY_SIZE(uses); u++) {
		if ((f->uses & 1U << u) == 0)
			continue;
		fprintf(to, "%s%s", before, uses[u]);
		before = ", ";
	}
	size_cell(f->bytes_read, to);
	size_cell(f->bytes_written, to);
	fputs("</tr>\n", to);
	free(path);
}

static void files(const struct report *r, bool all, FILE *to)
{
	size_t folded = 0;

	if (r->n_files == 0)
		return;
	for (size_t i = 0; i < r->n_files; i++)
		folded += report_is_folded(&r->files[i], all);
	fprintf(to, "<h2>Files: %zu%s</h2>\n", r->n_files - folded, report_remark(r, "file"));
	if (folded < r->n_files)
		fputs("<table><tr><th>path<th>uses<th class=\"n\">read<th class=\"n\">written"
		      "</tr>\n",
		      to);
	for (size_t i = 0; i < r->n_files; i++)
		if (!report_is_folded(&r->files[i], all))
			file_row(r, &r->files[i], to);
	if (folded < r->n_files)
		fputs("</table>\n", to);
	if (folded > 0)
		fprintf(to,
			"<p class=\"noise\">and %zu of libraries, locales, devices and the like "
			"(<code>--all</code>)</p>\n",
			folded);
}

static void hosts(const struct report *r, FILE *to)
{
	if (r->n_hosts == 0)
		return;
	fprintf(to, "<h2>Network%s</h2>\n", report_remark(r, "network"));
	fputs("<table><tr><th>what<th>protocol<th>address"
	      "<th class=\"n\">times<th class=\"n\">failed<th class=\"n\">sent"
	      "<th class=\"n\">received</tr>\n",
	      to);
	for (size_t i = 0; i < r->n_hosts; i++) {
		const struct report_host *h = &r->hosts[i];

		fputs("<tr><td>", to);
		escape(to, h->kind);
		fputs("<td>", to);
		escape(to, h->protocol);
		fputs("<td>", to);
		escape(to, h->address);
		number_cell(h->times, to);
		number_cell(h->failed, to);
		size_cell(h->sent, to);
		size_cell(h->received, to);
		fputs("</tr>\n", to);
	}
	fputs("</table>\n", to);
}

/* Nobody shall read silence as proof that nothing happened. */
static void gaps(const struct report *r, FILE *to)
{
	size_t i, n = 0;
	json_t *c;

	json_array_foreach(json_object_get(r->subscriber, "capabilities"), i, c)
	{
		const char *support = json_string_value(json_object_get(c, "support"));

		if (!support || strcmp(support, "supported") == 0)
			continue;
		fputs(n++ == 0 ? "<h2>Not seen in full</h2>\n<ul>\n<li>" : "<li>", to);
		escape(to, json_string_value(json_object_get(c, "category")));
		fprintf(to, ": %s (", support);
		escape(to, json_string_value(json_object_get(c, "backend")));
		fputs("): ", to);
		escape(to, json_string_value(json_object_get(c, "reason")));
		fputs("\n", to);
	}
	if (n > 0)
		fputs("</ul>\n", to);
}

static void summary(const struct report *r, FILE *to)
{
	json_int_t missed = json_integer_value(json_object_get(r->subscriber, "missedEvents"));
	const json_t *code = json_object_get(json_object_get(r->session, "exit"), "exitCode");

	fputs("<h1><code>", to);
	escape(to, json_string_value(json_object_get(r->session, "commandSummary")));
	fputs("</code></h1>\n<p>", to);
	escape(to, json_string_value(json_object_get(r->session, "processId")));
	fputs(": ", to);
	escape(to, json_string_value(json_object_get(r->session, "status")));
	if (json_is_integer(code))
		fprintf(to, json_integer_value(code) < 0 ? " with signal %lld" : " with %lld",
			llabs(json_integer_value(code)));
	if (r->end_ms > r->start_ms)
		fprintf(to, ", %.3f s", (double)(r->end_ms - r->start_ms) / 1000);
	fprintf(to, ", %zu events", r->n_events);
	if (missed > 0)
		fprintf(to, ", <b>%lld missed</b>: this is not all", (long long)missed);
	fputs("</p>\n", to);
}

void report_html(const struct report *r, bool all, FILE *to)
{
	fputs(head, to);
	summary(r, to);
	timeline(r, to);
	files(r, all, to);
	hosts(r, to);
	gaps(r, to);
	fputs("</body></html>\n", to);
}
