/* SPDX-License-Identifier: Apache-2.0 */
#include "api/observe.h"
#include "base/parse.h"
#include <stdio.h>
#include <string.h>

#define CATEGORIES_MAX 16
#define AT(member)     offsetof(struct observe_body, member)

enum backpressure {
	DROP_OLDEST,
	BLOCK,
};

static const struct json_name kinds[] = { { "pipe", KIND_PIPE }, { "pty", KIND_PTY }, { 0 } };
static const struct json_name backpressures[] = { { "drop-oldest", DROP_OLDEST },
						  { "block", BLOCK },
						  { 0 } };
static const struct json_name details[] = { { "totals", DETAIL_TOTALS },
					    { "each", DETAIL_EACH },
					    { 0 } };

const struct json_field observe_body_fields[] = {
	{ .name = "kind", .type = FIELD_ENUM, .offset = AT(kind), .names = kinds },
	{ .name = "categories",
	  .type = FIELD_LIST,
	  .offset = AT(categories),
	  .max = CATEGORIES_MAX },
	{ .name = "ringCapacityEvents",
	  .type = FIELD_U64,
	  .offset = AT(capacity),
	  .max = REEVE_SUBSCRIBER_CAPACITY_MAX },
	{ .name = "backpressure",
	  .type = FIELD_ENUM,
	  .offset = AT(backpressure),
	  .names = backpressures },
	{ .name = "detail", .type = FIELD_ENUM, .offset = AT(detail), .names = details },
	{ .name = "backends", .type = FIELD_MAP, .offset = AT(backends), .max = REEVE_CATEGORIES },
	{ 0 },
};

static int parse_category(const char *where, const char *name, enum reeve_category *ret,
			  struct error *err)
{
	if (reeve_category_parse(name, ret) >= 0)
		return 0;
	return error_set(err, ERROR_INVALID_ARGUMENT,
			 "%s: \"%s\" is none of lifecycle, file, network, process", where, name);
}

static int read_categories(struct observe_body *b, struct error *err)
{
	enum reeve_category named[CATEGORIES_MAX];

	for (size_t i = 0; i < b->categories.n; i++) {
		int r = parse_category("categories", b->categories.items[i], &named[i], err);

		if (r < 0)
			return r;
	}
	if (b->categories.n == 0)
		b->request.config = reeve_observer_config_lifecycle();
	else
		(void)reeve_observer_config_with_categories(named, b->categories.n,
							    &b->request.config);
	return 0;
}

static int read_backends(struct observe_body *b, struct error *err)
{
	for (size_t i = 0; i < b->backends.n; i++) {
		enum reeve_category category = REEVE_LIFECYCLE;
		const struct json_pair *pair = &b->backends.items[i];
		int r = parse_category("backends", pair->name, &category, err);

		if (r < 0)
			return r;
		if (!reeve_observer_config_has(&b->request.config, category))
			return error_set(err, ERROR_INVALID_ARGUMENT,
					 "backends: %s is not among the categories", pair->name);
		b->request.forced[category] = pair->value;
	}
	return 0;
}

int observe_body_read(struct observe_body *b, const json_t *json, struct error *err)
{
	int r;

	*b = (struct observe_body){ 0 };
	if (!json_is_object(json))
		return error_set(err, ERROR_INVALID_ARGUMENT, "observe: expected an object");
	r = json_read(json, observe_body_fields, b, err);
	if (r >= 0)
		r = read_categories(b, err);
	if (r >= 0)
		r = read_backends(b, err);
	b->request.capacity = b->capacity ? (uint32_t)b->capacity : REEVE_SUBSCRIBER_CAPACITY;
	b->request.block = b->backpressure == BLOCK;
	b->request.detail = (enum backend_detail)b->detail;
	return r;
}

int observe_body_check_kind(const struct observe_body *b, bool is_pty, struct error *err)
{
	if (b->kind == 0 || (b->kind == KIND_PTY) == is_pty)
		return 0;
	return error_set(err, ERROR_INVALID_ARGUMENT, "kind: the session is a %s",
			 is_pty ? "pty" : "pipe");
}

void observe_body_done(struct observe_body *b)
{
	json_read_done(observe_body_fields, b);
}

bool observe_body_forces(const struct observe_body *b)
{
	return b->backends.n > 0;
}

void subscriber_id(uint64_t number, char ret[SUBSCRIBER_ID_MAX])
{
	(void)snprintf(ret, SUBSCRIBER_ID_MAX, "sub-%llu", (unsigned long long)number);
}

uint64_t subscriber_number(const char *id)
{
	uint64_t number = 0;

	if (strncmp(id, "sub-", 4) != 0 || parse_u64(id + 4, 1, UINT64_MAX, &number) < 0)
		return 0;
	return number;
}
