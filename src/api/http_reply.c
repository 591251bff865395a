/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http_internal.h"
#include <errno.h>
#include <string.h>

#define JSON_TYPE "application/json"

bool request_is_open(const struct request *rq)
{
	return rq->state == REQUEST_HANDLING || rq->state == REQUEST_DEFERRED;
}

int request_add_header(struct request *rq, const char *name, const char *value)
{
	char *copy[2];

	if (rq->n_headers == REQUEST_HEADERS_MAX)
		return -E2BIG;
	if (strpbrk(value, "\r\n"))
		return -EINVAL;
	copy[0] = strdup(name);
	copy[1] = strdup(value);
	if (!copy[0] || !copy[1]) {
		free(copy[0]);
		free(copy[1]);
		return -ENOMEM;
	}
	rq->headers[rq->n_headers].name = copy[0];
	rq->headers[rq->n_headers].value = copy[1];
	rq->n_headers++;
	return 0;
}

int request_queue(struct request *rq, int status, struct MHD_Response *response,
		  enum request_state next)
{
	rq->cancelled = NULL;
	rq->state = response ? next : REQUEST_ABORTED;
	rq->status = status;
	rq->response = response;
	if (response) {
		for (unsigned i = 0; i < rq->n_headers; i++)
			MHD_add_response_header(response, rq->headers[i].name,
						rq->headers[i].value);
		if (rq->connection->late && next != REQUEST_UPGRADING)
			MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	}
	request_resume(rq);
	return 0;
}

static int reply_buffer(struct request *rq, int status, const char *type, void *data, size_t size,
			enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(size, data, mode);

	if (!response && mode == MHD_RESPMEM_MUST_FREE)
		free(data);
	if (response && type)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	return request_queue(rq, status, response, REQUEST_ANSWERED);
}

int request_reply_json(struct request *rq, int status, json_t *body)
{
	char *text;

	if (!request_is_open(rq)) {
		json_decref(body);
		return -EALREADY;
	}
	text = body ? json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	json_decref(body);
	if (!text)
		return request_queue(rq, status, NULL, REQUEST_ABORTED);
	return reply_buffer(rq, status, JSON_TYPE, text, strlen(text), MHD_RESPMEM_MUST_FREE);
}

int request_reply_bytes(struct request *rq, int status, const char *content_type, const void *data,
			size_t size)
{
	if (!request_is_open(rq))
		return -EALREADY;
	return reply_buffer(rq, status, content_type, (void *)data, size, MHD_RESPMEM_MUST_COPY);
}

static json_t *error_json(const struct error *e, json_t *details)
{
	const char *code = error_code_name(e->code);
	json_t *error = json_pack("{s:s, s:s, s:b}", "code", code ? code : "internal", "message",
				  e->message, "retryable", error_code_retryable(e->code));

	if (error && details)
		json_object_set(error, "details", details);
	json_decref(details);
	return json_pack("{s:o}", "error", error);
}

char *error_text(const struct error *e, json_t *details)
{
	json_t *body = error_json(e, details);
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	json_decref(body);
	return text;
}

int request_reply_status(struct request *rq, int status, const struct error *e, json_t *details)
{
	char *text;

	if (!request_is_open(rq)) {
		json_decref(details);
		return -EALREADY;
	}
	text = error_text(e, details);
	if (!text)
		return request_queue(rq, status, NULL, REQUEST_ABORTED);
	return reply_buffer(rq, status, JSON_TYPE, text, strlen(text), MHD_RESPMEM_MUST_FREE);
}

int request_reply_error(struct request *rq, const struct error *e)
{
	return request_reply_status(rq, error_code_http_status(e->code), e, NULL);
}

int request_reply_error_details(struct request *rq, const struct error *e, json_t *details)
{
	return request_reply_status(rq, error_code_http_status(e->code), e, details);
}

void request_defer(struct request *rq, void (*cancelled)(struct request *rq, void *data),
		   void *data)
{
	if (rq->state != REQUEST_HANDLING && rq->state != REQUEST_DEFERRED)
		return;
	rq->state = REQUEST_DEFERRED;
	rq->cancelled = cancelled;
	rq->data = data;
}
