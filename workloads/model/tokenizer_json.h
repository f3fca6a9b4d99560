/* SPDX-License-Identifier: Apache-2.0 */
/* The tokenizer.json that lies beside safetensors: byte-level BPE of the kind that a GGUF file
 * names gpt2, with the pre-tokenizer qwen2 or gpt2. Format: github.com/huggingface/tokenizers. */
#ifndef JM_WORKLOADS_MODEL_TOKENIZER_JSON_H
#define JM_WORKLOADS_MODEL_TOKENIZER_JSON_H

#include "workloads/model/tokenizer.h"

/* JM_ENOTFOUND, JM_EIO, JM_ENOMEM; JM_EINPUT: damaged, says what; JM_EUNSUPPORTED: another model or
 * another way to cut text. */
jm_status jm_tokenizer_open_json(const char *path, jm_tokenizer **out, jm_err *err);
/* The same over bytes; name is for messages. */
jm_status jm_tokenizer_open_json_memory(const void *text, size_t bytes, const char *name,
                                        jm_tokenizer **out, jm_err *err);

#endif
