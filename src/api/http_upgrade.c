/* SPDX-License-Identifier: Apache-2.0 */
#include "api/http_internal.h"
#include <errno.h>
#include <string.h>
#include <strings.h>

/* Whether a comma-separated list has the token, whatever its case. */
static bool list_has(const char *list, const char *token)
{
	size_t size = strlen(token);

	while (*list) {
		size_t n;

		list += strspn(list, ", \t");
		n = strcspn(list, ", \t");
		if (n == size && !strncasecmp(list, token, n))
			return true;
		list += n;
	}
	return false;
}

struct offer {
	const char *protocol;
	bool upgrade;   /* `Connection: upgrade` */
	bool protocols; /* `Upgrade: protocol` */
};

static enum MHD_Result look_at_offer(void *context, enum MHD_ValueKind kind _unused_,
				     const char *name, const char *value)
{
	struct offer *offer = context;

	if (!strcasecmp(name, MHD_HTTP_HEADER_CONNECTION) && list_has(value, "upgrade"))
		offer->upgrade = true;
	if (!strcasecmp(name, MHD_HTTP_HEADER_UPGRADE) && list_has(value, offer->protocol))
		offer->protocols = true;
	return MHD_YES;
}

static int check_offer(const struct request *rq, const char *protocol, int *ret_status,
		       struct error *e)
{
	struct offer offer = { .protocol = protocol };

	MHD_get_connection_values(rq->connection->mhd, MHD_HEADER_KIND, look_at_offer, &offer);
	if (!offer.protocols) {
		*ret_status = MHD_HTTP_UPGRADE_REQUIRED;
		return error_set(e, ERROR_INVALID_ARGUMENT, "the header 'Upgrade: %s' is missing",
				 protocol);
	}
	*ret_status = MHD_HTTP_BAD_REQUEST;
	if (!offer.upgrade)
		return error_set(e, ERROR_INVALID_ARGUMENT,
				 "the header 'Connection: Upgrade' is missing");
	if (rq->http_1_0)
		return error_set(e, ERROR_INVALID_ARGUMENT, "HTTP/1.0 has no upgrades");
	return 0;
}

bool request_offers_upgrade(const struct request *rq, const char *protocol)
{
	int status;

	return check_offer(rq, protocol, &status, NULL) >= 0;
}

static void hand_over(void *data, struct MHD_Connection *mhd _unused_, void *context _unused_,
		      const char *extra, size_t n_extra, MHD_socket fd,
		      struct MHD_UpgradeResponseHandle *handle)
{
	struct request *rq = data;

	rq->state = REQUEST_UPGRADED;
	rq->dropped = NULL;
	rq->upgraded = (struct upgraded){ .request = rq, .handle = handle };
	rq->opened(&rq->upgraded, fd, extra, n_extra, rq->data);
}

int request_upgrade_or(struct request *rq, const char *protocol, upgraded_fn opened,
		       void (*dropped)(void *data), void *data)
{
	struct MHD_Response *response;
	struct error e;
	int status;

	if (!request_is_open(rq))
		return -EALREADY;
	rq->opened = opened;
	rq->dropped = dropped;
	rq->data = data;
	if (check_offer(rq, protocol, &status, &e) < 0) {
		if (status == MHD_HTTP_UPGRADE_REQUIRED)
			request_add_header(rq, MHD_HTTP_HEADER_UPGRADE, protocol);
		return request_reply_status(rq, status, &e, NULL);
	}
	response = MHD_create_response_for_upgrade(hand_over, rq);
	if (response)
		MHD_add_response_header(response, MHD_HTTP_HEADER_UPGRADE, protocol);
	return request_queue(rq, MHD_HTTP_SWITCHING_PROTOCOLS, response, REQUEST_UPGRADING);
}

int request_upgrade(struct request *rq, const char *protocol, upgraded_fn opened, void *data)
{
	return request_upgrade_or(rq, protocol, opened, NULL, data);
}

void upgraded_close(struct upgraded *u)
{
	struct http_server *s = u->request->connection->server;

	MHD_upgrade_action(u->handle, MHD_UPGRADE_ACTION_CLOSE);
	server_schedule(s);
}
