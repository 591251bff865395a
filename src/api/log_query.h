/* SPDX-License-Identifier: Apache-2.0 */
/* log_query.h - what a request for logs asks for. */
#pragma once
#include "api/http.h"
#include "engine/pattern.h"
#include "engine/session.h"

enum log_format {
	LOG_RAW,
	LOG_JSON,
	LOG_NDJSON, /* an object a line of output */
};

struct log_query {
	bool want[STREAMS_MAX];
	uint64_t from;       /* offset of the one stream; UINT64_MAX: not given */
	uint64_t limit;      /* bytes; UINT64_MAX: none */
	uint64_t head, tail; /* lines; UINT64_MAX: all */
	uint64_t since;      /* realtime us; 0: all */
	uint64_t wait_ms;
	struct pattern *grep;
	bool strip, follow;
	enum log_format format;
};

int log_query_read(struct log_query *q, struct request *rq, const struct session *s,
		   struct error *err);
void log_query_done(struct log_query *q);

/* The one stream that is asked for; STREAMS_MAX when there are several. */
unsigned log_query_stream(const struct log_query *q);
