/* SPDX-License-Identifier: Apache-2.0 */
/* Loading and attaching. libbpf is needed to load only, and is opened when that is wanted: without
 * it the daemon runs as well. A successor that got the descriptors back does not need it. */
#include "base/fd.h"
#include "observe/ebpf.h"
#include "observe/ebpf_object.h"
#include "observe/surroundings.h"
#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LIBRARY "libbpf.so.1"

static const char *const map_names[EBPF_SWEEP] = {
	[EBPF_RING_PROCESS] = "ring_process", [EBPF_RING_BULK] = "ring_bulk",
	[EBPF_SESSIONS] = "sessions",         [EBPF_READER] = "reader",
	[EBPF_CONTROL] = "control",           [EBPF_TAGS] = "tags",
	[EBPF_BY_CGROUP] = "by_cgroup",
};

static const struct program {
	const char *name;
	enum ebpf_need need;
	enum bpf_attach_type hook; /* of a cgroup program */
	const char *tracepoint;    /* which not all kernels have */
} programs[EBPF_PROGRAMS] = {
	{ "on_fork", EBPF_NEED_ANY, 0, NULL },
	{ "on_exec", EBPF_NEED_ANY, 0, NULL },
	{ "on_exit", EBPF_NEED_ANY, 0, NULL },
	{ "on_return", EBPF_NEED_CALLS, 0, NULL },
	{ "on_state", EBPF_NEED_CALLS, 0, NULL },
	{ "on_uring", EBPF_NEED_CALLS, 0, "io_uring_submit_req" },
	{ "on_uring_sqe", EBPF_NEED_CALLS, 0, "io_uring_submit_sqe" },
	{ "want_connect4", EBPF_NEED_SOCKETS, BPF_CGROUP_INET4_CONNECT, NULL },
	{ "want_connect6", EBPF_NEED_SOCKETS, BPF_CGROUP_INET6_CONNECT, NULL },
	{ "want_sendmsg4", EBPF_NEED_SOCKETS, BPF_CGROUP_UDP4_SENDMSG, NULL },
	{ "want_sendmsg6", EBPF_NEED_SOCKETS, BPF_CGROUP_UDP6_SENDMSG, NULL },
	{ "open_returned", EBPF_NEED_FUNCTIONS, 0, NULL },
};

static const char *const functions[EBPF_FUNCTIONS] = {
	"request_begin", "request_end", "path_unlink", "path_rmdir", "path_mkdir",
	"path_symlink",  "path_link",   "path_rename", "file_freed",
};

/* What is used of libbpf. */
struct library {
	void *handle;
	libbpf_print_fn_t (*set_print)(libbpf_print_fn_t);
	struct bpf_object *(*open)(const void *, size_t, const struct bpf_object_open_opts *);
	int (*load)(struct bpf_object *);
	void (*close)(struct bpf_object *);
	struct bpf_program *(*find_program)(const struct bpf_object *, const char *);
	struct bpf_map *(*find_map)(const struct bpf_object *, const char *);
	int (*set_max_entries)(struct bpf_map *, uint32_t);
	int (*set_initial)(struct bpf_map *, const void *, size_t);
	int (*set_autoload)(struct bpf_program *, bool);
	int (*program_fd)(const struct bpf_program *);
	int (*map_fd)(const struct bpf_map *);
	int (*find_btf_id)(const char *, enum bpf_attach_type);
};

static const struct {
	const char *name;
	size_t offset;
} symbols[] = {
	{ "libbpf_set_print", offsetof(struct library, set_print) },
	{ "bpf_object__open_mem", offsetof(struct library, open) },
	{ "bpf_object__load", offsetof(struct library, load) },
	{ "bpf_object__close", offsetof(struct library, close) },
	{ "bpf_object__find_program_by_name", offsetof(struct library, find_program) },
	{ "bpf_object__find_map_by_name", offsetof(struct library, find_map) },
	{ "bpf_map__set_max_entries", offsetof(struct library, set_max_entries) },
	{ "bpf_map__set_initial_value", offsetof(struct library, set_initial) },
	{ "bpf_program__set_autoload", offsetof(struct library, set_autoload) },
	{ "bpf_program__fd", offsetof(struct library, program_fd) },
	{ "bpf_map__fd", offsetof(struct library, map_fd) },
	{ "libbpf_find_vmlinux_btf_id", offsetof(struct library, find_btf_id) },
};

static void library_close(struct library *l)
{
	if (l->handle)
		(void)dlclose(l->handle);
}

static int library_open(struct library *l, struct error *e)
{
	l->handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!l->handle)
		return error_set(e, ERROR_UNAVAILABLE,
				 LIBRARY " is not here: `sudo apt install libbpf1`");
	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
		void *symbol = dlsym(l->handle, symbols[i].name);

		if (!symbol)
			return error_set(e, ERROR_UNAVAILABLE, LIBRARY " has no %s: it is too old",
					 symbols[i].name);
		memcpy((char *)l + symbols[i].offset, &symbol, sizeof(symbol));
	}
	(void)l->set_print(NULL);
	return 0;
}

static bool lacks(int capability)
{
	return !has_capability(capability) && !has_capability(CAP_SYS_ADMIN);
}

/* -EPERM when the helper may have what lacks here. */
static int refuse_rights(struct error *e, const char *step)
{
	if (!is_in_first_user_namespace())
		return error_set(e, ERROR_UNAVAILABLE,
				 "in a user namespace, as of a container without root, nobody may "
				 "load BPF programs: run the daemon outside of it");
	if (geteuid() != 0) {
		(void)error_set(e, ERROR_UNAVAILABLE,
				"needs CAP_BPF and CAP_PERFMON: `sudo reeve daemon install "
				"--observe` grants them");
		return -EPERM;
	}
	if (lacks(CAP_BPF) || lacks(CAP_PERFMON))
		return error_set(
			e, ERROR_UNAVAILABLE,
			"this root lacks CAP_BPF or CAP_PERFMON, as in a container: whoever "
			"starts it has to add them (`docker run --cap-add BPF --cap-add "
			"PERFMON`)");
	return error_set(e, ERROR_UNAVAILABLE,
			 "%s: the kernel refuses it to root: lockdown, a security module or a "
			 "container's filter of system calls is in the way",
			 step);
}

int ebpf_refuse(struct error *e, int errnum, const char *step)
{
	errnum = errnum < 0 ? -errnum : errnum;
	if (errnum == EPERM || errnum == EACCES)
		return refuse_rights(e, step);
	if (access("/sys/kernel/btf/vmlinux", R_OK) < 0)
		return error_set(e, ERROR_UNAVAILABLE,
				 "the kernel has no type information (CONFIG_DEBUG_INFO_BTF)");
	return error_set_errno(e, ERROR_UNAVAILABLE, errnum, "%s", step);
}

/* Of a map or program, in its object. */
static const char *name_in_object(unsigned fd)
{
	if (fd < EBPF_SWEEP)
		return map_names[fd];
	if (fd == EBPF_SWEEP)
		return "sweep";
	return fd < EBPF_LINK ? programs[fd - EBPF_PROGRAM].name : functions[fd - EBPF_FUNCTION];
}

void ebpf_fd_name(unsigned fd, char name[HELD_NAME_MAX])
{
	if (fd < EBPF_LINK || fd >= EBPF_FUNCTION)
		(void)snprintf(name, HELD_NAME_MAX, "ebpf%d/%s", RECORD_VERSION,
			       name_in_object(fd));
	else if (fd == EBPF_LINK + (EBPF_PROGRAM_FUNCTIONS - EBPF_PROGRAM))
		(void)snprintf(name, HELD_NAME_MAX, "ebpf%d/functions", RECORD_VERSION);
	else
		(void)snprintf(name, HELD_NAME_MAX, "ebpf%d/link/%s", RECORD_VERSION,
			       programs[fd - EBPF_LINK].name);
}

static int copy_fd(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return copy < 0 ? -errno : copy;
}

/* Our own descriptors: those of the object go with it. */
static int copy_fds(const struct library *l, const struct bpf_object *object, int fds[N_EBPF_FDS])
{
	for (unsigned i = 0; i < N_EBPF_FDS; i++) {
		const char *name;
		int fd;

		if (i >= EBPF_LINK && i < EBPF_FUNCTION)
			continue;
		name = name_in_object(i);
		if (i < EBPF_SWEEP)
			fd = l->map_fd(l->find_map(object, name));
		else
			fd = l->program_fd(l->find_program(object, name));
		if (fd < 0)
			continue; /* left out */
		fds[i] = copy_fd(fd);
		if (fds[i] < 0)
			return fds[i];
	}
	return 0;
}

/* What is left out when the whole does not load. */
struct attempt {
	bool sockets; /* the cgroup programs: they take CAP_NET_ADMIN too */
	struct kernel_has has;
};

static bool is_left_out(const struct library *l, const struct attempt *a, const struct program *p)
{
	if (p->tracepoint)
		return l->find_btf_id(p->tracepoint, BPF_TRACE_RAW_TP) < 0;
	return (p->need == EBPF_NEED_SOCKETS && !a->sockets) ||
	       (p->need == EBPF_NEED_FUNCTIONS && !a->has.functions);
}

/* Leaves out what this kernel has no tracepoint for, and what is not to be tried. */
static void choose_programs(const struct library *l, const struct attempt *a,
			    const struct bpf_object *object)
{
	for (unsigned i = 0; i < EBPF_PROGRAMS; i++) {
		if (is_left_out(l, a, &programs[i]))
			(void)l->set_autoload(l->find_program(object, programs[i].name), false);
	}
	if (a->has.functions)
		return;
	for (unsigned i = 0; i < EBPF_FUNCTIONS; i++)
		(void)l->set_autoload(l->find_program(object, functions[i]), false);
	(void)l->set_max_entries(l->find_map(object, "work"), 1); /* it is not used */
}

/* So that tests can make it overflow. */
static void choose_ring_size(const struct library *l, const struct bpf_object *object)
{
	const char *text = secure_getenv("REEVE_EBPF_RING_BYTES");
	unsigned long size = text ? strtoul(text, NULL, 10) : 0;

	for (unsigned i = EBPF_RING_PROCESS; size != 0 && i <= EBPF_RING_BULK; i++)
		(void)l->set_max_entries(l->find_map(object, map_names[i]), (uint32_t)size);
}

static int load_with(const struct library *l, const struct attempt *a, const struct owner *owner,
		     int fds[N_EBPF_FDS], struct error *e)
{
	struct bpf_object *object =
		a->has.cast ? l->open(observe_bpf, observe_bpf_size, NULL)
			    : l->open(observe_plain_bpf, observe_plain_bpf_size, NULL);
	int r;

	if (!object)
		return ebpf_refuse(e, errno, "opening the BPF programs");
	choose_programs(l, a, object);
	r = l->set_initial(l->find_map(object, ".rodata.owner"), owner, sizeof(*owner));
	if (r >= 0)
		r = l->set_initial(l->find_map(object, ".rodata.kernel"), &a->has, sizeof(a->has));
	choose_ring_size(l, object);
	if (r >= 0)
		r = l->load(object);
	if (r < 0)
		r = ebpf_refuse(e, r, "loading the BPF programs");
	else if ((r = copy_fds(l, object, fds)) < 0)
		r = error_set_errno(e, ERROR_UNAVAILABLE, r, "BPF descriptors");
	l->close(object);
	return r;
}

int ebpf_load(int fds[N_EBPF_FDS], const struct owner *owner, enum tier tier, struct error *e)
{
	static const struct attempt attempts[] = {
		{ true, { 1, 1, 0 } },  { true, { 1, 0, 0 } },  { true, { 0, 0, 0 } },
		{ false, { 1, 1, 0 } }, { false, { 1, 0, 0 } }, { false, { 0, 0, 0 } },
	};
	struct library l = { 0 };
	int r = library_open(&l, e);
	bool is_open = r >= 0;

	for (size_t i = 0; is_open && (i == 0 || r < 0) && i < ARRAY_SIZE(attempts); i++) {
		struct attempt a = attempts[i];

		a.has.functions = tier == TIER_FUNCTIONS;
		r = load_with(&l, &a, owner, fds, e);
	}
	library_close(&l);
	for (unsigned i = 0; r < 0 && i < N_EBPF_FDS; i++)
		fds[i] = fd_close(fds[i]);
	return r;
}

/* --- bpf(2) ------------------------------------------------------------------------------------
 */

static int bpf(enum bpf_cmd command, union bpf_attr *attr)
{
	int r = (int)syscall(SYS_bpf, command, attr, sizeof(*attr));

	return r < 0 ? -errno : r;
}

int ebpf_try_function(void)
{
	static const struct bpf_insn nothing[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr = { 0 };
	struct library l = { 0 };
	struct error e = { 0 };
	int r = library_open(&l, &e);

	if (r >= 0)
		r = l.find_btf_id("do_filp_open", BPF_TRACE_FEXIT);
	library_close(&l);
	if (r < 0)
		return r;
	attr.prog_type = BPF_PROG_TYPE_TRACING;
	attr.expected_attach_type = BPF_TRACE_FEXIT;
	attr.attach_btf_id = (uint32_t)r;
	attr.insns = (uint64_t)(uintptr_t)nothing;
	attr.insn_cnt = ARRAY_SIZE(nothing);
	attr.license = (uint64_t)(uintptr_t) "Dual MIT/GPL";
	r = bpf(BPF_PROG_LOAD, &attr);
	if (r < 0)
		return r;
	fd_close(r);
	return 0;
}

enum ebpf_need ebpf_need_of(unsigned i)
{
	return programs[i].need;
}

int ebpf_attach_function(int program)
{
	union bpf_attr attr = { 0 };

	attr.raw_tracepoint.prog_fd = (uint32_t)program;
	return bpf(BPF_RAW_TRACEPOINT_OPEN, &attr);
}

int ebpf_attach(const int fds[N_EBPF_FDS], unsigned i, int cgroup_dir)
{
	union bpf_attr attr = { 0 };

	if (programs[i].need == EBPF_NEED_FUNCTIONS)
		return ebpf_functions_attach(fds);
	if (programs[i].need == EBPF_NEED_SOCKETS) {
		attr.link_create.prog_fd = (uint32_t)fds[EBPF_PROGRAM + i];
		attr.link_create.target_fd = (uint32_t)cgroup_dir;
		attr.link_create.attach_type = programs[i].hook;
		return bpf(BPF_LINK_CREATE, &attr);
	}
	attr.raw_tracepoint.prog_fd = (uint32_t)fds[EBPF_PROGRAM + i];
	return bpf(BPF_RAW_TRACEPOINT_OPEN, &attr);
}

int ebpf_run_sweep(int program, enum sweep_what what)
{
	uint64_t args[1] = { (uint64_t)what };
	union bpf_attr attr = { 0 };

	attr.test.prog_fd = (uint32_t)program;
	attr.test.ctx_in = (uint64_t)(uintptr_t)args;
	attr.test.ctx_size_in = sizeof(args);
	return bpf(BPF_PROG_TEST_RUN, &attr);
}

int ebpf_map_set(int map, const void *key, const void *value)
{
	union bpf_attr attr = { 0 };

	attr.map_fd = (uint32_t)map;
	attr.key = (uint64_t)(uintptr_t)key;
	attr.value = (uint64_t)(uintptr_t)value;
	attr.flags = BPF_ANY;
	return bpf(BPF_MAP_UPDATE_ELEM, &attr);
}

int ebpf_map_get(int map, const void *key, void *ret)
{
	union bpf_attr attr = { 0 };

	attr.map_fd = (uint32_t)map;
	attr.key = (uint64_t)(uintptr_t)key;
	attr.value = (uint64_t)(uintptr_t)ret;
	return bpf(BPF_MAP_LOOKUP_ELEM, &attr);
}

int ebpf_map_delete(int map, const void *key)
{
	union bpf_attr attr = { 0 };

	attr.map_fd = (uint32_t)map;
	attr.key = (uint64_t)(uintptr_t)key;
	return bpf(BPF_MAP_DELETE_ELEM, &attr);
}

int ebpf_map_next(int map, const void *key, void *next)
{
	union bpf_attr attr = { 0 };

	attr.map_fd = (uint32_t)map;
	attr.key = (uint64_t)(uintptr_t)key;
	attr.next_key = (uint64_t)(uintptr_t)next;
	return bpf(BPF_MAP_GET_NEXT_KEY, &attr);
}
