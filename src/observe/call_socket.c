/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/call_socket.h"
#include "base/fd.h"
#include "core/lend.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/net.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#define SOCKETCALL 102

static const int receive_from[N_CALL_ARCHS] = { 45, 371, 207 };

/* --- addresses ------------------------------------------------------------------------------- */

static void unix_name(const struct sockaddr_un *un, size_t size, char *path)
{
	size_t n = size - offsetof(struct sockaddr_un, sun_path);
	bool abstract = n > 0 && un->sun_path[0] == '\0';

	if (!abstract)
		n = strnlen(un->sun_path, n);
	for (size_t i = 0; i < n; i++) /* an abstract name may hold NULs */
		path[i] = abstract && un->sun_path[i] == '\0' ? '@' : un->sun_path[i];
	path[n] = '\0';
}

bool call_address(const void *bytes, size_t size, char *path, struct reeve_address *ret)
{
	struct sockaddr_storage s = { 0 };
	const struct sockaddr_in *in = (const void *)&s;
	const struct sockaddr_in6 *in6 = (const void *)&s;

	size = MIN(size, sizeof(s));
	if (size < sizeof(s.ss_family))
		return false;
	memcpy(&s, bytes, size);
	*ret = (struct reeve_address){ .family = s.ss_family };
	if (s.ss_family == AF_INET && size >= sizeof(*in)) {
		ret->port = ntohs(in->sin_port);
		memcpy(ret->bytes, &in->sin_addr, sizeof(in->sin_addr));
	} else if (s.ss_family == AF_INET6 && size >= sizeof(*in6) - sizeof(in6->sin6_scope_id)) {
		ret->port = ntohs(in6->sin6_port);
		ret->scope = in6->sin6_scope_id;
		memcpy(ret->bytes, &in6->sin6_addr, sizeof(ret->bytes));
	} else if (s.ss_family == AF_UNIX) {
		unix_name((const void *)&s, MIN(size, sizeof(struct sockaddr_un)), path);
		ret->path = path;
	} else {
		return false;
	}
	return true;
}

/* --- sockets --------------------------------------------------------------------------------- */

/* A copy of the socket; it is asked for its protocol and its own address. */
static int copy_socket(const struct reeve_event *e, int number)
{
	return lend_descriptor(e->pid, number);
}

/* The same of who is about to make a call. */
static int socket_of(const struct call *c, const struct reeve_event *e)
{
	int number = (int)c->args[0], fd;

	if (c->loan && c->loan->socket > 0)
		return fcntl(c->loan->socket, F_DUPFD_CLOEXEC, 0);
	fd = c->loan && c->loan->only ? -EPERM : copy_socket(e, number);
	if (fd == -EPERM && c->loan && number >= 0) {
		c->loan->wants_socket = true;
		c->loan->pid = e->pid;
		c->loan->number = number;
	}
	return fd;
}

static void ask_socket(int fd, struct call_texts *t, struct reeve_event *e)
{
	struct sockaddr_storage s;
	socklen_t n = sizeof(int);
	int family, protocol;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &n) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &n) < 0)
		return;
	e->family = (uint16_t)family;
	e->protocol = (uint16_t)protocol;
	e->fields |= REEVE_HAS_SOCKET;
	n = sizeof(s);
	if (e->kind == REEVE_LISTENING && getsockname(fd, (struct sockaddr *)&s, &n) == 0 &&
	    call_address(&s, n, t->address[0], &e->local))
		e->fields |= REEVE_HAS_LOCAL;
}

/* Where a call has its address. */
struct place {
	uint64_t at, size;
};

static bool message_place(const struct call *c, struct place *ret)
{
	uint64_t words[2] = { 0 }; /* msg_name, msg_namelen */
	uint32_t *narrow = (uint32_t *)words;
	size_t size = c->arch == ARCH_I386 ? 8 : 16;

	if (call_read(c, c->args[1], words, size) != (ssize_t)size)
		return false;
	if (c->arch == ARCH_I386)
		*ret = (struct place){ narrow[0], narrow[1] };
	else
		*ret = (struct place){ words[0], (uint32_t)words[1] };
	return true;
}

static bool address_place(const struct call *c, const struct call_rule *r, struct place *ret)
{
	switch ((enum call_form)r->form) {
	case FORM_ADDRESS:
		*ret = (struct place){ c->args[1], (uint32_t)c->args[2] };
		return true;
	case FORM_SENDTO:
		*ret = (struct place){ c->args[4], (uint32_t)c->args[5] };
		return true;
	case FORM_MESSAGE:
	case FORM_MESSAGES:
		return message_place(c, ret);
	default:
		return false;
	}
}

bool call_socket_decode(const struct call *c, const struct call_rule *r, struct call_texts *t,
			struct reeve_event *e)
{
	_cleanup_(closep) int fd = -1;
	struct sockaddr_storage s = { 0 };
	struct reeve_address a;
	struct place place = { 0 };

	if (r->form != FORM_LISTEN) {
		if (!address_place(c, r, &place) || place.at == 0)
			return false;
		place.size = MIN(place.size, (uint64_t)sizeof(s));
		if (call_read(c, place.at, &s, place.size) != (ssize_t)place.size ||
		    !call_address(&s, place.size, t->address[1], &a))
			return false;
		if (e->kind == REEVE_BOUND) {
			e->local = a;
			e->fields |= REEVE_HAS_LOCAL;
		} else {
			e->remote = a;
			e->fields |= REEVE_HAS_REMOTE;
		}
		e->family = a.family;
	}
	fd = socket_of(c, e);
	if (fd >= 0)
		ask_socket(fd, t, e);
	return true;
}

/* --- what the kernel says afterwards --------------------------------------------------------- */

static bool ask_address(int fd, int (*ask)(int, struct sockaddr *, socklen_t *), char *path,
			struct reeve_address *ret)
{
	struct sockaddr_storage s;
	socklen_t n = sizeof(s);

	return ask(fd, (struct sockaddr *)&s, &n) == 0 && call_address(&s, n, path, ret);
}

static void ask_addresses(int fd, struct reeve_event *e, struct call_texts *t)
{
	if (ask_address(fd, getsockname, t->address[0], &e->local))
		e->fields |= REEVE_HAS_LOCAL;
	if (ask_address(fd, getpeername, t->address[1], &e->remote))
		e->fields |= REEVE_HAS_REMOTE;
}

static bool is_told_of(const struct reeve_event *e)
{
	return (e->fields & REEVE_HAS_SOCKET) != 0 &&
	       (e->family == AF_INET || e->family == AF_INET6 || e->family == AF_UNIX);
}

bool call_socket_complete(struct reeve_event *e, int number, struct call_texts *t)
{
	_cleanup_(closep) int fd = copy_socket(e, number);

	if (fd < 0)
		return false;
	ask_socket(fd, t, e);
	if (is_told_of(e))
		ask_addresses(fd, e, t);
	return is_told_of(e);
}

/* Where recvfrom(2) has put an address: its size is in memory, too. */
static bool received_place(const struct call *c, struct place *ret)
{
	uint32_t size;

	if (call_read(c, c->args[5], &size, sizeof(size)) != sizeof(size))
		return false;
	*ret = (struct place){ c->args[4], size };
	return true;
}

static void add_named(const struct call *c, struct reeve_event *e, struct call_texts *t)
{
	const struct call_rule *r = call_rule(c->arch, c->nr);
	struct sockaddr_storage s = { 0 };
	struct place place = { 0 };
	bool has;

	if (r)
		has = address_place(c, r, &place);
	else if (c->nr == receive_from[c->arch])
		has = received_place(c, &place);
	else
		has = message_place(c, &place);
	place.size = MIN(place.size, (uint64_t)sizeof(s));
	if (has && place.at != 0 && call_read(c, place.at, &s, place.size) == (ssize_t)place.size &&
	    call_address(&s, place.size, t->address[1], &e->remote))
		e->fields |= REEVE_HAS_REMOTE;
}

bool call_socket_datagram(const struct call *c, struct reeve_event *e, struct call_texts *t)
{
	_cleanup_(closep) int fd = copy_socket(e, (int)c->args[0]);
	socklen_t n = sizeof(int);
	int type;

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_DGRAM)
		return false;
	ask_socket(fd, t, e);
	if (!is_told_of(e))
		return false;
	ask_addresses(fd, e, t);
	if ((e->fields & REEVE_HAS_REMOTE) == 0)
		add_named(c, e, t);
	return true;
}

/* --- socketcall ------------------------------------------------------------------------------ */

/* Their numbers in socketcall(2), and what they are on i386. */
static const struct {
	uint8_t call;
	int16_t nr;
	uint8_t n; /* arguments */
} unfolded[] = {
	{ SYS_BIND, 361, 3 },     { SYS_CONNECT, 362, 3 },  { SYS_LISTEN, 363, 2 },
	{ SYS_SENDTO, 369, 6 },   { SYS_SENDMSG, 370, 3 },  { SYS_SENDMMSG, 345, 4 },
	{ SYS_ACCEPT, 364, 3 },   { SYS_ACCEPT4, 364, 4 },  { SYS_SEND, 369, 4 },
	{ SYS_RECV, 371, 4 },     { SYS_RECVFROM, 371, 6 }, { SYS_RECVMSG, 372, 3 },
	{ SYS_RECVMMSG, 337, 5 },
};

void call_socket_unfold(struct call *c)
{
	uint32_t args[6] = { 0 };

	if (c->arch != ARCH_I386 || c->nr != SOCKETCALL)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(unfolded); i++) {
		ssize_t size = (ssize_t)(unfolded[i].n * sizeof(args[0]));

		if (unfolded[i].call != c->args[0])
			continue;
		if (call_read(c, c->args[1], args, (size_t)size) != size)
			return;
		for (unsigned a = 0; a < ARRAY_SIZE(args); a++)
			c->args[a] = args[a];
		c->nr = unfolded[i].nr;
		return;
	}
}

bool call_socket_repeats(struct call_remotes *seen, const struct call *c,
			 const struct reeve_event *e)
{
	uint32_t hash = 2166136261U,
		 words[3] = { (uint32_t)e->pid, (uint32_t)c->args[0],
			      (uint32_t)e->remote.family << 16 | e->remote.port };
	const char *path = e->remote.path ? e->remote.path : "";

	for (size_t i = 0; i < sizeof(words); i++)
		hash = (hash ^ ((const uint8_t *)words)[i]) * 16777619U;
	for (size_t i = 0; i < sizeof(e->remote.bytes); i++)
		hash = (hash ^ e->remote.bytes[i]) * 16777619U;
	for (size_t i = 0; path[i] != '\0'; i++)
		hash = (hash ^ (uint8_t)path[i]) * 16777619U;
	if (seen->hashes[hash % CALL_REMOTES] == hash)
		return true;
	seen->hashes[hash % CALL_REMOTES] = hash;
	return false;
}
