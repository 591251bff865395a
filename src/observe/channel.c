/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/channel.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "observe/sink.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>

struct channel {
	pthread_mutex_t lock;
	unsigned refs;
	bool closed;
	struct reeve_subscriber *first;
};

struct reeve_subscriber {
	struct channel *channel;
	struct reeve_subscriber *next, **back; /* `back` is NULL once it is off the list */
	struct sink sink;
	pthread_cond_t news;
	int fd;
	bool signalled; /* `fd` is readable */
};

int channel_new(struct channel **ret)
{
	struct channel *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	r = pthread_mutex_init(&c->lock, NULL);
	if (r != 0) {
		free(c);
		return -r;
	}
	c->refs = 1;
	*ret = c;
	return 0;
}

/* Unlocks, and lets go. */
static void unref_locked(struct channel *c)
{
	bool last = --c->refs == 0;

	(void)pthread_mutex_unlock(&c->lock);
	if (!last)
		return;
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

/* The descriptor is readable while there is an event, and at the end. */
static void update(struct reeve_subscriber *s)
{
	bool wanted = s->sink.n > 0 || s->channel->closed;

	if (wanted == s->signalled)
		return;
	s->signalled = wanted;
	if (wanted) {
		(void)eventfd_write(s->fd, 1);
		(void)pthread_cond_broadcast(&s->news);
	} else {
		eventfd_t value;

		(void)eventfd_read(s->fd, &value);
	}
}

struct channel *channel_close(struct channel *c)
{
	if (!c)
		return NULL;
	(void)pthread_mutex_lock(&c->lock);
	c->closed = true;
	for (struct reeve_subscriber *s = c->first; s; s = s->next) {
		update(s);
		(void)pthread_cond_broadcast(&s->news);
	}
	unref_locked(c);
	return NULL;
}

static struct reeve_subscriber *subscriber_free(struct reeve_subscriber *s)
{
	sink_done(&s->sink);
	(void)pthread_cond_destroy(&s->news);
	fd_close(s->fd);
	free(s);
	return NULL;
}

int channel_subscribe(struct channel *c, size_t capacity, struct reeve_subscriber **ret)
{
	struct reeve_subscriber *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->fd = -1;
	(void)pthread_cond_init(&s->news, NULL);
	r = sink_init(&s->sink, capacity > 0 ? capacity : REEVE_SUBSCRIBER_CAPACITY);
	if (r >= 0) {
		s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		r = s->fd < 0 ? -errno : 0;
	}
	if (r < 0) {
		subscriber_free(s);
		return r;
	}
	(void)pthread_mutex_lock(&c->lock);
	c->refs++;
	s->channel = c;
	s->next = c->first;
	if (s->next)
		s->next->back = &s->next;
	s->back = &c->first;
	c->first = s;
	update(s);
	(void)pthread_mutex_unlock(&c->lock);
	*ret = s;
	return 0;
}

struct reeve_subscriber *reeve_subscriber_close(struct reeve_subscriber *s)
{
	struct channel *c;

	if (!s)
		return NULL;
	c = s->channel;
	(void)pthread_mutex_lock(&c->lock);
	*s->back = s->next;
	if (s->next)
		s->next->back = s->back;
	unref_locked(c);
	return subscriber_free(s);
}

void channel_emit(struct channel *c, const struct reeve_event *e)
{
	(void)pthread_mutex_lock(&c->lock);
	for (struct reeve_subscriber *s = c->first; s; s = s->next) {
		sink_put(&s->sink, e);
		update(s);
	}
	(void)pthread_mutex_unlock(&c->lock);
}

void channel_missed(struct channel *c, enum reeve_category category, uint64_t n)
{
	(void)pthread_mutex_lock(&c->lock);
	for (struct reeve_subscriber *s = c->first; s; s = s->next)
		sink_missed(&s->sink, category, n);
	(void)pthread_mutex_unlock(&c->lock);
}

/* --- the subscriber -------------------------------------------------------------------------- */

static int take_locked(struct reeve_subscriber *s, struct reeve_event **ret)
{
	int r = sink_take(&s->sink, ret);

	if (r == -EAGAIN && s->channel->closed)
		return 0;
	if (r < 0)
		return r;
	update(s);
	return 1;
}

int reeve_subscriber_recv(struct reeve_subscriber *s, struct reeve_event **ret)
{
	int r;

	if (!s)
		return 0;
	(void)pthread_mutex_lock(&s->channel->lock);
	while ((r = take_locked(s, ret)) == -EAGAIN)
		(void)pthread_cond_wait(&s->news, &s->channel->lock);
	(void)pthread_mutex_unlock(&s->channel->lock);
	return r;
}

int reeve_subscriber_try_recv(struct reeve_subscriber *s, struct reeve_event **ret)
{
	int r;

	if (!s)
		return 0;
	(void)pthread_mutex_lock(&s->channel->lock);
	r = take_locked(s, ret);
	(void)pthread_mutex_unlock(&s->channel->lock);
	return r;
}

size_t reeve_subscriber_drain(struct reeve_subscriber *s, struct reeve_event **ret, size_t max)
{
	size_t n = 0;

	if (!s)
		return 0;
	(void)pthread_mutex_lock(&s->channel->lock);
	while (n < max && take_locked(s, &ret[n]) == 1)
		n++;
	(void)pthread_mutex_unlock(&s->channel->lock);
	return n;
}

int reeve_subscriber_fd(const struct reeve_subscriber *s)
{
	return s ? s->fd : -1;
}

void reeve_subscriber_count(const struct reeve_subscriber *s, struct reeve_subscriber_counts *ret)
{
	*ret = (struct reeve_subscriber_counts){ 0 };
	if (!s)
		return;
	(void)pthread_mutex_lock(&s->channel->lock);
	*ret = s->sink.counts;
	(void)pthread_mutex_unlock(&s->channel->lock);
}
