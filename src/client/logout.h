/* SPDX-License-Identifier: Apache-2.0 */
/* logout.h - does what the daemon keeps outlive the logout of its user?
 *
 * Where systemd manages logins, processes end with them in two places: in the user's manager
 * (user@UID.service), which goes with the last login unless the user lingers; and in the scope of a
 * login (session-N.scope), if logind is told to kill what is left there, lingering or not. Sources:
 * logind.conf(5), loginctl(1), manager_shall_kill() in systemd's logind-core.c. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define LOGOUT_UNIT_MAX 128U
#define LOGOUT_HINT_MAX 512U

enum logout_place {
	LOGOUT_PLACE_UNKNOWN,
	LOGOUT_PLACE_NONE,    /* of no login: a system service, a container */
	LOGOUT_PLACE_MANAGER, /* user@UID.service */
	LOGOUT_PLACE_SCOPE,   /* session-N.scope */
};

enum logout_answer {
	LOGOUT_UNKNOWN,
	LOGOUT_ENDS,
	LOGOUT_SURVIVES,
};

struct logout_facts {
	bool systemd; /* manages the logins of this machine */
	enum logout_place place;
	char unit[LOGOUT_UNIT_MAX]; /* of that place; "" for UNKNOWN and NONE */
	uid_t owner;                /* whose login it is */
	enum logout_answer lingers; /* what becomes of the user's manager */
	enum logout_answer kills;   /* what logind does with what such a login leaves */
};

/* Where a process is, from its /proc/PID/cgroup. Fills place, unit and owner. */
void logout_parse_cgroup(const char *text, struct logout_facts *ret);

/* Whether processes of `user` are killed, from the properties KillUserProcesses, KillOnlyUsers and
 * KillExcludeUsers as `loginctl show-session` prints them, a line each. */
enum logout_answer logout_parse_manager(const char *text, const char *user);

/* What the property Linger says, as `loginctl show-user` prints it. */
enum logout_answer logout_parse_linger(const char *text);

enum logout_answer logout_decide(const struct logout_facts *f);

/* Why sessions end at logout, and what to do about it; of an answer ENDS. Returns `buf`. */
char *logout_explain(const struct logout_facts *f, char buf[LOGOUT_HINT_MAX]);

/* Whether systemd manages the logins of this machine. Nothing else ends what a logout leaves. */
bool logout_is_managed(void);

/* Asks the system about the daemon with this keeper. Runs loginctl when the rest depends on it, and
 * waits 2 s at most for each of two answers. */
void logout_look(pid_t keeper, struct logout_facts *ret);
