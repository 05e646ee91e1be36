/* libpng's functions, through pointers that lm_libpng_load() sets (base/lazy.h). */
#ifndef LM_LIBPNG_H
#define LM_LIBPNG_H

#include <png.h>

#include "base/base.h"

#define LM_LIBPNG(F) \
	F(create_info_struct) F(create_read_struct) F(create_write_struct) \
	F(destroy_read_struct) F(destroy_write_struct) F(error) F(get_channels) \
	F(get_color_type) F(get_error_ptr) F(get_IHDR) F(get_io_ptr) F(get_rowbytes) \
	F(get_valid) F(read_end) F(read_info) F(read_row) F(read_update_info) \
	F(set_chunk_malloc_max) F(set_expand_gray_1_2_4_to_8) F(set_IHDR) \
	F(set_interlace_handling) F(set_keep_unknown_chunks) F(set_palette_to_rgb) \
	F(set_read_fn) F(set_swap) F(set_tRNS_to_alpha) F(set_user_limits) F(set_write_fn) \
	F(write_end) F(write_info) F(write_row)

struct lm_libpng {
#define LM_LIBPNG_FIELD(name) __typeof__(png_##name) *name;
	LM_LIBPNG(LM_LIBPNG_FIELD)
#undef LM_LIBPNG_FIELD
};

extern struct lm_libpng lm_libpng;

/* Before the first use of each operation. */
int lm_libpng_load(struct lmodel_error *error) LM_MUST_CHECK;

#endif
