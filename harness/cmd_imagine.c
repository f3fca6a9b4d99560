/* SPDX-License-Identifier: Apache-2.0 */
/* joulemark imagine: a caption in, a PNG picture out, so that anyone can see the model is real. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/loader.h"
#include "base/checked.h"
#include "base/number.h"
#include "harness/commands.h"
#include "harness/exit_code.h"
#include "harness/memory_line.h"
#include "harness/paths.h"
#include "harness/progress.h"
#include "workloads/imagegen/kit.h"
#include "workloads/imagegen/noise.h"
#include "workloads/imagegen/png.h"
#include "workloads/rows.h"

static const char usage[] =
    "usage: joulemark imagine [options] -o FILE.png CAPTION\n"
    "       joulemark imagine [options] -o FILE.png --prompts FILE.csv\n\n"
    "Draws what CAPTION says. The bundled model knows some 1,900 emoji by their names in English,\n"
    "German, French, Spanish and Chinese, written in lower case, and little else.\n\n"
    "  -o, --output FILE  the picture; several become one contact sheet\n"
    "  --n N              N pictures of the caption, from seeds S, S+1, … (1)\n"
    "  --seed S           seed of the noise that a picture starts from (0)\n"
    "  --size N | WxH     pixels, multiples of the model's cell (the model's own size)\n"
    "  --steps N          steps from noise to picture (the model's own number)\n"
    "  --cfg X            guidance; 1 is none, and twice as fast (the model's own)\n"
    "  --shift X          time shift (the model's own)\n"
    "  --noise FILE       read the noise instead: f32, little endian, channel, row, column\n"
    "  --prompts FILE     draw each row of a CSV id,lang,text; row i from seed S+i\n"
    "  --tile N           shrink each picture to N x N pixels, tiles without gaps\n"
    "  --model FILE       GGUF model, or a folder of safetensors (tiny-u1-f16.gguf)\n"
    "  --tokenizer FILE   tokenizer.json, or a GGUF file with a tokenizer, for safetensors (the\n"
    "                     tokenizer.json beside them)\n"
    "  --backend NAME     where it runs (cpu)\n"
    "  --isa NAME         instruction set, of joulemark list --kernels (the best there is)\n"
    "  --threads N        threads (all cores)\n\n"
    "examples:\n"
    "  joulemark imagine \"red apple\" -o apple.png\n"
    "  joulemark imagine \"pomme rouge\" -o apples.png --n 9 --seed 1\n"
    "  joulemark imagine --prompts u1-emoji.csv -o sheet.png\n";

enum { MAX_PICTURES = 4096, MAX_TOGETHER = 16, SHEET_GAP = 4, MAX_SIDE = 32768 };

struct options {
    const char *output, *caption, *prompts, *model, *tokenizer, *noise, *backend;
    struct jm_device_options device;
    uint32_t n, tile;
    uint64_t seed;
    struct jm_sampling how; /* 0: the model's own; cfg < 0 too */
};

struct drawing {
    const struct options *o;
    jm_u1_kit kit;
    struct jm_sampling how;
    const char **captions; /* [n] */
    jm_row_list rows;
    uint32_t n;
    uint32_t **ids; /* [n], owned */
    uint32_t *n_ids;
    float *pixels;    /* [n, 3, height, width] */
    uint64_t steps;   /* done, of all pictures */
    jm_image *images; /* [n] */
    struct jm_progress progress;
};

/* ---- options ---- */

static jm_status set_real(const char *name, const char *s, double least, double most, float *out,
                          jm_err *err)
{
    double v;
    jm_status st = jm_number_given_real(name, s, least, most, &v, err);
    if (st == JM_OK)
        *out = (float)v;
    return st;
}

/* "64" or "64x48". */
static jm_status set_size(const char *s, struct jm_sampling *how, jm_err *err)
{
    const char *end;
    uint64_t width, height;
    bool ok = jm_number_begins_u64(s, &width, &end) && width > 0 && width <= MAX_SIDE;
    height = width;
    if (ok && *end)
        ok = *end == 'x' && jm_number_u64(end + 1, 1, MAX_SIDE, &height);
    if (!ok)
        return jm_fail(err, JM_EUSAGE,
                       "--size must be N or WxH, whole numbers from 1 to %d, not '%.64s'", MAX_SIDE,
                       s);
    how->width = (uint32_t)width;
    how->height = (uint32_t)height;
    return JM_OK;
}

static const struct option long_options[] = { { "output", required_argument, NULL, 'o' },
                                              { "n", required_argument, NULL, 'n' },
                                              { "seed", required_argument, NULL, 's' },
                                              { "size", required_argument, NULL, 'z' },
                                              { "steps", required_argument, NULL, 'p' },
                                              { "cfg", required_argument, NULL, 'c' },
                                              { "shift", required_argument, NULL, 'f' },
                                              { "noise", required_argument, NULL, 'e' },
                                              { "prompts", required_argument, NULL, 'P' },
                                              { "tile", required_argument, NULL, 'l' },
                                              { "model", required_argument, NULL, 'm' },
                                              { "tokenizer", required_argument, NULL, 'k' },
                                              { "backend", required_argument, NULL, 'b' },
                                              { "isa", required_argument, NULL, 'i' },
                                              { "threads", required_argument, NULL, 't' },
                                              { "help", no_argument, NULL, 'h' },
                                              { 0 } };

static const char *option_name(int c)
{
    for (const struct option *o = long_options; o->name; o++)
        if (o->val == c)
            return o->name;
    return "?";
}

static jm_status set_option(struct options *o, int c, const char *v, jm_err *err)
{
    switch (c) {
    case 'n':
        return jm_number_given_u32("--n", v, 1, MAX_PICTURES, &o->n, err);
    case 's':
        return jm_number_given_u64("--seed", v, 0, UINT64_MAX, &o->seed, err);
    case 'z':
        return set_size(v, &o->how, err);
    case 'p':
        return jm_number_given_u32("--steps", v, 1, JM_MAX_STEPS, &o->how.steps, err);
    case 'c':
        return set_real("--cfg", v, 0, 1000, &o->how.cfg, err);
    case 'f':
        return set_real("--shift", v, 1e-6, 1000, &o->how.shift, err);
    case 'l':
        return jm_number_given_u32("--tile", v, 1, 4096, &o->tile, err);
    case 't':
        return jm_number_given_u32("--threads", v, 1, 65536, &o->device.threads, err);
    default:
        break;
    }
    const char **text = c == 'o'   ? &o->output
                        : c == 'e' ? &o->noise
                        : c == 'P' ? &o->prompts
                        : c == 'm' ? &o->model
                        : c == 'k' ? &o->tokenizer
                        : c == 'b' ? &o->backend
                                   : &o->device.isa;
    *text = v;
    return *v ? JM_OK : jm_fail(err, JM_EUSAGE, "--%s is empty", option_name(c));
}

static jm_status check_options(const struct options *o, int n_captions, jm_err *err)
{
    if (!o->output)
        return jm_fail(err, JM_EUSAGE, "-o FILE.png is missing, such as -o apple.png");
    if (n_captions + (o->prompts != NULL) != 1)
        return jm_fail(err, JM_EUSAGE,
                       "one caption is wanted, in quotes, or --prompts; this has %d",
                       n_captions + (o->prompts != NULL));
    if (o->prompts && o->n > 1)
        return jm_fail(err, JM_EUSAGE, "--n and --prompts exclude each other");
    return JM_OK;
}

/* ---- drawing ---- */

static jm_status read_captions(struct drawing *d, jm_err *err)
{
    char *path = NULL;
    jm_status st = JM_OK;
    d->n = d->o->n;
    if (d->o->prompts) {
        st = jm_find_file(d->o->prompts, ".csv", &path, err);
        if (st == JM_OK)
            st = jm_rows_read(path, &d->rows, err);
        if (st == JM_OK && d->rows.n > MAX_PICTURES)
            st = jm_fail(err, JM_EUSAGE, "%s: %zu rows are more than the %d pictures of a sheet",
                         path, d->rows.n, MAX_PICTURES);
        free(path);
        if (st != JM_OK)
            return st;
        d->n = (uint32_t)d->rows.n;
    }
    d->captions = calloc(d->n, sizeof *d->captions);
    d->ids = calloc(d->n, sizeof *d->ids);
    d->n_ids = calloc(d->n, sizeof *d->n_ids);
    d->images = calloc(d->n, sizeof *d->images);
    if (!d->captions || !d->ids || !d->n_ids || !d->images)
        return jm_fail(err, JM_ENOMEM, "out of memory for %u pictures", d->n);
    for (uint32_t i = 0; i < d->n; i++)
        d->captions[i] = d->o->prompts ? d->rows.row[i].field[JM_ROW_TEXT] : d->o->caption;
    return JM_OK;
}

static void choose_settings(struct drawing *d)
{
    const struct jm_sampling *wish = &d->o->how;
    d->how = jm_sampling_default(&d->kit.model.params);
    if (wish->width > 0) {
        d->how.width = wish->width;
        d->how.height = wish->height;
    }
    if (wish->steps > 0)
        d->how.steps = wish->steps;
    if (wish->cfg >= 0)
        d->how.cfg = wish->cfg;
    if (wish->shift > 0)
        d->how.shift = wish->shift;
}

/* Every picture's noise, where the picture will be. */
static jm_status make_noise(struct drawing *d, jm_err *err)
{
    size_t each, bytes;
    if (!jm_mul_size((size_t)d->how.width * d->how.height, 3, &each) ||
        !jm_mul_size(each, d->n, &bytes) || !jm_mul_size(bytes, sizeof *d->pixels, &bytes) ||
        !(d->pixels = malloc(bytes)))
        return jm_fail(err, JM_ENOMEM, "out of memory for %u pictures of %ux%u pixels", d->n,
                       d->how.width, d->how.height);
    jm_status st = JM_OK;
    for (uint32_t i = 0; i < d->n && st == JM_OK; i++) {
        if (d->o->noise)
            st = jm_noise_read(d->o->noise, d->pixels + i * each, each, err);
        else
            jm_noise_fill(d->o->seed + i, d->pixels + i * each, each);
    }
    return st;
}

static void on_step(void *user, uint32_t id, uint32_t step)
{
    struct drawing *d = user;
    (void)id;
    (void)step;
    d->steps++;
    jm_progress_update(&d->progress, (double)d->steps / ((double)d->n * d->how.steps));
}

static jm_status draw_all(struct drawing *d, jm_err *err)
{
    struct jm_painter_events events = { .user = d, .step = on_step };
    size_t each = (size_t)3 * d->how.width * d->how.height;
    jm_painter *p;
    jm_status st =
        jm_u1_painter(&d->kit.model, d->kit.uncond, d->kit.n_uncond, d->n, &events, &p, err);
    if (st != JM_OK)
        return st;
    for (uint32_t i = 0; i < d->n && st == JM_OK; i++)
        st = jm_painter_submit(p,
                               &(struct jm_painter_request){ .id = i,
                                                             .prompt = d->ids[i],
                                                             .n_prompt = d->n_ids[i],
                                                             .how = d->how,
                                                             .pixels = d->pixels + i * each },
                               err);
    jm_progress_start(&d->progress, JM_PROGRESS_AUTO, stderr, "drawing");
    while (st == JM_OK && jm_painter_pending(p) > 0)
        st = jm_painter_step(p, err);
    jm_progress_end(&d->progress);
    jm_painter_close(p);
    return st;
}

static void state_memory(const jm_u1_model *m)
{
    struct jm_plan_memory n;
    m->ops->plan_memory(m->plan, &n);
    jm_memory_line(stderr, "joulemark imagine", &n, m->other_bytes);
}

static jm_status prepare(struct drawing *d, const char *model, const char *tokenizer,
                         const struct jm_backend_ops *ops, jm_device *device, jm_err *err)
{
    uint32_t longest;
    jm_status st = read_captions(d, err);
    if (st == JM_OK)
        st = jm_u1_kit_open(model, tokenizer, ops, device, &d->kit, err);
    if (st != JM_OK)
        return st;
    choose_settings(d);
    longest = d->kit.n_uncond;
    for (uint32_t i = 0; i < d->n && st == JM_OK; i++) {
        st = jm_u1_kit_encode(&d->kit, d->captions[i], &d->ids[i], &d->n_ids[i], err);
        longest = d->n_ids[i] > longest ? d->n_ids[i] : longest;
    }
    if (st == JM_OK)
        st = jm_u1_compile(&d->kit.model, d->n < MAX_TOGETHER ? d->n : MAX_TOGETHER, longest,
                           &d->how, err);
    if (st != JM_OK)
        return st;
    state_memory(&d->kit.model);
    return make_noise(d, err);
}

/* ---- the file ---- */

static jm_status to_images(struct drawing *d, jm_err *err)
{
    size_t each = (size_t)3 * d->how.width * d->how.height;
    jm_status st = JM_OK;
    for (uint32_t i = 0; i < d->n && st == JM_OK; i++) {
        st = jm_image_from_planes(d->pixels + i * each, d->how.width, d->how.height, &d->images[i],
                                  err);
        if (st == JM_OK && d->o->tile > 0) {
            jm_image small;
            st = jm_image_shrink(&d->images[i], d->o->tile, d->o->tile, &small, err);
            jm_image_free(&d->images[i]);
            d->images[i] = small;
        }
    }
    return st;
}

static jm_status write_picture(struct drawing *d, jm_err *err)
{
    jm_image sheet;
    jm_status st = to_images(d, err);
    if (st == JM_OK && d->n == 1)
        return jm_png_write(d->o->output, &d->images[0], err);
    if (st == JM_OK)
        st = jm_image_sheet(d->images, d->n, 0, d->o->tile ? 0 : SHEET_GAP, &sheet, err);
    if (st != JM_OK)
        return st;
    st = jm_png_write(d->o->output, &sheet, err);
    jm_image_free(&sheet);
    return st;
}

static void drawing_free(struct drawing *d)
{
    jm_u1_kit_close(&d->kit);
    for (uint32_t i = 0; i < d->n; i++) {
        if (d->ids)
            free(d->ids[i]);
        if (d->images)
            jm_image_free(&d->images[i]);
    }
    free(d->captions);
    free(d->ids);
    free(d->n_ids);
    free(d->images);
    free(d->pixels);
    jm_rows_free(&d->rows);
}

static jm_status imagine(const struct options *o, jm_err *err)
{
    struct drawing d = { .o = o };
    jm_backend b = { 0 };
    jm_device *device = NULL;
    char *model = NULL, *tokenizer = NULL;
    jm_status st = jm_find_file(o->model, ".gguf", &model, err);
    if (st == JM_OK && o->tokenizer)
        st = jm_find_file(o->tokenizer, ".gguf", &tokenizer, err);
    if (st == JM_OK)
        st = jm_backend_load(o->backend, &b, err);
    if (st == JM_OK)
        st = b.ops->open(0, &o->device, &device, err);
    if (st == JM_OK)
        st = prepare(&d, model, tokenizer, b.ops, device, err);
    if (st == JM_OK)
        st = draw_all(&d, err);
    if (st == JM_OK)
        st = write_picture(&d, err);
    drawing_free(&d);
    if (device)
        b.ops->close(device);
    jm_backend_unload(&b);
    free(model);
    free(tokenizer);
    return st;
}

int jm_cmd_imagine(int argc, char **argv)
{
    struct options o = { .model = "tiny-u1-f16.gguf", .backend = "cpu", .n = 1, .how.cfg = -1 };
    jm_err err = { 0 };
    for (int c; (c = getopt_long(argc, argv, "ho:", long_options, NULL)) != -1;) {
        if (c == 'h') {
            fputs(usage, stdout);
            return JM_EXIT_OK;
        }
        if (c == '?')
            return JM_EXIT_USAGE;
        if (set_option(&o, c, optarg, &err) != JM_OK) {
            fprintf(stderr, "joulemark imagine: %s; see --help\n", err.text);
            return JM_EXIT_USAGE;
        }
    }
    if (optind < argc)
        o.caption = argv[optind];
    jm_status st = check_options(&o, argc - optind, &err);
    if (st == JM_OK)
        st = imagine(&o, &err);
    if (st != JM_OK)
        fprintf(stderr, "joulemark imagine: %s\n", err.text);
    return jm_exit_code(st);
}
