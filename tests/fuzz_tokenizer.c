/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target: whatever the bytes, encoding then decoding gives them back; written-out control
 * tokens and the streaming decoder are exercised too.
 * Build: clang -fsanitize=fuzzer,address,undefined. */
#include <stdlib.h>
#include <string.h>

#include "workloads/model/tokenizer.h"
#include "workloads/model/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static jm_tokenizer *open_tiny(void)
{
    jm_gguf *f;
    jm_tokenizer *t;

    if (jm_gguf_open(JM_DATA "/tiny-mt-f16.gguf", &f, NULL) != JM_OK ||
        jm_tokenizer_open(f, &t, NULL) != JM_OK)
        abort();
    jm_gguf_close(f);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static jm_tokenizer *t;
    const char *text = (const char *)data;
    uint32_t *ids;
    size_t n, at = 0, written = 0;
    jm_utf8_stream s = { 0 };
    char *out = malloc(3 * size + 24);

    if (!t)
        t = open_tiny();
    if (!out || jm_tokenizer_encode(t, text, size, false, &ids, &n, NULL) != JM_OK)
        abort();
    for (size_t i = 0; i < n; i++) {
        jm_str b = jm_tokenizer_bytes(t, ids[i]);
        if (b.n == 0 || b.n > size - at || memcmp(b.p, text + at, b.n) != 0)
            abort();
        at += b.n;
        written += jm_utf8_push(&s, b.p, b.n, out + written);
    }
    written += jm_utf8_end(&s, out + written);
    if (at != size || jm_utf8_valid((const uint8_t *)out, written) != written)
        abort();
    free(ids);
    if (jm_tokenizer_encode(t, text, size, true, &ids, &n, NULL) != JM_OK)
        abort();
    free(ids);
    free(out);
    return 0;
}
