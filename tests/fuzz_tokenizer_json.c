/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target for tokenizer.json: opens the bytes; what opens encodes a text that meets every
 * byte and every special token, and each id has bytes that can be read.
 *
 * clang -fsanitize=fuzzer,address,undefined. The seeds have a token for each of the 256 bytes. */
#include <stdlib.h>
#include <string.h>

#include "workloads/model/tokenizer_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned sink; /* keeps the reads */

static void read_ids(const jm_tokenizer *t, const char *text, size_t bytes, bool special)
{
    uint32_t *ids;
    size_t n;
    if (jm_tokenizer_encode(t, text, bytes, special, &ids, &n, NULL) != JM_OK)
        abort();
    for (size_t i = 0; i < n; i++) {
        if (ids[i] >= jm_tokenizer_size(t))
            abort();
        jm_str s = jm_tokenizer_bytes(t, ids[i]);
        for (size_t k = 0; k < s.n; k++)
            sink += (unsigned char)s.p[k];
    }
    free(ids);
}

static void use(const jm_tokenizer *t, const uint8_t *data, size_t size)
{
    char every[256];
    uint32_t id;
    for (int i = 0; i < 256; i++)
        every[i] = (char)i;
    read_ids(t, every, sizeof every, true);
    read_ids(t, (const char *)data, size, false);
    read_ids(t, (const char *)data, size, true); /* control tokens stand in it, written out */
    sink += jm_tokenizer_find(t, &every['a'], 3, &id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    jm_tokenizer *t;
    jm_err err = { .status = JM_OK };
    if (jm_tokenizer_open_json_memory(data, size, "fuzz", &t, &err) == JM_OK) {
        use(t, data, size);
        jm_tokenizer_close(t);
    } else if (err.text[0] == '\0' || t) {
        abort(); /* a failure must say why, and give nothing */
    }
    return 0;
}
