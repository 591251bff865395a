/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/orphan.h"
#include "fds.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 60000

static void nothing(int sig)
{
	(void)sig;
}

/* What an orphan finds when it is asked. */
struct account {
	pid_t pid, parent, session;
	int handled, blocked; /* signals that are not at their default, or wait */
	bool at_root;
};

static void give_account(int sock, const void *data)
{
	struct account a = { .pid = getpid(), .session = getsid(0) };
	struct sigaction now;
	sigset_t mask;
	char byte, cwd[8];

	(void)data;
	if (recv(sock, &byte, 1, 0) != 1)
		return;
	a.parent = getppid();
	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int i = 1; i < NSIG; i++) {
		a.handled += sigaction(i, NULL, &now) == 0 && now.sa_handler != SIG_DFL;
		a.blocked += sigismember(&mask, i) == 1;
	}
	a.at_root = getcwd(cwd, sizeof(cwd)) && strcmp(cwd, "/") == 0;
	(void)send(sock, &a, sizeof(a), MSG_NOSIGNAL);
}

/* Asks only when orphan_start() has returned: then its maker is gone. */
static struct account account_of_one(void)
{
	int sock = orphan_start(SOCK_SEQPACKET, give_account, NULL);
	struct account a;

	assert_true(sock >= 0);
	assert_int_equal(send(sock, "", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(recv(sock, &a, sizeof(a), 0), sizeof(a));
	close(sock);
	return a;
}

static void it_is_no_child_of_whoever_started_it(void **state)
{
	struct account a = account_of_one();

	(void)state;
	assert_int_not_equal(a.parent, getpid());
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void it_is_alone_in_its_session_and_holds_no_directory(void **state)
{
	struct account a = account_of_one();

	(void)state;
	assert_int_equal(a.session, a.pid);
	assert_true(a.at_root);
}

static void it_has_the_signals_of_a_new_program_and_its_maker_keeps_its_own(void **state)
{
	struct sigaction handler = { .sa_handler = nothing }, now;
	sigset_t mask, after;
	struct account a;

	(void)state;
	assert_int_equal(sigaction(SIGUSR1, &handler, NULL), 0);
	assert_true(signal(SIGUSR2, SIG_IGN) != SIG_ERR);
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	a = account_of_one();
	sigprocmask(SIG_SETMASK, NULL, &after);
	assert_int_equal(a.handled, 0);
	assert_int_equal(a.blocked, 0);
	assert_int_equal(sigismember(&after, SIGTERM), 1);
	assert_int_equal(sigismember(&after, SIGCHLD), 0);
	assert_int_equal(sigaction(SIGUSR1, NULL, &now), 0);
	assert_true(now.sa_handler == nothing);
	sigemptyset(&mask);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	(void)signal(SIGUSR1, SIG_DFL);
	(void)signal(SIGUSR2, SIG_DFL);
}

/* Holds what it was born with, `data` among it, until its socket ends. */
static void stay(int sock, const void *data)
{
	char byte;

	(void)data;
	while (read(sock, &byte, 1) > 0)
		;
}

static void it_sees_that_its_socket_has_ended(void **state)
{
	int sock, end[2];
	struct pollfd p;

	(void)state;
	assert_int_equal(pipe(end), 0);
	sock = orphan_start(SOCK_STREAM, stay, NULL);
	assert_true(sock >= 0);
	close(end[1]);
	p = (struct pollfd){ .fd = end[0], .events = POLLIN };
	assert_int_equal(poll(&p, 1, 0), 0); /* it has the other end, too */
	close(sock);
	assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
	assert_int_equal(p.revents, POLLHUP);
	close(end[0]);
}

static void give_back(int sock, const void *data)
{
	(void)send(sock, data, 4, MSG_NOSIGNAL);
}

static void it_gets_what_it_is_to_have_and_its_end_is_seen(void **state)
{
	int sock = orphan_start(SOCK_SEQPACKET, give_back, "word");
	char word[8];

	(void)state;
	assert_true(sock >= 0);
	assert_int_equal(recv(sock, word, sizeof(word), 0), 4);
	assert_memory_equal(word, "word", 4);
	assert_int_equal(recv(sock, word, sizeof(word), 0), 0);
	close(sock);
}

static void what_cannot_be_had_is_said_and_nothing_stays_open(void **state)
{
	unsigned before = count_fds();
	struct rlimit had, none;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &had), 0);
	none = (struct rlimit){ 0, had.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(orphan_start(SOCK_STREAM, stay, NULL), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &had), 0);
	assert_int_equal(count_fds(), before);
}

/* In a process of its own, as a user whom the limit binds. */
static int start_without_processes(void)
{
	const struct rlimit none = { 0, 0 };
	unsigned before = count_fds();

	if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
		return 1;
	if (setrlimit(RLIMIT_NPROC, &none) < 0)
		return 2;
	if (orphan_start(SOCK_STREAM, stay, NULL) != -EAGAIN)
		return 3;
	return count_fds() == before ? 0 : 4;
}

static void a_fork_that_fails_is_said_and_nothing_stays_open(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(start_without_processes());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_no_child_of_whoever_started_it),
		cmocka_unit_test(it_is_alone_in_its_session_and_holds_no_directory),
		cmocka_unit_test(it_has_the_signals_of_a_new_program_and_its_maker_keeps_its_own),
		cmocka_unit_test(it_sees_that_its_socket_has_ended),
		cmocka_unit_test(it_gets_what_it_is_to_have_and_its_end_is_seen),
		cmocka_unit_test(what_cannot_be_had_is_said_and_nothing_stays_open),
		cmocka_unit_test(a_fork_that_fails_is_said_and_nothing_stays_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
