/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 (FIPS 180-4) through libsodium, as lower-case hexadecimal. */
#ifndef JM_BASE_SHA256_H
#define JM_BASE_SHA256_H

#include <stddef.h>

#include "base/status.h"

enum { JM_SHA256_HEX = 65 }; /* 64 digits and the end */

void jm_sha256(const void *data, size_t bytes, char hex[JM_SHA256_HEX]);
/* JM_ENOTFOUND or JM_EIO; hex is the empty string then. */
jm_status jm_sha256_file(const char *path, char hex[JM_SHA256_HEX], jm_err *err);

#endif
