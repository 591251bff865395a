/* SPDX-License-Identifier: Apache-2.0 */
/* report_tree.c - the processes of a report as a tree. */
#include "cli/report.h"
#include <errno.h>
#include <stdlib.h>

size_t report_place(const struct report *r, int64_t pid)
{
	const json_t *place;
	char key[24];

	(void)snprintf(key, sizeof(key), "%lld", (long long)pid);
	place = json_object_get(r->pids, key);
	return place ? (size_t)json_integer_value(place) + 1 : 0;
}

const char *report_command(const struct report_process *p, char buf[REPORT_COMMAND_TEXT])
{
	if (p->command)
		return p->command;
	if (p->comm)
		(void)snprintf(buf, REPORT_COMMAND_TEXT, "(fork of %s)", p->comm);
	else
		(void)snprintf(buf, REPORT_COMMAND_TEXT, "(fork)");
	return buf;
}

/* Each is its parent's child. A parent that was heard of later is the last one of its pid. */
static void link_children(struct report *r)
{
	for (size_t i = r->n_processes; i-- > 0;) {
		struct report_process *p = &r->processes[i], *parent;

		if (p->parent == 0)
			p->parent = report_place(r, p->ppid);
		if (p->parent == i + 1)
			p->parent = 0;
		if (p->parent == 0)
			continue;
		parent = &r->processes[p->parent - 1];
		p->next = parent->child;
		parent->child = i + 1;
	}
}

/* `root` and all below it. What pids that were used again make a circle of ends at what was placed
 * before. */
static void place(struct report *r, size_t root, size_t *n)
{
	size_t at = root;
	unsigned depth = 0;

	for (;;) {
		struct report_process *p = &r->processes[at];

		if (!p->placed) {
			p->placed = true;
			p->depth = depth;
			r->order[(*n)++] = at;
			if (p->child != 0 && !r->processes[p->child - 1].placed) {
				at = p->child - 1;
				depth++;
				continue;
			}
		}
		while (at != root && p->next == 0) {
			at = p->parent - 1;
			p = &r->processes[at];
			depth--;
		}
		if (at == root)
			return;
		at = p->next - 1;
	}
}

int report_arrange(struct report *r)
{
	size_t n = 0;

	r->order = reallocarray(NULL, r->n_processes, sizeof(*r->order));
	if (!r->order && r->n_processes > 0)
		return -ENOMEM;
	link_children(r);
	for (size_t i = 0; i < r->n_processes; i++)
		if (r->processes[i].parent == 0)
			place(r, i, &n);
	for (size_t i = 0; i < r->n_processes; i++)
		if (!r->processes[i].placed)
			place(r, i, &n);
	return 0;
}
