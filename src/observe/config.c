/* SPDX-License-Identifier: Apache-2.0 */
/* What to observe. */
#include "reeve/observer.h"
#include <errno.h>

struct reeve_observer_config reeve_observer_config_off(void)
{
	return (struct reeve_observer_config){ 0 };
}

struct reeve_observer_config reeve_observer_config_lifecycle(void)
{
	return (struct reeve_observer_config){ .n = 1, .categories = { REEVE_LIFECYCLE } };
}

int reeve_observer_config_with_categories(const enum reeve_category *categories, size_t n,
					  struct reeve_observer_config *ret)
{
	struct reeve_observer_config config = { 0 };

	for (size_t i = 0; i < n; i++) {
		if (!reeve_category_name(categories[i]))
			return -EINVAL;
		if (!reeve_observer_config_has(&config, categories[i]))
			config.categories[config.n++] = categories[i];
	}
	*ret = config;
	return 0;
}

bool reeve_observer_config_is_off(const struct reeve_observer_config *config)
{
	return config->n == 0;
}

bool reeve_observer_config_has(const struct reeve_observer_config *config,
			       enum reeve_category category)
{
	for (uint32_t i = 0; i < config->n && i < REEVE_CATEGORIES; i++) {
		if (config->categories[i] == category)
			return true;
	}
	return false;
}
