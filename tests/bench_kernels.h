/* SPDX-License-Identifier: Apache-2.0 */
/* test_kernels --bench: the speed of every kernel of every set that runs here, one thread. */
#ifndef JM_TESTS_BENCH_KERNELS_H
#define JM_TESTS_BENCH_KERNELS_H

/* The program's own arguments. Returns its exit code: 2 for arguments that make no sense. */
int jm_bench_kernels(int argc, char **argv);

#endif
