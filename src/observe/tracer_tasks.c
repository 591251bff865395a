/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/tracer_tasks.h"
#include <stdlib.h>

static struct task **place_of(struct tasks *t, pid_t tid)
{
	struct task **place = &t->buckets[(unsigned)tid % TASK_BUCKETS];

	while (*place && (*place)->tid != tid)
		place = &(*place)->next;
	return place;
}

struct task *task_find(struct tasks *t, pid_t tid)
{
	return *place_of(t, tid);
}

struct task *task_add(struct tasks *t, pid_t tid)
{
	struct task **place = place_of(t, tid), *task = calloc(1, sizeof(*task));

	if (!task)
		return NULL;
	task->tid = tid;
	*place = task;
	t->n++;
	t->homeless++;
	return task;
}

bool task_join(struct tasks *t, struct task *task, struct traced_process *process)
{
	if (!process)
		process = calloc(1, sizeof(*process));
	if (!process)
		return false;
	if (process->threads++ == 0)
		process->pid = task->tid;
	task->process = process;
	t->homeless--;
	return true;
}

struct task *task_homeless(struct tasks *t, const struct task *last)
{
	unsigned i = last ? (unsigned)last->tid % TASK_BUCKETS : 0;
	struct task *task = last ? last->next : t->buckets[0];

	while (t->homeless > 0) {
		for (; task; task = task->next) {
			if (!task->process)
				return task;
		}
		if (++i == TASK_BUCKETS)
			break;
		task = t->buckets[i];
	}
	return NULL;
}

static void leave(struct tasks *t, struct task *task)
{
	struct traced_process *p = task->process;

	task->process = NULL;
	if (!p) {
		t->homeless--;
		return;
	}
	p->exiting -= task->exiting ? 1 : 0;
	if (--p->threads == 0)
		free(p);
}

void task_remove(struct tasks *t, struct task *task)
{
	struct task **place = place_of(t, task->tid);

	*place = task->next;
	t->n--;
	leave(t, task);
	task->descriptors = descriptors_unref(&t->files, task->descriptors);
	reeve_event_free(task->call);
	free(task);
}

void task_alone(struct tasks *t, struct task *task)
{
	struct traced_process *process = task->process;

	for (unsigned i = 0; i < TASK_BUCKETS; i++) {
		for (struct task *other = t->buckets[i], *next; other; other = next) {
			next = other->next;
			if (other != task && other->process == process)
				task_remove(t, other);
		}
	}
	if (task->tid != process->pid) {
		struct task **place = place_of(t, task->tid);

		*place = task->next;
		task->tid = process->pid;
		task->next = NULL;
		*place_of(t, task->tid) = task;
	}
}
