/* SPDX-License-Identifier: Apache-2.0 */
/* http_parse.h - what an HTTP/1.1 server answers, read strictly (RFC 9112). Pure.
 *
 * Refused: anything but CRLF line ends, folded lines, a Content-Length that is repeated or stands
 * beside Transfer-Encoding, codings other than `chunked`, and bodies that only the end of the
 * connection would end, because such an end cannot be told from a broken connection. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX    (16U * 1024U)
#define HTTP_HEADERS_MAX 32U

struct http_header {
	const char *name;
	const char *value;
};

struct http_head {
	int status;
	bool chunked;
	bool close;      /* the server closes the connection behind the body */
	uint64_t length; /* of the body; 0 when chunked */
	unsigned n_headers;
	struct http_header headers[HTTP_HEADERS_MAX];
};

/* The bytes up to and with the blank line that ends a head; 0 when it is not there yet. -E2BIG when
 * there is none within HTTP_HEAD_MAX. */
int http_head_size(const char *data, size_t size);

/* Parses a whole head in place: `text` is cut into strings, which `*ret` points to. -EPROTO when it
 * is malformed. */
int http_head_parse(char *text, size_t size, struct http_head *ret);

/* The value of a header, whatever its case; NULL when absent. */
const char *http_head_find(const struct http_head *head, const char *name);

enum http_body_phase {
	HTTP_BODY_DATA, /* `left` more bytes, of the body or of a chunk */
	HTTP_BODY_LINE, /* a chunk's size is next */
	HTTP_BODY_DATA_END,
	HTTP_BODY_TRAILERS,
	HTTP_BODY_DONE,
};

struct http_body {
	enum http_body_phase phase;
	bool chunked;
	uint64_t left;
	size_t n_text;
	char text[1024]; /* the line being read; then the trailers, one after the other */
	struct http_head trailers;
};

/* Starts on the body of `head`. */
void http_body_init(struct http_body *b, const struct http_head *head);

/* Views the next bytes of the body within `*data`, and moves `*data` and `*size` behind them.
 * Returns 1 with bytes in `*ret`, 0 when all of `*data` was taken or the body is at its end
 * (`phase` is HTTP_BODY_DONE; trailers can be found in `trailers`), -EPROTO when it is malformed.
 */
int http_body_next(struct http_body *b, const char **data, size_t *size, const char **ret,
		   size_t *ret_size);
