/* SPDX-License-Identifier: Apache-2.0 */
/* dirents.h - the names in a directory without opendir(3), which allocates and reads far ahead. */
#pragma once
#include <stddef.h>

/* Called for one name, "." and ".." left out; `type` is a DT_ of readdir(3). Anything but 0 ends
 * the walk and is its result. */
typedef int (*dirents_fn)(const char *name, unsigned char type, void *userdata);

/* Walks the open directory `fd` from its current position. `ahead` is how many bytes of names may
 * be fetched before they are handed out, from 512 (a name can be 255 bytes long) up to 4096. */
int dirents_each(int fd, size_t ahead, dirents_fn fn, void *userdata);
