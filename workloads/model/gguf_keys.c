/* SPDX-License-Identifier: Apache-2.0 */
/* See gguf_keys.h; the layout of keys is drawn in gguf.c. */
#include "workloads/model/gguf_keys.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "workloads/model/gguf_internal.h"

static void put(struct jm_gguf_keys *k, const void *p, size_t n)
{
    size_t need;
    if (k->out_of_memory || n == 0)
        return;
    if (!jm_add_size(k->n, n, &need) || need > SIZE_MAX / 2) {
        k->out_of_memory = true;
        return;
    }
    if (need > k->room) {
        size_t room = need * 2 > 4096 ? need * 2 : 4096;
        uint8_t *more = realloc(k->p, room);
        if (!more) {
            k->out_of_memory = true;
            return;
        }
        k->p = more;
        k->room = room;
    }
    memcpy(k->p + k->n, p, n);
    k->n = need;
}

static void put_le(struct jm_gguf_keys *k, uint64_t v, size_t n)
{
    uint8_t b[8];
    for (size_t i = 0; i < n; i++)
        b[i] = (uint8_t)(v >> (8 * i) & 0xff);
    put(k, b, n);
}

static void put_str(struct jm_gguf_keys *k, const char *p, size_t n)
{
    put_le(k, n, 8);
    put(k, p, n);
}

static void put_key(struct jm_gguf_keys *k, const char *key, enum jm_gguf_value type)
{
    put_str(k, key, strlen(key));
    put_le(k, (uint64_t)type, 4);
    k->n_keys++;
}

void jm_gguf_keys_u32(struct jm_gguf_keys *k, const char *key, uint32_t v)
{
    put_key(k, key, JM_GGUF_U32);
    put_le(k, v, 4);
}

void jm_gguf_keys_f32(struct jm_gguf_keys *k, const char *key, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_key(k, key, JM_GGUF_F32);
    put_le(k, bits, 4);
}

void jm_gguf_keys_bool(struct jm_gguf_keys *k, const char *key, bool v)
{
    put_key(k, key, JM_GGUF_BOOL);
    put_le(k, v, 1);
}

void jm_gguf_keys_str(struct jm_gguf_keys *k, const char *key, const char *v)
{
    put_key(k, key, JM_GGUF_STRING);
    put_str(k, v, strlen(v));
}

static void begin_array(struct jm_gguf_keys *k, const char *key, enum jm_gguf_value type)
{
    put_key(k, key, JM_GGUF_ARRAY);
    put_le(k, (uint64_t)type, 4);
    k->count_at = k->n;
    k->n_items = 0;
    put_le(k, 0, 8); /* set at the end */
}

void jm_gguf_keys_begin_strs(struct jm_gguf_keys *k, const char *key)
{
    begin_array(k, key, JM_GGUF_STRING);
}

void jm_gguf_keys_item_str(struct jm_gguf_keys *k, const char *p, size_t n)
{
    put_str(k, p, n);
    k->n_items++;
}

void jm_gguf_keys_begin_i32s(struct jm_gguf_keys *k, const char *key)
{
    begin_array(k, key, JM_GGUF_I32);
}

void jm_gguf_keys_item_i32(struct jm_gguf_keys *k, int32_t v)
{
    put_le(k, (uint32_t)v, 4);
    k->n_items++;
}

void jm_gguf_keys_end_array(struct jm_gguf_keys *k)
{
    if (k->out_of_memory)
        return;
    for (size_t i = 0; i < 8; i++)
        k->p[k->count_at + i] = (uint8_t)(k->n_items >> (8 * i) & 0xff);
}

void jm_gguf_keys_free(struct jm_gguf_keys *k)
{
    free(k->p);
    *k = (struct jm_gguf_keys){ 0 };
}
