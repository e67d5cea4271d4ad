/* The kernels of OpenBLAS, where it does not know the processor. */
#include "CKernels.h"

#if defined(__x86_64__) && defined(__linux__)

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Weak, because not everything that links these loops links OpenBLAS, and not every OpenBLAS chooses at run time. */
extern char *openblas_get_corename(void) __attribute__((weak));
extern char *openblas_get_config(void) __attribute__((weak));
extern void gotoblas_dynamic_init(void) __attribute__((weak));
extern void gotoblas_dynamic_quit(void) __attribute__((weak));

/* Up to 0.3.18, kernels for AVX-512 that were built on an older processor gave wrong products (issues 2986 and 3454 of OpenBLAS). */
static int has_sound_avx512(const char *config) {
    int major = 0, minor = 0, patch = 0;
    if (!config || sscanf(config, "OpenBLAS %d.%d.%d", &major, &minor, &patch) != 3) return 0;
    return major > 0 || minor > 3 || (minor == 3 && patch >= 21);
}

/* An OpenBLAS that is older than the processor takes it for a Prescott of 2004, on which products take several times as long. The choice
   is made again, before anything is computed, as newer versions make it: Skylake's kernels where the processor has their instructions, or
   else Haswell's. A choice of the user's stays. */
__attribute__((constructor)) static void choose_kernels(void) {
    static const char variable[] = "OPENBLAS_CORETYPE";
    if (!openblas_get_corename || !openblas_get_config || !gotoblas_dynamic_init || !gotoblas_dynamic_quit) return;
    if (getenv(variable) || strcmp(openblas_get_corename(), "Prescott") != 0) return;
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return;
    int has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
                     __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                     __builtin_cpu_supports("avx512vl");
    setenv(variable, has_avx512 && has_sound_avx512(openblas_get_config()) ? "SkylakeX" : "Haswell", 1);
    gotoblas_dynamic_quit();
    gotoblas_dynamic_init();
    unsetenv(variable);
}

#endif
