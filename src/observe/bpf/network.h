/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* network.h - sockets. */
#pragma once
#include "files.h"

#define FAMILY_UNIX       1
#define FAMILY_INET       2
#define FAMILY_INET6      10
#define TYPE_DATAGRAM     2
#define IN_PROGRESS       (-115)
#define STATE_ESTABLISHED 1
#define STATE_SYN_SENT    2
#define STATE_CLOSE       7

/* Sockets that are connecting while nobody waits for them: the record that will tell how it went.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64); /* struct sock */
	__type(value, struct open_file);
} connecting SEC(".maps");

/* Where a thread wants to connect or send to, as the kernel took it: the process may change its own
 * copy meanwhile. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64); /* tgid, tid */
	__type(value, struct record_address);
} wanted SEC(".maps");

static __always_inline struct sock *sock_of(struct file *file)
{
	struct socket *socket = BPF_CORE_READ(file, private_data);

	if ((BPF_CORE_READ(file, f_inode, i_mode) & MODE_FORMAT) != MODE_SOCKET)
		return 0;
	return BPF_CORE_READ(socket, sk);
}

static __always_inline bool is_datagram(struct file *file)
{
	struct socket *socket = BPF_CORE_READ(file, private_data);

	return BPF_CORE_READ(socket, type) == TYPE_DATAGRAM;
}

static __always_inline void unix_address(struct record_address *a, struct sock *sk)
{
	struct unix_address *u = BPF_CORE_READ((struct unix_sock *)sk, addr);
	int n = u ? BPF_CORE_READ(u, len) : 0;

	a->family = FAMILY_UNIX;
	if (n <= 2)
		return;
	n -= 2;
	if (n > 108)
		n = 108;
	a->path_size = n;
	bpf_probe_read_kernel(a->path, n & 127, (void *)u + bpf_core_field_offset(u->name) + 2);
}

static __always_inline void socket_address(struct record_address *a, struct sock *sk, bool remote)
{
	a->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (a->family == FAMILY_UNIX) {
		struct sock *end = remote ? BPF_CORE_READ((struct unix_sock *)sk, peer) : sk;

		if (end)
			unix_address(a, end);
		return;
	}
	if (remote)
		a->port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	else
		a->port = BPF_CORE_READ(sk, __sk_common.skc_num);
	a->scope = BPF_CORE_READ(sk, __sk_common.skc_bound_dev_if);
	if (a->family == FAMILY_INET && remote)
		bpf_core_read(a->bytes, 4, &sk->__sk_common.skc_daddr);
	else if (a->family == FAMILY_INET)
		bpf_core_read(a->bytes, 4, &sk->__sk_common.skc_rcv_saddr);
	else if (a->family == FAMILY_INET6 && remote)
		bpf_core_read(a->bytes, 16, &sk->__sk_common.skc_v6_daddr);
	else if (a->family == FAMILY_INET6)
		bpf_core_read(a->bytes, 16, &sk->__sk_common.skc_v6_rcv_saddr);
}

/* An address as the process gave it. */
static __noinline int given_address(struct scratch *x, struct record_address *a, __u64 address,
				    __u32 size)
{
	if (!a)
		return 0;
	if (size > 110)
		size = 110;
	if (address == 0 || size < 2)
		return 0;
	__builtin_memset(x->raw, 0, sizeof(x->raw));
	if (bpf_probe_read_user(x->raw, size & 127, (void *)address) < 0)
		return 0;
	a->family = *(__u16 *)x->raw;
	if (a->family == FAMILY_UNIX) {
		a->path_size = size - 2;
		bpf_probe_read_kernel(a->path, 108, x->raw + 2);
		return 0;
	}
	a->port = bpf_ntohs(*(__u16 *)(x->raw + 2));
	if (a->family == FAMILY_INET)
		__builtin_memcpy(a->bytes, x->raw + 4, 4);
	else if (a->family == FAMILY_INET6)
		__builtin_memcpy(a->bytes, x->raw + 8, 16);
	return 0;
}

/* Room for an address behind the texts; NULL when there is none. */
static __always_inline struct record_address *text_address(struct scratch *x, __u32 index)
{
	__u32 at = text_begin(x);
	struct record_address *a;

	if (at > TEXT_MAX)
		return 0;
	a = (void *)(x->text + at);
	__builtin_memset(a, 0, sizeof(*a));
	text_end(x, index, TEXT_ADDRESS, sizeof(*a));
	return a;
}

static __always_inline void socket_begin(struct scratch *x, const struct tag *tag,
					 struct task_struct *task, struct sock *sk, __u32 kind)
{
	struct record_address *a;

	record_begin(&x->record, tag, task, CATEGORY_NETWORK, kind);
	x->record.flags = RECORD_SOCKET;
	x->record.a = BPF_CORE_READ(sk, __sk_common.skc_family);
	x->record.b = BPF_CORE_READ(sk, sk_protocol);
	a = text_address(x, TEXT_LOCAL);
	if (a)
		socket_address(a, sk, false);
}

/* The other end: of the socket, else what the kernel was asked for, else what the process says. */
static __always_inline void add_remote(struct scratch *x, struct sock *sk, __u64 address,
				       __u32 size, bool connected)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct record_address *a = text_address(x, TEXT_REMOTE), *taken;

	if (!a)
		return;
	if (connected) {
		socket_address(a, sk, true);
		return;
	}
	taken = bpf_map_lookup_elem(&wanted, &id);
	if (taken)
		*a = *taken;
	else
		given_address(x, a, address, size);
}

static __always_inline void forget_wanted(void)
{
	__u64 id = bpf_get_current_pid_tgid();

	bpf_map_delete_elem(&wanted, &id);
}

/* The result of a connection that did not come about: ECONNRESET when the kernel has no reason. */
static __always_inline long refusal(int error)
{
	return error != 0 ? -error : -104;
}

/* connect(2) on a socket that does not wait: how it goes is seen later. */
static __always_inline void connect_later(struct session *s, struct scratch *x, struct sock *sk)
{
	__u64 key = (__u64)sk;
	__u8 state;

	if (bpf_map_update_elem(&connecting, &key, x, BPF_ANY) < 0) {
		lose(s, CATEGORY_NETWORK);
		return;
	}
	/* It may have been decided before that: then one of the two who delete it tells. */
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (state != STATE_ESTABLISHED && state != STATE_CLOSE)
		return;
	if (bpf_map_delete_elem(&connecting, &key) != 0)
		return;
	if (state == STATE_CLOSE)
		set_result(x, refusal(BPF_CORE_READ(sk, sk_err)));
	emit_scratch(s, x);
}

static __always_inline void connected(struct session *s, struct scratch *x,
				      struct task_struct *task, const struct tag *tag,
				      const struct call *call, struct file *file, struct sock *sk,
				      long result)
{
	socket_begin(x, tag, task, sk, KIND_CONNECTED);
	add_remote(x, sk, arg(x, call->path), (__u32)arg(x, call->mode), result >= 0);
	forget_wanted();
	if (result == IN_PROGRESS) {
		connect_later(s, x, sk);
	} else {
		set_result(x, result);
		emit_scratch(s, x);
	}
	if (result >= 0 || result == IN_PROGRESS)
		track(s, x, task, file, (__u32)arg(x, call->fd));
}

static __always_inline void bound(struct session *s, struct scratch *x, struct task_struct *task,
				  const struct tag *tag, const struct call *call, struct sock *sk,
				  long result)
{
	socket_begin(x, tag, task, sk, call->op == OP_BIND ? KIND_BOUND : KIND_LISTENING);
	set_result(x, result);
	if (result < 0 && call->op == OP_BIND) {
		struct record_address *a = (void *)x->text;

		given_address(x, a, arg(x, call->path), (__u32)arg(x, call->mode));
	}
	emit_scratch(s, x);
}

static __always_inline void accepted(struct session *s, struct scratch *x, struct task_struct *task,
				     const struct tag *tag, long result)
{
	struct file *file = result >= 0 ? file_of(task, result) : 0;
	struct sock *sk = file ? sock_of(file) : 0;

	if (!sk)
		return;
	socket_begin(x, tag, task, sk, KIND_ACCEPTED);
	add_remote(x, sk, 0, 0, true);
	emit_scratch(s, x);
	track(s, x, task, file, result);
}

/* Bytes through a socket. A datagram socket is told of when it first sends to a place. */
static __always_inline void transferred(struct session *s, struct scratch *x,
					struct task_struct *task, const struct tag *tag,
					const struct call *call, struct file *file, struct sock *sk,
					long result, bool write)
{
	__u64 key = (__u64)file;
	struct open_file *of = find_file(key);

	if (!of && is_datagram(file)) {
		bool is_connected = BPF_CORE_READ(sk, __sk_common.skc_dport) != 0;

		socket_begin(x, tag, task, sk, KIND_DATAGRAM);
		add_remote(x, sk, arg(x, call->path), (__u32)arg(x, call->mode), is_connected);
		emit_scratch(s, x);
		track(s, x, task, file, (__u32)arg(x, call->fd));
	}
	forget_wanted();
	count(s, x, file, result, write);
}

static __always_inline void on_socket_call(struct session *s, struct scratch *x,
					   struct task_struct *task, const struct tag *tag,
					   const struct call *call, long result)
{
	struct file *file = file_of(task, (__u32)arg(x, call->fd));
	struct sock *sk = file ? sock_of(file) : 0;
	__u16 family = sk ? BPF_CORE_READ(sk, __sk_common.skc_family) : 0;

	if (family != FAMILY_INET && family != FAMILY_INET6 && family != FAMILY_UNIX)
		return;
	switch (call->op) {
	case OP_CONNECT:
		connected(s, x, task, tag, call, file, sk, result);
		break;
	case OP_BIND:
	case OP_LISTEN:
		bound(s, x, task, tag, call, sk, result);
		break;
	case OP_ACCEPT:
		accepted(s, x, task, tag, result);
		break;
	default:
		if (result >= 0)
			transferred(s, x, task, tag, call, file, sk, result, call->op == OP_SEND);
		break;
	}
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, struct sock *sk, int before, int after)
{
	__u64 key = (__u64)sk;
	struct open_file *of;
	struct tag tag;
	struct session *s;

	if (before != STATE_SYN_SENT || (after != STATE_ESTABLISHED && after != STATE_CLOSE))
		return 0;
	of = bpf_map_lookup_elem(&connecting, &key);
	if (!of)
		return 0;
	if (bpf_map_delete_elem(&connecting, &key) != 0)
		return 0;
	/* The entry is not used again before this program has ended (RCU). */
	tag.session = of->record.session;
	tag.generation = of->record.generation;
	s = session_of_tag(&tag);
	if (!s)
		return 0;
	if (after == STATE_CLOSE) {
		of->record.result = refusal(sk->sk_err);
		of->record.flags |= RECORD_RESULT;
	}
	emit_open_file(of, KIND_CONNECTED);
	return 0;
}

/* --- cgroup hooks: what the kernel took as destination --------------------------------------- */

static __always_inline int want4(struct bpf_sock_addr *ctx)
{
	struct record_address a = { .family = FAMILY_INET };
	__u64 id = bpf_get_current_pid_tgid();
	__u32 ip = ctx->user_ip4;

	__builtin_memcpy(a.bytes, &ip, 4);
	a.port = bpf_ntohs(ctx->user_port);
	bpf_map_update_elem(&wanted, &id, &a, BPF_ANY);
	return 1;
}

static __always_inline int want6(struct bpf_sock_addr *ctx)
{
	struct record_address a = { .family = FAMILY_INET6 };
	__u64 id = bpf_get_current_pid_tgid();
	__u32 ip[4] = { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] };

	__builtin_memcpy(a.bytes, ip, 16);
	a.port = bpf_ntohs(ctx->user_port);
	bpf_map_update_elem(&wanted, &id, &a, BPF_ANY);
	return 1;
}

SEC("cgroup/connect4")
int want_connect4(struct bpf_sock_addr *ctx)
{
	return want4(ctx);
}

SEC("cgroup/connect6")
int want_connect6(struct bpf_sock_addr *ctx)
{
	return want6(ctx);
}

SEC("cgroup/sendmsg4")
int want_sendmsg4(struct bpf_sock_addr *ctx)
{
	return want4(ctx);
}

SEC("cgroup/sendmsg6")
int want_sendmsg6(struct bpf_sock_addr *ctx)
{
	return want6(ctx);
}
