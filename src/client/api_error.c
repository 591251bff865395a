/* SPDX-License-Identifier: Apache-2.0 */
#include "client/api_error.h"
#include "base/json.h"

static enum error_code code_of_status(int status)
{
	for (unsigned i = ERROR_NONE + 1; i < N_ERROR_CODES; i++)
		if (error_code_http_status(i) == status)
			return i;
	return ERROR_INTERNAL;
}

int api_error_plain(int status, const char *text, size_t size, struct error *e)
{
	int n = (int)MIN(size, (size_t)ERROR_MESSAGE_MAX);

	if (n == 0)
		return error_set(e, code_of_status(status), "the daemon answered %d", status);
	return error_set(e, code_of_status(status), "%.*s", n, text);
}

int api_error(int status, const char *text, size_t size, json_t **ret_details, struct error *e)
{
	json_t *document = NULL;
	const char *code, *message;
	json_t *details = NULL;
	int r;

	if (ret_details)
		*ret_details = NULL;
	if (json_load_strict(text, size, &document, NULL) < 0)
		return api_error_plain(status, text, size, e);
	if (json_unpack(document, "{s:{s:s, s:s, s?o}}", "error", "code", &code, "message",
			&message, "details", &details) < 0) {
		r = api_error_plain(status, text, size, e);
	} else {
		enum error_code known = error_code_from_name(code);

		r = error_set(e, known != ERROR_NONE ? known : code_of_status(status), "%s",
			      message);
		if (ret_details)
			*ret_details = json_incref(details);
	}
	json_decref(document);
	return r;
}
