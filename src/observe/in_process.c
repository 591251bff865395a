/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/in_process.h"
#include "base/fd.h"
#include "observe/channel.h"
#include "observe/observation.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define WATCHED_MAX 8192U

struct watched {
	struct watched *next;
	uint32_t session;
	struct observation *observation;
};

struct reeve_observer {
	struct channel *channel;
	pthread_mutex_t lock; /* of the host and all below; taken before the channel's */
	struct host *host;
	struct choice choices[REEVE_CATEGORIES];
	struct choice unprepared[REEVE_CATEGORIES]; /* for what was started without entry */
	struct watched *watched;
	unsigned n_watched;
	int stop_fd; /* -1: there is no thread */
	pthread_t thread;
};

static void on_event(void *userdata, struct reeve_event *e,
		     const struct backend_origin *origin _unused_)
{
	struct reeve_observer *o = userdata;

	channel_emit(o->channel, e);
}

static void on_missed(void *userdata, enum reeve_category category, uint64_t n)
{
	struct reeve_observer *o = userdata;

	channel_missed(o->channel, category, n);
}

static void *pump(void *userdata)
{
	struct reeve_observer *o = userdata;
	struct pollfd fds[2] = {
		{ .fd = host_fd(o->host), .events = POLLIN },
		{ .fd = o->stop_fd, .events = POLLIN },
	};

	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (fds[1].revents != 0)
			return NULL;
		(void)pthread_mutex_lock(&o->lock);
		host_dispatch(o->host);
		(void)pthread_mutex_unlock(&o->lock);
	}
}

/* Anything but lifecycle comes from the kernel, and somebody must wait for it. */
static int start_pump(struct reeve_observer *o)
{
	sigset_t all, before;
	bool needed = false;
	int r;

	for (unsigned c = 0; c < REEVE_CATEGORIES; c++)
		needed |= o->choices[c].backend && o->choices[c].support != REEVE_UNAVAILABLE &&
			  o->choices[c].backend != &backend_portable_lifecycle;
	if (!needed)
		return 0;
	o->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (o->stop_fd < 0)
		return -errno;
	/* Signals are for the threads of the program whose process this is. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&o->thread, NULL, pump, o);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0) {
		o->stop_fd = fd_close(o->stop_fd);
		return -r;
	}
	return 0;
}

static int choose_from(const struct backend *const *ladder, unsigned set,
		       struct choice ret[REEVE_CATEGORIES])
{
	struct prober *p;
	int r = prober_new(&p, ladder, -1);

	if (r < 0)
		return r;
	r = negotiate(p, REEVE_LAUNCHED_TREE, set, NULL, ret, NULL);
	prober_free(p);
	return r;
}

static int choose(struct reeve_observer *o, const struct reeve_observer_config *config)
{
	unsigned set = 0;
	int r;

	for (unsigned c = 0; c < REEVE_CATEGORIES; c++) {
		if (reeve_observer_config_has(config, (enum reeve_category)c))
			set |= category_bit((enum reeve_category)c);
	}
	r = choose_from(backends, set, o->choices);
	memcpy(o->unprepared, o->choices, sizeof(o->unprepared));
	for (unsigned c = 0; r >= 0 && c < REEVE_CATEGORIES; c++) {
		if (o->choices[c].backend && o->choices[c].backend->prepare)
			return choose_from(backends_unprepared, set, o->unprepared);
	}
	return r;
}

int reeve_observer_new(const struct reeve_observer_config *config, struct reeve_observer **ret)
{
	struct reeve_observer *o;
	int r;

	if (reeve_observer_config_is_off(config)) {
		*ret = NULL;
		return 0;
	}
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	(void)pthread_mutex_init(&o->lock, NULL);
	o->stop_fd = -1;
	r = channel_new(&o->channel);
	if (r >= 0)
		r = choose(o, config);
	if (r >= 0)
		r = host_new(&o->host, -1, NULL);
	if (r >= 0)
		r = start_pump(o);
	if (r < 0) {
		reeve_observer_close(o);
		return r;
	}
	*ret = o;
	return 0;
}

struct reeve_observer *reeve_observer_close(struct reeve_observer *o)
{
	if (!o)
		return NULL;
	if (o->stop_fd >= 0) {
		(void)eventfd_write(o->stop_fd, 1);
		(void)pthread_join(o->thread, NULL);
		fd_close(o->stop_fd);
	}
	while (o->watched)
		observer_unwatch(o, o->watched->session);
	host_free(o->host);
	channel_close(o->channel);
	(void)pthread_mutex_destroy(&o->lock);
	free(o);
	return NULL;
}

int reeve_observer_subscribe(struct reeve_observer *o, size_t capacity,
			     struct reeve_subscriber **ret)
{
	if (capacity > REEVE_SUBSCRIBER_CAPACITY_MAX)
		return -EINVAL;
	if (!o) {
		*ret = NULL;
		return 0;
	}
	return channel_subscribe(o->channel, capacity, ret);
}

static struct watched **find(struct reeve_observer *o, uint32_t session)
{
	struct watched **w = &o->watched;

	while (*w && (*w)->session != session)
		w = &(*w)->next;
	return w;
}

static int watch_locked(struct reeve_observer *o, const struct backend_target *target,
			struct error *e)
{
	struct observation_config config = {
		.host = o->host,
		.target = *target,
		.sink = { on_event, on_missed, o },
	};
	struct watched *w;
	int r;

	if (*find(o, target->session))
		return error_set(e, ERROR_ALREADY_EXISTS, "process %u is observed already",
				 target->session);
	if (o->n_watched == WATCHED_MAX)
		return error_set(e, ERROR_EXHAUSTED, "%u processes are observed already",
				 WATCHED_MAX);
	w = calloc(1, sizeof(*w));
	if (!w)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "observer");
	memcpy(config.choices, target->listener > 0 ? o->choices : o->unprepared,
	       sizeof(config.choices));
	r = observation_start(&w->observation, &config, e);
	if (r < 0) {
		free(w);
		return r;
	}
	w->session = target->session;
	w->next = o->watched;
	o->watched = w;
	o->n_watched++;
	return 0;
}

void observer_prepare(struct reeve_observer *o, struct entry *ret)
{
	ret->n = 0;
	if (o)
		(void)choices_prepare(o->choices, ret, NULL); /* none was named: no two */
}

int observer_watch(struct reeve_observer *o, const struct backend_target *target, struct error *e)
{
	int r;

	if (!o)
		return 0;
	(void)pthread_mutex_lock(&o->lock);
	r = watch_locked(o, target, e);
	(void)pthread_mutex_unlock(&o->lock);
	return r;
}

void observer_note(struct reeve_observer *o, uint32_t session, const struct backend_note *note)
{
	struct watched *w;

	if (!o)
		return;
	(void)pthread_mutex_lock(&o->lock);
	w = *find(o, session);
	if (w)
		observation_note(w->observation, note);
	(void)pthread_mutex_unlock(&o->lock);
}

void observer_unwatch(struct reeve_observer *o, uint32_t session)
{
	struct watched **place, *w;

	if (!o)
		return;
	(void)pthread_mutex_lock(&o->lock);
	place = find(o, session);
	w = *place;
	if (w) {
		*place = w->next;
		o->n_watched--;
		observation_flush(w->observation);
		observation_stop(w->observation);
		free(w);
	}
	(void)pthread_mutex_unlock(&o->lock);
}
