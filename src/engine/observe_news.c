/* SPDX-License-Identifier: Apache-2.0 */
/* observe_news.c - readers are told that there are events: those of a few sessions in one turn of
 * the loop, then the engine rests.
 *
 * Events of many sessions come at once, and to write them takes long. Keys and output are served
 * between two turns. But who is woken on the engine's processor does not run before the engine
 * sleeps, while another processor may have nothing to do: the kernel moves nobody for so short a
 * time. A rest lets them run. */
#include "base/clock.h"
#include "base/fd.h"
#include "engine/observe_private.h"
#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define TOLD_A_TURN 8U   /* sessions */
#define REST_US     400U /* from one turn to the next; a turn takes a quarter of that */

static void tell_readers(struct observed *o)
{
	struct observe_reader *next;

	observe_no_news(o);
	for (struct observe_reader *r = o->readers; r; r = next) {
		next = r->next;
		r->news(r);
	}
}

static void rest(struct observatory *ob, uint64_t us)
{
	struct itimerspec t = { .it_value = { .tv_nsec = (long)us * 1000L } };

	ob->resting = true;
	(void)timerfd_settime(ob->rest_fd, 0, &t, NULL);
}

/* What they are told is written for them in the same turn of the loop, or the next. */
static void turn(struct observatory *ob)
{
	uv_idle_stop(&ob->tell);
	ob->told = clock_monotonic_us();
	for (unsigned i = 0; i < TOLD_A_TURN && ob->news; i++)
		tell_readers(ob->news);
	if (ob->news)
		rest(ob, REST_US);
}

static void on_tell(uv_idle_t *idle)
{
	turn(idle->data);
}

static void on_rested(uv_poll_t *poll, int status _unused_, int events _unused_)
{
	struct observatory *ob = poll->data;
	uint64_t times;

	/* It was set anew meanwhile. */
	if (read(ob->rest_fd, &times, sizeof(times)) != sizeof(times))
		return;
	ob->resting = false;
	turn(ob);
}

int observe_news_init(struct observatory *ob)
{
	uv_loop_t *loop = &ob->engine->loop;
	int r;

	ob->news_end = &ob->news;
	ob->rest_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (ob->rest_fd < 0)
		return -errno;
	r = uv_poll_init(loop, &ob->rest, ob->rest_fd);
	if (r < 0) {
		fd_close(ob->rest_fd);
		return r;
	}
	uv_idle_init(loop, &ob->tell);
	ob->tell.data = ob->rest.data = ob;
	uv_poll_start(&ob->rest, UV_READABLE, on_rested);
	return 0;
}

void observe_news(struct observed *o)
{
	struct observatory *ob = o->session->engine->observatory;
	uint64_t rested;

	if (!o->readers || o->news_back)
		return;
	o->news_next = NULL;
	o->news_back = ob->news_end;
	*ob->news_end = o;
	ob->news_end = &o->news_next;
	if (ob->resting || uv_is_active((uv_handle_t *)&ob->tell))
		return;
	rested = clock_monotonic_us() - ob->told;
	if (rested < REST_US)
		rest(ob, REST_US - rested);
	else
		uv_idle_start(&ob->tell, on_tell);
}

void observe_no_news(struct observed *o)
{
	if (!o->news_back)
		return;
	*o->news_back = o->news_next;
	if (o->news_next)
		o->news_next->news_back = o->news_back;
	else
		o->session->engine->observatory->news_end = o->news_back;
	o->news_back = NULL;
}

void observe_awake(struct observatory *ob)
{
	if (!ob->resting || !ob->news || clock_monotonic_us() - ob->told < REST_US / 2)
		return;
	ob->resting = false;
	turn(ob);
}
