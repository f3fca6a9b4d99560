/* SPDX-License-Identifier: Apache-2.0 */
/* See sha256.h. */
#include "base/sha256.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void to_hex(const unsigned char digest[crypto_hash_sha256_BYTES], char hex[JM_SHA256_HEX])
{
    sodium_bin2hex(hex, JM_SHA256_HEX, digest, crypto_hash_sha256_BYTES);
}

void jm_sha256(const void *data, size_t bytes, char hex[JM_SHA256_HEX])
{
    unsigned char digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(digest, data, bytes);
    to_hex(digest, hex);
}

/* Piece by piece: mapped, a model of any size would be in memory as a whole. */
static jm_status hash_stream(FILE *f, const char *path, char hex[JM_SHA256_HEX], jm_err *err)
{
    enum { PIECE = 1 << 18 };
    unsigned char digest[crypto_hash_sha256_BYTES], *piece = malloc(PIECE);
    crypto_hash_sha256_state state;
    size_t n;
    if (!piece)
        return jm_fail(err, JM_ENOMEM, "%s: out of memory", path);
    setvbuf(f, NULL, _IONBF, 0);
    crypto_hash_sha256_init(&state);
    while ((n = fread(piece, 1, PIECE, f)) > 0)
        crypto_hash_sha256_update(&state, piece, n);
    crypto_hash_sha256_final(&state, digest);
    free(piece);
    if (ferror(f))
        return jm_fail(err, JM_EIO, "%s: %s", path, strerror(errno));
    to_hex(digest, hex);
    return JM_OK;
}

jm_status jm_sha256_file(const char *path, char hex[JM_SHA256_HEX], jm_err *err)
{
    struct stat sb;
    hex[0] = '\0';
    FILE *f = fopen(path, "rbe");
    if (!f)
        return jm_fail(err, errno == ENOENT ? JM_ENOTFOUND : JM_EIO, "%s: %s", path,
                       strerror(errno));
    jm_status st = fstat(fileno(f), &sb) == 0 && S_ISREG(sb.st_mode)
                       ? hash_stream(f, path, hex, err)
                       : jm_fail(err, JM_EIO, "%s: not a regular file", path);
    fclose(f);
    return st;
}
