/* SPDX-License-Identifier: Apache-2.0 */
/* until.h - conditions as people write them ("port=3000") and as the API takes them. */
#pragma once
#include "base/error.h"
#include "cli/options.h"
#include <jansson.h>

#define UNTIL_CHOICES "exit tree eof log= port= http= idle= input"

/* A new list; empty for no words. ERROR_INVALID_ARGUMENT names the option and the word that is no
 * condition. */
int until_make(const struct words *words, const char *option, json_t **ret, struct error *e);

/* Whether the answer of a wait says that one of these came true: not the time-out, and not the exit
 * unless that is what they say. */
bool until_fired(const json_t *until, const json_t *answer);
