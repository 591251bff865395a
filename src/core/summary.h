/* SPDX-License-Identifier: Apache-2.0 */
/* summary.h - a command line to show: on one line, without its secrets.
 *
 * What looks secret, and what does not, is a set of tables in summary.c. */
#pragma once
#include <stddef.h>

/* Copies `n` arguments with their secrets replaced by `<redacted>`: `KEY=<redacted>` where the
 * secret has a name. `*ret` is NULL-terminated, for text_list_free. */
int redact_argv(char *const *argv, size_t n, char ***ret);

/* The redacted arguments joined by spaces. One that is empty, or holds white space, control
 * characters or bytes that are not UTF-8, is quoted with C-style escapes. UTF-8 of at most `max`
 * bytes (0: no limit), cut at a character boundary with an ellipsis. `*ret` is the caller's. */
int summary_make(char *const *argv, size_t n, size_t max, char **ret);
