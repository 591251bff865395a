/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* calls.h - the system calls that are looked at, by number (x86-64 and, from its own table, i386).
 */
#pragma once

enum op {
	OP_NONE,
	OP_OPEN,
	OP_OPENAT2,
	OP_CREAT,
	OP_READ,
	OP_WRITE,
	OP_COPY, /* from one descriptor to another */
	OP_RENAME,
	OP_UNLINK,
	OP_UNLINKAT, /* or rmdir */
	OP_RMDIR,
	OP_MKDIR,
	OP_MKNOD,
	OP_LINK,
	OP_SYMLINK,
	OP_TRUNCATE,
	OP_FTRUNCATE,
	OP_CHMOD,
	OP_FCHMOD,
	OP_CHOWN,
	OP_FCHOWN,
	OP_MMAP,
	OP_CONNECT,
	OP_BIND,
	OP_LISTEN,
	OP_ACCEPT,
	OP_SEND,
	OP_RECEIVE,
	OP_CLOSE,
	OP_GONE, /* may have closed files: told by the next sweep */
	OP_SOCKETCALL,
};

/* Where the arguments are: numbers from 1, 0 for none. */
struct call {
	unsigned char op, fd, dir, path, flags, mode, dir2, path2;
};

#define CALLS 512

#define FD(op_, fd_)                                                                               \
	{                                                                                          \
		.op = op_, .fd = fd_                                                               \
	}
#define AT(op_, dir_, path_, mode_)                                                                \
	{                                                                                          \
		.op = op_, .dir = dir_, .path = path_, .mode = mode_                               \
	}
#define TWO(op_, dir_, path_, dir2_, path2_)                                                       \
	{                                                                                          \
		.op = op_, .dir = dir_, .path = path_, .dir2 = dir2_, .path2 = path2_              \
	}

static const struct call calls64[CALLS] = {
	[0] = FD(OP_READ, 1),
	[1] = FD(OP_WRITE, 1),
	[2] = { .op = OP_OPEN, .path = 1, .flags = 2, .mode = 3 },
	[3] = FD(OP_CLOSE, 1),
	[9] = { .op = OP_MMAP, .fd = 5, .mode = 3, .flags = 4 },
	[17] = FD(OP_READ, 1),
	[18] = FD(OP_WRITE, 1),
	[19] = FD(OP_READ, 1),
	[20] = FD(OP_WRITE, 1),
	[33] = FD(OP_GONE, 0),                       /* dup2 */
	[40] = { .op = OP_COPY, .fd = 2, .dir = 1 }, /* sendfile */
	[42] = { .op = OP_CONNECT, .fd = 1, .path = 2, .mode = 3 },
	[43] = FD(OP_ACCEPT, 1),
	[44] = { .op = OP_SEND, .fd = 1, .path = 5, .mode = 6 },
	[45] = FD(OP_RECEIVE, 1),
	[46] = { .op = OP_SEND, .fd = 1 },
	[47] = FD(OP_RECEIVE, 1),
	[49] = { .op = OP_BIND, .fd = 1, .path = 2, .mode = 3 },
	[50] = FD(OP_LISTEN, 1),
	[76] = AT(OP_TRUNCATE, 0, 1, 2),
	[77] = { .op = OP_FTRUNCATE, .fd = 1, .mode = 2 },
	[82] = TWO(OP_RENAME, 0, 1, 0, 2),
	[83] = AT(OP_MKDIR, 0, 1, 2),
	[84] = AT(OP_RMDIR, 0, 1, 0),
	[85] = AT(OP_CREAT, 0, 1, 2),
	[86] = TWO(OP_LINK, 0, 1, 0, 2),
	[87] = AT(OP_UNLINK, 0, 1, 0),
	[88] = TWO(OP_SYMLINK, 0, 1, 0, 2),
	[90] = AT(OP_CHMOD, 0, 1, 2),
	[91] = { .op = OP_FCHMOD, .fd = 1, .mode = 2 },
	[92] = { .op = OP_CHOWN, .path = 1, .flags = 2, .mode = 3 },
	[93] = { .op = OP_FCHOWN, .fd = 1, .flags = 2, .mode = 3 },
	[94] = { .op = OP_CHOWN, .path = 1, .flags = 2, .mode = 3 },
	[133] = AT(OP_MKNOD, 0, 1, 2),
	[257] = { .op = OP_OPEN, .dir = 1, .path = 2, .flags = 3, .mode = 4 },
	[258] = AT(OP_MKDIR, 1, 2, 3),
	[259] = AT(OP_MKNOD, 1, 2, 3),
	[260] = { .op = OP_CHOWN, .dir = 1, .path = 2, .flags = 3, .mode = 4 },
	[263] = { .op = OP_UNLINKAT, .dir = 1, .path = 2, .flags = 3 },
	[264] = TWO(OP_RENAME, 1, 2, 3, 4),
	[265] = TWO(OP_LINK, 1, 2, 3, 4),
	[266] = TWO(OP_SYMLINK, 0, 1, 2, 3),
	[268] = AT(OP_CHMOD, 1, 2, 3),
	[275] = { .op = OP_COPY, .fd = 1, .dir = 3 }, /* splice */
	[288] = FD(OP_ACCEPT, 1),
	[292] = FD(OP_GONE, 0), /* dup3 */
	[295] = FD(OP_READ, 1),
	[296] = FD(OP_WRITE, 1),
	[316] = TWO(OP_RENAME, 1, 2, 3, 4),
	[326] = { .op = OP_COPY, .fd = 1, .dir = 3 }, /* copy_file_range */
	[327] = FD(OP_READ, 1),
	[328] = FD(OP_WRITE, 1),
	[436] = FD(OP_GONE, 0), /* close_range */
	[437] = { .op = OP_OPENAT2, .dir = 1, .path = 2, .flags = 3 },
	[452] = AT(OP_CHMOD, 1, 2, 3),
};

static const struct call calls32[CALLS] = {
	[3] = FD(OP_READ, 1),
	[4] = FD(OP_WRITE, 1),
	[5] = { .op = OP_OPEN, .path = 1, .flags = 2, .mode = 3 },
	[6] = FD(OP_CLOSE, 1),
	[8] = AT(OP_CREAT, 0, 1, 2),
	[9] = TWO(OP_LINK, 0, 1, 0, 2),
	[10] = AT(OP_UNLINK, 0, 1, 0),
	[14] = AT(OP_MKNOD, 0, 1, 2),
	[15] = AT(OP_CHMOD, 0, 1, 2),
	[38] = TWO(OP_RENAME, 0, 1, 0, 2),
	[39] = AT(OP_MKDIR, 0, 1, 2),
	[40] = AT(OP_RMDIR, 0, 1, 0),
	[63] = FD(OP_GONE, 0),
	[83] = TWO(OP_SYMLINK, 0, 1, 0, 2),
	[92] = AT(OP_TRUNCATE, 0, 1, 2),
	[93] = { .op = OP_FTRUNCATE, .fd = 1, .mode = 2 },
	[94] = { .op = OP_FCHMOD, .fd = 1, .mode = 2 },
	[102] = { .op = OP_SOCKETCALL },
	[145] = FD(OP_READ, 1),
	[146] = FD(OP_WRITE, 1),
	[180] = FD(OP_READ, 1),
	[181] = FD(OP_WRITE, 1),
	[187] = { .op = OP_COPY, .fd = 2, .dir = 1 },
	[192] = { .op = OP_MMAP, .fd = 5, .mode = 3, .flags = 4 },
	[193] = AT(OP_TRUNCATE, 0, 1, 2),
	[194] = { .op = OP_FTRUNCATE, .fd = 1, .mode = 2 },
	[198] = { .op = OP_CHOWN, .path = 1, .flags = 2, .mode = 3 },
	[207] = { .op = OP_FCHOWN, .fd = 1, .flags = 2, .mode = 3 },
	[212] = { .op = OP_CHOWN, .path = 1, .flags = 2, .mode = 3 },
	[239] = { .op = OP_COPY, .fd = 2, .dir = 1 },
	[295] = { .op = OP_OPEN, .dir = 1, .path = 2, .flags = 3, .mode = 4 },
	[296] = AT(OP_MKDIR, 1, 2, 3),
	[297] = AT(OP_MKNOD, 1, 2, 3),
	[298] = { .op = OP_CHOWN, .dir = 1, .path = 2, .flags = 3, .mode = 4 },
	[301] = { .op = OP_UNLINKAT, .dir = 1, .path = 2, .flags = 3 },
	[302] = TWO(OP_RENAME, 1, 2, 3, 4),
	[303] = TWO(OP_LINK, 1, 2, 3, 4),
	[304] = TWO(OP_SYMLINK, 0, 1, 2, 3),
	[306] = AT(OP_CHMOD, 1, 2, 3),
	[313] = { .op = OP_COPY, .fd = 1, .dir = 3 },
	[330] = FD(OP_GONE, 0),
	[333] = FD(OP_READ, 1),
	[334] = FD(OP_WRITE, 1),
	[353] = TWO(OP_RENAME, 1, 2, 3, 4),
	[361] = { .op = OP_BIND, .fd = 1, .path = 2, .mode = 3 },
	[362] = { .op = OP_CONNECT, .fd = 1, .path = 2, .mode = 3 },
	[363] = FD(OP_LISTEN, 1),
	[364] = FD(OP_ACCEPT, 1),
	[369] = { .op = OP_SEND, .fd = 1, .path = 5, .mode = 6 },
	[370] = { .op = OP_SEND, .fd = 1 },
	[371] = FD(OP_RECEIVE, 1),
	[372] = FD(OP_RECEIVE, 1),
	[377] = { .op = OP_COPY, .fd = 1, .dir = 3 },
	[436] = FD(OP_GONE, 0),
	[437] = { .op = OP_OPENAT2, .dir = 1, .path = 2, .flags = 3 },
	[452] = AT(OP_CHMOD, 1, 2, 3),
};

/* i386 socketcall(2): what its first argument stands for. */
#define SOCKETCALLS 20
static const struct call socketcalls[SOCKETCALLS] = {
	[2] = { .op = OP_BIND, .fd = 1, .path = 2, .mode = 3 },
	[3] = { .op = OP_CONNECT, .fd = 1, .path = 2, .mode = 3 },
	[4] = FD(OP_LISTEN, 1),
	[5] = FD(OP_ACCEPT, 1),
	[9] = { .op = OP_SEND, .fd = 1 },
	[10] = FD(OP_RECEIVE, 1),
	[11] = { .op = OP_SEND, .fd = 1, .path = 5, .mode = 6 },
	[12] = FD(OP_RECEIVE, 1),
	[16] = { .op = OP_SEND, .fd = 1 },
	[17] = FD(OP_RECEIVE, 1),
	[18] = FD(OP_ACCEPT, 1),
};
