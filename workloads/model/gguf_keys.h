/* SPDX-License-Identifier: Apache-2.0 */
/* Builds the metadata of a GGUF file, key after key, in memory. */
#ifndef JM_WORKLOADS_MODEL_GGUF_KEYS_H
#define JM_WORKLOADS_MODEL_GGUF_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Start from zero, read p, n and n_keys at the end, then free. Running out of memory sticks. */
struct jm_gguf_keys {
    uint8_t *p; /* [n] encoded as in the file */
    size_t n, room;
    uint64_t n_keys;
    bool out_of_memory;
    size_t count_at;  /* of the open array */
    uint64_t n_items; /* of the open array */
};

void jm_gguf_keys_u32(struct jm_gguf_keys *k, const char *key, uint32_t v);
void jm_gguf_keys_f32(struct jm_gguf_keys *k, const char *key, float v);
void jm_gguf_keys_bool(struct jm_gguf_keys *k, const char *key, bool v);
void jm_gguf_keys_str(struct jm_gguf_keys *k, const char *key, const char *v);

/* An array of strings or of i32: begin, items, end. */
void jm_gguf_keys_begin_strs(struct jm_gguf_keys *k, const char *key);
void jm_gguf_keys_item_str(struct jm_gguf_keys *k, const char *p, size_t n);
void jm_gguf_keys_begin_i32s(struct jm_gguf_keys *k, const char *key);
void jm_gguf_keys_item_i32(struct jm_gguf_keys *k, int32_t v);
void jm_gguf_keys_end_array(struct jm_gguf_keys *k);

void jm_gguf_keys_free(struct jm_gguf_keys *k);

#endif
