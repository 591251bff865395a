/* SPDX-License-Identifier: Apache-2.0 */
/* bench-tracepoint COMMAND...: what it costs everybody at least that somebody looks at each return
 * from a system call. COMMAND is a path; while it runs a BPF program of two instructions is
 * attached to sys_exit. Needs root. */
#include "bench.h"
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int bpf(int what, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, what, attr, sizeof(*attr));
}

static int attach(void)
{
	const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 }, /* return 0 */
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr load = {
		.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT,
		.insn_cnt = sizeof(code) / sizeof(code[0]),
		.insns = (uintptr_t)code,
		.license = (uintptr_t) "Dual MIT/GPL",
	};
	union bpf_attr open = { .raw_tracepoint.name = (uintptr_t) "sys_exit" };
	int program = bpf(BPF_PROG_LOAD, &load);

	if (program < 0)
		return -1;
	open.raw_tracepoint.prog_fd = (uint32_t)program;
	return bpf(BPF_RAW_TRACEPOINT_OPEN, &open);
}

int main(int argc, char *argv[])
{
	int status;
	pid_t pid;

	if (argc < 2) {
		(void)fputs("usage: bench-tracepoint COMMAND...\n", stderr);
		return 2;
	}
	if (attach() < 0)
		die("sys_exit");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		execv(argv[1], argv + 1);
		die(argv[1]);
	}
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
