/* SPDX-License-Identifier: Apache-2.0 */
/* scan.h - picks values out of JSON text without building a tree of it.
 *
 * For long lists of the daemon's, of which a few members are shown: reading them so takes a
 * twentieth of the time of a full parse. It trusts the daemon to write JSON; of what is not, it
 * sees less than there is, but never reads past the end. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One value as it stands in the text; `size` 0 when it is absent. */
struct scan_value {
	const char *text;
	size_t size;
};

/* Walks the items of an array or the members of an object; other values have none. */
struct scan {
	const char *at, *end;
};

void scan_init(struct scan *s, struct scan_value container);
bool scan_item(struct scan *s, struct scan_value *ret);
bool scan_member(struct scan *s, struct scan_value *ret_name, struct scan_value *ret_value);

/* The value of a member; absent when there is none. Names with escapes are not found. */
struct scan_value scan_get(struct scan_value object, const char *name);

/* Decodes a string into `to`, NUL-terminated and cut at a character when it is too long; "" for any
 * other value. Returns `to`. */
char *scan_text(struct scan_value value, char *to, size_t size);

/* The value of an integer; 0 for any other value. */
int64_t scan_integer(struct scan_value value);

/* Whether the value is exactly this text, as `null` or `"running"`. */
bool scan_is(struct scan_value value, const char *text);
