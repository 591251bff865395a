/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/probe.h"
#include "base/parse.h"
#include "engine/listeners.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define AGAIN_MIN_MS 100U
#define AGAIN_MAX_MS 2000U
#define PATIENCE_MS  5000U /* for one answer */
#define HEAD_MAX     64U   /* all that is read: "HTTP/1.1 200" */

struct probe {
	struct engine *engine;
	char host[256], port_text[8], path[PROBE_URL_MAX];
	uint16_t port;
	bool local;
	unsigned again_ms, round;
	struct port_watch watch;
	uv_timer_t timer;
	struct attempt *attempt; /* NULL: none is under way */
	void (*answered)(void *data, int status);
	void *data;
};

/* One connection. It outlives a probe that was freed until libuv lets go. */
struct attempt {
	struct probe *probe; /* NULL after the probe let go of it */
	uv_getaddrinfo_t resolve;
	uv_tcp_t tcp;
	uv_connect_t connect;
	uv_write_t write;
	char request[PROBE_URL_MAX + 512];
	char head[HEAD_MAX + 1];
	size_t n_head;
	bool resolved;
};

static void try_now(struct probe *p);

/* --- the URL
 * ------------------------------------------------------------------------------------------- */

static int bad_url(const char *url, const char *why, struct error *err)
{
	return error_set(err, ERROR_INVALID_ARGUMENT, "http: \"%.200s\" %s", url, why);
}

/* The n bytes behind the colon; a URL without one has port 80. */
static int parse_port(struct probe *p, const char *digits, size_t n)
{
	char text[8] = "80";
	uint64_t port;

	if (digits) {
		if (n >= sizeof(text))
			return -ERANGE;
		memcpy(text, digits, n);
		text[n] = 0;
	}
	if (parse_u64(text, 1, 65535, &port) < 0)
		return -EINVAL;
	p->port = (uint16_t)port;
	snprintf(p->port_text, sizeof(p->port_text), "%u", (unsigned)p->port);
	return 0;
}

/* A name, an address, or an address of IPv6 in brackets. */
static int parse_host(struct probe *p, const char *host, size_t n)
{
	if (n > 1 && host[0] == '[') {
		host++;
		n -= 2;
	}
	if (n == 0 || n >= sizeof(p->host))
		return -EINVAL;
	memcpy(p->host, host, n);
	p->host[n] = 0;
	p->local = strcmp(p->host, "localhost") == 0 || strncmp(p->host, "127.", 4) == 0 ||
		   strcmp(p->host, "::1") == 0;
	return 0;
}

static int parse_url(struct probe *p, const char *url, struct error *err)
{
	const char *host = url + 7, *slash, *colon, *bracket;

	if (strncasecmp(url, "http://", 7) != 0)
		return bad_url(url, "is not of the form http://HOST:PORT/PATH", err);
	if (strlen(url) >= PROBE_URL_MAX || strpbrk(url, " \r\n\t"))
		return bad_url(url, "is too long or has white space in it", err);
	slash = host + strcspn(host, "/?#");
	colon = memrchr(host, ':', (size_t)(slash - host));
	bracket = memrchr(host, ']', (size_t)(slash - host));
	if (colon && bracket && bracket > colon)
		colon = NULL;
	if (parse_port(p, colon ? colon + 1 : NULL, colon ? (size_t)(slash - colon - 1) : 0) < 0)
		return bad_url(url, "has no valid port", err);
	if (parse_host(p, host, (size_t)((colon ? colon : slash) - host)) < 0)
		return bad_url(url, "has no valid host", err);
	snprintf(p->path, sizeof(p->path), "%s%s", *slash == '/' ? "" : "/", slash);
	p->path[strcspn(p->path, "#")] = 0;
	return 0;
}

int probe_check_url(const char *url, struct error *err)
{
	struct probe p;

	return parse_url(&p, url, err);
}

/* --- one attempt
 * --------------------------------------------------------------------------------------- */

static void attempt_closed(uv_handle_t *handle)
{
	free(container_of((uv_tcp_t *)handle, struct attempt, tcp));
}

static void attempt_drop(struct attempt *a)
{
	a->probe = NULL;
	if (!a->resolved)
		uv_cancel((uv_req_t *)&a->resolve); /* on_resolved comes in any case, and closes */
	else if (!uv_is_closing((uv_handle_t *)&a->tcp))
		uv_close((uv_handle_t *)&a->tcp, attempt_closed);
}

static void on_again(uv_timer_t *timer)
{
	struct probe *p = timer->data;

	if (p->attempt)
		attempt_drop(take(p->attempt));
	try_now(p);
}

static void attempt_failed(struct attempt *a)
{
	struct probe *p = a->probe;

	if (!p)
		return;
	p->attempt = NULL;
	attempt_drop(a);
	uv_timer_start(&p->timer, on_again, p->again_ms, 0);
	p->again_ms = MIN(p->again_ms * 2, AGAIN_MAX_MS);
}

static void on_buffer(uv_handle_t *handle, size_t wanted, uv_buf_t *buf)
{
	struct attempt *a = container_of((uv_tcp_t *)handle, struct attempt, tcp);

	(void)wanted;
	*buf = uv_buf_init(a->head + a->n_head, (unsigned)(HEAD_MAX - a->n_head));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct attempt *a = container_of((uv_tcp_t *)stream, struct attempt, tcp);
	struct probe *p = a->probe;
	int status;

	(void)buf;
	if (!p || n == 0)
		return;
	if (n > 0)
		a->n_head += (size_t)n;
	a->head[a->n_head] = 0;
	if (a->n_head >= 12 && sscanf(a->head, "HTTP/%*d.%*d %3d", &status) == 1) {
		if (status >= 400) {
			attempt_failed(a);
			return;
		}
		p->attempt = NULL;
		attempt_drop(a);
		uv_timer_stop(&p->timer);
		p->answered(p->data, status);
		return;
	}
	if (n < 0 || a->n_head >= HEAD_MAX)
		attempt_failed(a);
}

static void on_written(uv_write_t *rq, int status)
{
	if (status < 0)
		attempt_failed(container_of(rq, struct attempt, write));
}

static void on_connected(uv_connect_t *rq, int status)
{
	struct attempt *a = container_of(rq, struct attempt, connect);
	uv_buf_t buf;

	if (!a->probe)
		return;
	if (status < 0) {
		attempt_failed(a);
		return;
	}
	buf = uv_buf_init(a->request, (unsigned)strlen(a->request));
	uv_write(&a->write, (uv_stream_t *)&a->tcp, &buf, 1, on_written);
	uv_read_start((uv_stream_t *)&a->tcp, on_buffer, on_read);
}

/* A name may have several addresses, and only one of them a server: each attempt takes the next. */
static const struct addrinfo *choose(const struct addrinfo *list, unsigned round)
{
	unsigned n = 0;

	for (const struct addrinfo *ai = list; ai; ai = ai->ai_next)
		n++;
	for (round = n > 0 ? round % n : 0; round > 0; round--)
		list = list->ai_next;
	return list;
}

static void on_resolved(uv_getaddrinfo_t *rq, int status, struct addrinfo *list)
{
	struct attempt *a = container_of(rq, struct attempt, resolve);

	a->resolved = true;
	if (!a->probe)
		uv_close((uv_handle_t *)&a->tcp, attempt_closed);
	else if (status < 0 || !list ||
		 uv_tcp_connect(&a->connect, &a->tcp, choose(list, a->probe->round++)->ai_addr,
				on_connected) < 0)
		attempt_failed(a);
	uv_freeaddrinfo(list);
}

static void try_now(struct probe *p)
{
	static const struct addrinfo stream = { .ai_socktype = SOCK_STREAM };
	struct attempt *a = calloc(1, sizeof(*a));

	uv_timer_start(&p->timer, on_again, PATIENCE_MS, 0);
	if (!a)
		return;
	a->probe = p;
	snprintf(a->request, sizeof(a->request),
		 "GET %s HTTP/1.1\r\nHost: %s:%u\r\nUser-Agent: reeve\r\nConnection: close\r\n\r\n",
		 p->path, p->host, (unsigned)p->port);
	uv_tcp_init(&p->engine->loop, &a->tcp);
	p->attempt = a;
	if (uv_getaddrinfo(&p->engine->loop, &a->resolve, on_resolved, p->host, p->port_text,
			   &stream) < 0) {
		a->resolved = true;
		attempt_failed(a);
	}
}

static void on_listening(struct port_watch *w)
{
	try_now(container_of(w, struct probe, watch));
}

/* --- life
 * ---------------------------------------------------------------------------------------------- */

int probe_new(struct probe **ret, struct engine *e, const char *url,
	      void (*answered)(void *data, int status), void *data, struct error *err)
{
	struct probe *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return error_set(err, ERROR_EXHAUSTED, "no memory");
	r = parse_url(p, url, err);
	if (r < 0) {
		free(p);
		return r;
	}
	p->engine = e;
	p->again_ms = AGAIN_MIN_MS;
	p->answered = answered;
	p->data = data;
	uv_timer_init(&e->loop, &p->timer);
	p->timer.data = p;
	p->watch = (struct port_watch){ .port = p->port, .listening = on_listening };
	if (p->local)
		port_watch_start(e, &p->watch);
	else
		uv_timer_start(&p->timer, on_again, 0, 0);
	*ret = p;
	return 0;
}

static void probe_closed(uv_handle_t *handle)
{
	free(container_of((uv_timer_t *)handle, struct probe, timer));
}

struct probe *probe_free(struct probe *p)
{
	if (!p)
		return NULL;
	port_watch_stop(&p->watch);
	if (p->attempt)
		attempt_drop(take(p->attempt));
	uv_close((uv_handle_t *)&p->timer, probe_closed);
	return NULL;
}
