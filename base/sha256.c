/* SPDX-License-Identifier: Apache-2.0 */
/* See sha256.h. */
#include "base/sha256.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BYTES = 32, PIECE = 1 << 18 };

static void to_hex(const unsigned char digest[BYTES], char hex[JM_SHA256_HEX])
{
    for (int i = 0; i < BYTES; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

static jm_status refused(const char *what, jm_err *err)
{
    return jm_fail(err, JM_ENOMEM, "%s: libcrypto cannot calculate SHA-256", what);
}

jm_status jm_sha256(const void *data, size_t bytes, char hex[JM_SHA256_HEX], jm_err *err)
{
    unsigned char digest[BYTES];
    hex[0] = '\0';
    if (EVP_Digest(data, bytes, digest, NULL, EVP_sha256(), NULL) != 1)
        return refused("data", err);
    to_hex(digest, hex);
    return JM_OK;
}

/* Piece by piece: mapped, a model of any size would be in memory as a whole. */
static jm_status hash_pieces(FILE *f, const char *path, EVP_MD_CTX *ctx, unsigned char *piece,
                             char hex[JM_SHA256_HEX], jm_err *err)
{
    unsigned char digest[BYTES];
    size_t n;
    bool ok = EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
    while (ok && (n = fread(piece, 1, PIECE, f)) > 0)
        ok = EVP_DigestUpdate(ctx, piece, n) == 1;
    if (ferror(f))
        return jm_fail(err, JM_EIO, "%s: %s", path, strerror(errno));
    if (!ok || EVP_DigestFinal_ex(ctx, digest, NULL) != 1)
        return refused(path, err);
    to_hex(digest, hex);
    return JM_OK;
}

static jm_status hash_stream(FILE *f, const char *path, char hex[JM_SHA256_HEX], jm_err *err)
{
    unsigned char *piece = malloc(PIECE);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    setvbuf(f, NULL, _IONBF, 0);
    jm_status st = piece && ctx ? hash_pieces(f, path, ctx, piece, hex, err)
                                : jm_fail(err, JM_ENOMEM, "%s: out of memory", path);
    EVP_MD_CTX_free(ctx);
    free(piece);
    return st;
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
