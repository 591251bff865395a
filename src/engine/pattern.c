/* SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "engine/pattern.h"
#include <pcre2.h>
#include <string.h>

#define STEPS_MAX 200000U /* of backtracking: some milliseconds */

struct pattern {
	pcre2_code *code;
	pcre2_match_data *match;
	pcre2_match_context *limits;
};

int pattern_new(struct pattern **ret, const char *text, const char *what, struct error *err)
{
	struct pattern *p = calloc(1, sizeof(*p));
	int number;
	PCRE2_SIZE at;
	char message[128];

	if (!p)
		return error_set(err, ERROR_EXHAUSTED, "no memory for a pattern");
	if (strlen(text) > PATTERN_MAX) {
		pattern_free(p);
		return error_set(err, ERROR_TOO_LARGE, "%s: a pattern has at most %u bytes", what,
				 PATTERN_MAX);
	}
	p->code =
		pcre2_compile((PCRE2_SPTR)text, strlen(text), PCRE2_MULTILINE, &number, &at, NULL);
	if (!p->code) {
		pcre2_get_error_message(number, (PCRE2_UCHAR *)message, sizeof(message));
		pattern_free(p);
		return error_set(err, ERROR_INVALID_ARGUMENT, "%s: \"%.200s\": %s at character %zu",
				 what, text, message, (size_t)at + 1);
	}
	p->match = pcre2_match_data_create_from_pattern(p->code, NULL);
	p->limits = pcre2_match_context_create(NULL);
	if (!p->match || !p->limits) {
		pattern_free(p);
		return error_set(err, ERROR_EXHAUSTED, "no memory for a pattern");
	}
	pcre2_set_match_limit(p->limits, STEPS_MAX);
	*ret = p;
	return 0;
}

bool pattern_match(const struct pattern *p, const char *data, size_t n, size_t ret_span[2])
{
	const PCRE2_SIZE *span;

	if (pcre2_match(p->code, (PCRE2_SPTR)data, n, 0, 0, p->match, p->limits) < 0)
		return false;
	span = pcre2_get_ovector_pointer(p->match);
	if (ret_span) {
		ret_span[0] = span[0];
		ret_span[1] = span[1];
	}
	return true;
}

struct pattern *pattern_free(struct pattern *p)
{
	if (p) {
		pcre2_match_context_free(p->limits);
		pcre2_match_data_free(p->match);
		pcre2_code_free(p->code);
		free(p);
	}
	return NULL;
}
