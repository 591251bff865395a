/* SPDX-License-Identifier: Apache-2.0 */
/* error.h - an error that a person will read: a domain code and a message naming thing and step. */
#pragma once
#include "base/cleanup.h"
#include <stdbool.h>

/* The codes of the API. Their names and HTTP statuses stand in error.c. */
enum error_code {
	ERROR_NONE,
	ERROR_INVALID_ARGUMENT,
	ERROR_UNAUTHORIZED,
	ERROR_FORBIDDEN,
	ERROR_NOT_FOUND,
	ERROR_ALREADY_ATTACHED,
	ERROR_ALREADY_EXISTS,
	ERROR_STREAM_UNAVAILABLE,
	ERROR_STDIN_CLOSED,
	ERROR_WRONG_OFFSET,
	ERROR_WRONG_STATE,
	ERROR_IDEMPOTENCY_CONFLICT,
	ERROR_TOO_LARGE,
	ERROR_RATE_LIMITED,
	ERROR_INTERNAL,
	ERROR_UNIMPLEMENTED,
	ERROR_UNAVAILABLE,
	ERROR_EXHAUSTED,
	N_ERROR_CODES,
};

#define ERROR_MESSAGE_MAX 512

struct error {
	enum error_code code;
	char message[ERROR_MESSAGE_MAX];
};

/* Fills `e` (NULL is allowed) and returns -EINVAL-like errno that belongs to the code, so that
 * a function can end with `return error_set(e, ERROR_NOT_FOUND, "...")`. The message is cut at a
 * character boundary when it is too long; control characters and bytes that are not UTF-8 become
 * `?`. */
int error_set(struct error *e, enum error_code code, const char *format, ...) _printf_(3, 4);

/* The same with the text of an errno behind it: `step: No such file or directory`. `errnum` is
 * positive or negative; returned is the negative one. EMFILE, ENFILE, ENOSPC, ENOMEM and EDQUOT
 * become ERROR_EXHAUSTED whatever `code` says. */
int error_set_errno(struct error *e, enum error_code code, int errnum, const char *format, ...)
	_printf_(4, 5);

/* "not_found"; NULL for a number out of range. */
const char *error_code_name(enum error_code code);

/* The code of a name; ERROR_NONE when unknown. */
enum error_code error_code_from_name(const char *name);

/* 404 */
int error_code_http_status(enum error_code code);

/* Whether the same request may succeed later without a change (rate limits, unavailable,
 * exhausted). */
bool error_code_retryable(enum error_code code);
