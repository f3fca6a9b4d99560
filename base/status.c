/* SPDX-License-Identifier: Apache-2.0 */
/* See status.h. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

jm_status jm_fail(jm_err *err, jm_status st, const char *fmt, ...)
{
    if (!err || err->status != JM_OK)
        return st;
    err->status = st;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    return st;
}

const char *jm_status_name(jm_status st)
{
    switch (st) {
    case JM_OK:
        return "ok";
    case JM_EUSAGE:
        return "usage";
    case JM_EINPUT:
        return "bad input";
    case JM_EIO:
        return "input/output";
    case JM_ENOMEM:
        return "out of memory";
    case JM_EUNSUPPORTED:
        return "unsupported";
    case JM_ENOTFOUND:
        return "not found";
    case JM_ERANGE:
        return "out of range";
    case JM_EDEVICE:
        return "device";
    case JM_EINTERRUPTED:
        return "interrupted";
    }
    return "unknown";
}
