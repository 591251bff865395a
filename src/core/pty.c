/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pty.h"
#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>

int pty_open_slave(int master)
{
	int fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int pty_make(uint16_t rows, uint16_t cols, int *ret_master, int *ret_slave)
{
	_cleanup_(closep) int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	_cleanup_(closep) int slave = -1;
	struct termios t;
	int r;

	if (master < 0 || unlockpt(master) < 0)
		return -errno;
	slave = pty_open_slave(master);
	if (slave < 0)
		return slave;
	if (tcgetattr(slave, &t) == 0) {
		t.c_iflag |= IUTF8;
		tcsetattr(slave, TCSANOW, &t);
	}
	r = pty_resize(master, rows, cols);
	if (r < 0)
		return r;
	*ret_master = take_fd(&master);
	*ret_slave = take_fd(&slave);
	return 0;
}

int pty_resize(int master, uint16_t rows, uint16_t cols)
{
	struct winsize w = { .ws_row = rows, .ws_col = cols };

	return ioctl(master, TIOCSWINSZ, &w) < 0 ? -errno : 0;
}

int pty_size(int master, uint16_t *ret_rows, uint16_t *ret_cols)
{
	struct winsize w;

	if (ioctl(master, TIOCGWINSZ, &w) < 0)
		return -errno;
	*ret_rows = w.ws_row;
	*ret_cols = w.ws_col;
	return 0;
}

int pty_mode(int master, struct pty_mode *ret)
{
	struct termios t;

	if (tcgetattr(master, &t) < 0)
		return -errno;
	*ret = (struct pty_mode){
		.echo = t.c_lflag & ECHO,
		.canonical = t.c_lflag & ICANON,
		.eof = t.c_cc[VEOF],
	};
	return 0;
}

int pty_foreground(int master)
{
	pid_t group;

	if (ioctl(master, TIOCGPGRP, &group) < 0)
		return -errno;
	return group;
}
