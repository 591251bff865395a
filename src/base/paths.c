/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/paths.h"
#include "base/fd.h"
#include "base/text.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#define SOCKET_NAME      "/api.sock"
#define PASSWD_MAX       (1 * MiB)
#define MACHINE_ID_CHARS 32U

/* statfs(2) types. FUSE is here because it may be anything, sshfs and virtiofs included. */
static const uint32_t network_types[] = {
	0x6969,     /* NFS */
	0x517b,     /* SMB */
	0xff534d42, /* CIFS */
	0xfe534d42, /* SMB2 */
	0x5346414f, /* AFS (OpenAFS) */
	0x6b414653, /* AFS (kernel) */
	0x73757245, /* Coda */
	0x00c36400, /* Ceph */
	0x01021997, /* 9P */
	0x0bd00bd0, /* Lustre */
	0x47504653, /* GPFS */
	0x19830326, /* BeeGFS */
	0x7461636f, /* OCFS2 */
	0x01161970, /* GFS2 */
	0x20030528, /* OrangeFS */
	0x65735546, /* FUSE */
};

bool paths_is_network(uint32_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(network_types); i++)
		if (network_types[i] == type)
			return true;
	return false;
}

/* Whether `path`, or the nearest directory above it that exists, is on a network file system. */
static bool is_on_network(const char *path)
{
	_cleanup_(freep) char *at = strdup(path);
	struct statfs fs;

	while (at && *at) {
		if (statfs(at, &fs) == 0)
			return paths_is_network((uint32_t)fs.f_type);
		*strrchr(at, '/') = '\0';
	}
	return false;
}

/* The value of a variable that holds a directory, NULL when it is unset or empty. */
static int directory_variable(const char *name, const char **ret, struct error *e)
{
	const char *value = getenv(name);

	if (value && *value && *value != '/')
		return error_set(e, ERROR_INVALID_ARGUMENT,
				 "%s must be an absolute path, not \"%s\"", name, value);
	*ret = value && *value ? value : NULL;
	return 0;
}

/* The field `index` of a line of passwd(5), from 0 on; its length is in `*ret_size`. */
static const char *passwd_field(const char *line, unsigned index, size_t *ret_size)
{
	for (; index > 0; index--) {
		line += strcspn(line, ":\n");
		if (*line != ':')
			return NULL;
		line++;
	}
	*ret_size = strcspn(line, ":\n");
	return line;
}

int paths_passwd_home(const char *passwd, uid_t uid, char **ret)
{
	char wanted[24];
	int n = snprintf(wanted, sizeof(wanted), "%u", (unsigned)uid);

	for (const char *line = passwd; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t id_size, home_size;
		const char *id = passwd_field(line, 2, &id_size);
		const char *home = passwd_field(line, 5, &home_size);

		if (!id || !home || *home != '/' || id_size != (size_t)n ||
		    memcmp(id, wanted, id_size) != 0)
			continue;
		*ret = strndup(home, home_size);
		return *ret ? 0 : -ENOMEM;
	}
	return -ENOENT;
}

static int find_home(char **ret, struct error *e)
{
	_cleanup_(freep) char *passwd = NULL;
	const char *home;
	int r;

	r = directory_variable("HOME", &home, e);
	if (r < 0)
		return r;
	if (home) {
		*ret = strdup(home);
		return *ret ? 0 : error_set_errno(e, ERROR_INTERNAL, ENOMEM, "find the home");
	}
	r = fd_read_file("/etc/passwd", PASSWD_MAX, &passwd, NULL);
	if (r == 0)
		r = paths_passwd_home(passwd, geteuid(), ret);
	if (r < 0)
		return error_set_errno(e, ERROR_UNAVAILABLE, r,
				       "HOME is not set, and user %u has no home directory in "
				       "/etc/passwd; set HOME or REEVE_DIR",
				       (unsigned)geteuid());
	return 0;
}

int paths_config(char **ret, struct error *e)
{
	static const struct {
		const char *variable, *below;
	} places[] = { { "REEVE_DIR", "config" }, { "XDG_CONFIG_HOME", "reeve/config" } };
	_cleanup_(freep) char *home = NULL;
	const char *dir, *below = ".config/reeve/config";
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		r = directory_variable(places[i].variable, &dir, e);
		if (r < 0)
			return r;
		if (dir) {
			below = places[i].below;
			break;
		}
	}
	if (!dir) {
		r = find_home(&home, e);
		if (r < 0)
			return r;
		dir = home;
	}
	if (asprintf(ret, "%s/%s", dir, below) < 0)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "find the configuration");
	return 0;
}

/* The machine's id; of a machine without one, a name made from its host name. */
static int find_machine(char **ret)
{
	static const char *const files[] = { "/etc/machine-id", "/var/lib/dbus/machine-id" };
	char digits[MACHINE_ID_CHARS + 1];
	struct utsname name;
	uint64_t hash[2];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_(freep) char *id = NULL;

		if (fd_read_file(files[i], 64, &id, NULL) < 0)
			continue;
		id[strcspn(id, "\n")] = '\0';
		if (strlen(id) != MACHINE_ID_CHARS ||
		    strspn(id, "0123456789abcdef") != MACHINE_ID_CHARS)
			continue;
		*ret = take(id);
		return 0;
	}
	if (uname(&name) < 0)
		return -errno;
	text_hash128(name.nodename, strlen(name.nodename), hash);
	text_hex(hash, sizeof(hash), digits);
	return asprintf(ret, "host-%.16s", digits) < 0 ? -ENOMEM : 0;
}

/* <state>/reeve/<machine>, whether it can be used or not. */
static int find_state_dir(char **ret, struct error *e)
{
	_cleanup_(freep) char *home = NULL, *machine = NULL;
	const char *state;
	int r;

	r = directory_variable("XDG_STATE_HOME", &state, e);
	if (r < 0)
		return r;
	if (!state) {
		r = find_home(&home, e);
		if (r < 0)
			return r;
	}
	r = find_machine(&machine);
	if (r == 0 && asprintf(ret, "%s%s/reeve/%s", state ? state : home,
			       state ? "" : "/.local/state", machine) < 0)
		r = -ENOMEM;
	if (r < 0)
		return error_set_errno(e, ERROR_INTERNAL, r, "find the state directory");
	return 0;
}

static bool is_too_long(const char *dir)
{
	return strlen(dir) + strlen(SOCKET_NAME) > PATHS_SOCKET_MAX;
}

static void trim_slashes(char *path)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		path[--n] = '\0';
}

static int find_dir(struct paths *p, struct error *e)
{
	const char *chosen;
	int r;

	r = directory_variable("REEVE_DIR", &chosen, e);
	if (r < 0)
		return r;
	if (chosen) {
		p->chosen = true;
		p->dir = strdup(chosen);
		if (!p->dir)
			return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "read REEVE_DIR");
		trim_slashes(p->dir);
		if (is_too_long(p->dir))
			return error_set(e, ERROR_INVALID_ARGUMENT,
					 "REEVE_DIR is too long: the path of its socket would take "
					 "%zu bytes, and the limit is %u; choose a directory whose "
					 "path takes at most %zu bytes",
					 strlen(p->dir) + strlen(SOCKET_NAME), PATHS_SOCKET_MAX,
					 PATHS_SOCKET_MAX - strlen(SOCKET_NAME));
		return 0;
	}
	r = find_state_dir(&p->dir, e);
	if (r < 0)
		return r;
	p->fallback = is_too_long(p->dir) || is_on_network(p->dir);
	if (!p->fallback)
		return 0;
	free(take(p->dir));
	if (asprintf(&p->dir, "/tmp/reeve-%u", (unsigned)geteuid()) < 0) {
		p->dir = NULL;
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "name the directory in /tmp");
	}
	return 0;
}

static int join(const char *dir, const char *name, char **ret)
{
	if (asprintf(ret, "%s%s", dir, name) >= 0)
		return 0;
	*ret = NULL;
	return -ENOMEM;
}

int paths_resolve(struct paths *ret, struct error *e)
{
	_cleanup_(paths_done) struct paths p = { 0 };
	const char *runtime;
	int r;

	r = find_dir(&p, e);
	if (r < 0)
		return r;
	r = directory_variable("XDG_RUNTIME_DIR", &runtime, e);
	if (r < 0)
		return r;
	if (join(p.dir, SOCKET_NAME, &p.socket) < 0 || join(p.dir, "/lock", &p.lock) < 0 ||
	    join(p.dir, "/reeve.log", &p.log) < 0 || join(p.dir, "/roster", &p.roster) < 0 ||
	    (runtime && !p.chosen && join(runtime, "/reeve", &p.runtime_link) < 0))
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "name the daemon's files");
	*ret = p;
	p = (struct paths){ 0 };
	return 0;
}

/* Makes the directories above `dir`, and `dir`; what exists stays as it is. */
static int make_dirs(const char *dir, struct error *e)
{
	_cleanup_(freep) char *path = strdup(dir);

	if (!path)
		return error_set_errno(e, ERROR_INTERNAL, ENOMEM, "mkdir \"%s\"", dir);
	for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
		if (slash)
			*slash = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST) {
			int errnum = errno;

			/* A read-only or foreign parent need not let us ask for what is there. */
			if (access(path, F_OK) < 0)
				return error_set_errno(e, ERROR_UNAVAILABLE, errnum,
						       "mkdir \"%s\"; set REEVE_DIR to a directory "
						       "that can be made",
						       path);
		}
		if (!slash)
			return 0;
		*slash = '/';
	}
}

/* Whether the directory behind `fd` is ours alone. */
static int check_dir(const struct paths *p, int fd, struct error *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set_errno(e, ERROR_UNAVAILABLE, errno, "stat \"%s\"", p->dir);
	if (st.st_uid != geteuid())
		return error_set(e, ERROR_FORBIDDEN,
				 "\"%s\" belongs to user %u, not to you (user %u); %s", p->dir,
				 (unsigned)st.st_uid, (unsigned)geteuid(),
				 p->chosen ? "set REEVE_DIR to a directory of your own"
					   : "remove it or set REEVE_DIR");
	if ((p->chosen || p->fallback) && (st.st_mode & 022))
		return error_set(e, ERROR_FORBIDDEN,
				 "others may write to \"%s\" (mode %04o); run: chmod 700 \"%s\"",
				 p->dir, (unsigned)st.st_mode & 07777, p->dir);
	if (!p->chosen && (st.st_mode & 07777) != 0700 && fchmod(fd, 0700) < 0)
		return error_set_errno(e, ERROR_UNAVAILABLE, errno, "chmod \"%s\"", p->dir);
	return 0;
}

int paths_create(const struct paths *p, struct error *e)
{
	int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (p->fallback ? O_NOFOLLOW : 0);
	_cleanup_(closep) int fd = -1;
	mode_t mask;
	int r;

	mask = umask(077); /* the caller's may lock the caller itself out */
	r = make_dirs(p->dir, e);
	umask(mask);
	if (r < 0)
		return r;
	fd = open(p->dir, flags);
	if (fd < 0 && p->fallback && (errno == ELOOP || errno == ENOTDIR))
		return error_set(e, ERROR_FORBIDDEN,
				 "\"%s\" is not a directory; remove it or set REEVE_DIR", p->dir);
	if (fd < 0)
		return error_set_errno(e, ERROR_UNAVAILABLE, errno, "open \"%s\"", p->dir);
	return check_dir(p, fd, e);
}

void paths_done(struct paths *p)
{
	if (!p)
		return;
	free(p->dir);
	free(p->socket);
	free(p->lock);
	free(p->log);
	free(p->roster);
	free(p->runtime_link);
	*p = (struct paths){ 0 };
}
