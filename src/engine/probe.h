/* SPDX-License-Identifier: Apache-2.0 */
/* probe.h - asks a URL again and again until it answers with a status below 400.
 *
 * http:// only. For an address of this machine it first waits until somebody listens on the port,
 * so that waiting costs nothing. */
#pragma once
#include "base/error.h"
#include "engine/session.h"

#define PROBE_URL_MAX 2048U

struct probe;

/* ERROR_INVALID_ARGUMENT when it is no http URL. */
int probe_check_url(const char *url, struct error *err);

/* ERROR_INVALID_ARGUMENT when it is no http URL. `answered` is called once, from the loop, with the
 * status; the probe is then to be freed. */
int probe_new(struct probe **ret, struct engine *e, const char *url,
	      void (*answered)(void *data, int status), void *data, struct error *err);

/* Returns NULL; NULL is allowed. */
struct probe *probe_free(struct probe *p);
