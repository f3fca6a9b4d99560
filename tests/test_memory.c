/* SPDX-License-Identifier: Apache-2.0 */
/* How much memory there is, plans that are refused before they take any, and what weights leave in
 * memory once they are packed. */
#include <CUnit/Basic.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/loader.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/rng.h"
#include "tests/energy_tree.h"

/* ---- the room that a machine has ---- */

/* limit NULL: nothing is known. */
static void wants_room(uint64_t bytes, const char *limit)
{
    struct jm_memory_room room;
    CU_ASSERT_EQUAL(jm_memory_room(root, &room), limit != NULL);
    CU_ASSERT_EQUAL(room.bytes, bytes);
    if (limit && room.limit) {
        CU_ASSERT_STRING_EQUAL(room.limit, limit);
    }
}

static void test_room(void)
{
    struct rlimit space;
    CU_ASSERT_FATAL(getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur == RLIM_INFINITY);
    tree_new();
    wants_room(0, NULL);
    put("proc", "meminfo", "MemTotal:  9000 kB\nMemAvailable:    1000 kB\n");
    wants_room(1024000, "MemAvailable");

    /* Version 2: the parent's limit counts, and pages of files do not. */
    put("proc/self", "cgroup", "0::/a/b\n");
    put("sys/fs/cgroup/a/b", "memory.max", "max\n");
    put("sys/fs/cgroup/a/b", "memory.current", "300000\n");
    wants_room(1024000, "MemAvailable");
    put("sys/fs/cgroup/a", "memory.max", "500000\n");
    put("sys/fs/cgroup/a", "memory.current", "300000\n");
    put("sys/fs/cgroup/a", "memory.stat", "anon 200000\nfile_mapped 7\nfile 100000\nshmem 0\n");
    wants_room(300000, "cgroup");
    put("sys/fs/cgroup/a", "memory.current", "700000\n");
    wants_room(0, "cgroup");

    /* Version 1, and lines that make no sense. */
    put("proc/self", "cgroup", "nonsense\n5:cpu,memory:/x\n4:cpu\n");
    wants_room(1024000, "MemAvailable");
    put("sys/fs/cgroup/memory/x", "memory.limit_in_bytes", "9000\n");
    put("sys/fs/cgroup/memory/x", "memory.usage_in_bytes", "5000\n");
    put("sys/fs/cgroup/memory/x", "memory.stat", "total_cache 3000\n");
    wants_room(7000, "cgroup");
    put("sys/fs/cgroup/memory/x", "memory.limit_in_bytes", "many\n");
    wants_room(1024000, "MemAvailable");

    struct jm_memory_room here;
    CU_ASSERT_TRUE(jm_memory_room("", &here));
    CU_ASSERT_TRUE(here.bytes > 0 && here.limit != NULL);
    tree_remove(root);
}

/* ---- plans ---- */

enum { COLS = 256, WIDE = 4096, ROWS = 8, THREADS = 2 };

static jm_backend backend;
static jm_device *device;
static const struct jm_limits plain = { .max_rows = ROWS, .max_slots = 1, .max_context = 1 };

/* Weights in a file that is mapped, so large that several pieces are packed. */
static struct jm_tensor open_weight(jm_format f, jm_map *map)
{
    char path[] = "/tmp/jm_weight_XXXXXX";
    int fd = mkstemp(path);
    CU_ASSERT_FATAL(fd >= 0);
    close(fd);
    size_t row = jm_format_row_bytes(f, COLS);
    uint8_t *data = malloc(WIDE * row);
    float x[COLS];
    jm_rng rng = { .state = 7 };
    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    for (size_t r = 0; r < WIDE; r++) {
        for (size_t i = 0; i < COLS; i++)
            x[i] = (float)jm_rng_double(&rng) - 0.5f;
        CU_ASSERT_FATAL(jm_format_encode(f, x, data + r * row, COLS));
    }
    CU_ASSERT_EQUAL_FATAL(jm_write_file(path, data, WIDE * row, NULL), JM_OK);
    free(data);
    CU_ASSERT_EQUAL_FATAL(jm_map_open(path, map, NULL), JM_OK);
    unlink(path);
    return (struct jm_tensor){
        .name = "w", .format = f, .cols = COLS, .rows = WIDE, .data = map->data, .mapped = true
    };
}

static jm_status compile(const struct jm_tensor *w, const struct jm_limits *lim, jm_plan **p,
                         jm_err *err)
{
    jm_graph *g = jm_graph_new();
    CU_ASSERT_PTR_NOT_NULL_FATAL(g);
    jm_value x = jm_gather_rows(g, jm_input(g, COLS, JM_ROWS_ALL));
    (void)jm_graph_output(g, jm_linear(g, x, w));
    jm_status st = backend.ops->compile(device, g, lim, p, err);
    jm_graph_free(g);
    return st;
}

static uint64_t total(const jm_plan *p)
{
    struct jm_plan_memory m;
    backend.ops->plan_memory(p, &m);
    CU_ASSERT_EQUAL(m.caches, 0);
    CU_ASSERT_TRUE(m.work > 0);
    return (uint64_t)m.weights + m.caches + m.work;
}

/* A plan that just fits is made, one byte less is refused, with the numbers. */
static void test_refused(void)
{
    jm_map map;
    struct jm_tensor w = open_weight(JM_Q8_0, &map);
    struct jm_limits lim = plain;
    jm_plan *p;
    jm_err err = { 0 };
    CU_ASSERT_EQUAL_FATAL(compile(&w, &lim, &p, &err), JM_OK);
    uint64_t need = total(p);
    backend.ops->plan_close(p);
    lim.max_bytes = need + 1000;
    lim.other_bytes = 1000;
    CU_ASSERT_EQUAL_FATAL(compile(&w, &lim, &p, &err), JM_OK);
    backend.ops->plan_close(p);
    lim.max_bytes--;
    CU_ASSERT_EQUAL(compile(&w, &lim, &p, &err), JM_ENOMEM);
    CU_ASSERT_PTR_NULL(p);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "GB of memory are needed (weights 0.00"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "are available (the limit given)"));
    lim = (struct jm_limits){ .max_rows = ROWS, .max_slots = 1, .max_context = 1 };
    lim.other_bytes = UINT64_MAX;
    err = (jm_err){ 0 };
    CU_ASSERT_EQUAL(compile(&w, &lim, &p, &err), JM_ENOMEM);
    jm_map_close(&map);
}

/* Fewer gathered rows take less, and are what a batch may have. */
static void test_gathered(void)
{
    jm_map map;
    struct jm_tensor w = open_weight(JM_Q4_0, &map);
    struct jm_limits lim = plain;
    jm_plan *all, *few;
    CU_ASSERT_EQUAL_FATAL(compile(&w, &lim, &all, NULL), JM_OK);
    lim.max_gather = 2;
    CU_ASSERT_EQUAL_FATAL(compile(&w, &lim, &few, NULL), JM_OK);
    CU_ASSERT_TRUE(total(few) + (ROWS - 2 * THREADS) * WIDE * sizeof(float) <= total(all));
    static float x[ROWS * COLS], y[ROWS * WIDE];
    uint32_t slot[ROWS] = { 0 }, pos[ROWS] = { 0 }, gather[] = { 1, 4, 6 };
    struct jm_batch b = {
        .n_rows = ROWS, .slot = slot, .pos = pos, .n_gather = 3, .gather = gather, .input[0] = x
    };
    CU_ASSERT_EQUAL(backend.ops->execute(few, &b, NULL), JM_EUSAGE);
    CU_ASSERT_EQUAL(backend.ops->execute(all, &b, NULL), JM_OK);
    b.n_gather = 2;
    CU_ASSERT_EQUAL(backend.ops->execute(few, &b, NULL), JM_OK);
    CU_ASSERT_EQUAL(backend.ops->wait(few, NULL), JM_OK);
    CU_ASSERT_EQUAL(backend.ops->fetch(few, 0, 0, 2, y, NULL), JM_OK);
    CU_ASSERT_EQUAL(backend.ops->fetch(few, 0, 1, 2, y, NULL), JM_EUSAGE);
    backend.ops->plan_close(all);
    backend.ops->plan_close(few);
    jm_map_close(&map);
}

/* ---- sequences that are dealt out to threads ---- */

enum { SLOTS = 8, MOST_ROWS = 96, POSITIONS = 128 };

struct batch {
    uint32_t token[MOST_ROWS], slot[MOST_ROWS], pos[MOST_ROWS], gather[SLOTS];
    struct jm_batch b;
};

/* Each sequence goes on or begins anew, with a row or several; the last one is gathered. */
static void next_batch(struct batch *t, uint32_t length[SLOTS], uint32_t most, jm_rng *rng)
{
    t->b =
        (struct jm_batch){ .token = t->token, .slot = t->slot, .pos = t->pos, .gather = t->gather };
    for (uint32_t s = 0; s < SLOTS; s++) {
        uint32_t rows = 1 + (uint32_t)jm_rng_below(rng, 12);
        if (jm_rng_below(rng, 4) == 0 || t->b.n_gather == most)
            continue;
        if (length[s] + rows > POSITIONS)
            length[s] = 0;
        for (uint32_t i = 0; i < rows; i++) {
            uint32_t r = t->b.n_rows++;
            t->token[r] = (uint32_t)jm_rng_below(rng, WIDE);
            t->slot[r] = s;
            t->pos[r] = length[s]++;
        }
        t->gather[t->b.n_gather++] = t->b.n_rows - 1;
    }
}

static jm_plan *compile_dealt(jm_device *dev, const struct jm_tensor *w, uint32_t max_gather)
{
    struct jm_limits lim = { .max_rows = MOST_ROWS,
                             .max_slots = SLOTS,
                             .max_context = POSITIONS,
                             .max_gather = max_gather };
    jm_graph *g = jm_graph_new();
    jm_plan *p = NULL;
    CU_ASSERT_PTR_NOT_NULL_FATAL(g);
    jm_value x = jm_embed(g, w), q = jm_gather_rows(g, x);
    jm_value y = jm_linear(g, jm_attention(g, q, x, x, 4, 4, COLS / 4, 0.125f), w);
    (void)jm_graph_output(g, y);
    CU_ASSERT_EQUAL_FATAL(backend.ops->compile(dev, g, &lim, &p, NULL), JM_OK);
    jm_graph_free(g);
    return p;
}

/* A plan with little room for gathered rows calculates what one with room for any does. */
static void compare_dealt(jm_device *dev, const struct jm_tensor *w, uint32_t max_gather)
{
    static struct batch t;
    static float few_y[SLOTS * WIDE], all_y[SLOTS * WIDE];
    jm_plan *few = compile_dealt(dev, w, max_gather), *all = compile_dealt(dev, w, 0);
    uint32_t length[SLOTS] = { 0 }, wrong = 0;
    jm_rng rng = { .state = max_gather };
    for (int step = 0; step < 40; step++) {
        next_batch(&t, length, max_gather, &rng);
        if (t.b.n_rows == 0)
            continue;
        CU_ASSERT_EQUAL_FATAL(backend.ops->execute(few, &t.b, NULL), JM_OK);
        CU_ASSERT_EQUAL_FATAL(backend.ops->execute(all, &t.b, NULL), JM_OK);
        CU_ASSERT_EQUAL(backend.ops->fetch(few, 0, 0, t.b.n_gather, few_y, NULL), JM_OK);
        CU_ASSERT_EQUAL(backend.ops->fetch(all, 0, 0, t.b.n_gather, all_y, NULL), JM_OK);
        wrong += memcmp(few_y, all_y, t.b.n_gather * WIDE * sizeof *few_y) != 0;
    }
    CU_ASSERT_EQUAL(wrong, 0);
    backend.ops->plan_close(few);
    backend.ops->plan_close(all);
}

static void test_dealt(void)
{
    jm_map map;
    struct jm_tensor w = open_weight(JM_Q4_0, &map);
    for (uint32_t threads = 1; threads <= 4; threads++) {
        struct jm_device_options how = { .threads = threads };
        jm_device *dev = NULL;
        CU_ASSERT_EQUAL_FATAL(backend.ops->open(0, &how, &dev, NULL), JM_OK);
        for (uint32_t most = 1; most <= SLOTS; most += most < 3 ? 1 : 5)
            compare_dealt(dev, &w, most);
        backend.ops->close(dev);
    }
    jm_map_close(&map);
}

/* Pages of [data, data + bytes) that this process has mapped in, from /proc/self/smaps. */
static size_t resident(const void *data)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[512];
    bool here = false;
    size_t kb = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    while (fgets(line, sizeof line, f)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            here = from <= (uintptr_t)data && (uintptr_t)data < to;
        if (here && sscanf(line, "Rss: %zu kB", &kb) == 1)
            break;
    }
    fclose(f);
    return kb * 1024;
}

/* What was packed is no longer mapped in, and the file is unharmed. */
static void test_given_back(void)
{
    static const jm_format formats[] = { JM_Q4_0, JM_Q8_0, JM_F16, JM_Q4_K };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        jm_map map;
        struct jm_tensor w = open_weight(formats[i], &map);
        uint64_t before = 0, after = 0;
        jm_plan *p;
        for (size_t k = 0; k < map.bytes; k++)
            before += map.data[k] * (k + 1);
        CU_ASSERT_TRUE(resident(map.data) >= map.bytes);
        CU_ASSERT_EQUAL_FATAL(compile(&w, &plain, &p, NULL), JM_OK);
        struct jm_device_info info;
        backend.ops->info(device, &info);
        if (strcmp(info.isa, "scalar") != 0) {
            CU_ASSERT_EQUAL(resident(map.data), 0);
        }
        for (size_t k = 0; k < map.bytes; k++)
            after += map.data[k] * (k + 1);
        CU_ASSERT_EQUAL(before, after);
        backend.ops->plan_close(p);
        jm_map_close(&map);
    }
}

/* ---- files that are being written ---- */

/* Whatever ends a process that writes, nothing is left of it. */
static void test_killed_writer(void)
{
    char dir[] = "/tmp/jm_writer_XXXXXX", path[64], tmp[96];
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/model.gguf", dir);
    pid_t child = fork();
    if (child == 0) {
        jm_writer w;
        if (jm_writer_open(path, &w, NULL) != JM_OK)
            _exit(1);
        fwrite(dir, 1, sizeof dir, w.f);
        fflush(w.f);
        _exit(w.named ? 3 : 2);
    }
    int status;
    CU_ASSERT_EQUAL_FATAL(waitpid(child, &status, 0), child);
    CU_ASSERT_TRUE_FATAL(WIFEXITED(status) && WEXITSTATUS(status) >= 2);
    snprintf(tmp, sizeof tmp, "%s.tmp-%ld", path, (long)child);
    if (WEXITSTATUS(status) == 3) { /* files without names are not to be had here */
        CU_ASSERT_EQUAL(unlink(tmp), 0);
    }
    CU_ASSERT_EQUAL(rmdir(dir), 0); /* it is empty */

    /* And one that ends as it should replaces what is there. */
    CU_ASSERT_EQUAL_FATAL(mkdir(dir, 0777), 0);
    for (int i = 0; i < 2; i++) {
        jm_map map;
        CU_ASSERT_EQUAL_FATAL(jm_write_file(path, i ? "new" : "older", i ? 3 : 5, NULL), JM_OK);
        CU_ASSERT_EQUAL_FATAL(jm_map_open(path, &map, NULL), JM_OK);
        CU_ASSERT_TRUE(map.bytes == (i ? 3 : 5) && map.data[0] == (i ? 'n' : 'o'));
        jm_map_close(&map);
    }
    CU_ASSERT_EQUAL(unlink(path), 0);
    CU_ASSERT_EQUAL(rmdir(dir), 0);
}

/* What is no file is neither replaced nor waited for; what a link leads to is replaced, not the
 * link. */
static void test_writer_of_others(void)
{
    char dir[] = "/tmp/jm_writer_XXXXXX", path[64], link[64];
    struct stat sb;
    jm_map map;
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/file", dir);
    snprintf(link, sizeof link, "%s/link", dir);

    CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
    CU_ASSERT_EQUAL_FATAL(symlink("file", link), 0);
    CU_ASSERT_EQUAL(jm_write_file(path, "new", 3, NULL), JM_EIO);
    CU_ASSERT_EQUAL(jm_write_file(link, "new", 3, NULL), JM_EIO);
    CU_ASSERT_TRUE(lstat(path, &sb) == 0 && S_ISFIFO(sb.st_mode));
    alarm(20); /* the end, if it is waited for */
    CU_ASSERT_EQUAL(jm_map_open(path, &map, NULL), JM_EIO);
    alarm(0);
    CU_ASSERT_EQUAL(unlink(path), 0);

    CU_ASSERT_EQUAL_FATAL(jm_write_file(path, "older", 5, NULL), JM_OK);
    CU_ASSERT_EQUAL(jm_write_file(link, "new", 3, NULL), JM_OK);
    CU_ASSERT_TRUE(lstat(link, &sb) == 0 && S_ISLNK(sb.st_mode));
    CU_ASSERT_TRUE(lstat(path, &sb) == 0 && sb.st_size == 3);
    CU_ASSERT_EQUAL(unlink(link), 0);
    CU_ASSERT_EQUAL(unlink(path), 0);
    CU_ASSERT_EQUAL(rmdir(dir), 0);
}

int main(void)
{
    struct jm_device_options how = { .threads = THREADS };
    jm_err err = { 0 };
    if (jm_backend_load("cpu", &backend, &err) != JM_OK ||
        backend.ops->open(0, &how, &device, &err) != JM_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite s = CU_add_suite("memory", NULL, NULL);
    CU_add_test(s, "what a machine has", test_room);
    CU_add_test(s, "plans that do not fit", test_refused);
    CU_add_test(s, "gathered rows", test_gathered);
    CU_add_test(s, "gathered rows dealt out", test_dealt);
    CU_add_test(s, "packed weights are given back", test_given_back);
    CU_add_test(s, "a writer that is killed", test_killed_writer);
    CU_add_test(s, "a writer of links and of what is no file", test_writer_of_others);
    CU_basic_run_tests();
    unsigned failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    backend.ops->close(device);
    jm_backend_unload(&backend);
    return failures ? 1 : 0;
}
