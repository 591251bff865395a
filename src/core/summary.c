/* SPDX-License-Identifier: Apache-2.0 */
/* summary.c - what of a command line may be shown.
 *
 * Where a rule can err, it errs towards hiding: a word too much hidden costs a look at the raw
 * command, one too few is in logs and history for good. */
#define _GNU_SOURCE
#include "core/summary.h"
#include "base/text.h"
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define REDACTED     "<redacted>"
#define PASSWORD_MAX 128U /* bytes of a malformed one: the search stays linear */
#define ELLIPSIS     "\xe2\x80\xa6"

static const char white[] = " \t\n\v\f\r";

/* --- the rules, all without regard to case --------------------------------------------------- */

/* An argument that holds one of these is secret, unless the word goes on as in `ordinary`. */
static const struct marker {
	const char *word;
	const char *ordinary[6]; /* continuations that make an ordinary word of it */
} markers[] = {
	{ "token", { "iz", "ise", "isi", "isa" } },         /* tokenizer, tokenise */
	{ "secret", { "ary", "ari", "ion", "ive", "ly" } }, /* secretary, secretion */
	{ "password", { "less" } },
	{ "passwd", { NULL } },
	{ "passphrase", { NULL } },
	{ "apikey", { NULL } },
	{ "api_key", { NULL } },
	{ "authorization", { NULL } },
	{ "bearer", { NULL } },
};

/* NAME=value is secret when the name ends in one of these, too. */
static const char *const name_ends[] = { "_key", "_pat", "_pwd", "_pass" };

/* And when it ends in one of these, which are the names of options, `--NAME value`. */
static const char *const option_ends[] = { "api-key", "access-key", "secret-key", "auth-key" };

/* A header is secret as a whole. Only where a word starts: `fortune-cookie:3` is something else. */
static const char *const headers[] = { "cookie:", "set-cookie:", "x-api-key:", "api-key:" };

/* What comes between `Authorization:` and its secret. */
static const char *const schemes[] = { "basic", "bearer", "digest", "negotiate", "token" };

/* Options of one program that take a secret when their value holds `needs`. */
static const struct credential_option {
	const char *program;
	char letter;
	const char *name;
	char needs;
} credential_options[] = {
	{ "curl", 'u', "--user", ':' }, /* user:password; without a colon curl asks for it */
	{ "curl", 'U', "--proxy-user", ':' },
	{ "curl", 'b', "--cookie", '=' }, /* without `=` a file */
	{ NULL, 0, NULL, 0 },
};

/* The letters of curl's options that take a value, curl(1). */
static const char curl_with_value[] = "AbcCdDeEFhHKmoPQrtTuUwxXyYz";

/* What the name of a variable or an option is made of. */
static const char name_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "0123456789_.-+[]";

/* --- words ----------------------------------------------------------------------------------- */

static bool ends_with(const char *text, size_t n, const char *end)
{
	size_t size = strlen(end);

	return n >= size && !strncasecmp(text + n - size, end, size);
}

static bool ends_with_one_of(const char *text, size_t n, const char *const *ends, size_t n_ends)
{
	for (size_t i = 0; i < n_ends; i++)
		if (ends_with(text, n, ends[i]))
			return true;
	return false;
}

/* The first marker in the `n` bytes, NULL for none. */
static const char *find_marker(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t m = 0; m < ARRAY_SIZE(markers); m++) {
			size_t size = strlen(markers[m].word);
			const char *const *o = markers[m].ordinary;

			if ((text[i] | 0x20) != markers[m].word[0] || n - i < size ||
			    strncasecmp(text + i, markers[m].word, size) != 0)
				continue;
			while (*o && strncasecmp(text + i + size, *o, strlen(*o)) != 0)
				o++;
			if (!*o)
				return text + i;
		}
	return NULL;
}

static bool is_scheme(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (!strcasecmp(word, schemes[i]))
			return true;
	return false;
}

/* `X-Api-Key: abc`, `-HCookie:a`, `"Set-Cookie: ...`: a secret header at the start of a word. */
static bool holds_header(const char *text)
{
	for (size_t i = 0; text[i]; i++) {
		bool start = i == 0 ||
			     !(isalnum((unsigned char)text[i - 1]) || text[i - 1] == '-' ||
			       text[i - 1] == '_') ||
			     (i == 2 && !strncmp(text, "-H", 2));

		for (size_t h = 0; start && h < ARRAY_SIZE(headers); h++)
			if (!strncasecmp(text + i, headers[h], strlen(headers[h])))
				return true;
	}
	return false;
}

/* `FOO_KEY=abc` anywhere in the word. */
static bool holds_secret_name(const char *text)
{
	for (const char *eq = strchr(text, '='); eq; eq = strchr(eq + 1, '='))
		if (ends_with_one_of(text, (size_t)(eq - text), name_ends, ARRAY_SIZE(name_ends)) ||
		    ends_with_one_of(text, (size_t)(eq - text), option_ends,
				     ARRAY_SIZE(option_ends)))
			return true;
	return false;
}

/* `--token`, `-password`, `--api-key`: an option whose value, the next argument, is secret. */
static bool is_secret_option(const char *text)
{
	size_t n = strlen(text), singular = n;

	if (*text != '-' || n < 3 || !strncasecmp(text, "--no-", 5) ||
	    text[strspn(text, name_chars)])
		return false;
	if (tolower((unsigned char)text[n - 1]) == 's')
		singular--;
	for (size_t m = 0; m < ARRAY_SIZE(markers); m++)
		if (ends_with(text, n, markers[m].word) ||
		    ends_with(text, singular, markers[m].word))
			return true;
	return ends_with_one_of(text, n, option_ends, ARRAY_SIZE(option_ends));
}

/* Whether the option shows nothing itself. `-pmysecret` may be `-p mysecret`. */
static bool is_plain_name(const char *option)
{
	size_t n = strlen(option + 1);

	if (option[1] == '-')
		return true;
	for (size_t m = 0; m < ARRAY_SIZE(markers); m++)
		if (strlen(markers[m].word) == n && ends_with(option, n + 1, markers[m].word))
			return true;
	return false;
}

/* Whether a word behind a secret option is the next option, and not its value. */
static bool is_option(const char *text)
{
	if (*text != '-')
		return false;
	if (text[1] != '-')
		return isalpha((unsigned char)text[1]) && !text[2];
	return strspn(text + 2, "abcdefghijklmnopqrstuvwxyz0123456789-") == strcspn(text + 2, "=");
}

/* --- one command line, word by word ---------------------------------------------------------- */

struct reader {
	const char *program;  /* of credential_options, once it was named */
	bool value_is_secret; /* the next word is a secret option's value */
	bool after_header;    /* ... unless it is the scheme of an Authorization */
	const struct credential_option *pending; /* the next word is this one's value */
};

static const char *known_program(const char *word)
{
	const char *slash = strrchr(word, '/');

	for (const struct credential_option *o = credential_options; o->program; o++)
		if (!strcmp(slash ? slash + 1 : word, o->program))
			return o->program;
	return NULL;
}

static const struct credential_option *credential_letter(const char *program, char letter)
{
	for (const struct credential_option *o = credential_options; o->program; o++)
		if (o->program == program && o->letter == letter)
			return o;
	return NULL;
}

/* `--user user:pw`, `--user=user:pw`. Returns whether the word holds the secret; when the next one
 * does, that is noted. */
static bool holds_long_credential(struct reader *reader, const char *word)
{
	for (const struct credential_option *o = credential_options; o->program; o++) {
		size_t n = strlen(o->name);

		if (o->program != reader->program || strncmp(word, o->name, n) != 0)
			continue;
		if (!word[n])
			reader->pending = o;
		if (word[n] == '=')
			return strchr(word + n + 1, o->needs);
	}
	return false;
}

/* The same for `-u user:pw`, `-uuser:pw`, `-sSu user:pw`. */
static bool holds_short_credential(struct reader *reader, const char *word)
{
	for (const char *p = word + 1; *p; p++) {
		const struct credential_option *o = credential_letter(reader->program, *p);

		if (o && p[1])
			return strchr(p + 1, o->needs);
		reader->pending = o;
		if (strchr(curl_with_value, *p))
			break;
	}
	return false;
}

static bool holds_credential(struct reader *reader, const char *word)
{
	if (!reader->program || word[0] != '-')
		return false;
	return word[1] == '-' ? holds_long_credential(reader, word)
			      : holds_short_credential(reader, word);
}

/* Whether the word behind a secret option, or behind `Authorization:`, is its value. */
static bool is_awaited(struct reader *reader, const char *word)
{
	if (!reader->value_is_secret)
		return false;
	reader->value_is_secret = reader->after_header && is_scheme(word);
	return !(is_option(word) && !reader->after_header);
}

/* `Authorization:`, `Cookie:` or `Bearer` as a word of its own: the secret comes next. */
static bool is_bare_header(const char *word)
{
	size_t n = strlen(word);

	return ends_with(word, n, "authorization:") || ends_with(word, n, "bearer") ||
	       (ends_with(word, n, ":") && holds_header(word));
}

/* Reads the next word, from which the passwords of URLs were taken out. Whether it is secret. */
static bool word_is_secret(struct reader *reader, const char *word)
{
	const struct credential_option *pending = reader->pending;

	reader->pending = NULL;
	if (is_awaited(reader, word) || (pending && strchr(word, pending->needs)))
		return true;
	if (is_secret_option(word)) {
		reader->value_is_secret = true;
		reader->after_header = false;
		return !is_plain_name(word);
	}
	if (is_bare_header(word))
		reader->value_is_secret = reader->after_header = true;
	if (find_marker(word, strlen(word)) || holds_header(word) || holds_secret_name(word))
		return true;
	if (!pending && holds_credential(reader, word))
		return true;
	if (!reader->program)
		reader->program = known_program(word);
	return false;
}

/* A text with white space may be a shell's command line: whether any of its words is secret. (The
 * text as a whole was found not to be.) */
static bool line_is_secret(const char *line)
{
	static const char between[] = " \t\n\v\f\r'\"`;|&()";
	_cleanup_(freep) char *copy = strdup(line);
	struct reader reader = { 0 };
	char *rest = copy, *word;

	if (!copy)
		return true;
	while ((word = strsep(&rest, between)))
		if (*word && word_is_secret(&reader, word))
			return true;
	return reader.value_is_secret;
}

/* --- URLs ------------------------------------------------------------------------------------ */

/* The end of the password that begins at `password`, or NULL when this is no password. By RFC 3986
 * it ends at the last @ before a slash; but one that is not a port, and goes on to an @ further
 * behind, is a password that should have been encoded. */
static const char *password_end(const char *password)
{
	size_t n = strcspn(password, "/?#\\ \t\n\v\f\r'\"<>");
	const char *end = n > 0 ? memrchr(password, '@', n) : NULL;

	if (end || n == 0 || strspn(password, "0123456789") == n)
		return end;
	for (n = 0; n < PASSWORD_MAX && password[n] && !strchr(" \t\n\v\f\r'\"<>", password[n]);
	     n++)
		if (password[n] == '@')
			end = password + n;
	return end;
}

/* The next `scheme://user:password@` at or behind `text`: where the user and the password begin,
 * and where the password ends. */
static bool find_password(const char *text, const char **ret_user, const char **ret_password,
			  const char **ret_end)
{
	const char *user = text;

	while ((user = strstr(user, "://"))) {
		bool has_scheme = user > text && isalnum((unsigned char)user[-1]);
		size_t n;

		user += 3;
		n = strcspn(user, ":@/?#[ \t\n\v\f\r'\"<>");
		if (!has_scheme || user[n] != ':')
			continue;
		*ret_end = password_end(user + n + 1);
		if (*ret_end) {
			*ret_user = user;
			*ret_password = user + n + 1;
			return true;
		}
	}
	return false;
}

/* Copies `text` twice: for people, with `<redacted>` for the passwords of URLs, and for the other
 * rules, without their users and passwords, which are dealt with. */
static int hide_passwords(const char *text, struct buffer *shown, struct buffer *rest)
{
	const char *user, *password, *end;
	int r = 0;

	while (r == 0 && find_password(text, &user, &password, &end)) {
		r = buffer_append(shown, text, (size_t)(password - text));
		if (r == 0)
			r = buffer_append_text(shown, REDACTED);
		if (r == 0)
			r = buffer_append(rest, text, (size_t)(user - text));
		text = end;
	}
	if (r == 0)
		r = buffer_append_text(shown, text);
	if (r == 0)
		r = buffer_append_text(rest, text);
	return r;
}

/* --- arguments ------------------------------------------------------------------------------- */

/* How much of a secret argument names its secret: the length of KEY in KEY=value, or 0. A URL up
 * to a parameter's name is a key when nothing before the parameters looks secret. */
static size_t key_length(const char *text)
{
	size_t n = strcspn(text, "="), query;

	if (!text[n] || n == 0)
		return 0;
	if (strspn(text, name_chars) == n)
		return n;
	query = strcspn(text, "?");
	if (query < n && memmem(text, query, "://", 3) && !find_marker(text, query) &&
	    strcspn(text, " \t\n\v\f\r'\"") > n && strcspn(text + query, ":@") + query > n)
		return n;
	return 0;
}

static int redact_argument(struct reader *reader, const char *argument, char **ret)
{
	_cleanup_(buffer_done) struct buffer shown, rest;
	bool awaited = reader->value_is_secret, secret;
	size_t key;
	int r;

	buffer_init(&shown, SIZE_MAX);
	buffer_init(&rest, SIZE_MAX);
	r = hide_passwords(argument, &shown, &rest);
	if (r < 0)
		return r;
	secret = word_is_secret(reader, buffer_text(&rest));
	if (!secret && strpbrk(argument, white))
		secret = line_is_secret(buffer_text(&rest));
	if (!secret)
		return buffer_take(&shown, ret);
	key = awaited ? 0 : key_length(buffer_text(&shown));
	shown.size = key;
	r = buffer_append_text(&shown, key > 0 ? "=" REDACTED : REDACTED);
	return r < 0 ? r : buffer_take(&shown, ret);
}

int redact_argv(char *const *argv, size_t n, char ***ret)
{
	_cleanup_(text_list_freep) char **list = NULL;
	struct reader reader = { 0 };

	list = calloc(n + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int r = redact_argument(&reader, argv[i], &list[i]);

		if (r < 0)
			return r;
	}
	*ret = take(list);
	return 0;
}

/* --- the summary ----------------------------------------------------------------------------- */

static bool needs_quotes(const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];

		/* C2 80 .. C2 9F are control characters, too. */
		if (c <= ' ' || c == 0x7f || (c == 0xc2 && (unsigned char)text[i + 1] < 0xa0))
			return true;
	}
	return n == 0 || !text_is_utf8(text, n);
}

static int append_argument(struct buffer *b, const char *text)
{
	int r = b->size > 0 ? buffer_append(b, " ", 1) : 0;

	if (r == 0 && !needs_quotes(text))
		return buffer_append_text(b, text);
	if (r == 0)
		r = buffer_append(b, "\"", 1);
	if (r == 0)
		r = text_escape(b, text, strlen(text));
	if (r == 0)
		r = buffer_append(b, "\"", 1);
	return r;
}

/* Cuts the text to `max` bytes, the ellipsis among them. */
static int shorten(struct buffer *b, size_t max)
{
	size_t mark = max >= strlen(ELLIPSIS) ? strlen(ELLIPSIS) : 0;

	b->size = max - mark;
	b->size -= text_utf8_incomplete(b->data, b->size);
	buffer_terminate(b);
	return mark > 0 ? buffer_append_text(b, ELLIPSIS) : 0;
}

int summary_make(char *const *argv, size_t n, size_t max, char **ret)
{
	_cleanup_(buffer_done) struct buffer b;
	struct reader reader = { 0 };
	int r = 0;

	buffer_init(&b, SIZE_MAX);
	/* What lies behind the cut need not be read. */
	for (size_t i = 0; r == 0 && i < n && (max == 0 || b.size <= max); i++) {
		_cleanup_(freep) char *shown = NULL;

		r = redact_argument(&reader, argv[i], &shown);
		if (r == 0)
			r = append_argument(&b, shown);
	}
	if (r == 0 && max > 0 && b.size > max)
		r = shorten(&b, max);
	return r < 0 ? r : buffer_take(&b, ret);
}
