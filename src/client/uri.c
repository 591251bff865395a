/* SPDX-License-Identifier: Apache-2.0 */
#include "client/uri.h"
#include <stdbool.h>
#include <string.h>

static bool is_unreserved(unsigned char c)
{
	bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';

	return letter || (c >= '0' && c <= '9') || (c != '\0' && strchr("-._~", c));
}

int uri_encode(struct buffer *b, const char *text)
{
	int r = 0;

	for (; *text && r == 0; text++) {
		if (is_unreserved((unsigned char)*text))
			r = buffer_append(b, text, 1);
		else
			r = buffer_printf(b, "%%%02X", (unsigned char)*text);
	}
	return r;
}

int uri_session(struct buffer *b, const char *session, const char *rest)
{
	int r = buffer_append_text(b, "/v1/sessions/");

	if (r == 0)
		r = uri_encode(b, session);
	return r < 0 ? r : buffer_append_text(b, rest);
}

int uri_query(struct buffer *b, const char *name, const char *value)
{
	int r;

	if (!value)
		return 0;
	r = buffer_append_text(b, strchr(buffer_text(b), '?') ? "&" : "?");
	if (r == 0)
		r = uri_encode(b, name);
	if (r == 0)
		r = buffer_append_text(b, "=");
	return r < 0 ? r : uri_encode(b, value);
}
