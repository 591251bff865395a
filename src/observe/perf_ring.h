/* SPDX-License-Identifier: Apache-2.0 */
/* perf_ring.h - the records that dummy perf events write into memory of each CPU: forks and exits
 * of processes and threads, and names. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PERF_COMM_MAX 16U

/* What of a record is of interest; the others are left out. */
struct perf_record {
	uint64_t time;                 /* CLOCK_MONOTONIC ns */
	uint32_t type;                 /* PERF_RECORD_FORK, _EXIT, or _COMM */
	bool execs;                    /* _COMM: of an execve; else it took another name */
	uint32_t pid, ppid, tid, ptid; /* pid != tid: of a thread that is not the first */
	char comm[PERF_COMM_MAX];
};

struct perf_cpu;

/* `epoll_fd` and `large` are given; all else zero: nothing is attached. */
struct perf_rings {
	int epoll_fd; /* readable when a record comes while none waited */
	bool large;   /* room for what a machine does while nobody reads, and bells */
	size_t page, pages, n;
	struct perf_cpu *cpus;
	struct perf_record *records; /* in the order of their times */
	size_t n_records, room;
	uint64_t lost; /* records, since somebody set it to 0 */
	bool full;     /* the same: some may be lost that are not counted yet */
};

/* Of a process and all its descendants, or (-1) of the machine. When it fails nothing is attached:
 * a negative errno. */
int perf_rings_attach(struct perf_rings *r, pid_t pid);
void perf_rings_done(struct perf_rings *r);

/* Whether there is something to read, or will be at once: a bell has rung. */
bool perf_rings_waiting(const struct perf_rings *r);

/* Whether `epoll_fd` becomes readable for each record, which is dear for whoever makes it, so it is
 * of use only while nobody reads from time to time. They are on at first. What is under way when
 * they are turned on may not be heard: what it writes is to be looked for a moment later, too. */
void perf_rings_bells(struct perf_rings *r, bool on);

/* Whether a bell has rung since the last time this was asked; what it rang for may not be there
 * yet. Without bells: no. */
bool perf_rings_heard(struct perf_rings *r);

/* Adds what there is to the records; whether there was anything. */
bool perf_rings_read(struct perf_rings *r);

/* The first `n` records are done with. */
void perf_rings_drop(struct perf_rings *r, size_t n);
