#include "net/curl.h"

#include <dlfcn.h>
#include <pthread.h>

/* Debian's two flavours that have a stable name; either does. */
static const char *const names[] = { "libcurl-gnutls.so.4", "libcurl.so.4" };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct lm_curl functions;
static bool loaded;

/* POSIX says that a function's address fits; C has no cast for it. */
static bool find(void *library, const char *name, void *function)
{
	void *symbol = dlsym(library, name);

	memcpy(function, &symbol, sizeof(symbol));
	return symbol != NULL;
}

/* False when a function is missing: a libcurl that is too old. */
static bool bind_all(void *library, struct lm_curl *curl)
{
#define LM_CURL_FIND(name)                                                                         \
	if (!find(library, "curl_" #name, &curl->name))                                            \
		return false;
	LM_CURL_FUNCTIONS(LM_CURL_FIND)
#undef LM_CURL_FIND
	return true;
}

static int load(struct lmodel_error *error)
{
	void *library = NULL;
	struct lm_curl found;

	for (size_t i = 0; i < LM_COUNT(names) && library == NULL; i++)
		library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (library == NULL)
		return lm_fail(error, LMODEL_EFAILED,
			       "libcurl is not installed (package libcurl3-gnutls)");
	if (!bind_all(library, &found)) {
		dlclose(library);
		return lm_fail(error, LMODEL_EFAILED,
			       "this libcurl is older than 7.85 (package libcurl3-gnutls)");
	}
	if (found.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return lm_fail(error, LMODEL_EFAILED, "libcurl does not start");
	functions = found;
	return LMODEL_OK;
}

const struct lm_curl *lm_curl_load(struct lmodel_error *error)
{
	pthread_mutex_lock(&lock);
	if (!loaded)
		loaded = load(error) == LMODEL_OK;
	pthread_mutex_unlock(&lock);
	return loaded ? &functions : NULL;
}
