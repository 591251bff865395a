/* SPDX-License-Identifier: Apache-2.0 */
/* report_html.c - the report as one page that needs nothing else. */
#include "cli/events.h"
#include "cli/report.h"
#include <stdlib.h>
#include <string.h>

static const char head[] =
	"<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	"<title>reeve report</title>\n<style>\n"
	"body{font:14px/1.4 system-ui,sans-serif;margin:2em;color:#222;background:#fff}\n"
	"code,td{font-family:ui-monospace,monospace;font-size:13px}\n"
	"table{border-collapse:collapse}td,th{padding:2px 10px 2px 0;text-align:left;"
	"vertical-align:top}\n"
	"td.n{text-align:right}tr.noise{color:#999}\n"
	".line{position:relative;height:20px;border-bottom:1px solid #eee}\n"
	".bar{position:absolute;height:16px;top:2px;min-width:2px;background:#7aa6da}\n"
	".bar.failed{background:#d97a7a}\n"
	".name{position:absolute;white-space:pre;font:12px/20px ui-monospace,monospace;"
	"padding-left:4px}\n"
	"@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}"
	".line{border-color:#333}.bar{background:#36609a}.bar.failed{background:#8a3a3a}}\n"
	"</style></head><body>\n";

static void escape(FILE *to, const char *text)
{
	for (; text && *text; text++) {
		switch (*text) {
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
			fputc((unsigned char)*text < 0x20 ? '?' : *text, to);
		}
	}
}

static void timeline(const struct report *r, FILE *to)
{
	double whole = r->end_ms > r->start_ms ? (double)(r->end_ms - r->start_ms) : 1;

	fprintf(to, "<h2>Processes</h2>\n<p>%.3f s in all</p>\n<div id=\"timeline\">\n",
		whole / 1000);
	for (size_t i = 0; i < r->n_processes; i++) {
		const struct report_process *p = &r->processes[i];
		int64_t start = p->start_ms ? p->start_ms : r->start_ms;
		int64_t end = p->ended ? p->end_ms : r->end_ms;
		double left = 100 * (double)(start - r->start_ms) / whole;

		fprintf(to,
			"<div class=\"line\"><div class=\"bar%s\" style=\"left:%.2f%%;width:%.2f%%\">"
			"</div><div class=\"name\" style=\"left:%.2f%%\">%lld ",
			p->code_known && p->code != 0 ? " failed" : "", left,
			100 * (double)(end - start) / whole, left > 70 ? 70 : left,
			(long long)p->pid);
		escape(to, p->command ? p->command : "(fork)");
		if (p->code_known)
			fprintf(to, p->code < 0 ? "  [signal %lld]" : "  [%lld]", llabs(p->code));
		fprintf(to, "  %.3f s</div></div>\n", (double)(end - start) / 1000);
	}
	fputs("</div>\n", to);
}

static void files(const struct report *r, bool all, FILE *to)
{
	static const char *const uses[] = { "read", "written", "created", "removed", "executed" };
	size_t folded = 0;

	fputs("<h2>Files</h2>\n<table><tr><th>path<th>uses<th>bytes read<th>bytes written</tr>\n",
	      to);
	for (size_t i = 0; i < r->n_files; i++) {
		const struct report_file *f = &r->files[i];
		char *path;

		if (f->noise && !all && (f->uses & (USE_CREATED | USE_REMOVED)) == 0) {
			folded++;
			continue;
		}
		path = path_from(f->path, r->cwd);
		fputs(f->noise ? "<tr class=\"noise\"><td>" : "<tr><td>", to);
		escape(to, path ? path : f->path);
		fputs("<td>", to);
		for (size_t u = 0; u < ARRAY_SIZE(uses); u++)
			if ((f->uses & 1U << u) != 0)
				fprintf(to, "%s ", uses[u]);
		fprintf(to, "<td class=\"n\">%lld<td class=\"n\">%lld</tr>\n",
			(long long)f->bytes_read, (long long)f->bytes_written);
		free(path);
	}
	fputs("</table>\n", to);
	if (folded > 0)
		fprintf(to, "<p>and %zu of libraries, locales, devices and the like</p>\n", folded);
}

static void hosts(const struct report *r, FILE *to)
{
	fputs("<h2>Network</h2>\n<table><tr><th>what<th>protocol<th>address<th>times<th>failed"
	      "<th>bytes sent<th>bytes received</tr>\n",
	      to);
	for (size_t i = 0; i < r->n_hosts; i++) {
		const struct report_host *h = &r->hosts[i];

		fputs("<tr><td>", to);
		escape(to, h->kind);
		fputs("<td>", to);
		escape(to, h->protocol);
		fputs("<td>", to);
		escape(to, h->address);
		fprintf(to,
			"<td class=\"n\">%lld<td class=\"n\">%lld<td class=\"n\">%lld<td class=\"n\">%lld</tr>\n",
			(long long)h->times, (long long)h->failed, (long long)h->sent,
			(long long)h->received);
	}
	fputs("</table>\n", to);
}

void report_html(const struct report *r, bool all, FILE *to)
{
	json_int_t missed = json_integer_value(json_object_get(r->subscriber, "missedEvents"));

	fputs(head, to);
	fputs("<h1><code>", to);
	escape(to, json_string_value(json_object_get(r->session, "commandSummary")));
	fputs("</code></h1>\n<p>", to);
	escape(to, json_string_value(json_object_get(r->session, "processId")));
	fprintf(to, ", %zu events", r->n_events);
	if (missed > 0)
		fprintf(to, ", <b>%lld missed</b>: this is not all", (long long)missed);
	fputs("</p>\n", to);
	timeline(r, to);
	files(r, all, to);
	hosts(r, to);
	fputs("</body></html>\n", to);
}
