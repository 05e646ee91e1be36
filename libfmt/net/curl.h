/* libcurl's functions. Linked, it would bring 30 libraries into every command and cost more time
 * than most of them take. Only this folder includes curl/curl.h. */
#ifndef LM_CURL_H
#define LM_CURL_H

#include <curl/curl.h>

#include "base/base.h"

/* Each function that is used, by its name behind "curl_". */
#define LM_CURL_FUNCTIONS(F)                                                                       \
	F(global_init) F(easy_init) F(easy_cleanup) F(easy_reset) F(easy_setopt) F(easy_getinfo)   \
	F(easy_strerror) F(multi_init) F(multi_cleanup) F(multi_add_handle)                        \
	F(multi_remove_handle) F(multi_perform) F(multi_poll) F(multi_info_read) F(multi_strerror) \
	F(slist_append) F(slist_free_all) F(url) F(url_cleanup) F(url_dup) F(url_set) F(url_get)   \
	F(url_strerror) F(free) F(getdate)

struct lm_curl {
#define LM_CURL_MEMBER(name) __typeof__(curl_##name) *name;
	LM_CURL_FUNCTIONS(LM_CURL_MEMBER)
#undef LM_CURL_MEMBER
};

/* NULL with EFAILED when there is no libcurl, or one that is too old. Any thread may call it; the
 * library stays loaded (base/lazy.h). */
const struct lm_curl *lm_curl_load(struct lmodel_error *error);

#endif
