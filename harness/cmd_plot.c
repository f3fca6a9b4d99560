/* SPDX-License-Identifier: Apache-2.0 */
/* joulemark plot: draws a results file with gnuplot. Columns are found by name; what is drawn goes
 * through small data files in a temporary folder to the scripts in share/joulemark/plots. Strings
 * from the results reach gnuplot as arguments or quoted data, never as commands. */
#include <csv.h>
#include <errno.h>
#include <math.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/file.h"
#include "harness/commands.h"
#include "harness/exit_code.h"
#include "harness/paths.h"
#include "harness/record/csv.h"

extern char **environ;

static const char usage[] =
    "usage: joulemark plot RESULTS.csv [-o DIR] [-q]\n\n"
    "Draws latency, throughput, quality against throughput and, where energy was measured, "
    "quality\n"
    "against joules, each as SVG and PNG, into DIR (default: the folder of RESULTS.csv).\n"
    "-q names no files. Needs gnuplot.\n";

enum { LABEL = 96, MAX_RUNS = 12, NO_COLUMN = -1 };

/* A CSV file in memory: cells of the header and rows; row 0 is the header. */
struct table {
    bool name_models; /* some weight format occurs with more than one model */
    char **cell;      /* [cells] owned */
    size_t cells, cell_room;
    size_t *row; /* [rows + 1] first cell of each row; the last is the end */
    size_t rows, row_room;
    bool failed; /* out of memory */
};

static void table_free(struct table *t)
{
    for (size_t i = 0; i < t->cells; i++)
        free(t->cell[i]);
    free(t->cell);
    free(t->row);
    *t = (struct table){ .cell = NULL };
}

static bool grow(void **p, size_t n, size_t *room, size_t size)
{
    size_t more = *room ? *room : 64, bytes;

    if (n < *room)
        return true;
    if (!jm_mul_size(more, 2, &more) || !jm_mul_size(more, size, &bytes))
        return false;
    void *q = realloc(*p, bytes);
    if (!q)
        return false;
    *p = q;
    *room = more;
    return true;
}

static void on_field(void *data, size_t bytes, void *user)
{
    struct table *t = user;
    void *cells = t->cell;
    char *copy = malloc(bytes + 1);

    if (t->failed || !copy || !grow(&cells, t->cells, &t->cell_room, sizeof *t->cell)) {
        t->failed = true;
        free(copy);
        return;
    }
    if (bytes > 0)
        memcpy(copy, data, bytes);
    copy[bytes] = '\0';
    t->cell = cells;
    t->cell[t->cells++] = copy;
}

static void on_row(int end, void *user)
{
    struct table *t = user;
    void *rows = t->row;

    (void)end;
    if (t->failed || !grow(&rows, t->rows + 1, &t->row_room, sizeof *t->row)) {
        t->failed = true;
        return;
    }
    t->row = rows;
    t->row[0] = 0;
    t->row[++t->rows] = t->cells;
}

static jm_status table_read(const char *path, struct table *t, jm_err *err)
{
    struct csv_parser p;
    jm_map map;
    jm_status st = jm_map_open(path, &map, err);

    *t = (struct table){ .cell = NULL };
    if (st != JM_OK)
        return st;
    if (csv_init(&p, CSV_STRICT | CSV_STRICT_FINI) != 0) {
        jm_map_close(&map);
        return jm_fail(err, JM_ENOMEM, "%s: out of memory", path);
    }
    bool ok =
        map.bytes == 0 || csv_parse(&p, map.data, map.bytes, on_field, on_row, t) == map.bytes;
    ok = ok && csv_fini(&p, on_field, on_row, t) == 0;
    if (t->failed)
        st = jm_fail(err, JM_ENOMEM, "%s: out of memory", path);
    else if (!ok)
        st = jm_fail(err, JM_EINPUT, "%s: %s", path, csv_strerror(csv_error(&p)));
    else if (t->rows < 2)
        st = jm_fail(err, JM_EINPUT, "%s: holds no rows to draw", path);
    csv_free(&p);
    jm_map_close(&map);
    if (st != JM_OK)
        table_free(t);
    return st;
}

/* The cell in the named column, "" where there is none. r counts from 1. */
static const char *text_at(const struct table *t, size_t r, const char *column)
{
    for (size_t c = 0; c < t->row[1]; c++)
        if (strcmp(t->cell[c], column) == 0)
            return c < t->row[r + 1] - t->row[r] ? t->cell[t->row[r] + c] : "";
    return "";
}

/* NAN where there is no number. */
static double number_at(const struct table *t, size_t r, const char *column)
{
    const char *s = text_at(t, r, column);
    char *end;
    double v = strtod(s, &end);

    return *s && !*end && isfinite(v) ? v : NAN;
}

static bool varies(const struct table *t, const char *column)
{
    const char *first = "";

    for (size_t r = 1; r < t->rows; r++) {
        const char *v = text_at(t, r, column);
        if (*v && *first && strcmp(v, first) != 0)
            return true;
        if (*v)
            first = v;
    }
    return false;
}

/* Empties the rows of runs that were interrupted or failed: their figures are no results. */
static void drop_incomplete(struct table *t)
{
    for (size_t r = 1; r < t->rows; r++) {
        const char *status = text_at(t, r, "status");
        if (!*status || strcmp(status, "complete") == 0)
            continue;
        for (size_t c = t->row[r]; c < t->row[r + 1]; c++)
            t->cell[c][0] = '\0';
    }
}

/* Whether some weight format occurs with more than one model. */
static bool formats_are_shared(const struct table *t)
{
    for (size_t r = 1; r < t->rows; r++) {
        for (size_t q = 1; q < r; q++) {
            if (strcmp(text_at(t, q, "weight_format"), text_at(t, r, "weight_format")) == 0 &&
                strcmp(text_at(t, q, "model"), text_at(t, r, "model")) != 0)
                return true;
        }
    }
    return false;
}

/* Reads results: first strictly, by the schema, so that a damaged or newer file is refused. */
static jm_status results_read(const char *path, struct table *t, jm_err *err)
{
    struct jm_record *rows;
    size_t n;
    jm_status st = jm_csv_read(path, &rows, &n, err);

    *t = (struct table){ .cell = NULL };
    if (st != JM_OK)
        return st;
    free(rows);
    st = table_read(path, t, err);
    if (st == JM_OK) {
        drop_incomplete(t);
        t->name_models = formats_are_shared(t);
    }
    return st;
}

/* What gnuplot's data files cannot hold inside quotes becomes a blank. */
static void clean(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == '"' || *s == '\\' || *s == 127)
            *s = ' ';
}

/* Weight format, with the model where the format alone is not clear, and the backend where the file
 * holds several. */
static void label_of(const struct table *t, size_t r, char out[LABEL])
{
    bool model = t->name_models, backend = varies(t, "backend");

    snprintf(out, LABEL, "%.30s%s%.20s%s%.20s", model ? text_at(t, r, "model") : "",
             model ? " " : "", text_at(t, r, "weight_format"), backend ? " " : "",
             backend ? text_at(t, r, "backend") : "");
    clean(out);
}

/* The different values of a column, "a, b and 2 more". */
static void list_values(const struct table *t, const char *column, char *out, size_t room)
{
    size_t shown = 0, more = 0, at = 0;

    out[0] = '\0';
    for (size_t r = 1; r < t->rows; r++) {
        bool seen = false;
        for (size_t q = 1; q < r && !seen; q++)
            seen = strcmp(text_at(t, q, column), text_at(t, r, column)) == 0;
        if (seen || !*text_at(t, r, column))
            continue;
        if (shown == 2) {
            more++;
            continue;
        }
        at += (size_t)snprintf(out + at, room - at, "%s%.60s", shown ? ", " : "",
                               text_at(t, r, column));
        shown++;
    }
    if (more)
        snprintf(out + at, room - at, " and %zu more", more);
    if (!shown)
        snprintf(out, room, "unknown");
    clean(out);
}

/* What a drawing needs to know. */
struct job {
    const struct table *t;
    const char *csv, *out; /* results file; output folder */
    const char *scripts;   /* folder */
    const char *data;      /* scratch data file */
    bool quiet;            /* name no files */
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The samples of a run: record_dir is relative to the results file, or else to here. */
static jm_status read_samples(const struct job *j, size_t r, struct table *s, jm_err *err)
{
    const char *dir = text_at(j->t, r, "record_dir"), *slash = strrchr(j->csv, '/');
    int folder = slash && *dir != '/' ? (int)(slash - j->csv) + 1 : 0;
    char *path = jm_asprintf("%.*s%s/samples.csv", folder, j->csv, dir);

    if (path && access(path, R_OK) != 0) {
        free(path);
        path = jm_asprintf("%s/samples.csv", dir);
    }
    jm_status st = path ? table_read(path, s, err) : jm_fail(err, JM_ENOMEM, "out of memory");
    free(path);
    return st;
}

/* Writes one block: name, then sorted latencies with their share. Returns false when none. */
static bool write_latency(FILE *f, const struct job *j, size_t r, bool first)
{
    struct table s;
    char label[LABEL];
    size_t n = 0;

    if (!*text_at(j->t, r, "record_dir") || read_samples(j, r, &s, NULL) != JM_OK)
        return false;
    double *ms = calloc(s.rows, sizeof *ms);
    for (size_t i = 1; ms && i < s.rows; i++) {
        double v = (number_at(&s, i, "done_ns") - number_at(&s, i, "issue_ns")) / 1e6;
        if (v > 0.0)
            ms[n++] = v;
    }
    if (n > 0) {
        qsort(ms, n, sizeof *ms, by_value);
        label_of(j->t, r, label);
        fprintf(f, "%s\"%s %.20s\"\n", first ? "" : "\n\n", label, text_at(j->t, r, "scenario"));
        for (size_t i = 0; i < n; i++)
            fprintf(f, "%.9g %.9g\n", ms[i], (double)(i + 1) / (double)n);
    }
    free(ms);
    table_free(&s);
    return n > 0;
}

/* Offline issues all queries at once: its latencies say nothing about a query. */
static size_t data_latency(FILE *f, const struct job *j)
{
    size_t runs = 0;

    for (size_t r = 1; r < j->t->rows && runs < MAX_RUNS; r++)
        if (strcmp(text_at(j->t, r, "scenario"), "offline") != 0 &&
            write_latency(f, j, r, runs == 0))
            runs++;
    return runs;
}

/* Median of a column over the rows with this label and scenario; NAN where there is none. */
static double median_of(const struct table *t, const char *label, const char *scenario)
{
    double *v = calloc(t->rows, sizeof *v), median = NAN;
    size_t n = 0;
    char other[LABEL];

    for (size_t r = 1; v && r < t->rows; r++) {
        label_of(t, r, other);
        double x = number_at(t, r, "tokens_out_per_s");
        if (isfinite(x) && strcmp(other, label) == 0 &&
            strcmp(text_at(t, r, "scenario"), scenario) == 0)
            v[n++] = x;
    }
    if (n > 0) {
        qsort(v, n, sizeof *v, by_value);
        median = n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2.0;
    }
    free(v);
    return median;
}

static size_t data_throughput(FILE *f, const struct job *j)
{
    static const char *const scenario[] = { "single-stream", "offline" };
    size_t bars = 0;
    char label[LABEL], other[LABEL];

    for (size_t r = 1; r < j->t->rows; r++) {
        bool seen = false, any = false;
        char cell[2][32] = { "?", "?" };
        label_of(j->t, r, label);
        for (size_t q = 1; q < r && !seen; q++) {
            label_of(j->t, q, other);
            seen = strcmp(label, other) == 0;
        }
        for (size_t k = 0; k < 2 && !seen; k++) {
            double v = median_of(j->t, label, scenario[k]);
            if (!isfinite(v))
                continue;
            snprintf(cell[k], sizeof cell[k], "%.9g", v);
            any = true;
        }
        if (any) {
            fprintf(f, "\"%s\" %s %s\n", label, cell[0], cell[1]);
            bars++;
        }
    }
    return bars;
}

/* Two blocks of points, single-stream and offline; an empty one holds a point that is missing, so
 * that the blocks keep their numbers. */
static size_t data_quality(FILE *f, const struct job *j, const char *column)
{
    size_t points = 0;
    char label[LABEL];

    for (int block = 0; block < 2; block++) {
        size_t before = points;
        for (size_t r = 1; r < j->t->rows; r++) {
            const char *scenario = block ? "offline" : "single-stream";
            double x = number_at(j->t, r, column), q = number_at(j->t, r, "quality_value");
            if (!isfinite(x) || !isfinite(q) || strcmp(text_at(j->t, r, "scenario"), scenario) != 0)
                continue;
            label_of(j->t, r, label);
            fprintf(f, "%.9g %.9g \"%s\"\n", x, q, label);
            points++;
        }
        fputs(points == before ? "? ? \"\"\n" : "", f);
        fputs(block ? "" : "\n\n", f);
    }
    return points;
}

static size_t data_quality_speed(FILE *f, const struct job *j)
{
    return data_quality(f, j, "tokens_out_per_s");
}

static size_t data_quality_energy(FILE *f, const struct job *j)
{
    return data_quality(f, j, "energy_j_per_query");
}

static const struct plot {
    const char *name;
    const char *heading, *caption;
    size_t (*data)(FILE *f, const struct job *j); /* returns how much there is to draw */
    const char *nothing;                          /* why there may be nothing */
    bool energy;                                  /* shows joules */
} plots[] = {
    { .name = "latency",
      .heading = "Latency",
      .caption = "Each line: all timed queries of one run, issue to last token, monotonic clock.",
      .data = data_latency,
      .nothing = "no samples.csv of a run that is not offline" },
    { .name = "throughput",
      .heading = "Throughput",
      .caption = "Output tokens of all timed answers over the measured window; median over runs.",
      .data = data_throughput,
      .nothing = "no tokens_out_per_s" },
    { .name = "quality_speed",
      .heading = "Quality against throughput",
      .caption = "Each point: one run; the timed answers are the scored answers. Up and right is "
                 "better.",
      .data = data_quality_speed,
      .nothing = "no quality_value with tokens_out_per_s" },
    { .name = "quality_energy",
      .heading = "Quality against energy",
      .caption = "Each point: one run; energy metered over the measured window. Up and left is "
                 "better.",
      .data = data_quality_energy,
      .nothing = "no energy was measured",
      .energy = true },
};

static const char estimated_caption[] =
    "Each point: one run; joules of at least one run are estimated from processor time and a power "
    "model.";

static jm_status run_gnuplot(char *const argv[], jm_err *err)
{
    pid_t pid;
    int status, e = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);

    if (e == ENOENT)
        return jm_fail(err, JM_ENOTFOUND, "gnuplot is missing; install it (package gnuplot-nox)");
    if (e != 0)
        return jm_fail(err, JM_EIO, "gnuplot cannot be started: %s", strerror(e));
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return jm_fail(err, JM_EIO, "waiting for gnuplot: %s", strerror(errno));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return jm_fail(err, JM_EIO, "gnuplot failed on %s; its message is above", argv[2]);
    return JM_OK;
}

/* What a model guessed is never drawn as if a meter had measured it. */
static bool any_estimated(const struct table *t)
{
    for (size_t r = 1; r < t->rows; r++)
        if (strstr(text_at(t, r, "energy_source"), "estimated"))
            return true;
    return false;
}

static jm_status draw(const struct job *j, const struct plot *p, jm_err *err)
{
    char models[160], cpus[160];
    FILE *f = fopen(j->data, "w");

    if (!f)
        return jm_fail(err, JM_EIO, "%s: %s", j->data, strerror(errno));
    size_t n = p->data(f, j);
    bool bad = ferror(f) != 0;
    if (fclose(f) != 0 || bad)
        return jm_fail(err, JM_EIO, "%s: cannot be written; is the disk full?", j->data);
    if (n == 0) {
        if (!j->quiet)
            printf("%-15s left out: %s\n", p->name, p->nothing);
        return JM_OK;
    }
    list_values(j->t, "model", models, sizeof models);
    list_values(j->t, "host_cpu", cpus, sizeof cpus);
    char *script = jm_asprintf("%s/%s.gp", j->scripts, p->name);
    char *out = jm_asprintf("%s/%s", j->out, p->name);
    bool estimated = p->energy && any_estimated(j->t);
    char *heading = jm_asprintf("%s%s: %s on %s", p->heading,
                                estimated ? " (estimated, not measured)" : "", models, cpus);
    char *argv[] = { "gnuplot",
                     "-c",
                     script,
                     (char *)j->data,
                     out,
                     heading,
                     (char *)(estimated ? estimated_caption : p->caption),
                     (char *)j->scripts,
                     NULL };
    jm_status st = script && out && heading ? run_gnuplot(argv, err)
                                            : jm_fail(err, JM_ENOMEM, "plot: out of memory");
    if (st == JM_OK && !j->quiet)
        printf("%-15s %s.svg %s.png\n", p->name, out, out);
    free(script);
    free(out);
    free(heading);
    return st;
}

static jm_status draw_all(const char *csv, const char *out, bool quiet, jm_err *err)
{
    struct table t = { .cell = NULL };
    char dir[] = "/tmp/joulemark-plot-XXXXXX";
    const char *slash = strrchr(csv, '/');
    char *folder = out ? jm_asprintf("%s", out)
                       : jm_asprintf("%.*s", slash ? (int)(slash - csv) + 1 : 1, slash ? csv : ".");
    char *share = jm_share_dir(), *scripts = share ? jm_asprintf("%s/plots", share) : NULL;
    jm_status st = results_read(csv, &t, err);

    if (st == JM_OK && (!folder || !scripts))
        st = jm_fail(err, JM_ENOTFOUND, "the plot scripts cannot be found; set JM_SHARE");
    if (st == JM_OK)
        st = jm_make_dirs(folder, err);
    if (st == JM_OK && !mkdtemp(dir))
        st = jm_fail(err, JM_EIO, "%s: %s", dir, strerror(errno));
    else if (st == JM_OK) {
        char *data = jm_asprintf("%s/plot.dat", dir);
        struct job j = {
            .t = &t, .csv = csv, .out = folder, .scripts = scripts, .data = data, .quiet = quiet
        };
        if (!data)
            st = jm_fail(err, JM_ENOMEM, "plot: out of memory");
        for (size_t i = 0; i < sizeof plots / sizeof plots[0] && st == JM_OK; i++)
            st = draw(&j, &plots[i], err);
        if (data)
            unlink(data);
        rmdir(dir);
        free(data);
    }
    table_free(&t);
    free(folder);
    free(share);
    free(scripts);
    return st;
}

int jm_cmd_plot(int argc, char **argv)
{
    const char *csv = NULL, *out = NULL;
    bool quiet = false;
    jm_err err = { .status = JM_OK };

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage, stdout);
            return JM_EXIT_OK;
        }
        if (strcmp(argv[i], "-o") == 0 && i + 1 < argc && !out) {
            out = argv[++i];
        } else if (strcmp(argv[i], "-q") == 0) {
            quiet = true;
        } else if (argv[i][0] != '-' && !csv) {
            csv = argv[i];
        } else {
            fputs(usage, stderr);
            return JM_EXIT_USAGE;
        }
    }
    if (!csv) {
        fputs(usage, stderr);
        return JM_EXIT_USAGE;
    }
    if (draw_all(csv, out, quiet, &err) == JM_OK)
        return JM_EXIT_OK;
    fprintf(stderr, "joulemark plot: %s\n", err.text);
    return jm_exit_code(err.status);
}
