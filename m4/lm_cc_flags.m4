dnl LM_CC_FLAGS(VARIABLE, FLAGS): put into VARIABLE those FLAGS that the compiler takes.
AC_DEFUN([LM_CC_FLAGS], [
  $1=
  for lm_flag in $2; do
    AS_VAR_PUSHDEF([lm_cache], [lm_cv_cc_flag_$lm_flag])
    AC_CACHE_CHECK([whether $CC takes $lm_flag], [lm_cache], [
      lm_save_cflags=$CFLAGS
      CFLAGS="$CFLAGS -Werror $lm_flag"
      AC_COMPILE_IFELSE([AC_LANG_PROGRAM()], [AS_VAR_SET([lm_cache], [yes])],
                                             [AS_VAR_SET([lm_cache], [no])])
      CFLAGS=$lm_save_cflags
    ])
    AS_VAR_IF([lm_cache], [yes], [$1="$$1 $lm_flag"])
    AS_VAR_POPDEF([lm_cache])
  done
  AC_SUBST([$1])
])
