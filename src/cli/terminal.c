/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/terminal.h"
#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define UNDO_MS 1000 /* for a terminal that takes nothing */

/* The title is kept by the terminal itself, on a stack of its own (XTerm, "Window manipulation").
 */
#define KEEP       "\033[22;0t" TERMINAL_MODES_KEEP
#define GIVE_TITLE "\033[23;0t"

bool terminal_is_here(void)
{
	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

bool terminal_size(uint16_t *ret_rows, uint16_t *ret_cols)
{
	struct winsize w;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_row == 0 || w.ws_col == 0)
		return false;
	*ret_rows = w.ws_row;
	*ret_cols = w.ws_col;
	return true;
}

/* Never waits for long: the terminal may be stopped, or full. */
static void write_patiently(const char *bytes, size_t n)
{
	int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct pollfd p = { .fd = fd < 0 ? STDOUT_FILENO : fd, .events = POLLOUT };

	while (n > 0 && poll(&p, 1, UNDO_MS) > 0 && !(p.revents & (POLLERR | POLLHUP))) {
		ssize_t k = write(p.fd, bytes, n);

		if (k < 0 && errno != EINTR && errno != EAGAIN)
			break;
		if (k > 0) {
			bytes += k;
			n -= (size_t)k;
		}
	}
	fd_close(fd);
}

static void undo(struct terminal_shared *s)
{
	char sequences[TERMINAL_UNDO_MAX + 32];
	size_t n = terminal_modes_undo(&s->modes, sequences);

	n += (size_t)snprintf(sequences + n, sizeof(sequences) - n, GIVE_TITLE "%s",
			      terminal_modes_in_line(&s->modes) ? "\r\n" : "");
	write_patiently(sequences, n);
	s->modes = (struct terminal_modes){ 0 };
}

/* --- the watcher ----------------------------------------------------------------------------- */

static bool same_modes(const struct termios *a, const struct termios *b)
{
	return a->c_iflag == b->c_iflag && a->c_oflag == b->c_oflag && a->c_lflag == b->c_lflag &&
	       (a->c_cflag & ~(tcflag_t)CBAUD) == (b->c_cflag & ~(tcflag_t)CBAUD);
}

/* Whoever changed the terminal after the client, as a shell does at its prompt, knows better. */
static void put_right(struct terminal_shared *s)
{
	struct termios now;

	if (tcgetattr(STDIN_FILENO, &now) == 0 && same_modes(&now, &s->raw))
		tcsetattr(STDIN_FILENO, TCSANOW, &s->found);
	undo(s);
}

/* A session of its own: what ends the client's process group or its terminal does not end it, and
 * it may write to that terminal from outside. */
static _Noreturn void watch(struct terminal_shared *s, int leash)
{
	char byte;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	setsid();
	prctl(PR_SET_NAME, "reeve-terminal");
	if (leash > STDERR_FILENO + 1)
		close_range(STDERR_FILENO, (unsigned)leash - 1, 0);
	close_range((unsigned)leash + 1, ~0U, 0);
	while (read(leash, &byte, 1) < 0 && errno == EINTR)
		;
	if (s->entered)
		put_right(s);
	_exit(0);
}

static int start_watcher(struct terminal *t, struct error *e)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(e, ERROR_EXHAUSTED, errno, "pipe");
	t->watcher = fork();
	if (t->watcher == 0) {
		close(ends[1]);
		watch(t->shared, ends[0]);
	}
	close(ends[0]);
	t->leash = ends[1];
	return t->watcher < 0 ? error_set_errno(e, ERROR_EXHAUSTED, errno, "fork") : 0;
}

/* --- the terminal ---------------------------------------------------------------------------- */

static void make_raw(struct termios *t)
{
	cfmakeraw(t);
	t->c_cc[VMIN] = 1;
	t->c_cc[VTIME] = 0;
}

int terminal_open(struct terminal *t, struct error *e)
{
	*t = (struct terminal){ .leash = -1, .watcher = -1 };
	t->shared = mmap(NULL, sizeof(*t->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (t->shared == MAP_FAILED) {
		t->shared = NULL;
		return error_set_errno(e, ERROR_EXHAUSTED, errno, "mmap");
	}
	return start_watcher(t, e);
}

/* A terminal that was hung up is no error. */
static int cannot(struct error *e, int errnum, const char *step)
{
	return errnum == EIO ? -EIO : error_set_errno(e, ERROR_INTERNAL, errnum, "%s", step);
}

int terminal_enter(struct terminal *t, struct error *e)
{
	struct terminal_shared *s = t->shared;

	if (s->entered)
		return 0;
	if (tcgetattr(STDIN_FILENO, &s->found) < 0)
		return cannot(e, errno, "terminal: tcgetattr");
	s->raw = s->found;
	make_raw(&s->raw);
	s->entered = true;
	while (tcsetattr(STDIN_FILENO, TCSADRAIN, &s->raw) < 0) {
		if (errno == EINTR)
			continue;
		s->entered = false;
		return cannot(e, errno, "terminal: tcsetattr");
	}
	write_patiently(KEEP, strlen(KEEP));
	return 0;
}

void terminal_leave(struct terminal *t)
{
	if (!t->shared || !t->shared->entered)
		return;
	undo(t->shared);
	while (tcsetattr(STDIN_FILENO, TCSANOW, &t->shared->found) < 0 && errno == EINTR)
		;
	t->shared->entered = false;
}

void terminal_close(struct terminal *t)
{
	terminal_leave(t);
	t->leash = fd_close(t->leash);
	if (t->watcher > 0)
		while (waitpid(t->watcher, NULL, 0) < 0 && errno == EINTR)
			;
	if (t->shared)
		munmap(t->shared, sizeof(*t->shared));
	*t = (struct terminal){ .leash = -1, .watcher = -1 };
}
