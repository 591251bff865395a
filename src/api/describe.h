/* SPDX-License-Identifier: Apache-2.0 */
/* describe.h - the API as its own tables know it, for the check of docs/api/openapi.json. */
#pragma once
#include <stdio.h>

/* One JSON object a line: each route with its query parameters and the fields of its body, then
 * each error code with its HTTP status. */
void describe_api(FILE *to);
