/* SPDX-License-Identifier: Apache-2.0 */
/* How fast a backend runs a translator's file, alone: no tokenizer, no scenario, no quality. One
 * sequence or several read a prompt of made-up tokens, then each continues with its own most likely
 * tokens; prints one JSON object. What a peer program does on the same file can stand beside it. */
#include <cjson/cJSON.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/loader.h"
#include "base/clock.h"
#include "harness/exit_code.h"
#include "workloads/model/gguf.h"
#include "workloads/model/hunyuan_dense.h"

static const char usage[] =
    "usage: bench_model MODEL.gguf [options]\n\n"
    "Runs a translator's file and prints as JSON what it takes: seconds until it is loaded and\n"
    "until the first token is out, tokens/s of a prompt and of decoding (medians), peak memory, "
    "and\n"
    "what a step reads and calculates.\n\n"
    "  --threads N    of the backend (its choice)\n"
    "  --prompt N     tokens of the prompt, which decoding continues (256)\n"
    "  --decode N     tokens that each sequence adds (32)\n"
    "  --batch N      sequences decoded together; with more than one, one alone is timed too (1)\n"
    "  --rows N       rows a step at most (256)\n"
    "  --seconds S    repeats until S seconds were measured, once at least (0.5)\n"
    "  --isa NAME     kernel set, as JM_CPU_ISA (the best)\n\n"
    "example:\n"
    "  bench_model hy-mt-synthetic.gguf --threads 2 --prompt 256 --decode 32\n";

enum { MOST = 1 << 20, REPEATS = 32, FIRST_TOKEN = 300, TOKENS = 3700, WARM_ROWS = 16, WARM = 2 };

struct options {
    const char *path, *isa;
    uint32_t threads, prompt, decode, batch, rows;
    double seconds;
};

struct bench {
    struct options o;
    jm_gguf *file;
    jm_graph *graph;
    struct jm_hunyuan params;
    jm_backend backend;
    jm_device *device;
    jm_plan *plan;
    uint32_t *token, *slot, *pos, *gather; /* [rows] */
    int32_t *next;                         /* [batch]: what each sequence goes on with */
    double load_s, ready_s;
    double weight_bytes; /* of all matrices that a step multiplies with, as the file holds them */
};

/* Rates of one thing, one a repeat. */
struct rates {
    double per_s[REPEATS], spent_s;
    uint32_t n;
};

static double seconds_since(int64_t start_ns)
{
    return (double)(jm_now_ns() - start_ns) * 1e-9;
}

/* ---- the command line ---- */

static bool whole(const char *name, const char *text, uint32_t least, uint32_t *out)
{
    char *end = NULL;
    unsigned long long v = strtoull(text, &end, 10);
    if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && v >= least && v <= MOST) {
        *out = (uint32_t)v;
        return true;
    }
    fprintf(stderr, "bench_model: --%s is a whole number from %u to %d, not '%.40s'\n", name, least,
            MOST, text);
    return false;
}

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct options *o)
{
    static const struct option options[] = { { "threads", required_argument, NULL, 't' },
                                             { "prompt", required_argument, NULL, 'p' },
                                             { "decode", required_argument, NULL, 'd' },
                                             { "batch", required_argument, NULL, 'b' },
                                             { "rows", required_argument, NULL, 'r' },
                                             { "seconds", required_argument, NULL, 's' },
                                             { "isa", required_argument, NULL, 'i' },
                                             { "help", no_argument, NULL, 'h' },
                                             { 0 } };
    char *end = NULL;
    bool good = true;
    for (int c; good && (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'h') {
            fputs(usage, stdout);
            return JM_EXIT_OK;
        }
        if (c == 's') {
            o->seconds = strtod(optarg, &end);
            good = *optarg && !*end && o->seconds >= 0 && o->seconds <= 3600;
        } else if (c == 'i')
            o->isa = optarg;
        else if (c == 't')
            good = whole("threads", optarg, 1, &o->threads);
        else if (c == 'p')
            good = whole("prompt", optarg, 1, &o->prompt);
        else if (c == 'd')
            good = whole("decode", optarg, 1, &o->decode);
        else if (c == 'b')
            good = whole("batch", optarg, 1, &o->batch);
        else if (c == 'r')
            good = whole("rows", optarg, WARM_ROWS, &o->rows);
        else
            good = false;
    }
    if (good && optind + 1 == argc) {
        o->path = argv[optind];
        return -1;
    }
    fputs(usage, stderr);
    return JM_EXIT_USAGE;
}

/* ---- loading ---- */

static jm_status build(struct bench *b, jm_err *err)
{
    jm_status st = jm_gguf_open(b->o.path, &b->file, err);
    if (st == JM_OK)
        st = jm_hunyuan_build(b->file, &b->graph, &b->params, err);
    if (st == JM_OK && b->params.vocab < FIRST_TOKEN + TOKENS)
        st = jm_fail(err, JM_EUNSUPPORTED,
                     "%s: the prompt is made of tokens below %d, the model knows %u", b->o.path,
                     FIRST_TOKEN + TOKENS, b->params.vocab);
    for (uint32_t i = 0; st == JM_OK && i < b->graph->n_nodes; i++) {
        const struct jm_node *n = &b->graph->nodes[i];
        if (n->op == JM_OP_LINEAR)
            b->weight_bytes += (double)jm_format_row_bytes(n->w.format, n->w.cols) * n->w.rows;
    }
    return st;
}

static jm_status compile(struct bench *b, jm_err *err)
{
    const struct jm_backend_ops *ops = b->backend.ops;
    const struct options *o = &b->o;
    struct jm_device_options how = { .threads = o->threads, .isa = o->isa };
    struct jm_limits lim = { .max_rows = o->rows > o->batch ? o->rows : o->batch,
                             .max_slots = o->batch,
                             .max_gather = o->batch,
                             .max_context = o->prompt + o->decode,
                             .kv_format = JM_F16 };
    jm_status st = ops->open(0, &how, &b->device, err);
    if (st != JM_OK)
        return st;
    const struct jm_node *missing = jm_backend_missing(ops, b->device, b->graph);
    if (missing)
        return jm_fail(err, JM_EUNSUPPORTED, "%s: backend %s cannot run %s", o->path, ops->name,
                       jm_op_name(missing->op));
    return ops->compile(b->device, b->graph, &lim, &b->plan, err);
}

static jm_status take_memory(struct bench *b, jm_err *err)
{
    size_t rows = b->o.rows > b->o.batch ? b->o.rows : b->o.batch;
    b->token = calloc(rows, sizeof *b->token);
    b->slot = calloc(rows, sizeof *b->slot);
    b->pos = calloc(rows, sizeof *b->pos);
    b->gather = calloc(rows, sizeof *b->gather);
    b->next = calloc(b->o.batch, sizeof *b->next);
    if (b->token && b->slot && b->pos && b->gather && b->next)
        return JM_OK;
    return jm_fail(err, JM_ENOMEM, "out of memory for %zu rows", rows);
}

/* ---- running ---- */

/* One step of n rows, of which the last n_gather have a next token: of sequence `first` on. */
static jm_status step(struct bench *b, uint32_t n, uint32_t n_gather, uint32_t first, jm_err *err)
{
    const struct jm_backend_ops *ops = b->backend.ops;
    for (uint32_t i = 0; i < n_gather; i++)
        b->gather[i] = n - n_gather + i;
    struct jm_batch batch = { .n_rows = n,
                              .token = b->token,
                              .slot = b->slot,
                              .pos = b->pos,
                              .n_gather = n_gather,
                              .gather = b->gather };
    jm_status st = ops->execute(b->plan, &batch, err);
    if (st == JM_OK)
        st = ops->wait(b->plan, err);
    if (st == JM_OK && n_gather > 0)
        st = ops->fetch(b->plan, JM_HUNYUAN_ARGMAX, 0, n_gather, b->next + first, err);
    return st;
}

/* The prompt of one sequence, of n tokens; its last row says how to go on. */
static jm_status prompt(struct bench *b, uint32_t slot, uint32_t n, jm_err *err)
{
    jm_status st = JM_OK;
    for (uint32_t at = 0; st == JM_OK && at < n;) {
        uint32_t rows = n - at < b->o.rows ? n - at : b->o.rows;
        for (uint32_t i = 0; i < rows; i++) {
            b->token[i] = FIRST_TOKEN + (at + i) * 7919u % TOKENS;
            b->slot[i] = slot;
            b->pos[i] = at + i;
        }
        at += rows;
        st = step(b, rows, at == n ? 1 : 0, slot, err);
    }
    return st;
}

/* n tokens more of each of so many sequences, from a position on. */
static jm_status decode(struct bench *b, uint32_t sequences, uint32_t at, uint32_t n, jm_err *err)
{
    jm_status st = JM_OK;
    for (uint32_t i = 0; st == JM_OK && i < n; i++) {
        for (uint32_t s = 0; s < sequences; s++) {
            b->token[s] = (uint32_t)b->next[s];
            b->slot[s] = s;
            b->pos[s] = at + i;
        }
        st = step(b, sequences, sequences, 0, err);
    }
    return st;
}

static void add_rate(struct rates *r, double tokens, double seconds)
{
    r->spent_s += seconds;
    r->per_s[r->n++] = tokens / seconds;
}

/* Prompts and decoding of so many sequences, again and again. prompts: of the first sequence. */
static jm_status measure(struct bench *b, uint32_t sequences, struct rates *prompts,
                         struct rates *decoding, jm_err *err)
{
    const struct options *o = &b->o;
    jm_status st = JM_OK;
    do {
        int64_t start = jm_now_ns();
        st = prompt(b, 0, o->prompt, err);
        double took = seconds_since(start);
        for (uint32_t s = 1; st == JM_OK && s < sequences; s++)
            st = prompt(b, s, o->prompt, err);
        if (st != JM_OK)
            return st;
        add_rate(prompts, o->prompt, took);
        start = jm_now_ns();
        st = decode(b, sequences, o->prompt, o->decode, err);
        add_rate(decoding, (double)o->decode * sequences, seconds_since(start));
    } while (st == JM_OK && decoding->n < REPEATS &&
             ((sequences == 1 && prompts->spent_s < o->seconds) || decoding->spent_s < o->seconds));
    return st;
}

/* Operations of the linears of one step, by what they multiply; false: the backend cannot tell. */
static bool count_linears(const struct bench *b, double out[JM_ROOF_KINDS])
{
    const struct jm_backend_ops *ops = b->backend.ops;
    struct jm_profile_batches batches;
    struct jm_profile_op op;
    memset(out, 0, JM_ROOF_KINDS * sizeof *out);
    for (uint32_t c = 0; ops->profile_batches(b->plan, c, &batches); c++) {
        for (uint32_t i = 0; batches.batches > 0 && ops->profile_op(b->plan, c, i, &op); i++)
            out[op.kind] += op.op == JM_OP_LINEAR ? op.operations : 0;
    }
    for (int k = 0; k < JM_ROOF_KINDS; k++) {
        if (out[k] > 0)
            return true;
    }
    return false;
}

/* ---- what is told ---- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void tell_rate(cJSON *o, const char *key, struct rates *r)
{
    qsort(r->per_s, r->n, sizeof *r->per_s, by_size);
    double median = (r->per_s[(r->n - 1) / 2] + r->per_s[r->n / 2]) / 2;
    (void)cJSON_AddNumberToObject(o, key, median);
}

/* Peak resident memory of this process; false: the kernel does not tell. */
static bool peak_bytes(double *out)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    bool found = false;
    while (f && !found && fgets(line, sizeof line, f))
        found = sscanf(line, "VmHWM: %llu kB", &kib) == 1;
    if (f)
        (void)fclose(f);
    *out = (double)kib * 1024;
    return found;
}

/* Operations of one step of n rows: {"INT8": 1e9}; null where the backend cannot tell. */
static jm_status tell_work(struct bench *b, cJSON *o, const char *key, uint32_t rows, jm_err *err)
{
    static const char *const kind[JM_ROOF_KINDS] = { [JM_ROOF_F32] = "FP32",
                                                     [JM_ROOF_I8] = "INT8",
                                                     [JM_ROOF_I16] = "INT16",
                                                     [JM_ROOF_BF16] = "BF16" };
    const struct jm_backend_ops *ops = b->backend.ops;
    double work[JM_ROOF_KINDS];
    if (!ops->profile) {
        (void)cJSON_AddNullToObject(o, key);
        return JM_OK;
    }
    jm_status st = ops->profile(b->plan, true, err);
    if (st == JM_OK)
        st = rows > 0 ? decode(b, rows, 0, 1, err) : prompt(b, 0, b->o.prompt, err);
    if (st == JM_OK && count_linears(b, work)) {
        cJSON *kinds = cJSON_AddObjectToObject(o, key);
        for (int k = 0; k < JM_ROOF_KINDS; k++) {
            if (work[k] > 0 && kind[k])
                (void)cJSON_AddNumberToObject(kinds, kind[k], work[k]);
        }
    } else
        (void)cJSON_AddNullToObject(o, key);
    jm_err ignored = { 0 };
    (void)ops->profile(b->plan, false, &ignored);
    return st;
}

static void tell_setup(const struct bench *b, cJSON *o)
{
    const struct jm_backend_ops *ops = b->backend.ops;
    struct jm_device_info info;
    struct jm_plan_memory memory;
    ops->info(b->device, &info);
    ops->plan_memory(b->plan, &memory);
    (void)cJSON_AddStringToObject(o, "program", "joulemark");
    (void)cJSON_AddStringToObject(o, "version", JM_VERSION);
    (void)cJSON_AddStringToObject(o, "device", info.name);
    (void)cJSON_AddStringToObject(o, "kernels", info.isa);
    (void)cJSON_AddNumberToObject(o, "threads", info.threads);
    (void)cJSON_AddNumberToObject(o, "prompt", b->o.prompt);
    (void)cJSON_AddNumberToObject(o, "decode", b->o.decode);
    (void)cJSON_AddNumberToObject(o, "batch", b->o.batch);
    (void)cJSON_AddNumberToObject(o, "file_bytes", (double)jm_gguf_bytes(b->file));
    (void)cJSON_AddNumberToObject(o, "weight_bytes", b->weight_bytes);
    (void)cJSON_AddNumberToObject(o, "plan_bytes",
                                  (double)(memory.weights + memory.caches + memory.work));
    (void)cJSON_AddNumberToObject(o, "load_s", b->load_s);
    (void)cJSON_AddNumberToObject(o, "ready_s", b->ready_s);
}

static jm_status tell(struct bench *b, struct rates *prompts, struct rates *one, struct rates *many,
                      jm_err *err)
{
    double peak;
    bool known = peak_bytes(&peak); /* before operations are timed, which takes memory */
    cJSON *o = cJSON_CreateObject();
    tell_setup(b, o);
    if (known)
        (void)cJSON_AddNumberToObject(o, "peak_bytes", peak);
    else
        (void)cJSON_AddNullToObject(o, "peak_bytes");
    tell_rate(o, "prompt_per_s", prompts);
    tell_rate(o, "decode_per_s", one);
    (void)cJSON_AddNumberToObject(o, "repeats", one->n);
    if (b->o.batch > 1)
        tell_rate(o, "batch_per_s", many);
    jm_status st = tell_work(b, o, "prompt_operations", 0, err);
    if (st == JM_OK)
        st = tell_work(b, o, "decode_operations", 1, err);
    if (st == JM_OK && b->o.batch > 1)
        st = tell_work(b, o, "batch_operations", b->o.batch, err);
    char *text = st == JM_OK ? cJSON_PrintUnformatted(o) : NULL;
    if (text)
        puts(text);
    else if (st == JM_OK)
        st = jm_fail(err, JM_ENOMEM, "out of memory for the JSON object");
    cJSON_free(text);
    cJSON_Delete(o);
    return st;
}

static jm_status run(struct bench *b, jm_err *err)
{
    static struct rates prompts, one, many, ignored;
    jm_status st = jm_backend_load("cpu", &b->backend, err);
    if (st == JM_OK)
        st = take_memory(b, err);
    int64_t start = jm_now_ns();
    if (st == JM_OK)
        st = build(b, err);
    if (st == JM_OK)
        st = compile(b, err);
    b->load_s = seconds_since(start);
    if (st == JM_OK)
        st = prompt(b, 0, 1, err);
    b->ready_s = seconds_since(start);
    if (st == JM_OK)
        st = prompt(b, 0, b->o.prompt < WARM_ROWS ? b->o.prompt : WARM_ROWS, err);
    if (st == JM_OK)
        st = decode(b, 1, 0, b->o.decode < WARM ? b->o.decode : WARM, err);
    if (st == JM_OK)
        st = measure(b, 1, &prompts, &one, err);
    if (st == JM_OK && b->o.batch > 1)
        st = measure(b, b->o.batch, &ignored, &many, err);
    return st == JM_OK ? tell(b, &prompts, &one, &many, err) : st;
}

static void close_all(struct bench *b)
{
    if (b->backend.ops) {
        if (b->plan)
            b->backend.ops->plan_close(b->plan);
        b->backend.ops->close(b->device);
        jm_backend_unload(&b->backend);
    }
    jm_graph_free(b->graph);
    jm_gguf_close(b->file); /* after the plan: weights point into it */
    free(b->token);
    free(b->slot);
    free(b->pos);
    free(b->gather);
    free(b->next);
}

int main(int argc, char **argv)
{
    struct bench b = { .o = {
                           .prompt = 256, .decode = 32, .batch = 1, .rows = 256, .seconds = 0.5 } };
    jm_err err = { 0 };
    int code = parse(argc, argv, &b.o);
    if (code >= 0)
        return code;
    jm_status st = run(&b, &err);
    if (st != JM_OK)
        fprintf(stderr, "bench_model: %s\n", err.text);
    close_all(&b);
    return jm_exit_code(st);
}
