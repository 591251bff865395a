/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/negotiate.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCOPES         2U
#define ALL_CATEGORIES ((1U << REEVE_CATEGORIES) - 1)

struct finding {
	bool known;
	struct backend_support by[REEVE_CATEGORIES];
};

struct prober {
	const struct backend *const *ladder;
	int cgroup_dir;
	prober_probe *probe; /* NULL: we */
	void *userdata;
	struct finding findings[HOST_STATES][SCOPES];
};

int prober_new(struct prober **ret, const struct backend *const *ladder, int cgroup_dir)
{
	struct prober *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->ladder = ladder;
	p->cgroup_dir = cgroup_dir;
	*ret = p;
	return 0;
}

void prober_delegate(struct prober *p, prober_probe *probe, void *userdata)
{
	p->probe = probe;
	p->userdata = userdata;
}

struct prober *prober_free(struct prober *p)
{
	free(p);
	return NULL;
}

static const struct backend_support *find_out(struct prober *p, unsigned i, enum reeve_scope scope,
					      unsigned category)
{
	struct finding *f = &p->findings[i][scope];

	if (!f->known) {
		support_set(f->by, ALL_CATEGORIES, REEVE_UNAVAILABLE, "not seen by it");
		if (p->probe)
			p->probe(p->userdata, p->ladder[i], scope, f->by);
		else
			p->ladder[i]->probe(scope, p->cgroup_dir, f->by);
		f->known = true;
	}
	return &f->by[category];
}

static bool serves(const struct backend *b, unsigned category)
{
	return (b->categories & category_bit((enum reeve_category)category)) != 0;
}

static void add_reason(struct choice *c, const char *who, const char *reason)
{
	size_t n = strlen(c->reason);

	(void)snprintf(c->reason + n, sizeof(c->reason) - n, "%s%s%s%s", n > 0 ? "; " : "", who,
		       who[0] != '\0' ? ": " : "", reason);
}

/* The best of the ladder. What stands above it, or what there is when nothing serves, says in the
 * reason what would help. */
static void choose_best(struct prober *p, enum reeve_scope scope, unsigned category,
			struct choice *ret)
{
	unsigned partial = HOST_STATES, above = HOST_STATES;

	for (unsigned i = 0; i < HOST_STATES && p->ladder[i]; i++) {
		const struct backend_support *s;

		if (!serves(p->ladder[i], category) || p->ladder[i]->on_request)
			continue;
		s = find_out(p, i, scope, category);
		if (s->support == REEVE_SUPPORTED) {
			ret->backend = p->ladder[i];
			ret->support = REEVE_SUPPORTED;
			(void)snprintf(ret->reason, sizeof(ret->reason), "%s", s->reason);
			return;
		}
		if (s->support == REEVE_PARTIAL && partial == HOST_STATES)
			partial = i;
		else if (s->support == REEVE_UNAVAILABLE && partial == HOST_STATES)
			above = MIN(above, i);
	}
	ret->reason[0] = '\0';
	if (partial < HOST_STATES) {
		ret->backend = p->ladder[partial];
		ret->support = REEVE_PARTIAL;
		add_reason(ret, "", find_out(p, partial, scope, category)->reason);
	}
	if (above < HOST_STATES)
		add_reason(ret, p->ladder[above]->name,
			   find_out(p, above, scope, category)->reason);
}

static int choose_named(struct prober *p, enum reeve_scope scope, unsigned category,
			const char *name, struct choice *ret, struct error *e)
{
	const struct backend_support *s;
	unsigned i = 0;

	while (p->ladder[i] && strcmp(p->ladder[i]->name, name) != 0)
		i++;
	if (!p->ladder[i])
		return error_set(e, ERROR_INVALID_ARGUMENT,
				 "backend %s: there is none of that name", name);
	if (!serves(p->ladder[i], category))
		return error_set(e, ERROR_INVALID_ARGUMENT, "backend %s does not see %s", name,
				 reeve_category_name((enum reeve_category)category));
	s = find_out(p, i, scope, category);
	ret->backend = p->ladder[i];
	ret->support = s->support;
	(void)snprintf(ret->reason, sizeof(ret->reason), "%s", s->reason);
	return 0;
}

int negotiate(struct prober *p, enum reeve_scope scope, unsigned categories,
	      const char *const forced[REEVE_CATEGORIES], struct choice ret[REEVE_CATEGORIES],
	      struct error *e)
{
	struct choice choices[REEVE_CATEGORIES];

	if ((unsigned)scope >= SCOPES)
		return error_set(e, ERROR_INVALID_ARGUMENT,
				 "scope %u: there is none of that number", (unsigned)scope);
	for (unsigned c = 0; c < REEVE_CATEGORIES; c++) {
		choices[c] = (struct choice){ .support = REEVE_UNAVAILABLE,
					      .reason = "no backend of this build sees it" };
		if ((categories & category_bit((enum reeve_category)c)) == 0) {
			strcpy(choices[c].reason, "not asked for");
		} else if (forced && forced[c]) {
			int r = choose_named(p, scope, c, forced[c], &choices[c], e);

			if (r < 0)
				return r;
		} else {
			choose_best(p, scope, c, &choices[c]);
		}
		if (choices[c].reason[0] == '\0')
			strcpy(choices[c].reason, "no backend of this build sees it");
	}
	memcpy(ret, choices, sizeof(choices));
	return 0;
}

int choices_prepare(const struct choice choices[REEVE_CATEGORIES], struct entry *ret,
		    struct error *e)
{
	const struct backend *b = NULL;
	unsigned set = 0;

	ret->n = 0;
	for (unsigned c = 0; c < REEVE_CATEGORIES; c++) {
		const struct backend *other = choices[c].backend;

		if (!other || !other->prepare || choices[c].support == REEVE_UNAVAILABLE)
			continue;
		if (b && b != other)
			return error_set(e, ERROR_INVALID_ARGUMENT,
					 "backends %s and %s: both want a filter of system calls; "
					 "name one of them for both",
					 b->name, other->name);
		b = other;
		set |= category_bit((enum reeve_category)c);
	}
	if (b)
		b->prepare(set, ret);
	return 0;
}

struct reeve_capabilities *capabilities_of(const struct choice choices[REEVE_CATEGORIES])
{
	struct reeve_capabilities *c = capabilities_new();

	for (unsigned i = 0; c && i < REEVE_CATEGORIES; i++)
		capabilities_set(c, (enum reeve_category)i, choices[i].support,
				 choices[i].backend ? choices[i].backend->name : "none",
				 choices[i].reason);
	return c;
}

int reeve_capabilities_negotiate(enum reeve_scope scope, struct reeve_capabilities **ret)
{
	struct choice choices[REEVE_CATEGORIES];
	struct reeve_capabilities *c;
	struct prober *p;
	int r = prober_new(&p, backends, -1);

	if (r < 0)
		return r;
	r = negotiate(p, scope, ALL_CATEGORIES, NULL, choices, NULL);
	prober_free(p);
	if (r < 0)
		return r;
	c = capabilities_of(choices);
	if (!c)
		return -ENOMEM;
	*ret = c;
	return 0;
}
