/* SPDX-License-Identifier: Apache-2.0 */
/* text.h - UTF-8, base64, hex, escapes, hashes and lists of strings. */
#pragma once
#include "base/buffer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- UTF-8 (RFC 3629: no surrogates, nothing overlong, nothing above U+10FFFF) ---------------- */

/* The length of the longest prefix that is whole, valid UTF-8 characters. What follows is either
 * a character that is not complete yet (text_utf8_incomplete) or no UTF-8. */
size_t text_utf8_prefix(const void *p, size_t n);

bool text_is_utf8(const void *p, size_t n);

/* How many bytes (0..3) at the very end begin a character that further bytes could complete. To
 * cut at `n` without splitting a character, take `n - text_utf8_incomplete(p, n)` bytes. */
size_t text_utf8_incomplete(const void *p, size_t n);

/* How many bytes (0..3) at the front belong to a character that began before. To keep the last
 * bytes of a text without a split character, leave these out. */
size_t text_utf8_skip(const void *p, size_t n);

/* --- encodings ------------------------------------------------------------------------------- */

/* Base64 with padding (RFC 4648, section 4). `*ret` is the caller's. */
int text_base64(const void *p, size_t n, char **ret);

/* Strict: padding required, no white space, unused bits zero; else -EINVAL. `*ret` has a NUL behind
 * its `*ret_size` bytes and is the caller's. */
int text_base64_decode(const char *text, size_t n, char **ret, size_t *ret_size);

/* Lower-case hex with a NUL: `buf` has room for 2 * n + 1. Returns `buf`. */
char *text_hex(const void *p, size_t n, char *buf);

/* Exactly 2 * `size` digits, of any case, into `size` bytes; else -EINVAL and `ret` is as it was.
 */
int text_hex_decode(const char *text, void *ret, size_t size);

/* The first character of `n` > 0 bytes as people may be shown it, as text in `ret`: itself, or \xNN
 * for each of its bytes when it is a control character (C1 too), or for one byte that is no UTF-8.
 * Returns how many bytes that was. */
#define TEXT_SHOWN_SIZE 9
size_t text_show(const void *p, size_t n, char ret[TEXT_SHOWN_SIZE]);

/* Appends with C-style escapes: \" \\ \n \t \r and \xNN for other control characters (C1 too) and
 * for bytes that are not UTF-8. Other UTF-8 stays. The result is printable UTF-8 on one line. */
int text_escape(struct buffer *b, const void *p, size_t n);

/* --- hash ------------------------------------------------------------------------------------ */

/* FNV-1a of 128 bits, the high half first. Stable for ever, never {0, 0}, not for secrets: who may
 * choose the bytes can make two that collide. */
void text_hash128(const void *p, size_t n, uint64_t ret[2]);

/* --- NULL-terminated lists of strings -------------------------------------------------------- */

/* Copies `n` strings. `*ret` is the caller's. */
int text_list_copy(char *const *list, size_t n, char ***ret);

/* Frees the strings and the list. Returns NULL; NULL is allowed. */
char **text_list_free(char **list);

static inline void text_list_freep(char ***list)
{
	*list = text_list_free(*list);
}
