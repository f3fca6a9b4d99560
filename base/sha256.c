/* SPDX-License-Identifier: Apache-2.0 */
/* See sha256.h. */
#include "base/sha256.h"

#include <sodium.h>

#include "base/file.h"

void jm_sha256(const void *data, size_t bytes, char hex[JM_SHA256_HEX])
{
    unsigned char digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(digest, data, bytes);
    sodium_bin2hex(hex, JM_SHA256_HEX, digest, sizeof digest);
}

jm_status jm_sha256_file(const char *path, char hex[JM_SHA256_HEX], jm_err *err)
{
    jm_map map;
    hex[0] = '\0';
    jm_status st = jm_map_open(path, &map, err);
    if (st == JM_OK)
        jm_sha256(map.data, map.bytes, hex);
    jm_map_close(&map);
    return st;
}
