/* lmodel: archives of model weights. Include this header alone.
 *
 *     struct lmodel_error e = LMODEL_ERROR_INIT;
 *     struct lmodel_archive *a;
 *
 *     if (lmodel_open(&a, "model.lmodel", &e))
 *             errx(e.code, "%s", e.message);
 *     const struct lmodel_tensor *t = lmodel_tensor_find(a, "conv1.weight");
 *     ...
 *     lmodel_close(a);
 */
#ifndef LMODEL_H
#define LMODEL_H

#include <lmodel/archive.h>
#include <lmodel/audit.h>
#include <lmodel/check.h>
#include <lmodel/error.h>
#include <lmodel/extract.h>
#include <lmodel/keys.h>
#include <lmodel/model.h>
#include <lmodel/pack.h>
#include <lmodel/protect.h>
#include <lmodel/registry.h>
#include <lmodel/remote.h>
#include <lmodel/run.h>
#include <lmodel/sign.h>
#include <lmodel/transform.h>
#include <lmodel/version.h>

#endif
