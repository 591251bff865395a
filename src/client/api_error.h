/* SPDX-License-Identifier: Apache-2.0 */
/* api_error.h - what the API says when it says no. */
#pragma once
#include "base/error.h"
#include <jansson.h>

/* Reads an answer of `status` >= 400 into `e`: `{"error":{"code","message","details"}}`, or
 * whatever text it is. `*ret_details` (NULL is allowed) gets a new reference or NULL. Returns the
 * negative errno of the code. */
int api_error(int status, const char *text, size_t size, json_t **ret_details, struct error *e);

/* The same of plain text, as in an ERROR frame. */
int api_error_plain(int status, const char *text, size_t size, struct error *e);
