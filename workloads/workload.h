/* SPDX-License-Identifier: Apache-2.0 */
/* The door between the harness and workloads. A workload owns a model, a data set, a decoding
 * procedure and a quality metric, and is a system under test (harness/sut.h). */
#ifndef JM_WORKLOADS_WORKLOAD_H
#define JM_WORKLOADS_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/backend.h"
#include "base/sha256.h"
#include "base/status.h"
#include "harness/sut.h"

struct jm_workload_config {
    const char *model_path;
    const char *tokenizer_path; /* for models whose files hold none; NULL: the model's own */
    const char *data_path;      /* CSV: id,lang,text */
    const char *languages;      /* target languages, comma separated; NULL: all the model can do */
    uint32_t batch;             /* sequences or pictures worked on together at most; > 0 */
    uint32_t size, steps;       /* of pictures: pixels a side, steps; 0: the model's own */
    double cfg;                 /* guidance of pictures; below 0: the model's own */
    jm_format kv_format;        /* of the keys and values of text that are kept */
    uint64_t max_bytes;         /* of memory; 0: what is available */
    const struct jm_backend_ops *ops;
    jm_device *device; /* open; outlives the workload */
};

struct jm_model_info {
    char name[64];         /* general.name or the file's name without .gguf */
    char architecture[32]; /* "hunyuan-dense" */
    char sha256[JM_SHA256_HEX];
    uint64_t parameters;          /* weights in all tensors */
    char format[16];              /* most frequent matrix format by weights: "Q4_0" */
    double bits_per_weight_block; /* of that format: block bytes * 8 / block */
    double bits_per_weight_file;  /* file bytes * 8 / parameters */
    uint64_t file_bytes;
    bool synthetic; /* random weights */
    char data_set[64];
    char data_sha256[JM_SHA256_HEX];
    struct jm_plan_memory memory; /* of the backend */
    double encode_us;             /* text to ids of one sample: done before it is issued */
    uint32_t layers, hidden, context, vocab;
    uint64_t other_bytes; /* host memory besides the backend's while answers are made */
    size_t answer_bytes;  /* memory that one more answer takes */
    char settings[96]; /* how answers are made, where there is a choice: "64x64, 16 steps, …" */
    double megapixels; /* of one answer; 0: answers are no pictures */
    uint32_t answer_steps; /* steps of one answer; 0: answers have none */
};

struct jm_quality {
    char metric[16]; /* "chrF2++" */
    double value;    /* mean over languages of the corpus score, 0..100 */
    double bleu;     /* the same for BLEU */
    double worst;    /* lowest language score */
    char worst_lang[16];
    double length_ratio; /* output characters over reference characters; NAN: no texts */
    uint32_t n;          /* answers scored */
    /* Of pictures; NAN: unavailable. */
    double psnr_db;   /* of the mean squared error over all answers; INFINITY when all are equal */
    double agreement; /* share of answers that are most like their own caption's small picture */
};

typedef struct jm_workload jm_workload;

struct jm_workload_ops {
    const char *name;    /* "translate" */
    const char *summary; /* one line */
    const char *model;   /* bundled model and data set that serve when none is named */
    const char *data;
    jm_format kv_format; /* of the keys and values of text that are kept, unless told */
    /* Names of those options of 'joulemark run' that this workload heeds and not every one; NULL
     * ends them. Optional; NULL: none. */
    const char *const *settings;
    jm_status (*open)(const struct jm_workload_config *cfg, jm_workload **out, jm_err *err);
    void (*close)(jm_workload *w);
    void (*info)(const jm_workload *w, struct jm_model_info *out);
    const struct jm_sut *(*sut)(jm_workload *w);
    /* Of n answers since begin, all done: ids [n], or 0..n-1 when NULL. */
    jm_status (*score)(jm_workload *w, const uint32_t *ids, uint32_t n, struct jm_quality *out,
                       jm_err *err);
    /* Text of answer id, terminated, valid UTF-8; owned by w until the next call or begin. Where
     * answers are not text: SHA-256 of the answer. */
    jm_status (*answer)(jm_workload *w, uint32_t id, const char **text, jm_err *err);
    /* Source text, its length in Unicode characters, and target language of a data sample. */
    void (*sample)(const jm_workload *w, uint32_t index, const char **source,
                   uint32_t *source_chars, const char **lang);
    /* Optional; NULL: none. The plan that it runs, for profiling. */
    jm_plan *(*plan)(jm_workload *w);

    /* Only where answers are not text; otherwise NULL. */
    const char *suffix; /* of a saved answer's file: ".png" */
    jm_status (*save)(jm_workload *w, uint32_t id, const char *path, jm_err *err);
    /* From now on score compares with reference answers, saved as folder/INDEX.suffix by data
     * sample; until then quality that needs them is NAN. */
    jm_status (*against)(jm_workload *w, const char *folder, jm_err *err);
};

/* All workloads; *n of them. */
const struct jm_workload_ops *const *jm_workloads(size_t *n);

#endif
