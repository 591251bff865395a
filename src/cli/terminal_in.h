/* SPDX-License-Identifier: Apache-2.0 */
/* terminal_in.h - the keys of the user's terminal.
 *
 * To be asked whether there are keys, a terminal first waits for the kernel's worker to pass on
 * what is on its way to it (n_tty_poll flushes that work), and in the moment after a key the worker
 * may itself wait for a processor: who polls a terminal and a socket then sleeps through the echo
 * that comes over the socket. Hence an epoll that is edge-triggered, which asks the terminal only
 * when something has come. Sources: epoll(7), drivers/tty/n_tty.c. */
#pragma once
#include "base/error.h"
#include <sys/types.h>

struct terminal_in {
	int fd; /* to poll: readable when there are keys; -1: not open */
};

/* For stdin, which is a terminal. Nothing else may read it. */
int terminal_in_open(struct terminal_in *in, struct error *e);
void terminal_in_close(struct terminal_in *in);

/* Looks at the terminal again: somebody else had it meanwhile, or made it raw. */
void terminal_in_renew(struct terminal_in *in);

/* Reads keys, when `fd` is readable. How many; 0 at the end, as when the terminal was hung up; a
 * negative errno, -EAGAIN and -EINTR when there is nothing now. */
ssize_t terminal_in_read(struct terminal_in *in, void *to, size_t n);
