/* SPDX-License-Identifier: Apache-2.0 */
/* bench-notify [-p] COMMAND...: what a filter of system calls costs at least. COMMAND is a path;
 * its openings of files and its programs are held up until this has said "go on", which is all that
 * it does. Ends as COMMAND does, once no process is under the filter any more.
 *
 * -p: what it costs whoever wants to know of what, and keeps out of the way of COMMAND: the path is
 * read from its memory, and COMMAND has a session of its own. (The kernel weighs the processes of a
 * session as one; taking turns with one of another costs more.) */
#include "bench.h"
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE  4096U
#define CHUNK 256U

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS      SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static bool with_paths;

static int install(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		die("prctl");
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			    &program);
}

/* The child hands the listener to its parent before its execve, which waits for an answer. */
static _Noreturn void become(char **command, int to)
{
	union control control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)),
					      .cmsg_level = SOL_SOCKET,
					      .cmsg_type = SCM_RIGHTS } };
	struct iovec byte = { "", 1 };
	struct msghdr m = { .msg_iov = &byte,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	int listener;

	if (with_paths)
		(void)setsid();
	listener = install();
	if (listener < 0)
		die("seccomp");
	memcpy(CMSG_DATA(&control.header), &listener, sizeof(listener));
	if (sendmsg(to, &m, 0) != 1)
		die("sendmsg");
	close(listener);
	execv(command[0], command);
	die(command[0]);
}

static int receive(int from)
{
	union control control;
	char text;
	struct iovec byte = { &text, 1 };
	struct msghdr m = { .msg_iov = &byte,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	int listener;

	if (recvmsg(from, &m, MSG_CMSG_CLOEXEC) != 1 || m.msg_controllen < sizeof(control.header))
		die("recvmsg");
	memcpy(&listener, CMSG_DATA(&control.header), sizeof(listener));
	return listener;
}

static bool hung_up(int listener)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };

	return poll(&p, 1, 0) > 0 && (p.revents & POLLHUP) != 0;
}

/* As much as there is on its page, 256 bytes at most: few paths are longer. */
static void read_path(const struct seccomp_notif *call)
{
	uint64_t at = call->data.args[call->data.nr == SYS_openat];
	size_t size = at % PAGE > PAGE - CHUNK ? PAGE - at % PAGE : CHUNK;
	char path[CHUNK];
	struct iovec local = { path, size }, remote = { (void *)(uintptr_t)at, size };

	if (process_vm_readv((pid_t)call->pid, &local, 1, &remote, 1, 0) < 0 && errno != ESRCH)
		die("process_vm_readv");
}

static void answer_all(int listener)
{
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) < 0)
		perror("SYNC_WAKE_UP"); /* before Linux 6.6 */
	for (;;) {
		struct seccomp_notif call = { 0 };
		struct seccomp_notif_resp go_on = { .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };

		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0) {
			if (hung_up(listener))
				return;
			continue; /* it was killed in the meantime */
		}
		go_on.id = call.id;
		if (with_paths)
			read_path(&call);
		(void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &go_on);
		(void)sched_yield(); /* to the caller: its next call may be there afterwards */
	}
}

int main(int argc, char *argv[])
{
	int pair[2], status;
	pid_t pid;

	with_paths = argc > 1 && strcmp(argv[1], "-p") == 0;
	argv += with_paths;
	if (!argv[0] || !argv[1]) {
		(void)fputs("usage: bench-notify [-p] COMMAND...\n", stderr);
		return 2;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0)
		become(argv + 1, pair[1]);
	close(pair[1]);
	answer_all(receive(pair[0]));
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
