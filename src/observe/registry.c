/* SPDX-License-Identifier: Apache-2.0 */
/* The ladder: the backends of this build, best first. */
#include "observe/backend.h"

const struct backend *const backends[] = {
	&backend_portable_lifecycle,
#ifdef REEVE_EBPF
	&backend_ebpf,
#endif
	&backend_perf,
	&backend_proc_connector,
	&backend_subreaper_proc_poll,
	NULL,
};
