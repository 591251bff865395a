/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/notify_forks.h"
#include "base/cleanup.h"

void notify_forks_ask(void *forks)
{
	struct notify_forks *f = forks;

	if (f->run.backend && f->run.backend->flush)
		f->run.backend->flush(&f->run);
}

static void on_event(void *userdata, struct reeve_event *e,
		     const struct backend_origin *origin _unused_)
{
	struct notify_forks *f = userdata;

	if (e->kind == REEVE_EXECUTED) {
		if (e->comm)
			call_renamed(f->threads, e->pid, e->comm, f);
		return;
	}
	if (e->kind == REEVE_FORKED)
		call_forked(f->threads, e->pid, e->tid, e->child_pid, f);
	else if (e->kind == REEVE_EXITED)
		call_ended(f->threads, e->pid, f);
	run_event(f->of, e, NULL);
}

static void on_unsure(struct backend_run *run)
{
	struct notify_forks *f = container_of(run, struct notify_forks, run);

	call_untold(f->threads, f);
}

static void on_missed(void *userdata, enum reeve_category category, uint64_t n)
{
	struct notify_forks *f = userdata;

	run_missed(f->of, category, n);
}

void notify_forks_start(struct notify_forks *f, struct backend_run *of,
			struct call_threads *threads)
{
	static const struct backend *const tellers[] = { &backend_perf, &backend_proc_connector };

	f->of = of;
	f->threads = threads;
	for (size_t i = 0; i < ARRAY_SIZE(tellers); i++) {
		f->run = (struct backend_run){
			.backend = tellers[i],
			.host = of->host,
			.target = of->target,
			.sink = { on_event, on_missed, f },
			.unsure = on_unsure,
		};
		f->run.target.categories = category_bit(REEVE_PROCESS);
		f->run.target.forks_only = true;
		if (tellers[i]->start(&f->run, NULL) >= 0)
			return;
	}
	f->run.backend = NULL;
}

void notify_forks_note(struct notify_forks *f, const struct backend_note *n)
{
	if (f->run.backend && f->run.backend->note)
		f->run.backend->note(&f->run, n);
}

void notify_forks_stop(struct notify_forks *f, struct call_threads *threads)
{
	if (f->run.backend && f->run.backend->stop)
		f->run.backend->stop(&f->run);
	f->run.backend = NULL;
	call_untold(threads, f);
}
