/* SPDX-License-Identifier: Apache-2.0 */
/* signals.h - signal names and numbers. */
#pragma once

/* The number of "TERM", "SIGTERM", "term", "15", "RTMIN+3" or "RTMAX-1"; -EINVAL for anything
 * else, 0 included. */
int signal_from_name(const char *name);

/* "SIGTERM", "SIGRTMIN+3"; the two numbers that glibc keeps to itself are "SIG32" and "SIG33". NULL
 * outside 1..64. A static string. */
const char *signal_name(int sig);
