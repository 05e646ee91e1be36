/* Formats of input files by their names (spec: 3.6, 12). */
#ifndef LM_FORMAT_H
#define LM_FORMAT_H

#include "base/base.h"

/* Files of this one need no feature. */
#define LM_FORMAT_FIRST "safetensors"

/* Of the files with tensors of an ONNX model: only its graph tells what is in them. */
#define LM_FORMAT_ONNX "onnx"
#define LM_FORMAT_ONNX_DATA "onnx-data"

/* Of an archive of files of several formats. */
#define LM_FORMAT_MIXED "mixed"

/* The static text that is equal to `name`, or NULL when no importer reads that format. */
const char *lm_format_known(const char *name);

#endif
