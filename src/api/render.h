/* SPDX-License-Identifier: Apache-2.0 */
/* render.h - sessions as JSON. All results are new references. */
#pragma once
#include "api/http.h"
#include "base/json_write.h"
#include "engine/session.h"

enum render_detail {
	RENDER_LIST, /* one of many: no tails */
	RENDER_FULL,
	RENDER_RAW, /* the command as it was given, secrets and all */
};

json_t *render_session(const struct session *s, enum render_detail detail);
/* One of many, written straight to text. */
void render_list_item(struct json_writer *w, const struct session *s);
/* Answers with that of one session. */
int render_reply(struct request *rq, int status, const struct session *s);
/* Answers with what was written, or the error that came up meanwhile. */
int render_reply_text(struct request *rq, int status, const struct json_writer *w);
/* {"exitCode":...,"signal":...,"outcome":...}; NULL before the exit was published. */
json_t *render_exit(const struct session *s);
/* The number for `exitCode`; JSON null when it is not known. */
json_t *render_exit_code(const struct session *s);
json_t *render_time(uint64_t realtime_ms);
/* `execve "foo": No such file or directory` */
void render_spawn_error(const struct session *s, char *buffer, size_t size);
const char *render_cause(enum cause cause);
const char *render_stream_name(const struct session *s, unsigned stream);
