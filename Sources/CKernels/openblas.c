/* The kernels of OpenBLAS, where it does not know the processor. */
#include "CKernels.h"

#if defined(__x86_64__) && defined(__linux__)

#include <stdlib.h>
#include <string.h>

/* Weak, because not everything that links these loops links OpenBLAS, and not every OpenBLAS chooses at run time. */
extern char *openblas_get_corename(void) __attribute__((weak));
extern void gotoblas_dynamic_init(void) __attribute__((weak));
extern void gotoblas_dynamic_quit(void) __attribute__((weak));

/* An OpenBLAS that is older than the processor takes it for a Prescott of 2004, on which products take two to four times as long as on a
   Haswell of 2013. The choice is made again, before anything is computed, with the name of the latter; that of the newest known would be
   faster still, but its kernels have been wrong more than once. A choice of the user's stays. */
__attribute__((constructor)) static void choose_kernels(void) {
    static const char variable[] = "OPENBLAS_CORETYPE";
    if (!openblas_get_corename || !gotoblas_dynamic_init || !gotoblas_dynamic_quit || getenv(variable)) return;
    if (strcmp(openblas_get_corename(), "Prescott") != 0) return;
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return;
    setenv(variable, "Haswell", 1);
    gotoblas_dynamic_quit();
    gotoblas_dynamic_init();
    unsetenv(variable);
}

#endif
