/* SPDX-License-Identifier: Apache-2.0 */
/* uri.h - request targets, put together with everything in them percent-encoded (RFC 3986). */
#pragma once
#include "base/buffer.h"

/* Appends one path segment or value; all but unreserved characters are encoded. */
int uri_encode(struct buffer *b, const char *text);

/* Appends "/v1/sessions/{session}{rest}". */
int uri_session(struct buffer *b, const char *session, const char *rest);

/* Appends `name=value` to the query, behind `?` or `&` as needed. A NULL value appends nothing. */
int uri_query(struct buffer *b, const char *name, const char *value);
