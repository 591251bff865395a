/* SPDX-License-Identifier: Apache-2.0 */
/* attachment.h - one client that speaks `reeve-attach/1`: a cursor on each of its streams.
 *
 * The controlling client's place is durable: its token, the offsets it has acknowledged, and for
 * ATTACH_LEASE_MS after its connection is gone the right to come back to them. */
#pragma once
#include "core/cursor.h"
#include "core/frame.h"
#include "engine/session.h"

#define ATTACH_LEASE_MS 10000U

enum attach_mode {
	ATTACH_NONE,
	ATTACH_DROP_OLDEST,
	ATTACH_BLOCK,
};

enum attach_from {
	FROM_DELIVERED, /* what no controlling client has acknowledged; all that is kept when
			   read-only */
	FROM_START,
	FROM_NOW,
	FROM_OFFSET,
};

struct attach_place {
	enum attach_from from;
	uint64_t offset;
};

struct attach_options {
	bool want[STREAMS_MAX];
	struct attach_place place[STREAMS_MAX];
	enum attach_mode mode;
	bool steal, read_only;
	bool restore; /* a terminal's screen first, and again after a gap: from the head on */
	uint16_t rows, cols; /* the window of a controlling client; 0: as it is */
	bool memory;         /* it can read the rings' memory itself */
	bool numbers; /* its signals have numbers, so that it can say them again after a crash */
	bool has_token;
	uint64_t token[2];
	pid_t peer;
};

struct attachment;

/* Checks, before the upgrade, whether the client may have what it wants; reserves the control of
 * the session (the words are stored here). ERROR_ALREADY_ATTACHED names the holder. */
int attachment_prepare(struct session *s, struct attach_options *o, struct error *err);

/* Gives up what was reserved for a client that will not come. One that chose its token itself may
 * still come back with it. */
void attachment_cancel(struct session *s, const struct attach_options *o);

/* Makes it on an upgraded connection. `fd` is non-blocking and stays the caller's; `closed` is
 * called once, at the end, and the attachment is gone after it. NULL when there is no memory. */
struct attachment *attachment_new(struct session *s, const struct attach_options *o, int fd,
				  const void *extra, size_t n_extra, void (*closed)(void *data),
				  void *data);

/* A client that has control registered at spawn time, before any byte. */
void attachment_register(struct session *s, const uint64_t token[2], enum attach_mode mode,
			 pid_t peer);

/* A client that has control is expected to come, or to come back. */
bool attachment_is_awaited(const struct session *s);

/* Gives a block cursor's place up when its lease has run out; plans the look otherwise. */
void attachment_lease_check(struct session *s);

/* Tells the controlling client, if there is one, to go, so that it holds nothing up any more. */
void attachment_dismiss(struct session *s);

/* Ends the attachment as after a DETACH, with the given reason. */
void attachment_end(struct attachment *a, enum frame_reason reason);
