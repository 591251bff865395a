/* SPDX-License-Identifier: Apache-2.0 */
/* report.h - what an observed session did, summed up. */
#pragma once
#include "cli/cli.h"

enum report_use {
	USE_READ = 1 << 0,
	USE_WRITTEN = 1 << 1,
	USE_CREATED = 1 << 2,
	USE_REMOVED = 1 << 3,
	USE_EXECUTED = 1 << 4,
};

struct report_process {
	int64_t pid, ppid;
	char *command;            /* NULL: it ran nothing of its own */
	char *comm;               /* of who forked it; NULL: not known */
	int64_t start_ms, end_ms; /* 0: not seen */
	bool ended;
	int64_t code; /* once it has ended */
	bool code_known;
	size_t parent, child, next; /* places in `processes` and 1; 0: none */
	unsigned depth;
	bool placed;
};

struct report_file {
	char *path;
	unsigned uses; /* set of enum report_use */
	int64_t bytes_read, bytes_written;
	bool noise; /* a library, a locale, a device: read only, and of no interest to most */
};

struct report_host {
	char *name; /* what was done and to whom: "connected tcp 10.1.2.3:443" */
	char *kind, *protocol, *address;
	int64_t times, failed, sent, received;
};

struct report {
	json_t *session;    /* as the API gives it */
	json_t *subscriber; /* its counts and who observed */
	char *cwd;
	int64_t start_ms, end_ms;
	size_t n_events, n_processes, n_files, n_hosts;
	struct report_process *processes;
	size_t *order; /* of processes as a tree, each before its children */
	struct report_file *files;
	struct report_host *hosts;
	json_t *pids, *paths, *names; /* where they stand */
};

enum report_form {
	REPORT_TEXT,
	REPORT_JSON,
	REPORT_HTML,
};

/* Reads the events that are kept. report_done in any case. */
int report_make(struct report *r, struct cli *cli, const char *session, const char *subscriber,
		struct error *e);
void report_done(struct report *r);

/* `all`: noise too. */
void report_text(const struct report *r, bool all, FILE *to);
void report_html(const struct report *r, bool all, FILE *to);

/* Whether it is noise and nothing was made or removed by it. */
bool report_is_folded(const struct report_file *f, bool all);

/* What is to be said behind the title of a category: of one whose calls are told before anybody
 * knows what comes of them, that some may have failed. */
const char *report_remark(const struct report *r, const char *category);

/* Makes and prints it. */
int report_show(struct cli *cli, const char *session, const char *subscriber, enum report_form form,
		bool all, FILE *to, struct error *e);

/* What it ran, or whose fork it is. */
#define REPORT_COMMAND_TEXT 64
const char *report_command(const struct report_process *p, char buf[REPORT_COMMAND_TEXT]);

/* Fills `order`, and each depth. -ENOMEM. */
int report_arrange(struct report *r);
/* The place of the process that has this pid now, and 1; 0: none. */
size_t report_place(const struct report *r, int64_t pid);

/* "1.5 MB"; returns `buf`. */
#define REPORT_SIZE_TEXT 32
char *report_size(int64_t bytes, char buf[REPORT_SIZE_TEXT]);
