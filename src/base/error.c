/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/error.h"
#include "base/text.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	int http_status;
	int errnum;
	bool retryable;
} codes[N_ERROR_CODES] = {
	[ERROR_NONE] = { "none", 200, 0, false },
	[ERROR_INVALID_ARGUMENT] = { "invalid_argument", 400, EINVAL, false },
	[ERROR_UNAUTHORIZED] = { "unauthorized", 401, EACCES, false },
	[ERROR_FORBIDDEN] = { "forbidden", 403, EPERM, false },
	[ERROR_NOT_FOUND] = { "not_found", 404, ENOENT, false },
	[ERROR_ALREADY_ATTACHED] = { "already_attached", 409, EBUSY, false },
	[ERROR_ALREADY_EXISTS] = { "already_exists", 409, EEXIST, false },
	[ERROR_STREAM_UNAVAILABLE] = { "stream_unavailable", 409, ENXIO, false },
	[ERROR_STDIN_CLOSED] = { "stdin_closed", 409, EPIPE, false },
	[ERROR_WRONG_OFFSET] = { "wrong_offset", 409, ESPIPE, false },
	[ERROR_WRONG_STATE] = { "wrong_state", 409, ESTALE, false },
	[ERROR_IDEMPOTENCY_CONFLICT] = { "idempotency_conflict", 409, ENOTUNIQ, false },
	[ERROR_TOO_LARGE] = { "too_large", 413, EFBIG, false },
	[ERROR_RATE_LIMITED] = { "rate_limited", 429, EAGAIN, true },
	[ERROR_INTERNAL] = { "internal", 500, EIO, false },
	[ERROR_UNIMPLEMENTED] = { "unimplemented", 501, ENOSYS, false },
	[ERROR_UNAVAILABLE] = { "unavailable", 503, EHOSTDOWN, true },
	[ERROR_EXHAUSTED] = { "exhausted", 507, ENOSPC, true },
};

/* A message goes to terminals and into JSON: whatever a name in it holds, it becomes UTF-8 text
 * without control characters, of the same length. */
static void make_printable(char *text)
{
	size_t n = strlen(text), good;

	for (size_t i = 0; i < n; i++)
		if (((unsigned char)text[i] < ' ' && text[i] != '\n' && text[i] != '\t') ||
		    text[i] == 0x7f)
			text[i] = '?';
	for (good = text_utf8_prefix(text, n); good < n;
	     good += text_utf8_prefix(text + good, n - good))
		text[good] = '?';
	for (char *c1 = text; (c1 = strchr(c1, '\xc2')); c1 += 2) /* U+0080 to U+009F */
		if ((unsigned char)c1[1] < 0xa0)
			memset(c1, '?', 2);
}

static void format_message(struct error *e, const char *format, va_list ap)
{
	int n = vsnprintf(e->message, sizeof(e->message), format, ap);

	if (n < 0)
		e->message[0] = '\0';
	if (n >= (int)sizeof(e->message)) {
		size_t size = sizeof(e->message) - 1;

		e->message[size - text_utf8_incomplete(e->message, size)] = '\0';
	}
	make_printable(e->message);
}

int error_set(struct error *e, enum error_code code, const char *format, ...)
{
	va_list ap;

	if (e) {
		e->code = code;
		va_start(ap, format);
		format_message(e, format, ap);
		va_end(ap);
	}
	return code > ERROR_NONE && code < N_ERROR_CODES ? -codes[code].errnum : -EIO;
}

static bool is_exhaustion(int errnum)
{
	return errnum == EMFILE || errnum == ENFILE || errnum == ENOSPC || errnum == ENOMEM ||
	       errnum == EDQUOT;
}

int error_set_errno(struct error *e, enum error_code code, int errnum, const char *format, ...)
{
	const char *reason;
	va_list ap;
	size_t n;

	if (errnum < 0)
		errnum = -errnum;
	if (!e)
		return errnum ? -errnum : -EIO;
	va_start(ap, format);
	format_message(e, format, ap);
	va_end(ap);
	e->code = is_exhaustion(errnum) ? ERROR_EXHAUSTED : code;

	/* The reason matters most: a long step gives way to it. */
	reason = strerrordesc_np(errnum);
	if (!reason)
		reason = "unknown error";
	n = MIN(strlen(e->message), sizeof(e->message) - strlen(reason) - sizeof(": "));
	n -= text_utf8_incomplete(e->message, n);
	snprintf(e->message + n, sizeof(e->message) - n, ": %s", reason);
	return errnum ? -errnum : -EIO;
}

const char *error_code_name(enum error_code code)
{
	return (unsigned)code < N_ERROR_CODES ? codes[code].name : NULL;
}

enum error_code error_code_from_name(const char *name)
{
	for (unsigned i = 0; name && i < N_ERROR_CODES; i++)
		if (!strcmp(codes[i].name, name))
			return (enum error_code)i;
	return ERROR_NONE;
}

int error_code_http_status(enum error_code code)
{
	return (unsigned)code < N_ERROR_CODES ? codes[code].http_status : 500;
}

bool error_code_retryable(enum error_code code)
{
	return (unsigned)code < N_ERROR_CODES && codes[code].retryable;
}
