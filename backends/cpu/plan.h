/* SPDX-License-Identifier: Apache-2.0 */
/* A compiled graph of the cpu backend. */
#ifndef JM_BACKENDS_CPU_PLAN_H
#define JM_BACKENDS_CPU_PLAN_H

#include "backends/backend.h"
#include "backends/cpu/arena.h"
#include "backends/cpu/deal.h"
#include "backends/cpu/kernels.h"
#include "backends/cpu/team.h"
#include "backends/cpu/units.h"

struct jm_device {
    const struct jm_cpu_kernels *kernels;
    jm_team *team;
};

/* How a step is cut among threads, and where they meet: see cut.c. */
struct jm_cut {
    bool meet_before; /* it reads what another thread has written since they met */
    bool by_columns;  /* who makes columns of a linear makes them of this too */
    /* Of the first step of a stretch, whose units run through all of its steps. */
    uint32_t end;  /* the step behind its last one */
    uint32_t each; /* units of it that a thread has; 1: it is not dealt */
    uint64_t cost; /* of a row of it, in weights */
};

/* What one node needs at run time besides itself. */
struct jm_step {
    struct jm_node node;
    struct jm_packed w;          /* LINEAR */
    struct jm_cut cut[2];        /* of a batch of several rows; of one row */
    bool copied;                 /* of a batch of one row each thread makes all, for itself */
    bool rounded;                /* its f32 is read by nobody, and kept nowhere */
    uint32_t next_linear;        /* of its entry: itself or the first behind it; n_steps: none */
    bool quantise;               /* its result feeds a quantised linear */
    bool k_sums;                 /* with quantise: it feeds one of Q4K or Q6K */
    bool quantise16;             /* its result feeds one of JM_PACK_I16 */
    bool sums;                   /* with quantise: it feeds one of JM_PACK_STQ_SUMS */
    struct jm_forms out;         /* [max_rows, cols]; ARGMAX: f is i32 */
    struct jm_forms copy;        /* with copied: thread 0's row */
    size_t copy_bytes;           /* from there to the next thread's */
    void *k_cache, *v_cache;     /* ATTENTION: [max_slots, n_kv_heads, head_positions, head_dim] of
                                  * lim.kv_format, of Q8_0 the levels; keys of k_block positions lie
                                  * interleaved, see kernels.h */
    uint16_t *k_scale, *v_scale; /* with Q8_0: one for 32 levels */
    const float *rope;           /* ROPE: [max_context, head_dim], see jm_rope_fn; owned by plan;
                                  * ROPE_PART: [positions, part] */
};

struct jm_plan {
    jm_device *dev;
    struct jm_limits lim;
    size_t head_positions; /* max_context, rounded up to whole blocks of keys */
    struct jm_step *steps; /* [n_steps], one a node */
    uint32_t n_steps;
    jm_value outputs[JM_MAX_OUTPUTS];
    uint32_t n_outputs;
    uint32_t n_entries;
    uint32_t vocab;         /* rows of the embedding: tokens must be below */
    struct jm_arena memory; /* all of it */
    size_t cache_bytes;     /* of it */
    /* ATTEND_RUN: keys and values of all runs, prefix and rows; see picture.c */
    float *run_k, *run_v;   /* [run_positions, n_kv_heads, head_dim] of the widest such node */
    size_t run_width;       /* its n_kv_heads * head_dim; 0: there are no such nodes */
    size_t *run_at;         /* [max_rows] position where each run begins */
    uint32_t *run_of;       /* [max_rows] the run of each row */
    float **scratch;        /* [threads] for one thread: longest row and longest context */
    size_t weight_bytes;    /* of all linears, packed one after the other */
    uint64_t row_cost[3];   /* of a row, by enum jm_rows, in weights that it meets */
    struct jm_units *units; /* [threads] left of the stretch that is being dealt */

    /* Of the run under way. */
    const struct jm_batch *given; /* the caller's */
    const struct jm_batch *batch; /* the same, dealt out where by_rows */
    bool by_rows;                 /* threads have whole sequences, as dealt out */
    bool one_row;                 /* it has one row, and all threads work on that */
    bool few[3];                  /* so few rows of a kind that tables are made of them */
    uint32_t work;                /* number of its first step, of all that were ever run */
    struct jm_deal deal;

    struct jm_cpu_profile *profile; /* NULL: nothing is timed; owned */
};

/* What is rounded apart from others: 32 values share a scale, or 64. */
enum { JM_ROUNDED_TOGETHER = 64 };

/* The first column of unit u of n of a linear's result: whole parts, so that they can be rounded.
 * u = n: behind the last one. */
static inline uint32_t jm_cpu_first_column(uint32_t cols, uint32_t u, uint32_t n)
{
    const uint32_t part = JM_ROUNDED_TOGETHER;
    uint64_t at = ((uint64_t)cols + part - 1) / part * u / n * part;
    return at < cols ? (uint32_t)at : cols;
}

/* The group of outputs that it stands in, or that follows the last one. */
static inline uint32_t jm_cpu_first_group(const struct jm_packed *w, uint32_t u, uint32_t n)
{
    return (jm_cpu_first_column(w->t.rows, u, n) + w->group - 1) / w->group;
}

/* What a row of a step costs, in weights of a linear. */
static inline uint64_t jm_cpu_row_cost(const struct jm_node *n)
{
    enum { VALUE_COST = 192 }; /* a value of any other op: measured on AVX-512 */
    return n->op == JM_OP_LINEAR ? (uint64_t)n->w.rows * n->w.cols * n->times
                                 : VALUE_COST * (uint64_t)n->cols;
}

/* Bytes from one key or value in the caches to the next; of Q8_0 of its level. */
static inline size_t jm_cpu_kv_bytes(const jm_plan *p)
{
    return p->lim.kv_format == JM_Q8_0  ? sizeof(int8_t)
           : p->lim.kv_format == JM_F16 ? sizeof(uint16_t)
                                        : sizeof(float);
}

/* The part of a Q8_0 cache that begins `at` keys or values from its start, a multiple of 32. */
static inline struct jm_kv8 jm_cpu_kv8(const struct jm_step *s, size_t at)
{
    return (struct jm_kv8){ .k = (const int8_t *)s->k_cache + at,
                            .dk = s->k_scale + at / 32,
                            .v = (const int8_t *)s->v_cache + at,
                            .dv = s->v_scale + at / 32 };
}

/* Entries run at different times: none finds anything of another in work. */
static inline bool jm_cpu_starts_entry(const jm_plan *p, uint32_t step)
{
    return step == 0 || p->steps[step].node.entry != p->steps[step - 1].node.entry;
}

/* A value from number `at` of it on: whole parts, unless it has no integers. */
static inline struct jm_forms jm_forms_at(const struct jm_forms *f, size_t at)
{
    size_t block = at / 32;
    return (struct jm_forms){ .f = f->f ? f->f + at : NULL,
                              .q = f->q ? f->q + at : NULL,
                              .d = f->d ? f->d + block : NULL,
                              .sum = f->sum ? f->sum + block : NULL,
                              .dsum = f->dsum ? f->dsum + block : NULL,
                              .sum16 = f->sum16 ? f->sum16 + 2 * block : NULL,
                              .q16 = f->q16 ? f->q16 + at : NULL,
                              .d16 = f->d16 ? f->d16 + block : NULL,
                              .table = f->table ? f->table + jm_table_bytes(at) : NULL };
}

/* The same of a step's result, in the batch under way: tables are of few rows only. */
static inline struct jm_forms jm_cpu_forms_at(const jm_plan *p, const struct jm_step *s, size_t at)
{
    struct jm_forms all = s->out;
    if (!p->few[s->node.rows])
        all.table = NULL;
    return jm_forms_at(&all, at);
}

/* n * m * each zeroed bytes that plan_close frees. NULL: out of memory, or too many. */
void *jm_cpu_take(jm_plan *p, size_t n, size_t m, size_t each);
/* Rows of a kind that a batch has at most. */
size_t jm_cpu_most_rows(const jm_plan *p, enum jm_rows rows);
/* Columns [from, to) of row r of a step's result, whole parts or up to the end, as the linears
 * that read it want them. */
void jm_cpu_quantise_part(jm_plan *p, struct jm_step *s, uint32_t r, uint32_t from, uint32_t to);
/* Whether threads meet within a step: all keys and values must be there before one is attended. */
static inline bool jm_cpu_meets_within(const struct jm_step *s, bool one_row)
{
    return (s->node.op == JM_OP_ATTENTION && !s->cut[one_row].by_columns) ||
           s->node.op == JM_OP_ATTEND_RUN;
}
/* Whether a result is quantised once all of it is there: no thread has made whole blocks of it. */
static inline bool jm_cpu_quantises_late(const struct jm_step *s)
{
    const struct jm_node *n = &s->node;
    bool late = n->op == JM_OP_LINEAR || n->op == JM_OP_ATTEND_RUN ||
                (n->op == JM_OP_ATTENTION &&
                 n->n_heads / n->n_kv_heads * n->head_dim % JM_ROUNDED_TOGETHER != 0);
    return late && (s->quantise || s->quantise16);
}
/* Whether the kernel that multiplies with w reads integers only, not f32. */
static inline bool jm_cpu_takes_integers(const struct jm_packed *w)
{
    return w->kind == JM_PACK_I16 || jm_packed_is_quantised(w);
}

/* Decides how steps are cut among threads and where these meet, once linears know how they are
 * packed. */
void jm_cpu_cut(jm_plan *p);

jm_status jm_cpu_compile(jm_device *dev, const jm_graph *g, const struct jm_limits *lim,
                         jm_plan **out, jm_err *err);
void jm_cpu_plan_close(jm_plan *p);
struct jm_plan_memory jm_cpu_plan_memory(const jm_plan *p);
jm_status jm_cpu_execute(jm_plan *p, const struct jm_batch *in, jm_err *err);
jm_status jm_cpu_fetch(jm_plan *p, uint32_t out, uint32_t first, uint32_t n, void *dst,
                       jm_err *err);

#endif
