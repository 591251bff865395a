/* SPDX-License-Identifier: Apache-2.0 */
#include "base/signals.h"
#include "base/cleanup.h"
#include "base/parse.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <strings.h>

/* The kernel's numbers. glibc takes the first two real-time signals for itself, so that its
 * SIGRTMIN (a function call, which no table can hold) is 34. */
#define RT_MIN 34
#define RT_MAX 64

#define RT(n) [RT_MIN + n] = "SIGRTMIN+" #n

static const char *const names[RT_MAX + 1] = {
	[SIGHUP] = "SIGHUP",
	[SIGINT] = "SIGINT",
	[SIGQUIT] = "SIGQUIT",
	[SIGILL] = "SIGILL",
	[SIGTRAP] = "SIGTRAP",
	[SIGABRT] = "SIGABRT",
	[SIGBUS] = "SIGBUS",
	[SIGFPE] = "SIGFPE",
	[SIGKILL] = "SIGKILL",
	[SIGUSR1] = "SIGUSR1",
	[SIGSEGV] = "SIGSEGV",
	[SIGUSR2] = "SIGUSR2",
	[SIGPIPE] = "SIGPIPE",
	[SIGALRM] = "SIGALRM",
	[SIGTERM] = "SIGTERM",
	[SIGCHLD] = "SIGCHLD",
	[SIGCONT] = "SIGCONT",
	[SIGSTOP] = "SIGSTOP",
	[SIGTSTP] = "SIGTSTP",
	[SIGTTIN] = "SIGTTIN",
	[SIGTTOU] = "SIGTTOU",
	[SIGURG] = "SIGURG",
	[SIGXCPU] = "SIGXCPU",
	[SIGXFSZ] = "SIGXFSZ",
	[SIGPROF] = "SIGPROF",
	[SIGVTALRM] = "SIGVTALRM",
	[SIGWINCH] = "SIGWINCH",
	[SIGIO] = "SIGIO",
	[SIGPWR] = "SIGPWR",
	[SIGSYS] = "SIGSYS",
#ifdef SIGSTKFLT
	[SIGSTKFLT] = "SIGSTKFLT",
#endif
	[32] = "SIG32",
	[33] = "SIG33",
	[RT_MIN] = "SIGRTMIN",
	RT(1),
	RT(2),
	RT(3),
	RT(4),
	RT(5),
	RT(6),
	RT(7),
	RT(8),
	RT(9),
	RT(10),
	RT(11),
	RT(12),
	RT(13),
	RT(14),
	RT(15),
	RT(16),
	RT(17),
	RT(18),
	RT(19),
	RT(20),
	RT(21),
	RT(22),
	RT(23),
	RT(24),
	RT(25),
	RT(26),
	RT(27),
	RT(28),
	RT(29),
	[RT_MAX] = "SIGRTMAX",
};

static const struct {
	const char *name;
	int sig;
} aliases[] = {
	{ "SIGPOLL", SIGIO },
	{ "SIGCLD", SIGCHLD },
	{ "SIGIOT", SIGABRT },
};

const char *signal_name(int sig)
{
	return sig > 0 && sig <= RT_MAX ? names[sig] : NULL;
}

/* "RTMIN+3", "RTMAX-1", "RTMIN+0". `name` is without SIG. */
static int real_time_from_name(const char *name)
{
	uint64_t offset;

	if (strncasecmp(name, "RTM", 3) != 0 || strlen(name) < 7)
		return -EINVAL;
	if (parse_u64(name + 6, 0, RT_MAX - RT_MIN, &offset) < 0)
		return -EINVAL;
	if (!strncasecmp(name, "RTMIN+", 6))
		return RT_MIN + (int)offset;
	if (!strncasecmp(name, "RTMAX-", 6))
		return RT_MAX - (int)offset;
	return -EINVAL;
}

int signal_from_name(const char *name)
{
	uint64_t number;

	if (parse_u64(name, 1, RT_MAX, &number) == 0)
		return names[number] ? (int)number : -EINVAL;
	if (!strncasecmp(name, "SIG", 3))
		name += 3;
	for (int i = 1; i <= RT_MAX; i++)
		if (names[i] && !strcasecmp(names[i] + 3, name))
			return i;
	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++)
		if (!strcasecmp(aliases[i].name + 3, name))
			return aliases[i].sig;
	return real_time_from_name(name);
}
