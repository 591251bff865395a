/* SPDX-License-Identifier: Apache-2.0 */
/* observed-run BACKEND CATEGORIES FILE COMMAND...: runs a command under one backend, and writes
 * what that tells to FILE, an event a line (JSON; each byte of a text is one character), at last
 * what was missed. Ends with the command's exit code; with 77 and the reason where the backend does
 * not work, without running it. CATEGORIES: "file,network,process", or "none" to run it bare.
 *
 * observed-run --probe BACKEND: what that says of itself here, a line a category. */
#include "base/cleanup.h"
#include "base/error.h"
#include "observe/observation.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNAVAILABLE 77
#define LOOK_MS     50

struct run {
	FILE *to;
	uint64_t events, missed[REEVE_CATEGORIES];
};

static void put_text(FILE *to, const char *name, const char *text, size_t size)
{
	fprintf(to, ",\"%s\":\"", name);
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
			fprintf(to, "\\u%04x", c);
		else
			fputc(c, to);
	}
	fputc('"', to);
}

static void put_address(FILE *to, const char *name, const struct reeve_address *a)
{
	fprintf(to, ",\"%s\":{\"family\":%u,\"port\":%u,\"bytes\":\"", name, a->family, a->port);
	for (size_t i = 0; i < sizeof(a->bytes); i++)
		fprintf(to, "%02x", a->bytes[i]);
	fputc('"', to);
	if (a->path)
		put_text(to, "path", a->path, strlen(a->path));
	fputc('}', to);
}

static void put_texts(FILE *to, const struct reeve_event *e)
{
	if ((e->fields & REEVE_HAS_PATH) != 0)
		put_text(to, "path", e->path, strlen(e->path));
	if ((e->fields & REEVE_HAS_PATH2) != 0)
		put_text(to, "path2", e->path2, strlen(e->path2));
	if ((e->fields & REEVE_HAS_CWD) != 0)
		put_text(to, "cwd", e->cwd, strlen(e->cwd));
	if ((e->fields & REEVE_HAS_ARGV) != 0)
		put_text(to, "argv", e->argv, e->argv_size);
	if ((e->fields & REEVE_HAS_COMM) != 0)
		put_text(to, "comm", e->comm, strlen(e->comm));
	if ((e->fields & REEVE_HAS_LOCAL) != 0)
		put_address(to, "local", &e->local);
	if ((e->fields & REEVE_HAS_REMOTE) != 0)
		put_address(to, "remote", &e->remote);
}

static void on_event(void *userdata, struct reeve_event *e,
		     const struct backend_origin *origin _unused_)
{
	struct run *r = userdata;

	r->events++;
	if (!r->to)
		return;
	fprintf(r->to, "{\"category\":\"%s\",\"kind\":\"%s\",\"pid\":%d,\"seq\":%lu",
		reeve_category_name(e->category), reeve_kind_name(e->kind), e->pid,
		(unsigned long)e->seq);
	if ((e->fields & REEVE_HAS_CHILD_PID) != 0)
		fprintf(r->to, ",\"childPid\":%d", e->child_pid);
	if ((e->fields & REEVE_HAS_EXIT_CODE) != 0)
		fprintf(r->to, ",\"exitCode\":%d", e->exit_code);
	if ((e->fields & REEVE_HAS_FLAGS) != 0)
		fprintf(r->to, ",\"flags\":%u", e->flags);
	if ((e->fields & REEVE_HAS_RESULT) != 0)
		fprintf(r->to, ",\"result\":%d", e->result);
	if ((e->fields & REEVE_HAS_TOTALS) != 0)
		fprintf(r->to, ",\"bytesRead\":%lu,\"bytesWritten\":%lu",
			(unsigned long)e->bytes_read, (unsigned long)e->bytes_written);
	if ((e->fields & REEVE_HAS_SOCKET) != 0)
		fprintf(r->to, ",\"family\":%u,\"protocol\":%u", e->family, e->protocol);
	fprintf(r->to, ",\"claimed\":%s", (e->fields & REEVE_HAS_CLAIMED) != 0 ? "true" : "false");
	put_texts(r->to, e);
	fputs("}\n", r->to);
}

static void on_missed(void *userdata, enum reeve_category category, uint64_t n)
{
	((struct run *)userdata)->missed[category] += n;
}

static unsigned parse_categories(char *text)
{
	unsigned set = 0;

	for (char *rest = text, *word; (word = strsep(&rest, ","));) {
		enum reeve_category c;

		if (reeve_category_parse(word, &c) >= 0)
			set |= 1U << c;
	}
	return set;
}

/* The command, held until a byte comes through the gate. */
static pid_t start_command(char **argv, const struct entry *entry, int *ret_gate, int *ret_listener)
{
	int gate[2];
	pid_t pid;
	char byte;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, gate) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		sigset_t none;

		(void)close(gate[1]);
		entry_tell(entry, gate[0]);
		if (recv(gate[0], &byte, 1, 0) != 1 || entry_after_gate(entry) < 0)
			_exit(UNAVAILABLE);
		(void)close(gate[0]);
		(void)sigemptyset(&none);
		(void)sigprocmask(SIG_SETMASK, &none, NULL);
		(void)execvp(argv[0], argv);
		_exit(127);
	}
	(void)close(gate[0]);
	*ret_gate = gate[1];
	*ret_listener = pid > 0 ? entry_hear(pid, gate[1]) : 0;
	return pid;
}

static int start_observation(struct observation **ret, struct run *r, struct host *host,
			     const struct backend *b, unsigned categories, pid_t leader,
			     bool prepared, int listener, struct error *e)
{
	struct observation_config config = {
		.host = host,
		.sink = { on_event, on_missed, r },
		.target = { .session = 1,
			    .leader = leader,
			    .gated = true,
			    .prepared = prepared,
			    .listener = listener },
	};

	for (unsigned c = 0; c < REEVE_CATEGORIES; c++) {
		bool wanted = (categories & b->categories & 1U << c) != 0;

		config.choices[c].backend = wanted ? b : NULL;
		config.choices[c].support = wanted ? REEVE_SUPPORTED : REEVE_UNAVAILABLE;
	}
	return observation_start(ret, &config, e);
}

/* Until the command ends; returns its wait status. */
static int watch_command(struct host *host, int signals, pid_t pid)
{
	struct pollfd p[] = { { .fd = host_fd(host), .events = POLLIN },
			      { .fd = signals, .events = POLLIN } };
	int status;

	/* Asking each time whether it has ended would show in what observing costs. */
	for (;;) {
		int n = poll(p, 2, LOOK_MS);

		if (n > 0 && (p[1].revents & POLLIN) != 0) {
			struct signalfd_siginfo info;

			(void)!read(signals, &info, sizeof(info));
		}
		if ((n == 0 || p[1].revents != 0) && waitpid(pid, &status, WNOHANG) != 0)
			return status;
		host_dispatch(host);
	}
}

static int observe(const struct backend *b, unsigned categories, struct run *r, char **argv)
{
	struct entry entry = { 0 };
	struct observation *o = NULL;
	struct host *host = NULL;
	int gate = -1, listener = 0, signals, status;
	struct error e = { 0 };
	sigset_t set;
	pid_t pid;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (b && b->prepare)
		b->prepare(categories, &entry);
	pid = start_command(argv, &entry, &gate, &listener);
	if (signals < 0 || pid < 0 || host_new(&host, -1, NULL) < 0) {
		perror("observed-run");
		return UNAVAILABLE;
	}
	if (b && (listener < 0 || start_observation(&o, r, host, b, categories, pid, entry.n > 0,
						    listener, &e) < 0)) {
		fprintf(stderr, "%s\n", listener < 0 ? strerror(-listener) : e.message);
		(void)kill(pid, SIGKILL);
		return UNAVAILABLE;
	}
	(void)send(gate, "", 1, MSG_NOSIGNAL);
	status = watch_command(host, signals, pid);
	if (o)
		observation_flush(o);
	observation_stop(o);
	host_free(host);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int probe(const struct backend *b)
{
	struct backend_support found[REEVE_CATEGORIES] = { 0 };

	if (!b)
		return UNAVAILABLE;
	b->probe(REEVE_LAUNCHED_TREE, -1, found);
	for (unsigned c = 0; c < REEVE_CATEGORIES; c++) {
		if ((b->categories & 1U << c) != 0)
			printf("%s\t%s\t%s\n", reeve_category_name((enum reeve_category)c),
			       reeve_support_name(found[c].support), found[c].reason);
	}
	return 0;
}

int main(int argc, char *argv[])
{
	const struct backend *b = argc > 4 ? backend_find(argv[1]) : NULL;
	unsigned categories = argc > 4 ? parse_categories(argv[2]) : 0;
	struct run r = { 0 };
	int code;

	if (argc == 3 && strcmp(argv[1], "--probe") == 0)
		return probe(backend_find(argv[2]));
	if (argc < 5) {
		fputs("usage: observed-run BACKEND CATEGORIES FILE COMMAND...\n", stderr);
		return 2;
	}
	if (categories != 0 && !b) {
		fprintf(stderr, "there is no backend %s in this build\n", argv[1]);
		return UNAVAILABLE;
	}
	r.to = strcmp(argv[3], "-") != 0 ? fopen(argv[3], "we") : NULL;
	code = observe(categories != 0 ? b : NULL, categories, &r, argv + 4);
	if (!r.to)
		return code;
	fprintf(r.to, "{\"events\":%lu,\"missed\":[%lu,%lu,%lu,%lu]}\n", (unsigned long)r.events,
		(unsigned long)r.missed[0], (unsigned long)r.missed[1], (unsigned long)r.missed[2],
		(unsigned long)r.missed[3]);
	return fclose(r.to) == 0 ? code : UNAVAILABLE;
}
