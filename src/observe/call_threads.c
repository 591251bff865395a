/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/call_threads.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "core/pidfd_info.h"
#include "core/proc.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KNOWN_MS      50U
#define CHILDREN_SIZE 256U /* of a longer list the other ways are as short */

/* --- places ---------------------------------------------------------------------------------- */

static struct call_thread *set_of(struct call_threads *threads, int32_t tid)
{
	return threads->known[(uint32_t)tid % CALL_SETS];
}

static struct call_thread *find(struct call_threads *threads, int32_t tid)
{
	struct call_thread *set = set_of(threads, tid);

	for (unsigned i = 0; i < CALL_WAYS; i++) {
		if (set[i].tid != tid)
			continue;
		set[i].used = ++threads->uses;
		return &set[i];
	}
	return NULL;
}

/* Makes room at the cost of who was of no use for the longest time. */
static struct call_thread *put(struct call_threads *threads, int32_t tid)
{
	struct call_thread *k = find(threads, tid), *set = set_of(threads, tid);

	for (unsigned i = 0; !k && i < CALL_WAYS; i++)
		k = set[i].tid == 0 ? &set[i] : NULL;
	if (!k) {
		k = set;
		for (unsigned i = 1; i < CALL_WAYS; i++)
			k = set[i].used < k->used ? &set[i] : k;
	}
	*k = (struct call_thread){ .tid = tid, .used = ++threads->uses };
	return k;
}

/* --- what is told ---------------------------------------------------------------------------- */

/* The name is that of the thread, not of the process, so only its first thread's is known. */
void call_forked(struct call_threads *threads, int32_t maker, int32_t maker_tid, int32_t child,
		 const void *teller)
{
	const struct call_thread *m = maker == maker_tid ? find(threads, maker) : NULL;
	struct call_thread from = m && m->teller == teller ? *m : (struct call_thread){ 0 };
	struct call_thread *k = put(threads, child);

	k->pid = child;
	k->ppid = maker;
	k->maker = maker_tid;
	k->teller = from.teller;
	memcpy(k->comm, from.comm, sizeof(k->comm));
}

void call_renamed(struct call_threads *threads, int32_t pid, const char *comm, const void *teller)
{
	struct call_thread *k = find(threads, pid);

	if (!k || k->pid != pid)
		return;
	memset(k->comm, 0, sizeof(k->comm));
	(void)snprintf(k->comm, sizeof(k->comm), "%s", comm);
	k->teller = teller;
}

void call_ended(struct call_threads *threads, int32_t pid, const void *teller)
{
	struct call_thread *k = find(threads, pid);

	if (k && k->teller == teller)
		*k = (struct call_thread){ 0 };
}

void call_untold(struct call_threads *threads, const void *teller)
{
	for (unsigned i = 0; i < CALL_SETS * CALL_WAYS; i++) {
		struct call_thread *k = &threads->known[i / CALL_WAYS][i % CALL_WAYS];

		if (k->teller == teller)
			*k = (struct call_thread){ 0 };
	}
}

/* --- what is asked --------------------------------------------------------------------------- */

int32_t call_process(int32_t tid)
{
	char path[64], text[1024], *at;
	ssize_t n;
	int fd;

	/* Only the first thread of a process has its number as its process. */
	if (syscall(SYS_tgkill, tid, tid, 0) == 0 || errno == EPERM)
		return tid;
	(void)snprintf(path, sizeof(path), "/proc/%d/status", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return tid;
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	text[MAX(n, (ssize_t)0)] = '\0';
	at = strstr(text, "\nTgid:");
	return at ? (int32_t)strtol(at + 6, NULL, 10) : tid;
}

static void ask_stat(struct call_thread *k)
{
	struct proc_stat stat;

	k->comm[0] = '\0';
	k->ppid = 0;
	if (proc_stat_read(k->tid, &stat) < 0)
		return;
	memcpy(k->comm, stat.comm, sizeof(k->comm) - 1);
	k->ppid = stat.ppid;
}

/* --- parents --------------------------------------------------------------------------------- */

static void forget_parent(struct call_threads *threads, int32_t next)
{
	if (threads->parent.fd > 0)
		(void)close(threads->parent.fd);
	memset(&threads->parent, 0, sizeof(threads->parent));
	threads->parent.tid = next;
}

void call_threads_done(struct call_threads *threads)
{
	forget_parent(threads, 0);
}

static bool lists(const char *text, int32_t pid)
{
	char *end;

	for (; *text != '\0'; text = end + (*end == ' ')) {
		if (strtol(text, &end, 10) == pid)
			return true;
		if (end == text)
			break;
	}
	return false;
}

/* Whether it still is the child of the thread that made it: /proc/PID/task/TID/children. Who makes
 * one process often makes many, so the file is opened for the second, and stays open. */
static bool is_child_of_maker(struct call_threads *threads, const struct call_thread *k)
{
	char path[64], text[CHILDREN_SIZE];
	ssize_t n = -1;

	if (k->maker != 0 && threads->parent.tid != k->maker) {
		forget_parent(threads, k->maker);
		return false;
	}
	if (k->maker == 0 || threads->parent.unfit)
		return false;
	if (threads->parent.fd == 0) {
		(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", k->ppid, k->maker);
		threads->parent.fd = MAX(open(path, O_RDONLY | O_CLOEXEC), 0);
	}
	if (threads->parent.fd > 0)
		n = pread(threads->parent.fd, text, sizeof(text), 0);
	threads->parent.unfit = n <= 0 || n == (ssize_t)sizeof(text);
	if (threads->parent.unfit)
		return false;
	text[n] = '\0';
	return lists(text, k->pid);
}

/* Of a process: who made it need not be its parent (CLONE_PARENT), nor be so for ever. */
static bool ask_parent(struct call_threads *threads, struct call_thread *k)
{
	struct pidfd_info_v0 info = { 0 };
	_cleanup_(closep) int fd = -1;

	if (is_child_of_maker(threads, k))
		return true;
	k->maker = 0;
	if (threads->stat_only)
		return false;
	fd = (int)syscall(SYS_pidfd_open, k->pid, 0);
	if (fd < 0)
		return false;
	if (ioctl(fd, PIDFD_GET_INFO_V0, &info) < 0) {
		threads->stat_only = errno == ENOTTY || errno == EINVAL; /* before Linux 6.13 */
		return false;
	}
	k->ppid = (int32_t)info.ppid;
	return true;
}

static bool is_told(const struct call_threads *threads, const struct call_thread *k)
{
	return k->teller && k->teller == threads->userdata && k->comm[0] != '\0';
}

struct call_thread *call_thread(struct call_threads *threads, const struct call *c)
{
	struct call_thread *k = find(threads, c->tid);
	uint64_t now = clock_monotonic_ms();
	bool told;

	if (k && now < k->until && !k->executes && k->comm[0] != '\0')
		return k;
	call_by_number(c);
	if (threads->ask)
		threads->ask(threads->userdata);
	k = find(threads, c->tid);
	told = k && is_told(threads, k);
	if (k && now < k->until && told) {
		k->executes = false;
		return k;
	}
	if (!told) {
		k = put(threads, c->tid);
		k->pid = call_process(c->tid);
	}
	if (!told || !ask_parent(threads, k))
		ask_stat(k);
	k->executes = false;
	k->until = now + KNOWN_MS;
	return k;
}

/* Whichever thread executes it, it has the number of the first one then. */
void call_thread_executes(struct call_threads *threads, struct call_thread *k)
{
	struct call_thread *first = find(threads, k->pid);

	k->executes = true;
	if (first)
		first->executes = true;
}
