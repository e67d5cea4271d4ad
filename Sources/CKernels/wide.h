/* What all loops that are compiled for several processors share. */
#ifndef UNTANGLE_WIDE_H
#define UNTANGLE_WIDE_H

#include "CKernels.h"

#include <string.h>

#if defined(__x86_64__) && defined(__linux__)
/* AVX-512 has masks, and products of 64 bits, which AVX2 makes of three of 32. */
#define WIDE __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define WIDE
#endif

#define INLINE static inline __attribute__((always_inline))

typedef float F __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t I __attribute__((vector_size(32), aligned(4), may_alias));
enum { lanes = 8 };

typedef double D __attribute__((vector_size(64), aligned(8), may_alias));
#define DOUBLES(x) __builtin_convertvector(x, D)

INLINE uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

INLINE float number_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

/* A page ahead, as the processor's own look-ahead ends with the page. */
INLINE void look_ahead(const void *bytes) { __builtin_prefetch((const char *)bytes + 4096); }

/* The sum over the lanes of a vector, pair by pair. */
#define SUM(v) ((((v)[0] + (v)[1]) + ((v)[2] + (v)[3])) + (((v)[4] + (v)[5]) + ((v)[6] + (v)[7])))

#endif
