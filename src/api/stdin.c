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

/* Takes the body in at that offset, and its end with it. */
static int take_body(struct request *rq, struct session *s, uint64_t at, bool eof,
		     uint64_t *ret_accepted, struct error *err)
{
	size_t n;
	const void *data = request_body(rq, &n);
	int r;

	if (n == 0 && eof && at == word_load(&s->words->in_accepted) && !s->in_open) {
		*ret_accepted = at; /* closing what is closed is no error */
		return 0;
	}
	r = input_take(s, at, data, n, ret_accepted, err);
	if (r >= 0 && eof && *ret_accepted >= at + n)
		input_close(s);
	return r;
}

int session_stdin(struct request *rq, void *context, struct error *err)
{
	uint64_t at = UINT64_MAX, accepted;
	struct session *s;
	bool eof = false;
	json_t *o;
	int r = request_session(rq, context, &s, err);

	if (r >= 0)
		r = request_query_u64(rq, "at", INT64_MAX, &at, err);
	if (r >= 0)
		r = request_query_bool(rq, "eof", &eof, err);
	if (r < 0)
		return r;
	if (at == UINT64_MAX)
		at = word_load(&s->words->in_accepted);
	r = take_body(rq, s, at, eof, &accepted, err);
	if (r < 0)
		return err->code == ERROR_WRONG_OFFSET ? refuse_offset(rq, s, err) : r;
	o = json_pack("{s:I, s:I, s:b}", "accepted",
		      (json_int_t)(accepted > at ? accepted - at : 0), "offset",
		      (json_int_t)accepted, "closed",
		      (int)(word_load(&s->words->in_closing) || word_load(&s->words->in_closed)));
	return request_reply_json(rq, 200, o);
}
