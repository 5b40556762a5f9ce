/* SPDX-License-Identifier: Apache-2.0 */
/* What stands for ebb's own process number in a filter, which is compiled before there is one. */
#ifndef EBB_SANDBOX_PID_H
#define EBB_SANDBOX_PID_H

#define SANDBOX_PID 0x7ebb0eb7u

#endif
