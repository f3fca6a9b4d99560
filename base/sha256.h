/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4) through libcrypto, which uses the processor's SHA instructions, as
 * lower-case hexadecimal. */
#ifndef JM_BASE_SHA256_H
#define JM_BASE_SHA256_H

#include <stddef.h>

#include "base/status.h"

enum { JM_SHA256_HEX = 65 }; /* 64 digits and the end */

/* After a failure hex is the empty string. JM_ENOMEM; of a file JM_ENOTFOUND and JM_EIO too. */
jm_status jm_sha256(const void *data, size_t bytes, char hex[JM_SHA256_HEX], jm_err *err);
jm_status jm_sha256_file(const char *path, char hex[JM_SHA256_HEX], jm_err *err);

#endif
