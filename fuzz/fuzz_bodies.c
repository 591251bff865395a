/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_bodies.c - request bodies: JSON loaded and read as the routes do. */
#include "api/routes.h"
#include "api/spawn_body.h"
#include "engine/wait.h"
#include "input.h"

/* Room for whatever structure a table of fields fills, in memory of its own. */
#define STRUCTURE_MAX 1024

static void read_fields(const struct json_field *fields, const json_t *json)
{
	struct error e = { 0 };
	void *structure = calloc(1, STRUCTURE_MAX);

	must(structure);
	if (json_read(json, fields, structure, &e) < 0)
		must(e.message[0]);
	json_read_done(fields, structure);
	free(structure);
}

static void check_request(const struct spawn_body *b)
{
	const struct spawn_request *rq = &b->request;
	size_t n = 0;

	must(rq->spec.argv && rq->spec.argv[0]);
	must(rq->spec.cwd && rq->spec.cwd[0] == '/');
	for (char *const *p = rq->spec.argv; *p; p++)
		n += strlen(*p);
	for (char *const *p = rq->spec.envp; *p; p++)
		n += strlen(*p);
	must(n < SIZE_MAX);
	must(rq->backlog >= RING_SIZE_MIN && rq->backlog <= RING_SIZE_MAX);
	must((rq->backlog & (rq->backlog - 1)) == 0);
	must(json_is_object(rq->meta));
}

static void read_spawn(const json_t *json)
{
	struct spawn_body body = { 0 };
	struct error e = { 0 };

	if (spawn_body_read(&body, json, 1024, &e) < 0)
		must(e.code != ERROR_NONE && e.message[0]);
	else
		check_request(&body);
	spawn_body_done(&body);
}

static void read_wait(const json_t *json)
{
	struct error e = { 0 };

	read_fields(wait_fields, json);
	if (wait_check(json_object_get(json, "until"), &e) < 0)
		must(e.message[0]);
}

/* First byte: which body; the rest: its text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct json_field *const tables[] = { stop_fields, kill_fields, filter_fields,
							   daemon_stop_fields };
	struct input in = { data, size };
	unsigned which = take_u8(&in) % (ARRAY_SIZE(tables) + 2);
	struct error e = { 0 };
	json_t *json = NULL;

	if (json_load_strict((const char *)in.data, in.left, &json, &e) < 0) {
		must(!json && e.code == ERROR_INVALID_ARGUMENT);
		return 0;
	}
	if (which < ARRAY_SIZE(tables))
		read_fields(tables[which], json);
	else if (which == ARRAY_SIZE(tables))
		read_wait(json);
	else
		read_spawn(json);
	json_decref(json);
	return 0;
}
