/* SPDX-License-Identifier: Apache-2.0 */
/* The picture workload: every row of a data set is a caption and one sample. The noise of a sample
 * is jm_noise_fill's with its row's number, from 0, as seed, so that runs can be compared picture
 * by picture. */
#ifndef JM_WORKLOADS_IMAGEGEN_IMAGEGEN_H
#define JM_WORKLOADS_IMAGEGEN_IMAGEGEN_H

#include "workloads/workload.h"

extern const struct jm_workload_ops jm_imagegen_workload;

#endif
