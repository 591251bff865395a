/* SPDX-License-Identifier: Apache-2.0 */
/* events.h - the events of an observed session: asking for them, reading and showing them. */
#pragma once
#include "cli/cli.h"
#include "cli/options.h"

#define OBSERVE_CAPACITY "65536" /* events that may wait for a report */

/* Adds `observe` to a spawn request, or makes the body of a subscription. `categories` is a list
 * with commas, or "all"; `backends` words like file=ebpf. ERROR_INVALID_ARGUMENT. */
int observe_body_make(const char *categories, const struct words *backends, json_t **ret,
		      struct error *e);

/* Reads the events of a subscription: with `follow` until no more can come, else those that are
 * there. `all`: also those that were read before, as far as they are kept. A non-zero return of
 * `each` ends it, and is returned. */
int events_read(struct cli *cli, const char *session, const char *subscriber, bool follow, bool all,
		int (*each)(void *data, const json_t *event), void *data, struct error *e);

/* All that are there, beside somebody who reads them, who is not disturbed. */
int events_read_beside(struct cli *cli, const char *session, const char *subscriber,
		       int (*each)(void *data, const json_t *event), void *data, struct error *e);

/* The bytes of a member that is text, or Base64 of what is none. The caller's; NULL without it. */
char *event_text(const json_t *event, const char *name);

/* `path` as it is shortest: from `cwd`, or whole. The caller's. */
char *path_from(const char *path, const char *cwd);

struct event_filter {
	const char *path;    /* glob(7), of the whole path or as it is shown; NULL: any */
	unsigned categories; /* set of bits in the order of the API; 0: all */
	bool failed;         /* only what failed */
};

/* Whether a filter's set has it; one that is not known is in each. */
bool event_category_is_in(unsigned set, const char *category);

bool event_matches(const struct event_filter *f, const json_t *event, const char *cwd);

/* What comes from processes and the kernel: whatever is in it, it does not play with a terminal,
 * and is UTF-8. */
void event_print_text(FILE *to, const char *text);

/* The words of an executed event, each the caller's, as its list is (text_list_free). NULL: none.
 */
char **event_words(const json_t *event);

/* One line: time, pid, name, what was done and to what. */
void event_print(FILE *to, const json_t *event, const char *cwd);

/* "10.1.2.3:443", "[::1]:80", or a path. The caller's. */
char *event_address(const json_t *event, const char *name);

/* Showing the events of a subscription. */
struct watch {
	const char *session, *subscriber;
	bool follow, all; /* as for events_read() */
	bool json;
	struct event_filter filter;
	FILE *to;
};

/* Until their end, or, with `follow`, until nobody reads them any more: -EPIPE without a message.
 */
int watch_here(struct cli *cli, const struct watch *w, struct error *e);

/* The same in a process of its own, which no signal that is meant for the command ends. Returns its
 * pid, or a negative errno. */
pid_t watch_aside(struct cli *cli, const struct watch *w);
