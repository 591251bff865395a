/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_keeper.c - the keeper before an engine and a spawner that say anything, over control memory
 * that holds anything: it does not crash, closes what it took, and signals nobody.
 *
 * All of the keeper is the real one. Only the system calls that send signals are looked at on their
 * way (linked with --wrap): the memory names no live process, so whoever is hit is an innocent. */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "input.h"
#include "keeper/keeper.h"
#include "words.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define SLOTS_USED  4U
#define DEAD_PID    0x40000000 /* above the highest pid there can be, PID_MAX_LIMIT */
#define LOOKS_MAX   2U         /* walks over /proc in one run: they are slow */
#define N_THINGS    4U
#define MESSAGE_FDS FD_PASS_MAX

int __wrap_kill(pid_t pid, int signal);
long __wrap_syscall(long number, long a, long b, long c, long d, long e);
int __wrap_pidfd_send_signal(int pidfd, int signal, siginfo_t *info, unsigned flags);

int __wrap_kill(pid_t pid, int signal)
{
	(void)signal;
	must(pid >= DEAD_PID || pid <= -DEAD_PID);
	errno = ESRCH;
	return -1;
}

int __wrap_pidfd_send_signal(int pidfd, int signal, siginfo_t *info, unsigned flags)
{
	char path[64], target[64] = "";

	(void)signal;
	(void)info;
	(void)flags;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", pidfd);
	must(readlink(path, target, sizeof(target) - 1) > 0);
	must(!strstr(target, "pidfd"));
	errno = EBADF;
	return -1;
}

/* syscall(2) takes its arguments in registers: none of the keeper's has more than five. */
long __real_syscall(long number, long a, long b, long c, long d, long e);

long __wrap_syscall(long number, long a, long b, long c, long d, long e)
{
	if (number == SYS_pidfd_send_signal)
		return __wrap_pidfd_send_signal((int)a, (int)b, NULL, 0);
	return __real_syscall(number, a, b, c, d, e);
}

static struct keeper k;
static int engine, spawner;  /* their ends */
static int things[N_THINGS]; /* what they send along */
static unsigned looks;

static void make_pair(int *ours, int *theirs)
{
	int pair[2];

	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	*ours = pair[0];
	*theirs = pair[1];
}

static void *make_memory(void)
{
	void *memory = mmap(NULL, CONTROL_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	must(memory != MAP_FAILED);
	return memory;
}

static void prepare(void)
{
	int pair[2];

	log_set(-1, LEVEL_ERROR, "fuzz");
	k.memory = make_memory();
	things[0] = fd_memfd("thing", 4096);
	things[1] = open("/dev/null", O_RDWR | O_CLOEXEC);
	must(pipe2(pair, O_CLOEXEC) == 0);
	things[2] = pair[0];
	things[3] = pair[1];
}

static void begin(void)
{
	void *memory = k.memory;

	madvise(memory, CONTROL_SIZE, MADV_DONTNEED);
	memset(&k, 0, sizeof(k));
	k.dir = "/nonexistent";
	k.engine_path = "/nonexistent/reeved";
	k.memory = memory;
	k.daemon = control_daemon(memory);
	for (unsigned i = 0; i < N_DAEMON_FDS; i++)
		k.daemon_fds[i] = -1;
	k.engine.pidfd = k.lock_fd = k.signal_fd = k.program = k.new_program = -1;
	k.spawner.pid = DEAD_PID;
	make_pair(&k.engine.sock, &engine);
	make_pair(&k.spawner.sock, &spawner);
	looks = 0;
}

static void drain(int sock)
{
	char data[64];
	int fds[FD_PASS_MAX];
	size_t n = 0;

	while (fd_recv(sock, data, sizeof(data), fds, FD_PASS_MAX, &n) > 0)
		while (n > 0)
			close(fds[--n]);
}

static void end(void)
{
	drain(engine);
	drain(spawner);
	for (unsigned i = 1; i < CONTROL_SLOTS; i++)
		if (k.slots[i].held)
			slot_release(&k, i);
	for (unsigned i = 0; i < KEEPER_JOBS; i++)
		if (k.jobs[i].slot != 0) {
			link_close_fds(k.jobs[i].fds);
			fd_close(k.jobs[i].gate_r);
			fd_close(k.jobs[i].gate_w);
		}
	for (unsigned i = 0; i < KEPT_MAX; i++)
		fd_close(k.kept[i] - 1);
	tty_groups_done(&k.groups);
	fd_close(k.engine.sock);
	fd_close(k.spawner.sock);
	close(engine);
	close(spawner);
}

/* --- what the input says --------------------------------------------------------------------- */

/* No process has this one. 0, 1 and negative numbers are nobody's pid either, but would mean many
 * to kill(2). */
static uint64_t dead_pid(uint64_t value)
{
	static const int odd[] = { 0, 1, -1, INT32_MIN, INT32_MAX };

	if ((value & 0xf) < ARRAY_SIZE(odd))
		return (uint32_t)odd[value & 0xf] | (value & 0xffffffff00000000ULL);
	return (value & 0xffffffff3fffffffULL) | DEAD_PID;
}

static void store_word(struct input *in)
{
	struct control_slot *s = keeper_slot(&k, 1 + take_u8(in) % SLOTS_USED);
	struct word *w = take_word(in, s, k.daemon);
	uint64_t value = take_u64(in);

	word_store(w, w == &s->pid ? dead_pid(value) : value);
}

/* A message as engines send it, to a slot that is in use more often than not. */
static void send_message(struct input *in)
{
	struct link_message m = { 0 };
	uint8_t type = take_u8(in), slot = take_u8(in), n = take_u8(in);
	int fds[MESSAGE_FDS];

	m.type = type % (N_LINK_TYPES + 2);
	m.slot = slot < 200 ? slot % (SLOTS_USED + 1) : take_u16(in);
	m.fds = take_u16(in);
	m.arg = take_u64(in);
	for (unsigned i = 0; i < MESSAGE_FDS; i++)
		fds[i] = things[i % N_THINGS];
	n = n < 128 ? (uint8_t)__builtin_popcount(m.fds & ((1U << N_LINK_FDS) - 1))
		    : n % MESSAGE_FDS;
	fd_send(engine, &m, sizeof(m), fds, n);
}

static void send_bytes(struct input *in, int sock)
{
	size_t n;
	const uint8_t *bytes = take_bytes(in, take_u8(in) % 64, &n);
	int fds[2] = { things[0], things[1] };

	if (n > 0)
		fd_send(sock, bytes, n, fds, bytes[0] % 3);
}

static void answer_spawn(struct input *in)
{
	struct spawner_reply reply = { .slot = take_u8(in) % (SLOTS_USED + 1) };

	reply.result = (int8_t)take_u8(in);
	fd_send(spawner, &reply, sizeof(reply), NULL, 0);
}

static void look_at_trees(uint64_t *now, struct input *in)
{
	*now += take_u16(in);
	if (looks++ < LOOKS_MAX)
		stopper_run(&k, *now);
	must(stopper_timeout(&k, *now) >= -1);
}

static void end_child(struct input *in)
{
	spawning_child_ended(&k, 1 + take_u8(in) % SLOTS_USED);
}

enum operation {
	STORE_WORD,
	SEND_MESSAGE,
	SEND_BYTES,
	ANSWER_SPAWN,
	SPAWNER_BYTES,
	LOOK,
	CHILD_ENDED,
	FLUSH,
	N_OPERATIONS,
};

static void operate(struct input *in, uint64_t *now)
{
	switch ((enum operation)(take_u8(in) % N_OPERATIONS)) {
	case STORE_WORD:
		store_word(in);
		break;
	case SEND_MESSAGE:
		send_message(in);
		break;
	case SEND_BYTES:
		send_bytes(in, engine);
		break;
	case ANSWER_SPAWN:
		answer_spawn(in);
		break;
	case SPAWNER_BYTES:
		send_bytes(in, spawner);
		break;
	case LOOK:
		look_at_trees(now, in);
		break;
	case CHILD_ENDED:
		end_child(in);
		break;
	default:
		slots_flush(&k);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint64_t now = 1000;
	unsigned open_before;

	if (!k.memory)
		prepare();
	open_before = open_fds();
	begin();
	k.peek_children = take_u8(&in) & 1;
	while (in.left > 0 && k.engine.sock >= 0) {
		operate(&in, &now);
		engine_readable(&k);
		if (k.spawner.sock >= 0)
			spawning_readable(&k);
		drain(engine);
	}
	end();
	must(open_fds() == open_before);
	return 0;
}
