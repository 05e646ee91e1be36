/* libarchive's functions, through pointers that lm_libarchive_load() sets (base/lazy.h). */
#ifndef LM_LIBARCHIVE_H
#define LM_LIBARCHIVE_H

#include <archive.h>
#include <archive_entry.h>

#include "base/base.h"

#define LM_LIBARCHIVE(F) \
	F(entry_filetype) F(entry_free) F(entry_hardlink) F(entry_new) F(entry_pathname) \
	F(entry_set_filetype) F(entry_set_mtime) F(entry_set_pathname) F(entry_set_perm) \
	F(entry_set_size) F(entry_size) F(entry_size_is_set) F(error_string) F(read_data) \
	F(read_free) F(read_header_position) F(read_new) F(read_next_header) F(read_open1) \
	F(read_set_callback_data) F(read_set_read_callback) F(read_set_seek_callback) \
	F(read_set_skip_callback) F(read_support_format_tar) \
	F(read_support_format_zip_seekable) F(set_error) F(write_free) F(write_header) \
	F(write_new) F(write_open) F(write_set_bytes_in_last_block) \
	F(write_set_bytes_per_block) F(write_set_format_pax) \
	F(write_set_format_pax_restricted)

struct lm_libarchive {
#define LM_LIBARCHIVE_FIELD(name) __typeof__(archive_##name) *name;
	LM_LIBARCHIVE(LM_LIBARCHIVE_FIELD)
#undef LM_LIBARCHIVE_FIELD
};

extern struct lm_libarchive lm_libarchive;

/* Before the first use of each operation. */
int lm_libarchive_load(struct lmodel_error *error) LM_MUST_CHECK;

#endif
