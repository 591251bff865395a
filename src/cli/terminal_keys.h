/* SPDX-License-Identifier: Apache-2.0 */
/* terminal_keys.h - the keys that detach, found in what is typed. Pure. */
#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TERMINAL_KEYS_MAX     8U
#define TERMINAL_KEYS_DEFAULT "ctrl-]"

struct terminal_keys {
	uint8_t keys[TERMINAL_KEYS_MAX];
	unsigned n;      /* 0: nothing detaches */
	unsigned held;   /* of `keys`, typed and not yet passed on */
	unsigned marker; /* bytes of a mark of bracketed paste that were seen */
	bool pasting;    /* between those marks nothing is a key */
};

/* Reads "ctrl-]", "ctrl-p,ctrl-q" (docker), "^Ad", "^A d" (screen) or "none". */
int terminal_keys_parse(struct terminal_keys *ret, const char *text, struct error *e);

/* Copies what was typed to `to` (room for n + TERMINAL_KEYS_MAX bytes), without the keys. What may
 * be their beginning is held back. Returns how many bytes are in `to`; `*ret_detach` is set when
 * the keys were complete, and nothing behind them is copied. */
size_t terminal_keys_filter(struct terminal_keys *k, const uint8_t *typed, size_t n, uint8_t *to,
			    bool *ret_detach);
