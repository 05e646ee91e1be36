dnl LM_SONAME(NAME, LIBRARY): define NAME_SONAME as the name by which a program that is linked with
dnl NAME_LIBS finds libLIBRARY, which is loaded when it is needed (libfmt/base/lazy.h).
AC_DEFUN([LM_SONAME], [
  AC_REQUIRE([LT_INIT])
  AC_CACHE_CHECK([for the soname of lib$2], [lm_cv_soname_$2], [
    lm_save_libs=$LIBS
    LIBS="-Wl,--no-as-needed $$1_LIBS $LIBS"
    lm_cv_soname_$2=
    AC_LINK_IFELSE([AC_LANG_PROGRAM()],
      [lm_cv_soname_$2=`$OBJDUMP -p conftest$EXEEXT |
        $SED -n 's/^ *NEEDED *\(lib$2[[-a-z.0-9]]*\.so[[.0-9]]*\)$/\1/p'`])
    LIBS=$lm_save_libs
  ])
  AS_VAR_IF([lm_cv_soname_$2], [], [AC_MSG_ERROR([cannot find the soname of lib$2])])
  AC_DEFINE_UNQUOTED([$1_SONAME], ["$lm_cv_soname_$2"], [the file to load for lib$2])
])
