/* SPDX-License-Identifier: Apache-2.0 */
/* orphan.h - a process of our own program that is no child of ours, and a socket to it.
 *
 * It is a copy of this process, without its other threads, and belongs to init or the nearest
 * subreaper: nobody here has to reap it, and it may outlive us. Its signals are all at their
 * default and none is blocked; it is alone in a session of its own, in the directory "/". What else
 * it was born with, descriptors among them, is for itself to give up. */
#pragma once

/* What it does, on its end of the socket; when this returns, it ends. The process may have had
 * threads that held locks: only what is safe in a signal handler may be called, signal-safety(7).
 * `data` is its own copy. */
typedef void orphan_fn(int sock, const void *data);

/* Starts one that runs `run(sock, data)`. Returns our end of a pair of sockets of the `type`
 * (SOCK_STREAM or SOCK_SEQPACKET), CLOEXEC and the caller's, or a negative errno: then there is no
 * such process. The other end is the orphan's alone: each sees the end of the other by it.
 *
 * Waits for a moment for a child in between. Where another thread reaps whatever child there is,
 * or SIGCHLD is ignored, that this child failed to make the orphan is told by the socket's end
 * alone. Thread-safe; no handler of this process runs in one of the new ones. */
int orphan_start(int type, orphan_fn *run, const void *data);
