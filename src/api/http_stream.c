/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http_internal.h"
#include <errno.h>
#include <string.h>

#define BLOCK_SIZE (4 * KiB) /* for HTTP/1.0 only; chunks are built in the connection's memory */

/* libmicrohttpd lets go of a connection that it has closed in its next run, and asks for none. */
static ssize_t end(struct request *rq, bool complete)
{
	server_schedule(rq->connection->server);
	return complete ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

static ssize_t stream_read(void *data, uint64_t offset _unused_, char *buffer, size_t max)
{
	struct request *rq = data;
	ssize_t n;

	if (rq->state != REQUEST_STREAMING)
		return end(rq, false);
	rq->woken = false;
	n = rq->pull(rq->data, buffer, max);
	if (n > 0)
		return n;
	if (n < 0)
		return end(rq, n == -1);
	rq->state = REQUEST_WAITING;
	request_suspend(rq);
	if (rq->woken)
		request_wake(rq);
	return 0;
}

int request_stream(struct request *rq, int status, const char *content_type, request_pull_fn pull,
		   void (*closed)(void *data), void *data)
{
	struct MHD_Response *response;

	if (!request_is_open(rq))
		return -EALREADY;
	response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_SIZE, stream_read, rq,
						     NULL);
	/* To a HEAD request libmicrohttpd sends the chunk that ends the body. */
	if (response && strcmp(rq->method, MHD_HTTP_METHOD_HEAD) == 0)
		MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
	if (response && content_type)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
	rq->pull = pull;
	rq->closed = closed;
	rq->data = data;
	rq->trailed = response;
	request_lift_limit(rq);
	return request_queue(rq, status, response, REQUEST_STREAMING);
}

int request_add_trailer(struct request *rq, const char *name, const char *value)
{
	if (rq->state != REQUEST_STREAMING || !rq->trailed)
		return -EALREADY;
	return MHD_add_response_footer(rq->trailed, name, value) == MHD_YES ? 0 : -ENOMEM;
}

void request_wake(struct request *rq)
{
	rq->woken = true;
	if (rq->state != REQUEST_WAITING)
		return;
	rq->state = REQUEST_STREAMING;
	request_resume(rq);
}
