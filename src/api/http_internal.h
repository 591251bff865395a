/* SPDX-License-Identifier: Apache-2.0 */
/* http_internal.h - what the files of the HTTP server share. Nobody else includes it.
 *
 *	http_server.c   the daemon, its place in the loop, connections that go away
 *	http_accept.c   who may connect, and how many
 *	http_refuse.c   answers written past libmicrohttpd, on connections that then close
 *	http_request.c  a request from its first line to its handler
 *	http_reply.c    answers
 *	http_stream.c   answers without an end
 *	http_upgrade.c  connections that leave HTTP */
#pragma once
#include "api/http.h"
#include "api/route.h"
#include "base/buffer.h"
#include <microhttpd.h>
#include <stdbool.h>

#define REFUSED_MAX         64U
#define REQUEST_HEADERS_MAX 8U
#define SERVER_HANDLES      8U
#define LATE_IDLE_SECONDS   5U /* a connection above the limit has no more time than this */

typedef enum MHD_Result (*queue_fn)(struct MHD_Connection *mhd, unsigned status,
				    struct MHD_Response *response);

/* --- refusing ------------------------------------------------------------------------------- */

/* Connections that were answered and wait until their client has read that: closing a socket with
 * unread input would show the client a broken connection instead of the answer. */
struct refuser {
	uv_timer_t timer;
	unsigned n;
	struct {
		int fd;
		uint64_t until; /* ms of uv_now */
	} waiting[REFUSED_MAX];
};

/* The timer is the loop's: close it when uv_close is due. */
void refuser_init(struct refuser *f, uv_loop_t *loop);
void refuser_done(struct refuser *f);

/* Writes the error as a whole answer, and closes `fd` (owned) soon after. `header` is one more
 * header line, or "". */
void refuser_take(struct refuser *f, int fd, int status, const struct error *e, const char *header);

/* libmicrohttpd's MHD_queue_response, not ours; NULL if it has none. */
queue_fn queue_function(void);

struct connection;
/* The same on a connection that libmicrohttpd is about to close. */
void connection_refuse(struct connection *c, int status, const struct error *e, const char *header);
/* libmicrohttpd closes the connection: answers where it does so over a first line that it cannot
 * make a request of. */
void connection_refuse_line(struct connection *c);

/* --- the server ----------------------------------------------------------------------------- */

struct connection {
	struct http_server *server;
	struct connection *next, *prev;
	struct MHD_Connection *mhd;
	struct request *request; /* the one being read or answered, NULL between two */
	int fd;                  /* libmicrohttpd's */
	uint64_t since;          /* ms of uv_now: when it came, or had its last answer */
	pid_t pid;
	bool late;    /* came above the limit: only routes with keep_place, and one request only */
	bool watched; /* its fd is in `watch_fd` */
	bool gone;    /* the client has closed its socket */
	bool used;    /* there was a request line, or an answer */
};

struct http_server {
	uv_loop_t *loop;
	const struct route *routes;
	void *context;
	struct http_limits limits;
	struct MHD_Daemon *daemon;
	queue_fn queue; /* libmicrohttpd's own MHD_queue_response, see http_refuse.c */
	struct connection *connections;
	struct connection *arriving; /* handed to libmicrohttpd, which has not called back yet */
	unsigned n_connections;
	int listen_fd; /* not owned */
	int spare_fd;  /* given up to accept, and refuse, when there is no other descriptor */
	int watch_fd;  /* epoll set of connections that were suspended once: reports hang-ups */
	bool quiesced;
	bool closing;

	uv_poll_t listen_poll, daemon_poll, watch_poll;
	uv_idle_t idle;     /* active while libmicrohttpd must run without an event of its own */
	bool called;        /* libmicrohttpd has called back since it was last run */
	unsigned n_nothing; /* times it ran without that, and wanted to run again at once */
	uv_timer_t timeout; /* of idle connections */
	uint64_t timeout_due;
	uv_timer_t heads; /* until the next head is overdue; set while a connection is there */
	uv_timer_t pause; /* of accepting, when the system has run out of something */
	struct refuser refuser;

	uv_handle_t *handles[SERVER_HANDLES]; /* those to be closed */
	unsigned n_handles;
};

/* Lets libmicrohttpd run before the loop waits again. */
void server_schedule(struct http_server *s);

void server_accept_ready(uv_poll_t *poll, int status, int events);
void server_accept_resume(uv_timer_t *timer);

/* How long libmicrohttpd waits for the next byte of a head. */
unsigned connection_idle_ms(const struct connection *c);

/* From now on the connection has its time to bring the whole head of a request. */
void connection_await_head(struct connection *c);

/* Reports when the client of a suspended connection goes away. */
void connection_watch(struct connection *c);

/* --- requests ------------------------------------------------------------------------------- */

enum request_state {
	REQUEST_READING,
	REQUEST_HANDLING, /* the handler runs */
	REQUEST_DEFERRED,
	REQUEST_ANSWERED,
	REQUEST_STREAMING, /* the same, and asks for more of it */
	REQUEST_WAITING,   /* the stream has nothing to say */
	REQUEST_UPGRADING,
	REQUEST_UPGRADED, /* the socket is in other hands */
	REQUEST_ABORTED,  /* the connection is to be closed */
};

struct upgraded {
	struct request *request;
	struct MHD_UpgradeResponseHandle *handle;
};

struct request {
	struct connection *connection;
	const struct route *route; /* NULL until it was found */
	const char *method;
	const char *uri; /* libmicrohttpd's; to see whether it holds a NUL */
	size_t uri_size;
	struct target target;
	enum request_state state;
	int status;
	struct MHD_Response *response; /* until libmicrohttpd asks for it */
	bool http_1_0;
	bool chunked;   /* how long its body is it does not say */
	bool begun;     /* its head was looked at */
	bool suspended; /* libmicrohttpd does nothing for the connection */
	bool woken;     /* request_wake was called while `pull` ran */
	bool endless;   /* the idle limit was lifted */
	struct buffer body;
	json_t *json;

	unsigned n_headers;
	struct {
		char *name, *value;
	} headers[REQUEST_HEADERS_MAX];

	void (*cancelled)(struct request *rq, void *data);
	struct MHD_Response *trailed; /* of a stream; libmicrohttpd's */
	request_pull_fn pull;
	void (*closed)(void *data);
	upgraded_fn opened;
	void (*dropped)(void *data);
	void *data;
	struct upgraded upgraded;

	char text[]; /* what `target` points into */
};

/* libmicrohttpd's callbacks. */
void *request_on_uri(void *server, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result request_on_data(void *server, struct MHD_Connection *mhd, const char *url,
				const char *method, const char *version, const char *upload,
				size_t *upload_size, void **request);
void request_on_completed(void *server, struct MHD_Connection *mhd, void **request,
			  enum MHD_RequestTerminationCode why);

/* What libmicrohttpd itself would answer with this status is our answer. Returns MHD_NO: it closes
 * the connection then. */
enum MHD_Result connection_refuse_unread(struct connection *c, unsigned status);
/* The length of a chunk does not come to its end, and libmicrohttpd would look again and again.
 * True when that was so: `unread`, only where the client has sent more, which would be read
 * otherwise. */
bool connection_refuse_chunk(struct connection *c, bool unread);

/* Ends what is left of a request and frees it. NULL is allowed. */
struct request *request_unref(struct request *rq);

/* The client has gone, or the server goes: what waits is over, and the connection will close. */
void request_cancel(struct request *rq);

void request_suspend(struct request *rq);
void request_resume(struct request *rq);

/* Whether an answer can still be given. */
bool request_is_open(const struct request *rq);

/* The idle limit does not hold for the rest of this request. */
void request_lift_limit(struct request *rq);

/* Keeps the answer (stolen; NULL: no memory) for libmicrohttpd, and has it come for it. Returns 0.
 */
int request_queue(struct request *rq, int status, struct MHD_Response *response,
		  enum request_state next);

/* As request_reply_error_details, with a status of its own. */
int request_reply_status(struct request *rq, int status, const struct error *e, json_t *details);

/* {"error":{...}} as text, the caller's; `details` is stolen. NULL without memory. */
char *error_text(const struct error *e, json_t *details);
