#ifndef UNTANGLE_LINUX_SHIM_H
#define UNTANGLE_LINUX_SHIM_H

/* The C library declares these under _GNU_SOURCE only, which Swift's Glibc module is built without. */
int sync_file_range(int descriptor, long long offset, long long byteCount, unsigned int flags);
int sched_getaffinity(int process, unsigned long byteCount, void *cores);

/* Starts writing dirty pages and does not wait for them (linux/fs.h). */
static const unsigned int syncFileRangeWrite = 2;

#endif
