/* SPDX-License-Identifier: Apache-2.0 */
/* The ladder: the backends of this build, best first. */
#include "observe/backend.h"

#ifdef REEVE_EBPF
#define EBPF &backend_ebpf,
#else
#define EBPF
#endif

const struct backend *const backends[] = {
	&backend_portable_lifecycle,
	EBPF &backend_ptrace,
	&backend_seccomp_user_notify,
	&backend_fanotify,
	&backend_perf,
	&backend_proc_connector,
	&backend_subreaper_proc_poll,
	NULL,
};

const struct backend *const backends_unprepared[] = {
	&backend_portable_lifecycle, EBPF &backend_fanotify,       &backend_perf,
	&backend_proc_connector,     &backend_subreaper_proc_poll, NULL,
};
