/* SPDX-License-Identifier: Apache-2.0 */
#include "api/ansi.h"
#include <stdbool.h>

static enum ansi_state after_escape(unsigned char c)
{
	if (c == '[')
		return ANSI_CSI;
	if (c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_')
		return ANSI_STRING;
	/* An intermediate byte: the final one is still to come. */
	return c >= 0x20 && c <= 0x2f ? ANSI_ESCAPE : ANSI_TEXT;
}

static bool is_kept(unsigned char c)
{
	return c >= 0x20 ? c != 0x7f : c == '\t' || c == '\n' || c == '\f';
}

size_t ansi_strip(char *text, size_t n, enum ansi_state *state)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];

		switch (*state) {
		case ANSI_TEXT:
			if (c == 0x1b)
				*state = ANSI_ESCAPE;
			else if (is_kept(c))
				text[kept++] = text[i];
			break;
		case ANSI_ESCAPE:
			*state = after_escape(c);
			break;
		case ANSI_CSI:
			if (c >= 0x40 && c <= 0x7e)
				*state = ANSI_TEXT;
			break;
		case ANSI_STRING:
			if (c == 0x07)
				*state = ANSI_TEXT;
			else if (c == 0x1b)
				*state = ANSI_STRING_ESCAPE;
			break;
		case ANSI_STRING_ESCAPE:
			*state = c == '\\' ? ANSI_TEXT : ANSI_STRING;
			break;
		}
	}
	return kept;
}
