/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/setup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/cgroup.h"
#include "core/pipes.h"
#include "core/uring_read.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOG_MAX    (16 * MiB)
#define LOOKERS_MS 2000U /* who only looks at the lock is waited for so long */

static int join(const struct keeper *k, const char *name, char path[PATH_MAX])
{
	int n = snprintf(path, PATH_MAX, "%s/%s", k->dir, name);

	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* Appends to reeve.log, which becomes stderr of keeper, spawner and engine. */
static int open_log(struct keeper *k, const struct setup_options *o, struct error *e)
{
	char path[PATH_MAX], old[PATH_MAX];
	struct stat st;
	int fd;

	log_set(2, log_level_from_env(LEVEL_INFO), "reeve-keeper");
	if (o->foreground)
		return 0;
	if (join(k, "reeve.log", path) < 0 || join(k, "reeve.log.1", old) < 0)
		return error_set(e, ERROR_INVALID_ARGUMENT, "directory name %s is too long",
				 k->dir);
	if (stat(path, &st) == 0 && st.st_size > (off_t)LOG_MAX)
		rename(path, old);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set_errno(e, ERROR_INTERNAL, errno, "open %s", path);
	dup2(fd, 2);
	close(fd);
	return 0;
}

/* Whoever asks whether a daemon runs has a shared lock for an instant, and that is none. */
static int lock_alone(int fd)
{
	for (unsigned i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
		if (errno != EWOULDBLOCK || i == LOOKERS_MS || flock(fd, LOCK_SH | LOCK_NB) < 0)
			return -errno;
		flock(fd, LOCK_UN);
		usleep(1000);
	}
	return 0;
}

static int take_lock(struct keeper *k, struct error *e)
{
	_cleanup_(closep) int fd = -1;
	char path[PATH_MAX], text[64] = "";
	int r;

	if (join(k, "lock", path) < 0)
		return error_set(e, ERROR_INVALID_ARGUMENT, "directory name %s is too long",
				 k->dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_set_errno(e, ERROR_INTERNAL, errno, "open %s", path);
	r = lock_alone(fd);
	if (r < 0) {
		if (r != -EWOULDBLOCK)
			return error_set_errno(e, ERROR_INTERNAL, r, "lock %s", path);
		if (pread(fd, text, sizeof(text) - 1, 0) < 0)
			text[0] = 0;
		return error_set(e, ERROR_ALREADY_EXISTS, "already running (PID %d)", atoi(text));
	}
	k->daemon_fds[DAEMON_FD_LOCK] = take_fd(&fd);
	return 0;
}

void setup_write_lock(struct keeper *k)
{
	struct proc_stat st = { 0 };
	char text[64];
	int n, fd = k->daemon_fds[DAEMON_FD_LOCK];

	if (proc_stat_read(getpid(), &st) < 0)
		log_warn("cannot read own start time");
	n = snprintf(text, sizeof(text), "%d %llu%s\n", (int)getpid(), (unsigned long long)st.start,
		     k->parked ? " parked" : "");
	if (pwrite(fd, text, (size_t)n, 0) != n || ftruncate(fd, n) < 0)
		log_warn("cannot write the lock file: %s", strerror(errno));
}

static int open_signals(struct keeper *k, struct error *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* the limit of whoever started us: then writing fails, no more */
	umask(umask(0) & 077);    /* our own files stay ours to open */
	k->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (k->signal_fd < 0)
		return error_set_errno(e, ERROR_INTERNAL, errno, "signalfd");
	/* Orphans of the sessions become ours, so that their ends are seen. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return error_set_errno(e, ERROR_INTERNAL, errno, "become a subreaper");
	prctl(PR_SET_NAME, "reeve-keeper");
	return 0;
}

int setup_map_control(struct keeper *k, struct error *e)
{
	k->memory = mmap(NULL, CONTROL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			 k->daemon_fds[DAEMON_FD_CONTROL], 0);
	if (k->memory == MAP_FAILED)
		return error_set_errno(e, ERROR_EXHAUSTED, errno, "map control memory");
	k->daemon = control_daemon(k->memory);
	word_hook_role(k->memory, ROLE_KEEPER);
	return 0;
}

static int make_control(struct keeper *k, uint64_t nofile, struct error *e)
{
	struct control_daemon *d;
	int r, fd = fd_memfd("reeve-control", CONTROL_SIZE);

	if (fd < 0)
		return error_set_errno(e, ERROR_EXHAUSTED, fd, "control memory");
	k->daemon_fds[DAEMON_FD_CONTROL] = fd;
	r = setup_map_control(k, e);
	if (r < 0)
		return r;
	d = k->daemon;
	word_store(&d->version, CONTROL_VERSION);
	word_store(&d->slots, CONTROL_SLOTS);
	word_store(&d->epoch, clock_realtime_ms());
	word_store(&d->started, clock_realtime_ms());
	word_store(&d->nofile_soft, nofile);
	word_store(&d->magic, CONTROL_MAGIC);
	return 0;
}

static int make_pipes(struct keeper *k, struct error *e)
{
	int pair[2], r = pipe_make(pair, 1, 1, 0);

	if (r >= 0) {
		k->daemon_fds[DAEMON_FD_TRANSFER_R] = pair[0];
		k->daemon_fds[DAEMON_FD_TRANSFER_W] = pair[1];
		r = pipe_make(pair, 1, 1, 0);
	}
	if (r < 0)
		return error_set_errno(e, ERROR_EXHAUSTED, r, "make the private pipes");
	k->daemon_fds[DAEMON_FD_FEED_R] = pair[0];
	k->daemon_fds[DAEMON_FD_FEED_W] = pair[1];
	return 0;
}

/* Without it output goes by way of a pipe, which is slower. $REEVE_CAPTURE is for tests of that. */
static void make_reads(struct keeper *k)
{
	const char *way = getenv("REEVE_CAPTURE");

	if (way && strcmp(way, "splice") == 0)
		return;
	k->reads_fd = uring_read_make(&k->daemon->reads);
	if (k->reads_fd < 0)
		log_info("output is not captured by io_uring: %s", strerror(-k->reads_fd));
}

/* A short name that differs between the daemons of one user. */
static void cgroup_tag(const struct keeper *k, char tag[32])
{
	uint64_t h = 14695981039346656037ULL;

	for (const char *p = k->dir; *p; p++)
		h = (h ^ (uint8_t)*p) * 1099511628211ULL;
	snprintf(tag, 32, "%u-%08x", (unsigned)getuid(), (unsigned)(h ^ h >> 32));
}

static void find_cgroup(struct keeper *k)
{
	struct error e = { 0 };
	char tag[32];

	cgroup_tag(k, tag);
	if (cgroup_open(tag, &k->daemon_fds[DAEMON_FD_CGROUP], &e) < 0) {
		k->daemon_fds[DAEMON_FD_CGROUP] = -1;
		log_info("sessions have no cgroup of their own: %s", e.message);
	}
}

static int one_child(pid_t pid, void *userdata)
{
	(void)pid;
	(void)userdata;
	return 1;
}

/* The engine's program: given, or beside this one. */
static int find_engine(struct keeper *k, const struct setup_options *o, struct error *e)
{
	static char path[PATH_MAX + 16];
	ssize_t n;
	char *slash;

	if (o->engine) {
		k->engine_path = o->engine;
		return 0;
	}
	n = readlink("/proc/self/exe", path, PATH_MAX - 1);
	if (n < 0)
		return error_set_errno(e, ERROR_INTERNAL, errno, "read /proc/self/exe");
	path[n] = 0;
	slash = strrchr(path, '/');
	strcpy(slash ? slash + 1 : path, "reeved");
	k->engine_path = path;
	if (access(path, X_OK) < 0)
		return error_set_errno(e, ERROR_INTERNAL, errno, "engine %s", path);
	return 0;
}

static int setup_fresh(struct keeper *k, const struct setup_options *o, struct error *e)
{
	struct rlimit limit = { 0 };
	int r;

	getrlimit(RLIMIT_NOFILE, &limit);
	fd_raise_nofile(NULL);
	r = take_lock(k, e);
	if (r >= 0)
		r = open_log(k, o, e);
	if (r >= 0)
		r = make_control(k, limit.rlim_cur, e);
	if (r >= 0)
		r = make_pipes(k, e);
	if (r >= 0)
		r = socket_make(k, e);
	if (r < 0)
		return r;
	make_reads(k);
	setup_write_lock(k);
	find_cgroup(k);
	program_keep(k, 0);
	k->engine.start_at = clock_monotonic_ms();
	log_info("started in %s, version " REEVE_VERSION, k->dir);
	return 0;
}

int setup(struct keeper *k, const struct setup_options *o, struct error *e)
{
	int r, children;

	k->dir = o->dir;
	k->reads_fd = o->reads_fd;
	k->program = k->new_program = -1;
	for (unsigned i = 0; i < N_DAEMON_FDS; i++)
		k->daemon_fds[i] = -1;
	k->engine.sock = k->engine.pidfd = k->spawner.sock = k->socket_watch = -1;
	k->children_fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
	r = find_engine(k, o, e);
	if (r >= 0)
		r = open_signals(k, e);
	k->look_anyway = o->adopt_fd >= 0;
	children = proc_each_child(one_child, NULL);
	k->peek_children = children >= 0;
	k->born_childless = children == 0;
	if (r >= 0)
		r = o->adopt_fd >= 0 ? setup_adopt(k, o->adopt_fd, e) : setup_fresh(k, o, e);
	if (r < 0)
		return r;
	word_store(&k->daemon->keeper_pid, (uint64_t)getpid());
	r = spawner_start(k);
	if (r < 0)
		return error_set_errno(e, ERROR_EXHAUSTED, r, "start the spawner");
	return 0;
}

void setup_leave(struct keeper *k)
{
	if (k->daemon_fds[DAEMON_FD_CGROUP] >= 0)
		cgroup_close_down(k->daemon_fds[DAEMON_FD_CGROUP]);
	socket_remove(k);
	/* A name in a lock that nobody holds would be that of a daemon that died. */
	if (ftruncate(k->daemon_fds[DAEMON_FD_LOCK], 0) < 0)
		log_warn("lock: %s", strerror(errno));
	log_info("stopped");
}
