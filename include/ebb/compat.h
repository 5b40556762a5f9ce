/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel interfaces newer than the oldest C library and headers that ebb builds with (Debian 12),
 * by their numbers in the kernel's stable interface. Nothing here is ebb's own invention.
 */
#ifndef EBB_COMPAT_H
#define EBB_COMPAT_H

#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

#ifndef PIDFD_SELF_THREAD_GROUP /* Linux 6.14: the calling process, with no descriptor opened */
#define PIDFD_SELF_THREAD_GROUP -10001
#endif

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#endif
