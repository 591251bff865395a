/* SPDX-License-Identifier: Apache-2.0 */
#include "core/proc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "core/dirents.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define STAT_MAX    2048U /* 52 numbers of up to 20 digits and a name */
#define LIMITS_MAX  4096U
#define NAMES_AHEAD 512U /* bytes of directory entries fetched at a time: about twenty */
#define PATH_BYTES  64U

/* Where a field stands in the part of /proc/PID/stat behind the name; field 3 is the first. */
enum stat_field {
	FIELD_STATE = 3,
	FIELD_PPID = 4,
	FIELD_PGID = 5,
	FIELD_SESSION = 6,
	FIELD_TTY = 7,
	FIELD_FOREGROUND = 8,
	FIELD_FLAGS = 9,
	FIELD_THREADS = 20,
	FIELD_START = 22,
	FIELD_START_CODE = 26,
	FIELD_PENDING = 31,
	FIELD_ARG_END = 49,
	FIELD_STATUS = 52,
	N_FIELDS,
};

/* After the first look at an execve under way; twice as long after each further one. */
#define LOOK_AGAIN_NS 100000
#define LOOKS_MAX     10U

/* What the kernel shows for the first address of the code to one who may not know it. */
#define START_CODE_HIDDEN 1U

static int open_of(pid_t pid, const char *name)
{
	char path[PATH_BYTES];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	return fd;
}

/* One file of /proc as a string, by a single read: the kernel makes it whole. */
static int read_text(pid_t pid, const char *name, char *text, size_t size)
{
	_cleanup_(closep) int fd = -EBADF;
	ssize_t n;

	fd = open_of(pid, name);
	if (fd < 0)
		return fd;
	do
		n = read(fd, text, size - 1);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -ESRCH;
	text[n] = '\0';
	return 0;
}

/* The name may hold anything, spaces and parentheses too; nothing behind it holds a parenthesis. */
static char *take_name(char *text, struct proc_stat *s)
{
	char *open = strchr(text, '('), *close = strrchr(text, ')');
	size_t length;

	if (!open || !close || close < open || close[1] != ' ')
		return NULL;
	length = MIN((size_t)(close - open - 1), sizeof(s->comm) - 1);
	memcpy(s->comm, open + 1, length);
	s->comm[length] = '\0';
	return close + 2;
}

int proc_stat_read(pid_t pid, struct proc_stat *ret)
{
	struct proc_stat s = { .pid = pid };
	uint64_t fields[N_FIELDS] = { 0 };
	char text[STAT_MAX], *p;
	int i, r;

	r = read_text(pid, "stat", text, sizeof(text));
	if (r < 0)
		return r;
	p = take_name(text, &s);
	if (!p || *p == '\0')
		return -EBADMSG;
	s.state = *p++;
	for (i = FIELD_PPID; i < N_FIELDS; i++) {
		char *end;

		fields[i] = strtoull(p, &end, 10); /* a minus sign wraps, and back below */
		if (end == p)
			break;
		p = end;
	}
	if (i <= FIELD_START)
		return -EBADMSG;
	s.ppid = (pid_t)fields[FIELD_PPID];
	s.pgid = (pid_t)fields[FIELD_PGID];
	s.session = (pid_t)fields[FIELD_SESSION];
	s.tty = (int)fields[FIELD_TTY];
	s.foreground = (pid_t)fields[FIELD_FOREGROUND];
	s.flags = (unsigned)fields[FIELD_FLAGS];
	s.threads = (unsigned)fields[FIELD_THREADS];
	s.start = fields[FIELD_START];
	s.pending = fields[FIELD_PENDING];
	s.status = (int)fields[FIELD_STATUS];
	s.no_arguments =
		fields[FIELD_START_CODE] != START_CODE_HIDDEN && fields[FIELD_ARG_END] == 0;
	*ret = s;
	return 0;
}

bool proc_stat_dead(const struct proc_stat *s)
{
	return s->state == 'X' || s->state == 'x' || (s->state == 'Z' && s->threads <= 1);
}

bool proc_stat_exiting(const struct proc_stat *s)
{
	if (proc_stat_dead(s) || s->pending & 1U << (SIGKILL - 1))
		return true;
	return (s->flags & PROC_EXITING) && s->threads <= 1;
}

/* The hard limit in the line `Max file locks  SOFT  HARD  locks`. */
static int parse_locks(const char *text, uint64_t *ret)
{
	static const char title[] = "Max file locks";
	const char *p = strstr(text, title);
	char *end;
	uint64_t value;

	if (!p)
		return -EBADMSG;
	p += sizeof(title) - 1;
	p += strspn(p, " ");
	p += strcspn(p, " \n");
	p += strspn(p, " ");
	if (strncmp(p, "unlimited", strlen("unlimited")) == 0) {
		*ret = 0;
		return 0;
	}
	errno = 0;
	value = strtoull(p, &end, 10);
	if (end == p || errno != 0)
		return -EBADMSG;
	*ret = value;
	return 0;
}

int proc_mark(pid_t pid, uint64_t *ret)
{
	char text[LIMITS_MAX];
	struct rlimit limit;
	int r;

	if (pid <= 0)
		return -ESRCH;
	if (prlimit(pid, RLIMIT_LOCKS, NULL, &limit) == 0) {
		*ret = limit.rlim_max == RLIM_INFINITY ? 0 : (uint64_t)limit.rlim_max;
		return 0;
	}
	if (errno == ESRCH)
		return -ESRCH;
	r = read_text(pid, "limits", text, sizeof(text));
	return r < 0 ? r : parse_locks(text, ret);
}

int proc_cmdline(pid_t pid, char *buffer, size_t size, size_t *ret_length)
{
	_cleanup_(closep) int fd = -EBADF;
	ssize_t n, more = 0;
	char next;

	fd = open_of(pid, "cmdline");
	if (fd < 0)
		return fd;
	n = fd_read_full(fd, buffer, size);
	if (n < 0)
		return (int)n;
	if ((size_t)n == size)
		more = fd_read_full(fd, &next, 1);
	*ret_length = (size_t)n;
	return more > 0;
}

int proc_arguments(pid_t pid, char *buffer, size_t size, size_t *ret_length)
{
	struct timespec pause = { .tv_nsec = LOOK_AGAIN_NS };
	struct proc_stat st;
	size_t n = 0;
	int r;

	for (unsigned look = 0; look < LOOKS_MAX; look++, pause.tv_nsec *= 2) {
		r = proc_cmdline(pid, buffer, size, &n);
		if (r >= 0 && n == 0 && proc_stat_read(pid, &st) < 0)
			r = -ESRCH;
		if (r < 0)
			return r;
		if (n > 0 || !proc_stat_execing(&st))
			break;
		nanosleep(&pause, NULL);
	}
	if (n == 0) /* the execve may have come to its end between the two looks */
		return proc_cmdline(pid, buffer, size, ret_length);
	*ret_length = n;
	return r;
}

struct entry_search {
	const char *name;
	char *to;
	size_t n_name, size;
	size_t at;  /* bytes of the current entry so far */
	bool other; /* it is another one */
};

/* Takes a piece of the environment. True when the value is complete. */
static bool search_entries(struct entry_search *s, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t value = s->at - s->n_name - 1; /* index in it, once there */

		if (bytes[i] == '\0' && !s->other && s->at > s->n_name) {
			s->to[value] = '\0';
			return true;
		}
		if (bytes[i] == '\0') {
			s->at = 0;
			s->other = false;
			continue;
		}
		if (s->at <= s->n_name)
			s->other |= bytes[i] != (s->at < s->n_name ? s->name[s->at] : '=');
		else if (value + 1 >= s->size)
			s->other = true;
		if (s->at > s->n_name && !s->other)
			s->to[value] = bytes[i];
		s->at++;
	}
	return false;
}

int proc_last_pid(pid_t *ret)
{
	_cleanup_(closep) int fd = -EBADF;
	char text[128], *last;
	ssize_t n;

	fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = fd_read_full(fd, text, sizeof(text) - 1);
	if (n < 0)
		return (int)n;
	text[n] = '\0';
	last = strrchr(text, ' ');
	if (!last)
		return -EBADMSG;
	*ret = (pid_t)strtol(last + 1, NULL, 10);
	return 0;
}

/* 0 when the name is not a number that can be a pid. */
static pid_t pid_of_name(const char *name)
{
	unsigned value = 0;

	for (; *name != '\0'; name++) {
		if (!isdigit((unsigned char)*name) || value > INT_MAX / 10 - 1)
			return 0;
		value = value * 10 + (unsigned)(*name - '0');
	}
	return (pid_t)value;
}

struct number_walk {
	proc_fn fn;
	void *userdata;
};

static int take_number(const char *name, _unused_ unsigned char type, void *userdata)
{
	const struct number_walk *walk = userdata;
	pid_t pid = pid_of_name(name);

	return pid > 0 ? walk->fn(pid, walk->userdata) : 0;
}

static int each_number(const char *directory, proc_fn fn, void *userdata)
{
	struct number_walk walk = { fn, userdata };
	_cleanup_(closep) int fd = -EBADF;

	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return dirents_each(fd, NAMES_AHEAD, take_number, &walk);
}

int proc_each(proc_fn fn, void *userdata)
{
	return each_number("/proc", fn, userdata);
}

static int search_environ(pid_t tid, struct entry_search *s)
{
	_cleanup_(closep) int fd = -EBADF;
	char bytes[4096];
	size_t total = 0;
	ssize_t n;

	s->at = 0;
	s->other = false;
	fd = open_of(tid, "environ");
	if (fd < 0)
		return fd;
	while (total < PROC_ENVIRON_MAX) {
		n = read(fd, bytes, sizeof(bytes));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return total == 0 ? -ENODATA : -ENOENT;
		if (search_entries(s, bytes, (size_t)n))
			return 0;
		total += (size_t)n;
	}
	return -ENOENT;
}

static int search_environ_of_thread(pid_t tid, void *userdata)
{
	int r = search_environ(tid, userdata);

	return r == 0 ? 1 : r == -ENOENT ? r : 0;
}

int proc_environ_get(pid_t pid, const char *name, char *to, size_t size)
{
	struct entry_search s = { .name = name, .n_name = strlen(name), .to = to, .size = size };
	char path[PATH_BYTES];
	int first, r;

	first = search_environ(pid, &s);
	if (first == 0 || first == -ENOENT)
		return first;
	/* A first thread that has ended has none any more, or may not be asked any more. */
	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	r = each_number(path, search_environ_of_thread, &s);
	if (access(path, F_OK) < 0)
		return -ESRCH;
	if (r == 0)
		return first == -ESRCH ? -ENODATA : first;
	return MIN(r, 0);
}

struct child_walk {
	proc_fn fn;
	void *userdata;
	pid_t parent, lasting; /* the thread that is there for certain */
	bool missing;
};

static int each_child_of_thread(pid_t tid, void *userdata)
{
	struct child_walk *walk = userdata;
	_cleanup_(closep) int fd = -EBADF;
	char path[PATH_BYTES];

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)walk->parent,
		       (int)tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		/* The thread has ended, or the kernel has no such file. */
		walk->missing |= tid == walk->lasting;
		return 0;
	}
	if (fd < 0)
		return -errno;
	return proc_read_pids(fd, walk->fn, walk->userdata);
}

static int each_child(struct child_walk *walk)
{
	char path[PATH_BYTES];
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)walk->parent);
	r = each_number(path, each_child_of_thread, walk);
	if (r == 0 && walk->missing)
		return -EOPNOTSUPP;
	return r;
}

int proc_each_child_of(pid_t parent, proc_fn fn, void *userdata)
{
	struct child_walk walk = { fn, userdata, .parent = parent, .lasting = parent };

	return each_child(&walk);
}

int proc_each_child(proc_fn fn, void *userdata)
{
	struct child_walk walk = { fn, userdata, .parent = getpid(), .lasting = gettid() };

	return each_child(&walk);
}

/* Takes the digits of `text` into `*value` (-1: no number has begun). A number goes on in the next
 * piece when the piece ends in the middle of it. */
static int feed_pids(const char *text, size_t length, long *value, proc_fn fn, void *userdata)
{
	size_t i;
	int r;

	for (i = 0; i < length; i++) {
		if (isdigit((unsigned char)text[i])) {
			*value = MAX(*value, 0L) * 10 + (text[i] - '0');
			if (*value > INT_MAX)
				return -EBADMSG;
			continue;
		}
		r = *value > 0 ? fn((pid_t)*value, userdata) : 0;
		*value = -1;
		if (r != 0)
			return r;
	}
	return 0;
}

int proc_read_pids(int fd, proc_fn fn, void *userdata)
{
	char text[512];
	long value = -1;
	ssize_t n;
	int r;

	for (;;) {
		n = read(fd, text, sizeof(text));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return feed_pids("\n", 1, &value, fn, userdata);
		r = feed_pids(text, (size_t)n, &value, fn, userdata);
		if (r != 0)
			return r;
	}
}

bool proc_stat_execing(const struct proc_stat *s)
{
	return s->no_arguments && !(s->flags & PROC_KTHREAD) && !proc_stat_exiting(s);
}
