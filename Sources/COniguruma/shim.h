#include <oniguruma.h>

// Macros, mutable globals and functions of variable arguments are not shown to Swift.
static inline OnigEncoding onig_encoding_utf8(void) { return ONIG_ENCODING_UTF8; }
static inline OnigSyntaxType *onig_default_syntax(void) { return ONIG_SYNTAX_DEFAULT; }
static inline int onig_error_text(OnigUChar *text, int code, OnigErrorInfo *info) {
    return onig_error_code_to_str(text, code, info);
}
