/* SPDX-License-Identifier: Apache-2.0 */
/* pty.h - pseudo-terminals: pty(7), ioctl_tty(2).
 *
 * A slave is opened through its master (TIOCGPTPEER, Linux 4.13), never by name: the name may mean
 * another device in another mount namespace. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define PTY_ROWS 24U
#define PTY_COLS 80U

/* A new pair: non-blocking master, slave in the usual cooked mode with UTF-8 editing, neither of
 * them the caller's controlling terminal. */
int pty_make(uint16_t rows, uint16_t cols, int *ret_master, int *ret_slave);

/* Another descriptor of the slave; negative errno. */
int pty_open_slave(int master);

/* Tells the kernel, which tells the foreground group by SIGWINCH when it is a change. */
int pty_resize(int master, uint16_t rows, uint16_t cols);

int pty_size(int master, uint16_t *ret_rows, uint16_t *ret_cols);

/* What the terminal does with what is typed. */
struct pty_mode {
	bool echo, canonical;
	uint8_t eof; /* the character that ends input in canonical mode */
};

int pty_mode(int master, struct pty_mode *ret);

/* Process group in the foreground; negative errno. */
int pty_foreground(int master);
