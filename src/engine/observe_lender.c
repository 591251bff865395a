/* SPDX-License-Identifier: Apache-2.0 */
/* observe_lender.c - what the backends ask of the keeper, the ancestor of all that is observed. */
#include "base/fd.h"
#include "engine/observe_private.h"

/* What is said to a keeper that is not there, or takes over, is said again when it has. */
static void on_ask(void *userdata, uint32_t ticket, int32_t of, int number)
{
	struct engine *e = userdata;
	uint64_t what = number < 0 ? 0 : (uint64_t)number + 1;

	if (e->link.polling)
		link_tell(e, LINK_BORROW, ticket, what << 32 | (uint32_t)of);
}

void observe_set_lender(struct engine *e, struct host *h)
{
	host_set_lender(h, &(struct host_lender){ on_ask, e });
}

void observe_ask_again(struct engine *e)
{
	if (e->observatory && e->observatory->host)
		host_ask_again(e->observatory->host);
}

void observe_lent(struct engine *e, uint32_t ticket, int fd)
{
	if (!e->observatory || !e->observatory->host)
		fd_close(fd);
	else if (ticket == 0)
		host_ask_again(e->observatory->host);
	else
		host_lent(e->observatory->host, ticket, fd);
}
