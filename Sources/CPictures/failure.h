/* How the decoders report what went wrong. */
#ifndef UNTANGLE_FAILURE_H
#define UNTANGLE_FAILURE_H

#include "CPictures.h"

#include <setjmp.h>
#include <stdio.h>

struct failure {
    jmp_buf place;
    int status;
    /* The caller's. */
    char *message;
};

/* Notes what is wrong. */
static inline int note(char *message, int status, const char *text) {
    snprintf(message, untangle_picture_message_size, "%s", text);
    return status;
}

#endif
