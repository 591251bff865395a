/* SPDX-License-Identifier: Apache-2.0 */
/* torture-flood OPENS CHILDREN: says "ready", waits for SIGUSR1, then opens and closes a file OPENS
 * times, while CHILDREN come and go. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void have_child(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		_exit(1);
}

int main(int argc, char **argv)
{
	unsigned long opens = argc > 2 ? strtoul(argv[1], NULL, 10) : 0;
	unsigned long children = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	sigset_t set;
	int number;

	if (children == 0 || opens < children)
		return 2;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (write(1, "ready\n", 6) != 6 || sigwait(&set, &number) != 0)
		return 1;
	for (unsigned long i = 0; i < opens; i++) {
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		if (fd < 0 || close(fd) < 0)
			return 1;
		if (i % (opens / children) == 0 && i / (opens / children) < children)
			have_child();
	}
	return 0;
}
