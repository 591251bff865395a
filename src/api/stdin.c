/* SPDX-License-Identifier: Apache-2.0 */
/* stdin.c - bytes for a session's stdin, by offset. */
#include "api/routes.h"

/* With the offset where the next byte belongs, so that the client need not read the message. */
static int refuse_offset(struct request *rq, const struct session *s, const struct error *err)
{
	uint64_t offset = word_load(&s->words->in_accepted);

	return request_reply_error_details(rq, err,
					   json_pack("{s:I}", "offset", (json_int_t)offset));
}

int session_stdin(struct request *rq, void *context, struct error *err)
{
	uint64_t at = UINT64_MAX, accepted, before;
	struct session *s;
	bool eof = false;
	const void *data;
	json_t *o;
	size_t n;
	int r = request_session(rq, context, &s, err);

	if (r >= 0)
		r = request_query_u64(rq, "at", INT64_MAX, &at, err);
	if (r >= 0)
		r = request_query_bool(rq, "eof", &eof, err);
	if (r < 0)
		return r;
	data = request_body(rq, &n);
	before = word_load(&s->words->in_accepted);
	if (at == UINT64_MAX)
		at = before;
	if (n == 0 && eof && at == before && !s->in_open) {
		/* Closing what is closed is no error. */
		accepted = before;
	} else {
		r = input_take(s, at, data, n, &accepted, err);
		if (r < 0 && err->code == ERROR_WRONG_OFFSET)
			return refuse_offset(rq, s, err);
		if (r < 0)
			return r;
		if (eof && accepted >= at + n)
			input_close(s);
	}
	o = json_pack("{s:I, s:I, s:b}", "accepted",
		      (json_int_t)(accepted > at ? accepted - at : 0), "offset",
		      (json_int_t)accepted, "closed",
		      (int)(word_load(&s->words->in_closing) || word_load(&s->words->in_closed)));
	return request_reply_json(rq, 200, o);
}
