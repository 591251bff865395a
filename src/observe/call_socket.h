/* SPDX-License-Identifier: Apache-2.0 */
/* call_socket.h - the part of call_decode.h that concerns sockets. */
#pragma once
#include "observe/call_decode.h"
#include <sys/socket.h>

/* socketcall(2): `c` becomes the call it stands for, with the arguments of that; left alone when it
 * is none of interest, or cannot be read. */
void call_socket_unfold(struct call *c);

/* Adds family, protocol and addresses. False when the call has no address of its own. */
bool call_socket_decode(const struct call *c, const struct call_rule *r, struct call_texts *t,
			struct reeve_event *e);

/* When the call has succeeded: family, protocol and addresses as the kernel has them for descriptor
 * `number` of the process. False when it is no socket of the Internet or a Unix socket. */
bool call_socket_complete(struct reeve_event *e, int number, struct call_texts *t);

/* A call that sends or received, as call_socket_complete(), and the address that it names. False
 * also when it is no datagram socket. */
bool call_socket_datagram(const struct call *c, struct reeve_event *e, struct call_texts *t);

/* From what the kernel or a process has as an address; `path` (128 bytes) is for the name of a Unix
 * socket. False for one of another family, or cut off. */
bool call_address(const void *bytes, size_t size, char *path, struct reeve_address *ret);

/* Sockets with their remotes, seen lately. */
#define CALL_REMOTES 256U

struct call_remotes {
	uint32_t hashes[CALL_REMOTES];
};

/* Whether a socket has sent there lately; it has now. */
bool call_socket_repeats(struct call_remotes *seen, const struct call *c,
			 const struct reeve_event *e);
