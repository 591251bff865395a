/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/terminal_keys.h"
#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char paste_begins[] = "\033[200~", paste_ends[] = "\033[201~";

#define MARKER (sizeof(paste_begins) - 1)

/* What the terminal sends for Ctrl and this key; -1 for none. */
static int control_of(char c)
{
	int upper = toupper((unsigned char)c);

	if (upper == '?')
		return 0x7f;
	return upper >= '@' && upper <= '_' ? upper - '@' : -1;
}

/* One key at `text`: how many characters it takes; 0 for what is none. */
static size_t read_key(const char *text, uint8_t *ret)
{
	int control = -1;
	size_t n = 1;

	if (strncasecmp(text, "ctrl-", 5) == 0 && text[5] != '\0') {
		control = control_of(text[5]);
		n = 6;
	} else if (text[0] == '^' && text[1] != '\0' && text[1] != ',' && text[1] != ' ') {
		control = control_of(text[1]);
		n = 2;
	} else if (text[0] > ' ' && text[0] < 0x7f) {
		control = (unsigned char)text[0];
	}
	if (control < 0)
		return 0;
	*ret = (uint8_t)control;
	return n;
}

int terminal_keys_parse(struct terminal_keys *ret, const char *text, struct error *e)
{
	struct terminal_keys k = { .n = 0 };
	const char *at = text;

	while (*at != '\0' && strcmp(text, "none") != 0) {
		size_t n = k.n < TERMINAL_KEYS_MAX ? read_key(at, &k.keys[k.n]) : 0;

		/* A word of docker's, as in "ctrl-p,q", is one key; only ^A may be followed by
		 * another without a separator. */
		if (n == 0 || (at[0] != '^' && at[n] != '\0' && at[n] != ',' && at[n] != ' '))
			return error_set(e, ERROR_INVALID_ARGUMENT,
					 "--detach-keys: \"%s\" is not like ctrl-], ctrl-p,ctrl-q, "
					 "^Ad or none, of at most %u keys",
					 text, TERMINAL_KEYS_MAX);
		k.n++;
		at += n;
		if ((*at == ',' || *at == ' ') && at[1] != '\0')
			at++;
	}
	if (k.n == 0 && strcmp(text, "none") != 0)
		return error_set(e, ERROR_INVALID_ARGUMENT,
				 "--detach-keys: no key is given; none means none");
	*ret = k;
	return 0;
}

static void watch_paste(struct terminal_keys *k, uint8_t c)
{
	const char *mark = k->pasting ? paste_ends : paste_begins;

	if (c != (uint8_t)mark[k->marker])
		k->marker = 0;
	if (c == (uint8_t)mark[k->marker] && ++k->marker == MARKER) {
		k->marker = 0;
		k->pasting = !k->pasting;
	}
}

/* The keys that were held are no beginning after all; one behind the first may be. */
static size_t let_go(struct terminal_keys *k, uint8_t *to)
{
	uint8_t first = k->keys[0];
	unsigned held = k->held;

	k->held = 0;
	for (unsigned skip = 1; skip < held && k->held == 0; skip++)
		if (memcmp(k->keys, k->keys + skip, held - skip) == 0)
			k->held = held - skip;
	to[0] = first;
	for (unsigned i = 1; i < held - k->held; i++)
		to[i] = k->keys[i];
	return held - k->held;
}

size_t terminal_keys_filter(struct terminal_keys *k, const uint8_t *typed, size_t n, uint8_t *to,
			    bool *ret_detach)
{
	size_t out = 0;

	*ret_detach = false;
	for (size_t i = 0; i < n; i++) {
		bool key = k->n > 0 && !k->pasting;

		watch_paste(k, typed[i]);
		while (k->held > 0 && typed[i] != k->keys[k->held])
			out += let_go(k, to + out);
		if (!key || typed[i] != k->keys[k->held]) {
			to[out++] = typed[i];
		} else if (++k->held == k->n) {
			k->held = 0;
			*ret_detach = true;
			return out;
		}
	}
	return out;
}
