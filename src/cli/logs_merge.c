/* SPDX-License-Identifier: Apache-2.0 */
/* logs_merge.c - the output of several sessions, or with times, in one. */
#include "cli/line_source.h"
#include "cli/render.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#define SOURCES_MAX 256U
#define NAME_WIDTH  24U /* longer names are not padded to */

struct merge {
	struct cli *cli;
	const struct logs_values *v;
	struct line_source *sources;
	size_t n;
	unsigned width;
	bool named, coloured;
	bool unread; /* nobody reads our stdout any more */
	/* The line on the terminal that has no end yet. */
	const struct line_source *open;
	enum frame_stream open_stream;
	uint64_t open_next;
};

/* --- printing -------------------------------------------------------------------------------- */

static void print_name(const struct merge *m, const struct line_source *s)
{
	static const unsigned colours[] = { 36, 33, 32, 35, 34, 96, 93, 92, 95, 94 };
	unsigned colour = colours[(size_t)(s - m->sources) % ARRAY_SIZE(colours)];
	int pad = (int)m->width - (int)strlen(s->name);

	if (m->coloured)
		printf("\033[%um", colour);
	printf("%s%*s |", s->name, MAX(pad, 0), "");
	fputs(m->coloured ? "\033[0m " : " ", stdout);
}

static void end_line(struct merge *m)
{
	if (m->open)
		putchar('\n');
	m->open = NULL;
}

static void print_line(struct merge *m, const struct line_source *s)
{
	const struct source_line *line = &s->line;

	if (m->open != s || m->open_stream != line->stream || m->open_next != line->offset) {
		end_line(m);
		if (m->named)
			print_name(m, s);
		if (m->v->times)
			printf("%s ", line->time);
	}
	fwrite(line->bytes, 1, line->size, stdout);
	m->open = s;
	m->open_stream = line->stream;
	m->open_next = line->offset + line->size;
	if (!line->partial)
		end_line(m);
}

/* --- merging --------------------------------------------------------------------------------- */

/* The one whose line is the oldest; NULL when none has a line. */
static struct line_source *oldest(const struct merge *m)
{
	struct line_source *first = NULL;

	for (size_t i = 0; i < m->n; i++) {
		struct line_source *s = &m->sources[i];

		if (s->pending && (!first || strcmp(s->line.time, first->line.time) < 0))
			first = s;
	}
	return first;
}

/* Fills each source, waiting for it or not. Returns 1 when one has no line yet, and no end. */
static int fill(struct merge *m, bool wait, struct error *e)
{
	int missing = 0;

	for (size_t i = 0; i < m->n; i++) {
		int r = line_source_fill(&m->sources[i], wait, e);

		if (r < 0)
			return r;
		missing |= r;
	}
	return missing;
}

/* Waits until something can be read of one of them, or nobody reads us. */
static int wait_for_news(struct merge *m, struct error *e)
{
	struct pollfd p[SOURCES_MAX + 1] = { { .fd = STDOUT_FILENO } };
	nfds_t n = 1;

	if (m->open && m->open->over)
		end_line(m);
	if (fflush(stdout) != 0)
		return error_set_errno(e, ERROR_INTERNAL, errno, "write to stdout");
	for (size_t i = 0; i < m->n; i++)
		if (!m->sources[i].over)
			p[n++] = (struct pollfd){ http_client_fd(m->sources[i].http), POLLIN, 0 };
	if (poll(p, n, -1) < 0 && errno != EINTR)
		return error_set_errno(e, ERROR_INTERNAL, errno, "poll");
	m->unread = p[0].revents & (POLLERR | POLLHUP);
	return 0;
}

/* Prints the oldest line. Of what has ended, each source is waited for, so that the order is right;
 * what is followed comes as it comes. */
static int merge_step(struct merge *m, struct error *e)
{
	int missing = fill(m, !m->v->follow, e);
	struct line_source *s = missing < 0 ? NULL : oldest(m);

	if (missing < 0)
		return missing;
	if (!s)
		return missing > 0 ? wait_for_news(m, e) : 0;
	print_line(m, s);
	return line_source_take(s, e);
}

static bool all_over(const struct merge *m)
{
	for (size_t i = 0; i < m->n; i++)
		if (!m->sources[i].over)
			return false;
	return true;
}

static int open_all(struct merge *m, const struct targets *t)
{
	struct error e = { 0 };
	int status = 0;

	for (size_t i = 0; i < t->n; i++) {
		struct line_source *s = &m->sources[i];

		if (line_source_open(s, m->cli, t->ids[i], m->v, &e) < 0) {
			int failed = cli_fail(m->cli, &e);

			line_source_done(s);
			status = status ? status : failed;
			continue;
		}
		if (strlen(s->name) <= NAME_WIDTH)
			m->width = MAX(m->width, (unsigned)strlen(s->name));
	}
	return status;
}

int logs_merge(struct cli *cli, const struct targets *t, const struct logs_values *v)
{
	struct merge m = { .cli = cli, .v = v, .n = t->n, .named = t->n > 1 };
	struct error e = { 0 };
	int status, r = 0;

	if (t->n > SOURCES_MAX)
		return cli_usage(cli, "at most %u sessions at once", SOURCES_MAX);
	m.sources = calloc(t->n + 1, sizeof(*m.sources));
	if (!m.sources)
		return cli_fail(cli, &(struct error){ ERROR_INTERNAL, "out of memory" });
	m.coloured = render_colours(stdout);
	status = open_all(&m, t);
	while (r == 0 && !all_over(&m) && !m.unread)
		r = merge_step(&m, &e);
	end_line(&m);
	if (m.unread)
		status = EXIT_SIGNAL + SIGPIPE;
	if (r < 0)
		status = cli_fail(cli, &e);
	for (size_t i = 0; i < m.n; i++)
		line_source_done(&m.sources[i]);
	free(m.sources);
	return status;
}
