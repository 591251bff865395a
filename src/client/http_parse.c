/* SPDX-License-Identifier: Apache-2.0 */
#include "client/http_parse.h"
#include <errno.h>
#include <string.h>
#include <strings.h>

int http_head_size(const char *data, size_t size)
{
	const char *end = memmem(data, size, "\r\n\r\n", 4);

	if (end && (size_t)(end - data) + 4 <= HTTP_HEAD_MAX)
		return (int)(end - data) + 4;
	return end || size >= HTTP_HEAD_MAX ? -E2BIG : 0;
}

static bool is_token(const char *s)
{
	static const char marks[] = "!#$%&'*+-.^_`|~";

	if (*s == '\0')
		return false;
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';

		if (!letter && !(c >= '0' && c <= '9') && !strchr(marks, c))
			return false;
	}
	return true;
}

static bool is_value(const char *s)
{
	for (; *s; s++)
		if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f)
			return false;
	return true;
}

/* Ends the line at `*at` with a NUL and moves `*at` behind its CRLF; NULL when there is none, or
 * when the line holds a NUL. */
static char *cut_line(char **at, const char *end)
{
	char *line = *at;
	char *stop = memmem(line, (size_t)(end - line), "\r\n", 2);

	if (!stop || memchr(line, '\0', (size_t)(stop - line)))
		return NULL;
	*stop = '\0';
	*at = stop + 2;
	return line;
}

static int parse_header(char *line, struct http_head *head)
{
	struct http_header *header = &head->headers[head->n_headers];
	char *colon = strchr(line, ':');
	char *end;

	if (!colon || head->n_headers == HTTP_HEADERS_MAX)
		return -EPROTO;
	*colon++ = '\0';
	colon += strspn(colon, " \t");
	for (end = colon + strlen(colon); end > colon && (end[-1] == ' ' || end[-1] == '\t'); end--)
		end[-1] = '\0';
	if (!is_token(line) || !is_value(colon))
		return -EPROTO;
	*header = (struct http_header){ line, colon };
	head->n_headers++;
	return 0;
}

static int parse_status(const char *line, int *ret)
{
	static const char version[] = "HTTP/1.1 ";
	int status = 0;

	if (strncmp(line, version, strlen(version)) != 0 || !is_value(line))
		return -EPROTO;
	line += strlen(version);
	for (int i = 0; i < 3; i++, line++) {
		if (*line < '0' || *line > '9')
			return -EPROTO;
		status = status * 10 + (*line - '0');
	}
	if ((*line != ' ' && *line != '\0') || status < 100)
		return -EPROTO;
	*ret = status;
	return 0;
}

static int parse_number(const char *s, unsigned base, uint64_t *ret)
{
	uint64_t n = 0;

	if (*s == '\0')
		return -EPROTO;
	for (; *s; s++) {
		static const char digits[] = "0123456789abcdef";
		const char *digit = memchr(digits, *s >= 'A' && *s <= 'F' ? *s | 0x20 : *s, base);

		if (!digit || n > (UINT64_MAX >> 8) / base)
			return -EPROTO;
		n = n * base + (uint64_t)(digit - digits);
	}
	*ret = n;
	return 0;
}

/* Whether a comma-separated list holds `word`. */
static bool list_has(const char *list, const char *word)
{
	size_t n = strlen(word);

	while (*list) {
		list += strspn(list, ", \t");
		if (strncasecmp(list, word, n) == 0 && strchr(", \t", list[n]))
			return true;
		list += strcspn(list, ",");
	}
	return false;
}

static int parse_framing_header(struct http_head *head, const struct http_header *h,
				bool *has_length)
{
	if (strcasecmp(h->name, "Content-Length") == 0) {
		if (*has_length || parse_number(h->value, 10, &head->length) < 0)
			return -EPROTO;
		*has_length = true;
	} else if (strcasecmp(h->name, "Transfer-Encoding") == 0) {
		if (head->chunked || strcasecmp(h->value, "chunked") != 0)
			return -EPROTO;
		head->chunked = true;
	} else if (strcasecmp(h->name, "Connection") == 0) {
		head->close = head->close || list_has(h->value, "close");
	}
	return 0;
}

/* What the headers say about the body and the connection. */
static int parse_framing(struct http_head *head)
{
	bool no_body = head->status < 200 || head->status == 204 || head->status == 304;
	bool has_length = false;

	for (unsigned i = 0; i < head->n_headers; i++)
		if (parse_framing_header(head, &head->headers[i], &has_length) < 0)
			return -EPROTO;
	if (has_length && head->chunked)
		return -EPROTO;
	if (no_body)
		return head->chunked || head->length > 0 ? -EPROTO : 0;
	return has_length || head->chunked ? 0 : -EPROTO;
}

int http_head_parse(char *text, size_t size, struct http_head *ret)
{
	struct http_head head = { 0 };
	char *at = text;
	char *line = cut_line(&at, text + size);
	int r;

	if (!line)
		return -EPROTO;
	r = parse_status(line, &head.status);
	while (r == 0) {
		line = cut_line(&at, text + size);
		if (!line)
			return -EPROTO;
		if (*line == '\0')
			break;
		r = parse_header(line, &head);
	}
	if (r == 0)
		r = at == text + size ? parse_framing(&head) : -EPROTO;
	if (r == 0)
		*ret = head;
	return r;
}

const char *http_head_find(const struct http_head *head, const char *name)
{
	for (unsigned i = 0; i < head->n_headers; i++)
		if (strcasecmp(head->headers[i].name, name) == 0)
			return head->headers[i].value;
	return NULL;
}

void http_body_init(struct http_body *b, const struct http_head *head)
{
	b->chunked = head->chunked;
	b->left = head->length;
	b->n_text = 0;
	b->trailers.n_headers = 0;
	b->phase = HTTP_BODY_DATA;
	if (head->chunked)
		b->phase = HTTP_BODY_LINE;
	else if (head->length == 0)
		b->phase = HTTP_BODY_DONE;
}

/* Collects one line in `text` from `start` on. Returns 1 when it is whole, without its CRLF and
 * ended with a NUL. */
static int collect_line(struct http_body *b, size_t start, const char **data, size_t *size)
{
	while (*size > 0) {
		if (b->n_text == sizeof(b->text) - 1)
			return -EPROTO;
		b->text[b->n_text++] = **data;
		++*data;
		--*size;
		if (b->text[b->n_text - 1] != '\n')
			continue;
		if (b->n_text - start < 2 || b->text[b->n_text - 2] != '\r' ||
		    memchr(b->text + start, '\0', b->n_text - start))
			return -EPROTO;
		b->text[b->n_text - 2] = '\0';
		return 1;
	}
	return 0;
}

/* A chunk's size; extensions are refused, nobody uses them. */
static int on_size_line(struct http_body *b)
{
	if (parse_number(b->text, 16, &b->left) < 0)
		return -EPROTO;
	b->n_text = 0;
	b->phase = b->left > 0 ? HTTP_BODY_DATA : HTTP_BODY_TRAILERS;
	return 0;
}

static int on_data_end(struct http_body *b)
{
	if (b->text[0] != '\0')
		return -EPROTO;
	b->n_text = 0;
	b->phase = HTTP_BODY_LINE;
	return 0;
}

static int on_trailer(struct http_body *b, size_t start)
{
	if (b->text[start] == '\0') {
		b->phase = HTTP_BODY_DONE;
		return 0;
	}
	return parse_header(b->text + start, &b->trailers);
}

static int between_chunks(struct http_body *b, const char **data, size_t *size)
{
	size_t start = b->n_text;
	int r;

	/* the start of a line that is being continued */
	if (b->phase == HTTP_BODY_TRAILERS)
		while (start > 0 && b->text[start - 1] != '\n')
			start--;
	else
		start = 0;
	r = collect_line(b, start, data, size);
	if (r <= 0)
		return r;
	switch (b->phase) {
	case HTTP_BODY_LINE:
		return on_size_line(b);
	case HTTP_BODY_DATA_END:
		return on_data_end(b);
	default:
		return on_trailer(b, start);
	}
}

int http_body_next(struct http_body *b, const char **data, size_t *size, const char **ret,
		   size_t *ret_size)
{
	while (*size > 0 && b->phase != HTTP_BODY_DONE) {
		int r;

		if (b->phase == HTTP_BODY_DATA) {
			*ret = *data;
			*ret_size = b->left < *size ? b->left : *size;
			*data += *ret_size;
			*size -= *ret_size;
			b->left -= *ret_size;
			if (b->left == 0)
				b->phase = b->chunked ? HTTP_BODY_DATA_END : HTTP_BODY_DONE;
			return 1;
		}
		r = between_chunks(b, data, size);
		if (r < 0)
			return r;
	}
	return 0;
}
