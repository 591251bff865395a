/* SPDX-License-Identifier: Apache-2.0 */
/* negotiate.h - which backend serves which category here, for this user: found by trying.
 *
 * Of the ladder the first backend that supports a category wholly is taken, else the first that
 * supports it partly. The caller may name one instead. */
#pragma once
#include "observe/backend.h"
#include "observe/capability.h"

struct choice {
	const struct backend *backend; /* NULL: none */
	enum reeve_support support;
	char reason[REASON_MAX];
};

/* The results of probes. Each backend is probed at most once a scope, when it is first needed. */
struct prober;

/* `ladder` (NULL-terminated, at most HOST_STATES) and `cgroup_dir` are borrowed. -ENOMEM. */
int prober_new(struct prober **ret, const struct backend *const *ladder, int cgroup_dir);

/* Who tries a backend out: fills `ret` for its categories. Without this it happens here, in the
 * calling thread. */
typedef void prober_probe(void *userdata, const struct backend *b, enum reeve_scope scope,
			  struct backend_support ret[REEVE_CATEGORIES]);
void prober_delegate(struct prober *p, prober_probe *probe, void *userdata);

/* Returns NULL; NULL is allowed. */
struct prober *prober_free(struct prober *p);

/* Chooses for each category of the set `categories`; the others become unavailable, without a
 * probe. `forced[c]`: the name of the backend to use for it, NULL for the best; `forced` may be
 * NULL. ERROR_INVALID_ARGUMENT for a name that is none, or of a backend that never sees that
 * category. That the named one does not work here is no error: the choice says so. */
int negotiate(struct prober *p, enum reeve_scope scope, unsigned categories,
	      const char *const forced[REEVE_CATEGORIES], struct choice ret[REEVE_CATEGORIES],
	      struct error *e);

/* What a process has to do before its execve for these choices; `ret->n` is 0 when there is
 * nothing. ERROR_INVALID_ARGUMENT when two backends want it: a process can have one filter. */
int choices_prepare(const struct choice choices[REEVE_CATEGORIES], struct entry *ret,
		    struct error *e);

/* The choices as a matrix. NULL without memory. */
struct reeve_capabilities *capabilities_of(const struct choice choices[REEVE_CATEGORIES]);
