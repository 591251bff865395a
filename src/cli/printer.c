/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/printer.h"
#include <errno.h>
#include <string.h>

int printer_init(struct printer *p, FILE *to, const char *expression, struct error *e)
{
	char reason[128];
	int r;

	*p = (struct printer){ .to = to, .matching = expression != NULL };
	for (unsigned i = 0; i < N_FRAME_STREAMS; i++)
		buffer_init(&p->partial[i], PRINTER_LINE_MAX);
	if (!expression)
		return 0;
	r = regcomp(&p->expression, expression, REG_EXTENDED | REG_NEWLINE);
	if (r == 0)
		return 0;
	p->matching = false;
	regerror(r, &p->expression, reason, sizeof(reason));
	return error_set(e, ERROR_INVALID_ARGUMENT, "--grep: %s: %s", expression, reason);
}

void printer_done(struct printer *p)
{
	if (p->matching)
		regfree(&p->expression);
	for (unsigned i = 0; i < N_FRAME_STREAMS; i++)
		buffer_done(&p->partial[i]);
}

/* One line without its end. */
static void print_line(struct printer *p, const char *line, size_t n)
{
	regmatch_t bounds = { .rm_so = 0, .rm_eo = (regoff_t)n };

	if (regexec(&p->expression, line, 1, &bounds, REG_STARTEND) != 0)
		return;
	fwrite(line, 1, n, p->to);
	fputc('\n', p->to);
}

static void print_partial(struct printer *p, struct buffer *partial)
{
	print_line(p, buffer_text(partial), partial->size);
	buffer_consume(partial, partial->size);
}

int printer_put(struct printer *p, enum frame_stream stream, const void *bytes, size_t n)
{
	struct buffer *partial = &p->partial[stream];
	const char *at = bytes;

	if (!p->matching || stream == FRAME_NO_STREAM) {
		fwrite(bytes, 1, n, p->to);
		return 0;
	}
	while (n > 0) {
		const char *end = memchr(at, '\n', n);
		size_t length = end ? (size_t)(end - at) : n;
		size_t taken = MIN(length, (size_t)PRINTER_LINE_MAX - partial->size);
		int r;

		if (end && partial->size == 0) {
			print_line(p, at, length);
			taken = length + 1;
		} else {
			r = buffer_append(partial, at, taken);
			if (r < 0)
				return r;
			if (end && taken == length) {
				print_partial(p, partial);
				taken++;
			} else if (partial->size == PRINTER_LINE_MAX) {
				print_partial(p, partial);
			}
		}
		at += taken;
		n -= taken;
	}
	return 0;
}

void printer_end(struct printer *p)
{
	for (unsigned i = 0; i < N_FRAME_STREAMS; i++)
		if (p->partial[i].size > 0)
			print_partial(p, &p->partial[i]);
}
