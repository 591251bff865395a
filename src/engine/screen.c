/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/screen.h"
#include "base/log.h"
#include "core/pty.h"
#include "engine/drawer.h"
#include <errno.h>
#include <string.h>

#define RECORD_HEAD  1024U /* of each half of the region: a struct screen_record */
#define RECORD_HALF  (SCREEN_SIZE / 2)
#define CONTENTS_MAX (RECORD_HALF - RECORD_HEAD)
#define RENEWALS_MAX 4U /* at the same time, of all sessions */

_Static_assert(sizeof(struct screen_record) <= RECORD_HEAD, "a screen's record is too large");

struct screen_job {
	struct drawer_task task;
	struct engine *engine;
	unsigned slot;
	uint64_t generation;
	unsigned parts;
	bool renewal;        /* for the record; nobody else waits for it */
	bool barred;         /* no drawer is given it */
	screen_done_fn done; /* NULL: nobody does any more */
	void *data;
	struct screen_input in;
	struct screen_shot shot;
	int result; /* of the drawing; */
	int bare;   /* of doing without, where it failed */
	struct error error;
};

static const struct ring *ring_of(const struct session *s)
{
	return &s->streams[STREAM_OUT].capture.ring;
}

static uint64_t lag_max(const struct session *s)
{
	return MIN((uint64_t)SCREEN_LAG, ring_of(s)->size / 2);
}

/* A small ring is turned at a lower speed. */
static uint64_t calm_ms(const struct session *s)
{
	return 1 + SCREEN_CALM_MS * lag_max(s) / SCREEN_LAG;
}

/* --- the record ---------------------------------------------------------------------------------
 */

static char *record_place(const struct session *s, unsigned half)
{
	return (char *)s->map + s->layout.screen + half * RECORD_HALF;
}

static uint64_t record_at(const struct session *s)
{
	return word_load(&s->words->screen) >> 1;
}

static bool record_fits(const struct session *s, const struct screen_record *record)
{
	const struct ring *ring = ring_of(s);

	return record->at == record_at(s) && record->at <= ring_head(ring) &&
	       record->at >= ring_tail(ring) && record->size <= CONTENTS_MAX &&
	       term_is_valid(&record->term) &&
	       (record->size == 0 ||
		(record->rows > 0 && record->rows <= SCREEN_ROWS_MAX &&
		 record->cols >= SCREEN_COLS_MIN && record->cols <= SCREEN_COLS_MAX));
}

/* The record that counts. Without one: a new terminal at the beginning, or at the oldest byte that
 * there still is. */
static void record_load(const struct session *s, struct screen_record *ret)
{
	uint64_t word = word_load(&s->words->screen), tail = ring_tail(ring_of(s));

	if (word != 0) {
		memcpy(ret, record_place(s, word & 1), sizeof(*ret));
		if (record_fits(s, ret))
			return;
	}
	*ret = (struct screen_record){ .at = tail, .whole = tail == 0 };
	term_init(&ret->term);
}

static void record_store(struct session *s, const struct screen_record *record,
			 const char *contents)
{
	unsigned half = !(word_load(&s->words->screen) & 1);
	char *place = record_place(s, half);

	memcpy(place, record, sizeof(*record));
	if (record->size > 0)
		memcpy(place + RECORD_HEAD, contents, record->size);
	word_store(&s->words->screen, record->at << 1 | half);
	s->screen_since = uv_now(&s->engine->loop);
}

/* Follows the state alone up to `upto`. */
static void record_advance(struct session *s, uint64_t upto)
{
	struct screen_record record;
	struct iovec view[2];
	uint8_t last[4];
	size_t partial;
	int pieces;

	record_load(s, &record);
	if (upto < record.at + sizeof(last))
		return;
	pieces = ring_pieces(ring_of(s), record.at, upto - record.at, view);
	for (int i = 0; i < pieces; i++)
		term_feed(&record.term, view[i].iov_base, view[i].iov_len);
	ring_copy(ring_of(s), upto - sizeof(last), last, sizeof(last));
	partial = term_partial(&record.term, last, sizeof(last));
	term_cut(&record.term);
	record.at = upto - MIN((uint64_t)partial, upto - record.at);
	record.size = 0;
	record.whole = 0;
	record_store(s, &record, NULL);
}

/* Lets the record be no further behind than a worker may be given. */
static void bound_lag(struct session *s)
{
	uint64_t head = ring_head(ring_of(s)), lag = lag_max(s);

	if (head - record_at(s) >= lag)
		record_advance(s, head - lag / 2);
}

/* --- the window ----------------------------------------------------------------------------------
 */

void screen_size(const struct session *s, uint16_t *ret_rows, uint16_t *ret_cols)
{
	uint64_t window = word_load(&s->words->window);
	uint16_t rows = (uint16_t)(window >> 16), cols = (uint16_t)window;

	if (s->fds[SLOT_FD_OUT] >= 0)
		pty_size(s->fds[SLOT_FD_OUT], &rows, &cols);
	*ret_rows = rows > 0 ? rows : PTY_ROWS;
	*ret_cols = cols > 0 ? cols : PTY_COLS;
}

void screen_note_size(struct session *s)
{
	uint16_t rows, cols;

	if (!session_is_pty(s))
		return;
	screen_size(s, &rows, &cols);
	word_store(&s->words->window, (uint64_t)rows << 16 | cols);
}

/* --- drawing
 * ---------------------------------------------------------------------------------------
 */

static void job_free(struct screen_job *job)
{
	screen_shot_done(&job->shot);
	free(job->in.contents);
	free(job->in.bytes);
	free(job);
}

/* On a worker. */
static void run_job(struct drawer_task *task, struct drawer *d)
{
	struct screen_job *job = container_of(task, struct screen_job, task);

	screen_begin(&job->in, &job->shot);
	if (job->barred)
		job->result = error_set(&job->error, ERROR_UNAVAILABLE,
					"its output has ended %u drawers", SCREEN_FAULTS_MAX);
	else
		job->result = drawer_draw(d, &job->in, job->parts, &job->shot, &job->error);
	if (job->result >= 0)
		return;
	job->shot.fault = job->error.message;
	job->bare = screen_without_drawing(&job->in, &job->shot);
}

/* --- output that is not drawn -------------------------------------------------------------------
 */

/* Whether the drawing itself may be to blame. */
static bool is_fault(const struct screen_job *job)
{
	return !job->barred &&
	       (job->result == -EPIPE || job->result == -ETIME || job->result == -EPROTO);
}

static bool is_barred(struct session *s)
{
	if (s->screen_faults < SCREEN_FAULTS_MAX)
		return false;
	bound_lag(s); /* or the last output captured would not count before there is more */
	if (record_at(s) < s->screen_fault_at)
		return true;
	s->screen_faults = 0;
	return false;
}

static void note_result(struct session *s, const struct screen_job *job)
{
	if (job->result >= 0)
		s->screen_faults = 0;
	if (job->result >= 0 || job->barred)
		return;
	log_warn("%s: its screen was not drawn: %s", s->id, job->error.message);
	if (!is_fault(job))
		return;
	s->screen_fault_at = job->in.record.at + job->in.n;
	if (++s->screen_faults == SCREEN_FAULTS_MAX)
		log_warn("%s: not drawn any more until its output has moved on", s->id);
}

/* The screen becomes the record, unless the output has gone too far meanwhile. */
static void renew(struct session *s, const struct screen_job *job)
{
	const struct screen_shot *shot = &job->shot;
	struct screen_record record = {
		.at = shot->offset,
		.rows = shot->rows,
		.cols = shot->cols,
		.whole = shot->whole,
		.term = shot->term,
	};

	s->screen_busy = false;
	if (job->result < 0 || shot->offset <= record_at(s) ||
	    ring_head(ring_of(s)) - shot->offset > lag_max(s))
		return;
	if (shot->restore.size <= CONTENTS_MAX)
		record.size = (uint32_t)shot->restore.size;
	else
		record.whole = 0;
	record_store(s, &record, shot->restore.data);
}

static void job_done(struct drawer_task *task)
{
	struct screen_job *job = container_of(task, struct screen_job, task);
	struct session *s = job->engine->slots[job->slot];

	job->engine->drawing--;
	if (s && word_load(&s->words->generation) == job->generation) {
		note_result(s, job);
		if (job->renewal)
			renew(s, job);
	}
	if (job->done)
		job->done(job->data, job->bare < 0 ? NULL : &job->shot);
	job_free(job);
}

static int copy_input(struct session *s, struct screen_input *in)
{
	const struct ring *ring = ring_of(s);
	uint64_t word, n;

	bound_lag(s);
	word = word_load(&s->words->screen);
	record_load(s, &in->record);
	screen_size(s, &in->rows, &in->cols);
	in->rows = (uint16_t)MIN((unsigned)in->rows, SCREEN_ROWS_MAX);
	in->cols = (uint16_t)MIN(MAX((unsigned)in->cols, SCREEN_COLS_MIN), SCREEN_COLS_MAX);
	n = ring_head(ring) - in->record.at;
	in->bytes = malloc(n + 1);
	in->contents = malloc(in->record.size + 1);
	if (!in->bytes || !in->contents)
		return -ENOMEM;
	in->n = ring_copy(ring, in->record.at, in->bytes, n);
	if (in->record.size > 0)
		memcpy(in->contents, record_place(s, word & 1) + RECORD_HEAD, in->record.size);
	return 0;
}

static struct screen_job *start(struct session *s, unsigned parts, bool at_head)
{
	struct screen_job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->engine = s->engine;
	job->slot = s->slot;
	job->generation = word_load(&s->words->generation);
	job->parts = parts;
	job->in.at_head = at_head;
	job->barred = is_barred(s);
	job->task.run = run_job;
	job->task.done = job_done;
	if (copy_input(s, &job->in) < 0 || drawers_submit(s->engine, &job->task) < 0) {
		job_free(job);
		return NULL;
	}
	s->engine->drawing++;
	return job;
}

int screen_take(struct session *s, unsigned parts, screen_done_fn done, void *data,
		struct screen_job **ret, struct error *err)
{
	struct screen_job *job;

	if (s->quarantined || !session_is_pty(s) || word_load(&s->words->screen_size) == 0)
		return error_set(err, ERROR_STREAM_UNAVAILABLE,
				 "%s has no terminal: `reeve logs` shows what it has written",
				 s->id);
	if (s->engine->drawing >= SCREENS_MAX)
		return error_set(err, ERROR_UNAVAILABLE,
				 "%u screens are being drawn already; ask again", SCREENS_MAX);
	if (parts != SCREEN_RESTORE && is_barred(s))
		return error_set(err, ERROR_UNAVAILABLE,
				 "%s is not drawn: its output has ended %u drawers; `reeve logs` "
				 "shows it",
				 s->id, SCREEN_FAULTS_MAX);
	job = start(s, parts, true);
	if (!job)
		return error_set(err, ERROR_EXHAUSTED, "no memory for the screen of %s", s->id);
	job->done = done;
	job->data = data;
	*ret = job;
	return 0;
}

void screen_cancel(struct screen_job *job)
{
	if (job)
		job->done = NULL;
}

/* --- capture
 * ---------------------------------------------------------------------------------------
 */

uint64_t screen_before_capture(struct session *s, uint64_t max)
{
	if (word_load(&s->words->screen_size) == 0)
		return max;
	bound_lag(s);
	return MIN(max, MIN((uint64_t)SCREEN_STEP, ring_of(s)->size / 4));
}

void screen_captured(struct session *s)
{
	struct screen_job *job;

	if (s->screen_busy || word_load(&s->words->screen_size) == 0 ||
	    ring_head(ring_of(s)) - record_at(s) < lag_max(s) / 4 ||
	    uv_now(&s->engine->loop) - s->screen_since < calm_ms(s) ||
	    s->engine->drawing >= RENEWALS_MAX || is_barred(s))
		return;
	job = start(s, SCREEN_RESTORE, false);
	if (!job)
		return;
	job->renewal = true;
	s->screen_busy = true;
}
