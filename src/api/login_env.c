/* SPDX-License-Identifier: Apache-2.0 */
#include "api/login_env.h"
#include "base/clock.h"
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VARIABLES_MAX 8
#define USER_MS       2000U

static void add(char **list, size_t *n, const char *name, const char *value)
{
	if (value && *value && *n < VARIABLES_MAX && asprintf(&list[*n], "%s=%s", name, value) >= 0)
		(*n)++;
}

/* What the user database says of the user. To ask it takes as long as all else that an environment
 * needs, and it hardly ever changes. */
static const struct passwd *user(void)
{
	static const struct passwd *pw;
	static uint64_t asked_at;
	uint64_t now = clock_monotonic_ms();

	if (!pw || now - asked_at >= USER_MS) {
		pw = getpwuid(getuid()); /* nobody else asks, so it stays as it is */
		asked_at = now;
	}
	return pw;
}

static const char *home_of(const struct passwd *pw)
{
	const char *home = pw && pw->pw_dir && pw->pw_dir[0] == '/' ? pw->pw_dir : getenv("HOME");

	return home && home[0] == '/' ? home : "/";
}

char *login_env_home(char *const *env)
{
	for (; env && *env; env++)
		if (strncmp(*env, "HOME=/", 6) == 0)
			return strdup(*env + 5);
	return strdup(home_of(user()));
}

char **login_env_make(bool terminal)
{
	char **list = calloc(VARIABLES_MAX + 1, sizeof(*list));
	const struct passwd *pw = user();
	size_t n = 0;

	if (!list)
		return NULL;
	add(list, &n, "HOME", home_of(pw));
	add(list, &n, "LOGNAME", pw ? pw->pw_name : getenv("LOGNAME"));
	add(list, &n, "USER", pw ? pw->pw_name : getenv("USER"));
	add(list, &n, "SHELL", pw && pw->pw_shell && *pw->pw_shell ? pw->pw_shell : "/bin/sh");
	add(list, &n, "PATH",
	    getuid() == 0 ? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
			  : "/usr/local/bin:/usr/bin:/bin");
	add(list, &n, "LANG", getenv("LANG"));
	add(list, &n, "TERM", terminal ? "xterm-256color" : NULL);
	list[n] = NULL;
	return list;
}
