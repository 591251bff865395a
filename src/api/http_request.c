/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http_internal.h"
#include "base/json.h"
#include "base/parse.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>

/* --- the request line ----------------------------------------------------------------------- */

void *request_on_uri(void *server _unused_, const char *uri, struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct connection *c = info->socket_context;
	size_t size = strlen(uri);
	struct request *rq = calloc(1, sizeof(*rq) + size + 1);

	c->used = true;
	if (!rq)
		return NULL;
	c->server->called = true;
	rq->connection = c;
	rq->uri = uri;
	rq->uri_size = size;
	memcpy(rq->text, uri, size + 1);
	c->request = rq;
	return rq;
}

struct request *request_unref(struct request *rq)
{
	if (!rq)
		return NULL;
	if (rq->state == REQUEST_DEFERRED)
		request_cancel(rq);
	if (rq->closed)
		rq->closed(rq->data);
	if (rq->dropped)
		rq->dropped(rq->data);
	for (unsigned i = 0; i < rq->n_headers; i++) {
		free(rq->headers[i].name);
		free(rq->headers[i].value);
	}
	if (rq->response)
		MHD_destroy_response(rq->response);
	buffer_done(&rq->body);
	json_decref(rq->json);
	free(rq);
	return NULL;
}

void request_on_completed(void *server _unused_, struct MHD_Connection *mhd, void **request,
			  enum MHD_RequestTerminationCode why)
{
	struct request *rq = *request;
	struct connection *c;

	if (!rq)
		return;
	*request = NULL;
	c = rq->connection;
	if (rq->endless && why == MHD_REQUEST_TERMINATED_COMPLETED_OK)
		MHD_set_connection_option(mhd, MHD_CONNECTION_OPTION_TIMEOUT,
					  c->server->limits.idle_seconds);
	c->request = NULL;
	connection_await_head(c);
	request_unref(rq);
}

/* --- waiting -------------------------------------------------------------------------------- */

void request_suspend(struct request *rq)
{
	MHD_suspend_connection(rq->connection->mhd);
	rq->suspended = true;
	connection_watch(rq->connection);
	if (rq->connection->gone)
		request_cancel(rq);
}

void request_resume(struct request *rq)
{
	if (!rq->suspended)
		return;
	rq->suspended = false;
	MHD_resume_connection(rq->connection->mhd);
	server_schedule(rq->connection->server);
}

void request_cancel(struct request *rq)
{
	if (rq->state != REQUEST_DEFERRED && rq->state != REQUEST_WAITING)
		return;
	rq->state = REQUEST_ABORTED;
	if (rq->cancelled)
		rq->cancelled(rq, rq->data);
	request_resume(rq);
}

void request_lift_limit(struct request *rq)
{
	rq->endless = true;
	MHD_set_connection_option(rq->connection->mhd, MHD_CONNECTION_OPTION_TIMEOUT, 0U);
}

/* --- the head ------------------------------------------------------------------------------- */

struct head {
	unsigned n_lengths, n_codings;
	const char *length, *coding;
	bool malformed;
};

/* RFC 9110, section 5.6.2. "Content-Length : 1" would be another header than the one it seems. */
static bool is_token(const char *name, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)name[i] <= ' ' || strchr("\"(),/:;<=>?@[\\]{}\x7f", name[i]) ||
		    (unsigned char)name[i] >= 0x80)
			return false;
	return n > 0;
}

static enum MHD_Result look_at_header(void *context, enum MHD_ValueKind kind _unused_,
				      const char *name, size_t n_name, const char *value,
				      size_t n_value _unused_)
{
	struct head *head = context;

	if (!strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH)) {
		head->n_lengths++;
		head->length = value;
	} else if (!strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING)) {
		head->n_codings++;
		head->coding = value;
	} else if (!is_token(name, n_name)) {
		head->malformed = true;
	}
	return MHD_YES;
}

static int parse_length(const char *text, uint64_t *ret, struct error *e)
{
	int r = parse_u64(text, 0, UINT64_MAX - 1, ret);

	if (r == -ERANGE)
		return error_set(e, ERROR_TOO_LARGE, "Content-Length: %s", text);
	return r < 0 ? error_set(e, ERROR_INVALID_ARGUMENT, "malformed Content-Length") : 0;
}

/* How long the body is must be beyond doubt: two readers that differ on it can be made to see
 * different requests on one connection. `*ret` is UINT64_MAX for a chunked one. */
static int body_length(struct request *rq, const char *version, uint64_t *ret, struct error *e)
{
	struct head head = { 0 };

	/* The version follows the target in memory: a target that ends earlier held a NUL. */
	if (version != rq->uri + rq->uri_size + 1)
		return error_set(e, ERROR_INVALID_ARGUMENT, "NUL byte in the request line");
	MHD_get_connection_values_n(rq->connection->mhd, MHD_HEADER_KIND, look_at_header, &head);
	if (head.malformed)
		return error_set(e, ERROR_INVALID_ARGUMENT, "malformed header name");
	if (head.n_lengths > 1 || head.n_codings > 1)
		return error_set(e, ERROR_INVALID_ARGUMENT, "more than one %s header",
				 head.n_lengths > 1 ? "Content-Length" : "Transfer-Encoding");
	if (head.n_lengths && head.n_codings)
		return error_set(e, ERROR_INVALID_ARGUMENT,
				 "Content-Length beside Transfer-Encoding");
	*ret = 0;
	if (!head.n_codings)
		return head.n_lengths ? parse_length(head.length, ret, e) : 0;
	if (rq->http_1_0 || strcasecmp(head.coding, "chunked") != 0)
		return error_set(e, ERROR_INVALID_ARGUMENT,
				 "Transfer-Encoding other than chunked in HTTP/1.1");
	*ret = UINT64_MAX;
	return 0;
}

/* Answers at once, though the request was not read to its end, and has the connection closed. */
static enum MHD_Result refuse(struct request *rq, int status, const struct error *e)
{
	char header[ROUTE_ALLOW_MAX + 16] = "";

	if (rq->n_headers)
		snprintf(header, sizeof(header), "%s: %s\r\n", rq->headers[0].name,
			 rq->headers[0].value);
	connection_refuse(rq->connection, status, e, header);
	return MHD_NO;
}

/* What libmicrohttpd makes of a body's length, or cannot read of it. */
static int explain_body(const struct request *rq, unsigned status, struct error *e)
{
	const char *text = request_header(rq, MHD_HTTP_HEADER_CONTENT_LENGTH);
	uint64_t length;

	if (!rq->begun && text && parse_length(text, &length, e) < 0)
		return 0;
	if (!rq->begun)
		return -ENOENT;
	if (status == MHD_HTTP_CONTENT_TOO_LARGE)
		error_set(e, ERROR_TOO_LARGE, "a chunk of the body is larger than any that can be");
	else
		error_set(e, ERROR_INVALID_ARGUMENT, "malformed chunk in the body");
	return 0;
}

static void explain(const struct connection *c, unsigned status, struct error *e)
{
	if (c->request &&
	    (status == MHD_HTTP_CONTENT_TOO_LARGE || status == MHD_HTTP_BAD_REQUEST) &&
	    explain_body(c->request, status, e) >= 0)
		return;
	switch (status) {
	case MHD_HTTP_URI_TOO_LONG:
	case MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE:
		error_set(e, ERROR_TOO_LARGE, "the head of a request is limited to %zu bytes",
			  c->server->limits.header_bytes);
		break;
	case MHD_HTTP_CONTENT_TOO_LARGE:
		error_set(e, ERROR_TOO_LARGE, "the request is too large");
		break;
	case MHD_HTTP_HTTP_VERSION_NOT_SUPPORTED:
		error_set(e, ERROR_INVALID_ARGUMENT, "this server speaks HTTP/1.1 and HTTP/1.0");
		break;
	case MHD_HTTP_BAD_REQUEST:
		error_set(e, ERROR_INVALID_ARGUMENT, "malformed request");
		break;
	default:
		error_set(e, ERROR_INTERNAL, "the request cannot be dealt with");
		break;
	}
}

enum MHD_Result connection_refuse_unread(struct connection *c, unsigned status)
{
	struct error e;

	if (c->request)
		c->request->state = REQUEST_ABORTED;
	explain(c, status, &e);
	connection_refuse(c, (int)status, &e, "");
	server_schedule(c->server); /* the connection is cleared away in the next run only */
	return MHD_NO;
}

bool connection_refuse_chunk(struct connection *c, bool unread)
{
	struct request *rq = c->request;
	struct error e;
	int n = 0;

	if (!rq || !rq->chunked || rq->state != REQUEST_READING)
		return false;
	if (unread && (ioctl(c->fd, FIONREAD, &n) < 0 || n == 0))
		return false;
	rq->state = REQUEST_ABORTED;
	error_set(&e, ERROR_TOO_LARGE, "the line before a chunk is longer than %zu bytes",
		  c->server->limits.header_bytes);
	connection_refuse(c, error_code_http_status(e.code), &e, "");
	/* It does not look at the socket, only at its clock. */
	MHD_set_connection_option(c->mhd, MHD_CONNECTION_OPTION_TIMEOUT, 1U);
	return true;
}

/* Finds the route and whether it may be used. What is wrong is told with its HTTP status. */
static int find_route(struct request *rq, int *ret_status, struct error *e)
{
	struct http_server *s = rq->connection->server;
	const struct route *route;
	char allow[ROUTE_ALLOW_MAX];
	int r;

	r = target_parse(rq->text, &rq->target, e);
	if (r >= 0)
		r = route_match(s->routes, rq->method, &rq->target, &route, allow, e);
	if (r >= 0)
		r = route_check_query(route, &rq->target, e);
	if (r == -EOPNOTSUPP) {
		request_add_header(rq, MHD_HTTP_HEADER_ALLOW, allow);
		*ret_status = MHD_HTTP_METHOD_NOT_ALLOWED;
		return r;
	}
	if (r >= 0 && rq->connection->late && s->n_connections > s->limits.connections &&
	    !route->keep_place)
		r = error_set(e, ERROR_UNAVAILABLE, "all %u connections are in use",
			      s->limits.connections);
	if (r < 0) {
		*ret_status = error_code_http_status(e->code);
		return r;
	}
	rq->route = route;
	buffer_init(&rq->body, route->body_max);
	return 0;
}

static int too_large(const struct request *rq, struct error *e)
{
	if (!rq->route->body_max)
		return error_set(e, ERROR_TOO_LARGE, "%s %s takes no body", rq->method,
				 rq->route->path);
	return error_set(e, ERROR_TOO_LARGE, "the body of %s %s is limited to %zu bytes",
			 rq->method, rq->route->path, rq->route->body_max);
}

/* The head is there. With a body to come all is checked now; an error ends the connection then, so
 * that the body need not be read. Without one the error is an answer like any other. */
static enum MHD_Result begin(struct request *rq, const char *method, const char *version)
{
	struct error e = { 0 };
	uint64_t length;
	int status;

	rq->begun = true;
	rq->method = method;
	rq->http_1_0 = strcmp(version, MHD_HTTP_VERSION_1_0) == 0;
	if (body_length(rq, version, &length, &e) < 0)
		return refuse(rq, error_code_http_status(e.code), &e);
	rq->chunked = length == UINT64_MAX;
	if (!length)
		return MHD_YES;
	if (find_route(rq, &status, &e) < 0)
		return refuse(rq, status, &e);
	if (length != UINT64_MAX && length > rq->route->body_max) {
		too_large(rq, &e);
		return refuse(rq, error_code_http_status(e.code), &e);
	}
	return MHD_YES;
}

/* --- body and handler ----------------------------------------------------------------------- */

static enum MHD_Result collect(struct request *rq, const char *data, size_t *size)
{
	struct error e = { 0 };
	int r = buffer_append(&rq->body, data, *size);

	if (r == -EFBIG)
		too_large(rq, &e);
	else if (r < 0)
		error_set_errno(&e, ERROR_INTERNAL, r, "the body cannot be kept");
	if (r < 0)
		return refuse(rq, error_code_http_status(e.code), &e);
	*size = 0;
	return MHD_YES;
}

static void handle(struct request *rq)
{
	struct error e = { 0 };
	int status, r;

	rq->state = REQUEST_HANDLING;
	if (!rq->route && find_route(rq, &status, &e) < 0) {
		request_reply_status(rq, status, &e, NULL);
		return;
	}
	r = rq->route->handle(rq, rq->connection->server->context, &e);
	if (r < 0 && !e.code)
		error_set_errno(&e, ERROR_INTERNAL, r, "%s %s", rq->method, rq->route->path);
	else if (r >= 0 && rq->state == REQUEST_HANDLING)
		r = error_set(&e, ERROR_INTERNAL, "%s %s gave no answer", rq->method,
			      rq->route->path);
	if (r < 0 && request_is_open(rq))
		request_reply_error(rq, &e);
}

static enum MHD_Result deliver(struct request *rq)
{
	struct MHD_Response *response = take(rq->response);
	enum MHD_Result taken =
		rq->connection->server->queue(rq->connection->mhd, (unsigned)rq->status, response);

	MHD_destroy_response(response);
	return taken;
}

/* Called for the head, for each piece of the body, and then again and again until there is an
 * answer. A deferred request is suspended only when libmicrohttpd asks for the second time: the
 * first time it still means to read, would do so as soon as it is resumed, and close the connection
 * when the client has sent all it had to send. */
enum MHD_Result request_on_data(void *server _unused_, struct MHD_Connection *mhd _unused_,
				const char *url _unused_, const char *method, const char *version,
				const char *upload, size_t *upload_size, void **request)
{
	struct request *rq = *request;

	if (!rq)
		return MHD_NO;
	rq->connection->server->called = true;
	if (!rq->begun)
		return begin(rq, method, version);
	if (*upload_size)
		return collect(rq, upload, upload_size);
	if (rq->state == REQUEST_DEFERRED) {
		request_suspend(rq);
		return MHD_YES;
	}
	if (rq->state == REQUEST_READING)
		handle(rq);
	if (rq->state == REQUEST_ABORTED)
		return MHD_NO;
	return rq->response ? deliver(rq) : MHD_YES;
}

/* --- what a handler asks -------------------------------------------------------------------- */

const char *request_param(const struct request *rq, const char *name)
{
	return route_param(rq->route, &rq->target, name);
}

const char *request_query(const struct request *rq, const char *name)
{
	return target_query(&rq->target, name);
}

unsigned request_query_all(const struct request *rq, const char *name,
			   const char *ret[TARGET_QUERY_MAX])
{
	return target_query_all(&rq->target, name, ret);
}

const char *request_header(const struct request *rq, const char *name)
{
	return MHD_lookup_connection_value(rq->connection->mhd, MHD_HEADER_KIND, name);
}

const void *request_body(const struct request *rq, size_t *ret_size)
{
	*ret_size = rq->body.size;
	return buffer_text(&rq->body);
}

int request_json(struct request *rq, json_t **ret, struct error *e)
{
	int r = 0;

	if (!rq->json && rq->body.size)
		r = json_load_strict(rq->body.data, rq->body.size, &rq->json, e);
	else if (!rq->json)
		rq->json = json_object();
	if (r < 0)
		return r;
	if (!rq->json)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "body");
	if (!json_is_object(rq->json))
		return error_set(e, ERROR_INVALID_ARGUMENT, "the body is not a JSON object");
	*ret = rq->json;
	return 0;
}

pid_t request_peer_pid(const struct request *rq)
{
	return rq->connection->pid;
}
