dnl LM_ZSTD_LITERALS: whether zstd can be told to entropy-code literals at negative levels.
dnl The parameter is experimental in zstd.h (spec: 5.3 says what is used without it).
AC_DEFUN([LM_ZSTD_LITERALS], [
  AC_CACHE_CHECK([for ZSTD_c_literalCompressionMode], [lm_cv_zstd_literals], [
    lm_save_cppflags=$CPPFLAGS
    CPPFLAGS="$CPPFLAGS $ZSTD_CFLAGS"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>
]], [[return (int)ZSTD_c_literalCompressionMode == (int)ZSTD_ps_enable;]])],
      [lm_cv_zstd_literals=yes], [lm_cv_zstd_literals=no])
    CPPFLAGS=$lm_save_cppflags
  ])
  AS_VAR_IF([lm_cv_zstd_literals], [yes],
    [AC_DEFINE([HAVE_ZSTD_LITERAL_MODE], [1], [zstd.h has ZSTD_c_literalCompressionMode])])
])
